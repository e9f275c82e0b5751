"""The wheel installs into an empty environment and masters a song from outside the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from script_modules import load_script

release = load_script("release")

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.install


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of sdist and wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    _copy_uncommitted(source)
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def _copy_uncommitted(source: Path) -> None:
    """Take the working tree along, so that what is tested is what is here."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--modified", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and its pinned dependencies alone."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(home, with_pip=True)
    pip = [str(home / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "-c", str(ROOT / "constraints.txt"), str(wheel)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return home / "bin"


def _run(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "MIXAGENT"))}
    environment = {**clean, "MIXAGENT_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [str(installed / command[0]), *command[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_the_wheel_adds_one_top_level_name_and_holds_configs_and_weights(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top_level = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top_level == {"mixagent"}
    for needed in (
        "mixagent/conf/config.yaml",
        "mixagent/conf/pipeline/default.yaml",
        "mixagent/checkpoints/finished_music/statistics.json",
        "mixagent/pipeline/finaliser/loop.py",
        "mixagent/report/page.html",
        "mixagent/report/player.js",
    ):
        assert needed in names


def test_neither_sdist_nor_wheel_holds_a_link_or_lacks_a_file(built: Path) -> None:
    files = sorted(path for path in built.iterdir() if path.is_file())
    assert [path.suffix for path in files] == [".whl", ".gz"]
    assert [problem for path in files for problem in release.problems_of(path)] == []


def test_the_sdist_has_every_module_that_the_wheel_has(built: Path, wheel: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    modules = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert modules <= packed


def test_the_installed_package_is_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    done = _run(installed, tmp_path, "python", "-c", "import mixagent; print(mixagent.__file__)")
    assert str(installed.parent) in done.stdout


def test_the_installed_program_masters_the_example_offline(installed: Path, tmp_path: Path) -> None:
    example = next((ROOT / "examples").glob("raw.*"))
    done = _run(installed, tmp_path, "mixagent", "master", str(example), "-o", "master.wav", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["met"]
    assert abs(report["after"]["integrated_lufs"] + 14.0) <= 0.1
    assert report["after"]["true_peak_dbtp"] <= -1.0
    assert (tmp_path / "master.wav").stat().st_size > 1_000_000


def test_the_installed_doctor_is_content(installed: Path, tmp_path: Path) -> None:
    done = _run(installed, tmp_path, "mixagent", "doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["healthy"]
