"""The files of AudioSR on this machine: an environment with its own pins, and its weights. Loads nothing.

The package goes with versions that nothing else here does, and its official weights are a pickle. So it is
installed, by the user's word alone, into a virtual environment in the user's data folder, and what touches
its weights runs there (`audiosr_worker`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.files import check_room, write_atomically
from mixagent.pipeline.folders import data_folder

REPOSITORY, REVISION = "haoheliu/audiosr_basic", "74a47f49061a1e788e968cc43ad45c0b6243f37d"
FILE, SHA256 = "pytorch_model.bin", "8a3506b9619ed32435ce2c115604750c7bddb5ad8502be7b1a3131bde878aa01"
"""The official weights on the Hugging Face hub, 6.2 GB; another file of that name is refused."""

PYTHONS = ("3.11", "3.10", "3.9")
"""Those for which there are wheels of the pinned NumPy."""

PACKAGE = "audiosr==0.0.7"
PACKAGE_SHA256 = "05794f995ab42458216eb302dd9768c1c1e535091ee54e9e09f69a60eaad96e2"

PINS = (
    # The package's own.
    "numpy==1.23.5",
    "librosa==0.9.2",
    "transformers==4.30.2",
    # The last that still read audio without another package; before 2.6 `weights_only` could be deceived.
    "torch==2.8.0",
    "torchaudio==2.8.0",
    "torchvision==0.23.0",
    # The last ones for that NumPy, or of the time of that transformers.
    "scipy==1.11.4",
    "numba==0.58.1",
    "pandas==2.0.3",
    "matplotlib==3.7.5",
    "tokenizers==0.13.3",
    "huggingface-hub==0.25.2",
    "timm==0.9.16",
    # What it imports without asking for it, and the rest that it imports. Its web page (gradio) is left out.
    "chardet==5.2.0",
    "einops==0.8.1",
    "ftfy==6.3.1",
    "h5py==3.10.0",
    "phonemizer==3.3.0",
    "progressbar2==4.2.0",
    "pyyaml==6.0.2",
    "safetensors==0.5.3",
    "setuptools==75.8.0",
    "soundfile==0.12.1",
    "torchlibrosa==0.1.0",
    "tqdm==4.67.1",
    "unidecode==1.3.8",
)
"""What is installed beside the package, which itself goes in without its dependencies."""

WORKER = Path(__file__).with_name("audiosr_worker.py")

_ENVIRONMENT_BYTES, _WEIGHTS_BYTES = 9e9, 10e9
_MARK = "mixagent.json"
_HOW = "run mixagent models pull audiosr"


@dataclass(frozen=True)
class AudioSRFiles:
    """The files that a run takes: the environment's Python, the folder of the weights, and the worker."""

    python: Path
    weights: Path
    worker: Path = WORKER


def audiosr_folder() -> Path:
    """The folder that holds environment and weights, or would hold them."""
    return data_folder() / "models" / "audiosr"


def weights_folder() -> Path:
    """The folder of the weights, whether they are in it or not."""
    return audiosr_folder() / "weights"


def find_audiosr() -> AudioSRFiles | None:
    """The files of AudioSR; None where any of them is missing or of another version of this program."""
    folder = audiosr_folder()
    if not _is_whole(folder / "env") or not present_weights():
        return None
    return AudioSRFiles(_python_of(folder / "env"), weights_folder())


def require_audiosr() -> AudioSRFiles:
    """The files of AudioSR.

    Raises:
        ModelMissingError: it is not here.
    """
    files = find_audiosr()
    if files is None:
        raise ModelMissingError(f"AudioSR is not here: {_HOW}, or leave pipeline.extender=embedded")
    return files


def present_weights() -> tuple[Path, ...]:
    """The weights that were pulled, none where they are not here as a whole."""
    folder = weights_folder()
    with suppress(OSError, ValueError, KeyError, TypeError):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config["source"]["sha256"] == SHA256 and config["weights_sha256"]:
            path = folder / "weights.safetensors"
            return (path,) if path.is_file() else ()
    return ()


