"""Which separator runs, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixagent.pipeline.errors import ModelMissingError, UsageError
from mixagent.pipeline.separation.base import NoSeparator, Separator
from mixagent.pipeline.separation.demucs_files import STEM_NAMES, find_bag

NAMES = ("auto", "embedded", "none", *STEM_NAMES)
"""What `choose_separator` takes."""

_BEST = "htdemucs_ft"

_GPU_NODES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""Without one of these there is no GPU on Linux, and torch, which is slow to import, need not be asked."""


@dataclass(frozen=True)
class Choice:
    """A separator and a sentence for the report that says why it was chosen."""

    separator: Separator
    why: str


def choose_separator(name: str = "auto", device: str = "auto") -> Choice:
    """The separator of this name on `device` (`auto`, `cpu`, `cuda`).

    `auto` is htdemucs_ft where a GPU and its weights are at hand, else the embedded one: on a CPU
    htdemucs_ft takes about eight times the song's length.

    Raises:
        UsageError: no such name or device.
        ModelMissingError: a model was asked for by name and it is not here.
    """
    if name not in NAMES:
        raise UsageError(f"no separator is called {name!r}: choose one of {', '.join(NAMES)}")
    if name == "none":
        return Choice(NoSeparator(), "No separator ran: the song was mastered as one stem.")
    device = resolve_device(device)
    if name == "auto":
        return _automatic(device)
    if name == "embedded":
        return Choice(
            _embedded(device), f"The embedded separator was asked for; it ran on the {_said(device)}."
        )
    return Choice(_demucs(name, device), f"{name} was asked for; it ran on the {_said(device)}.")


def resolve_device(device: str) -> str:
    """`auto` as `cuda` or `cpu`, whichever is here; any other name as it is.

    Raises:
        UsageError: an unknown device, or cuda where there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"no device is called {device!r}: choose auto, cpu or cuda")
    if device == "cpu" or (device == "auto" and not any(path.exists() for path in _GPU_NODES)):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise UsageError("no CUDA device was found: use --device cpu, or install a CUDA build of torch")
    return "cpu"


def _automatic(device: str) -> Choice:
    if device == "cpu":
        return Choice(
            _embedded(device),
            f"The embedded two-stem separator ran, on the CPU, where {_BEST} would take about eight times "
            "the song's length.",
        )
    try:
        return Choice(_demucs(_BEST, device), f"{_BEST} ran, because a GPU and its weights are here.")
    except ModelMissingError as missing:
        return Choice(
            _embedded(device), f"The embedded two-stem separator ran on the GPU, because {missing}."
        )


def _embedded(device: str) -> Separator:
    from mixagent.pipeline.separation.spleeter import SpleeterSeparator, weight_files

    weight_files()
    return SpleeterSeparator(device)


def _demucs(name: str, device: str) -> Separator:
    find_bag(name)
    from mixagent.pipeline.separation.demucs import DemucsSeparator

    return DemucsSeparator(name, device)


def _said(device: str) -> str:
    return {"cpu": "CPU", "cuda": "GPU"}[device]
