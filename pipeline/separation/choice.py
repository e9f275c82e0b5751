"""Chooses the separator that runs, with the reason, and the stems that can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixagent.pipeline.errors import ModelMissingError, UsageError, option
from mixagent.pipeline.separation.base import NoSeparator, Separator
from mixagent.pipeline.separation.demucs_files import STEM_NAMES, find_bag

NAMES = ("auto", "embedded", "spleeter", "none", *STEM_NAMES)
"""The names that `choose_separator` takes."""

STEM_SETS = {
    2: ("vocals", "instrumental"),
    4: ("vocals", "drums", "bass", "other"),
    5: ("vocals", "drums", "bass", "piano", "other"),
    6: ("vocals", "drums", "bass", "piano", "guitar", "other"),
}
"""The stems that a number of stems means. What a set does not name is in its last stem."""

_BEST = "htdemucs_ft"
_SIX_STEMS = "htdemucs_6s"

_GPU_NODES = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path(r"C:\Windows\System32\nvcuda.dll"))
"""Without one of these there is no GPU, on Linux or Windows, and torch, slow to import, need not be asked."""


@dataclass(frozen=True)
class Choice:
    """A separator and a sentence for the report that says why it was chosen."""

    separator: Separator
    why: str


def choose_separator(name: str = "auto", device: str = "auto", stems: int | None = None) -> Choice:
    """The separator of this name on `device` (`auto`, `cpu`, `cuda`) that gives this number of stems.

    `auto` is htdemucs_ft where a GPU and its weights are at hand, else an embedded one: on a CPU
    htdemucs_ft takes about eight times the song's length. Without a number of stems it is the one
    with vocals and accompaniment. Piano and guitar are known to htdemucs_6s alone.

    Args:
        name: one of `NAMES`.
        device: where it runs.
        stems: a key of `STEM_SETS`; None for whatever the separator gives.

    Raises:
        UsageError: no such name, device or number of stems, or a separator that does not give them.
        ModelMissingError: a model is needed and it is not here.
    """
    if name not in NAMES:
        raise UsageError(
            f"no separator is called {name!r}: choose one of {', '.join(NAMES)}", field="separator"
        )
    if stems is not None and stems not in STEM_SETS:
        raise UsageError(f"a song is not split into {stems} stems: choose {_numbers()}")
    device = "cpu" if name == "none" else resolve_device(device)
    choice = _automatic(device, stems) if name == "auto" else _named(name, device)
    if stems is not None and not gives(choice.separator, stems):
        raise _cannot(choice.separator, stems)
    return choice


def gives(separator: Separator, stems: int) -> bool:
    """True if a separator's stems can be put together into this set of `STEM_SETS`."""
    *wanted, _ = STEM_SETS[stems]
    return set(wanted) <= set(separator.stem_names)


def _cannot(separator: Separator, stems: int) -> UsageError:
    known = ", ".join(separator.stem_names) or "no stems"
    fewer = [number for number in STEM_SETS if number < stems and gives(separator, number)]
    instead = f", or use {option('stems', max(fewer))}" if fewer else ""
    needed = _SIX_STEMS if stems > 4 else "embedded, or a Demucs model"
    return UsageError(
        f"{separator.name} gives {known}: for {stems} stems name {option('separator')} {needed}{instead}",
        field="separator",
    )


def _numbers() -> str:
    return ", ".join(map(str, STEM_SETS))


def _named(name: str, device: str) -> Choice:
    if name == "none":
        return Choice(NoSeparator(), "No separator ran: the song was mastered as one stem.")
    if name in STEM_NAMES:
        return Choice(_demucs(name, device), f"{name} was asked for; it ran on the {_said(device)}.")
    separator = _embedded(device) if name == "embedded" else _spleeter(device)
    said = "The embedded separator" if name == "embedded" else "Spleeter"
    return Choice(separator, f"{said} was asked for; it ran on the {_said(device)}.")


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
        raise UsageError(
            f"no CUDA device was found: use {option('device', 'cpu')}, or install a CUDA build of torch",
            field="device",
        )
    return "cpu"


def _automatic(device: str, stems: int | None) -> Choice:
    if stems is not None and stems > 4:
        return _six_stems(device, stems)
    separator, said = (
        (_embedded, "The embedded separator")
        if stems == 4
        else (_spleeter, "The embedded two-stem separator")
    )
    if device == "cpu":
        why = f"{said} ran, on the CPU, where {_BEST} would take about eight times the song's length."
        return Choice(separator(device), why)
    try:
        return Choice(_demucs(_BEST, device), f"{_BEST} ran, because a GPU and its weights are here.")
    except ModelMissingError as missing:
        return Choice(separator(device), f"{said} ran on the GPU, because {missing}.")


def _six_stems(device: str, stems: int) -> Choice:
    try:
        separator = _demucs(_SIX_STEMS, device)
    except ModelMissingError as missing:
        apart = "piano" if stems == 5 else "piano and guitar"
        raise ModelMissingError(
            f"without {_SIX_STEMS} {apart} cannot be told apart: use {option('stems', 4)}, or run "
            f"pip install 'mixagent[demucs]' and mixagent models pull {_SIX_STEMS}"
        ) from missing
    return Choice(separator, f"{_SIX_STEMS} ran on the {_said(device)}: it alone knows piano and guitar.")


def _embedded(device: str) -> Separator:
    from mixagent.pipeline.separation.embedded import EmbeddedSeparator, read_weights, shipped_checkpoint
    from mixagent.pipeline.separation.spleeter import weight_files

    weight_files()
    read_weights(shipped_checkpoint())
    return EmbeddedSeparator(device)


def _spleeter(device: str) -> Separator:
    from mixagent.pipeline.separation.spleeter import SpleeterSeparator, weight_files

    weight_files()
    return SpleeterSeparator(device)


def _demucs(name: str, device: str) -> Separator:
    find_bag(name)
    from mixagent.pipeline.separation.demucs import DemucsSeparator

    return DemucsSeparator(name, device)


def _said(device: str) -> str:
    return {"cpu": "CPU", "cuda": "GPU"}[device]
