"""An install that may not be written to, without a home, as in a container: the program works."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from songs import write_song

import mixagent

SOURCE = Path(mixagent.__file__).parent


def copied(place):
    """The package, without what was compiled of it, for everyone to read and nobody to write."""
    shutil.copytree(SOURCE, place / "mixagent", ignore=shutil.ignore_patterns("__pycache__"))
    for folder, _, names in os.walk(place):
        for name in names:
            (Path(folder) / name).chmod(0o444)
        Path(folder).chmod(0o555)
    return place


def without_privileges():
    """What keeps a root, who may write everywhere, to the rights that files give."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is not here")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX")
@pytest.mark.parametrize("named", [True, False], ids=["MIXAGENT_CACHE", "no place but the temporary files"])
def test_it_analyses_and_masters_from_a_read_only_install_without_a_home(tmp_path, named):
    (tmp_path / "site").mkdir()
    program, work, temporary = copied(tmp_path / "site"), tmp_path / "work", tmp_path / "tmp"
    work.mkdir()
    temporary.mkdir()
    song = write_song(work / "song.wav")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(program),
        "HOME": str(program / "nonexistent"),
        "TMPDIR": str(temporary),
    }
    if named:
        environment["MIXAGENT_CACHE"] = str(work / "cache")
    limited = without_privileges()

    def run(*arguments):
        command = [*limited, sys.executable, "-m", "mixagent", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=work, check=False)

    try:
        analysed = run("analyze", song, "--json")
        assert (analysed.returncode, analysed.stderr) == (0, "")
        mastered = run("master", song, "-o", work / "m.wav", "--quiet")
        assert (mastered.returncode, mastered.stderr) == (0, "")
        assert (work / "m.wav").exists()
        assert list((work if named else temporary).glob("**/kernels/**/*.nbc"))
        assert not list(program.rglob("*.nbc"))
    finally:
        for folder, _, _ in os.walk(program):
            Path(folder).chmod(0o755)
