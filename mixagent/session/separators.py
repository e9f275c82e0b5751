"""Which separator takes a song apart."""

from __future__ import annotations

from dataclasses import replace

from mixagent.pipeline.errors import UsageError, option
from mixagent.pipeline.separation import Separator, choose_separator
from mixagent.pipeline.separation.choice import Choice
from mixagent.settings import Config


def stem_separator(
    config: Config, device: str, stems: int | None = None, shifts: int = 1, seed: int = 0
) -> Choice:
    """The configured separator, run on several shifts where that was asked for.

    Raises:
        UsageError: it gives no stems, or not these.
        ModelMissingError: a model is needed and it is not here.
    """
    name = config.pipeline.separator
    choice = choose_separator(name, device, 4 if stems is None and name == "auto" else stems)
    if not choice.separator.stem_names:
        raise UsageError(f"{option('separator', 'none')} gives no stems to write", field="separator")
    return replace(choice, separator=shifted(choice.separator, shifts, seed))


def separator_named(name: str, device: str = "auto", shifts: int = 1, seed: int = 0) -> Separator:
    """A separator by its own name, run on several shifts where these are more than one.

    Raises:
        UsageError: no separator is called this.
        ModelMissingError: its model is not here.
    """
    return shifted(choose_separator(name, device).separator, shifts, seed)


def shifted(separator: Separator, shifts: int, seed: int) -> Separator:
    """The separator itself, or its average over several shifts of the song."""
    if shifts == 1:
        return separator
    from mixagent.pipeline.separation.shifts import ShiftedSeparator

    return ShiftedSeparator(separator, shifts, seed)