def pull_audiosr() -> Path:
    """Make the environment and fetch the weights, as far as they are not here; the folder that holds both.

    What pip and the hub's client print goes to stderr.

    Raises:
        ModelMissingError: no Python for it, a package or the weights could not be had, or these are not the
            official ones.
        OutputError: the disk has no room.
    """
    folder = audiosr_folder()
    if not _is_whole(folder / "env"):
        _make_environment(folder / "env")
    if not present_weights():
        weights_folder().mkdir(parents=True, exist_ok=True)
        check_room(folder, round(_WEIGHTS_BYTES), "AudioSR's weights, with room to convert them,")
        _run_worker("pull", weights_folder(), REPOSITORY, REVISION, FILE, SHA256)
    return folder


def _run_worker(*arguments: object) -> None:
    python = _python_of(audiosr_folder() / "env")
    command = [str(python), "-I", str(WORKER), *map(str, arguments)]
    # The hub's client is told by the user's own variables where the hub is.
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=worker_environment(), check=False)
    if done.returncode:
        raise ModelMissingError(f"audiosr could not be downloaded: {failure_of(done.stdout)}")


def failure_of(output: str) -> str:
    """The reason in the worker's last event, if it gave one."""
    for line in reversed(output.splitlines()):
        with suppress(ValueError, KeyError, TypeError):
            return str(json.loads(line)["why"])
    return "its process ended without a word"


def worker_environment() -> dict[str, str]:
    """The variables of this process's environment without those that would lead its Python astray."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }


# --- the environment -------------------------------------------------------------------------------------


def _python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _fingerprint() -> str:
    return hashlib.sha256("\n".join((PACKAGE, PACKAGE_SHA256, *PINS)).encode()).hexdigest()


def _is_whole(environment: Path) -> bool:
    try:
        mark = json.loads((environment / _MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(mark == {"pins": _fingerprint()} and _python_of(environment).exists())


def _make_environment(environment: Path) -> None:
    """A virtual environment with the pins, made anew; it counts once its mark is written."""
    base = _find_python()
    shutil.rmtree(environment, ignore_errors=True)
    environment.mkdir(parents=True)
    check_room(environment, round(_ENVIRONMENT_BYTES), "AudioSR's environment")
    _call([base, "-m", "venv", str(environment)], f"{base} makes no virtual environment")
    package = environment / "package.txt"
    write_atomically(package, f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
    install = [
        str(_python_of(environment)),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
    ]
    failed = "the packages of audiosr could not be installed"
    _call([*install, "--only-binary", ":all:", *PINS], failed)
    _call([*install, "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(package)], failed)
    write_atomically(environment / _MARK, json.dumps({"pins": _fingerprint()}) + "\n")


def _find_python() -> str:
    """A Python of one of the versions that it runs on: this one, or another on the PATH."""
    own = [sys.executable] if f"{sys.version_info.major}.{sys.version_info.minor}" in PYTHONS else []
    named = (shutil.which(f"python{version}") for version in PYTHONS)
    for python in (*own, *filter(None, named)):
        check = "import sys, venv, ensurepip; print(f'{sys.version_info.major}.{sys.version_info.minor}')"
        found = subprocess.run([python, "-I", "-c", check], capture_output=True, text=True, check=False)
        if found.returncode == 0 and found.stdout.strip() in PYTHONS:
            return python
    versions = ", ".join(PYTHONS)
    raise ModelMissingError(
        f"audiosr needs a Python of version {versions} with venv beside this one: install one, then {_HOW}"
    )


def _call(command: Sequence[str], failed: str) -> None:
    # stdout is the caller's: there the folder is printed.
    done = subprocess.run(command, stdout=2, env=worker_environment(), check=False)
    if done.returncode:
        raise ModelMissingError(f"{failed}: see the lines above, then {_HOW} again")
