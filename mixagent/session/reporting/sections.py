"""The sections of a song for the report, and what each has by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mixagent.pipeline.chain.section_settings import MASTER, SectionSettings
from mixagent.pipeline.measure.song_sections import SongSection
from mixagent.report.model import SectionRow
from mixagent.report.words import number, place_label


def section_rows(found: Sequence[SongSection], settings: Sequence[SectionSettings]) -> tuple[SectionRow, ...]:
    """A row for each section; none where the song is one.

    Args:
        found: the sections.
        settings: what stretches of the song have by themselves, as it was applied.
    """
    if len(found) < 2:
        return ()
    return tuple(_row(section, [each for each in settings if _within(each, section)]) for section in found)


def _within(each: SectionSettings, section: SongSection) -> bool:
    middle_s = (section.start_s + section.stop_s) / 2
    return each.start_s <= middle_s < each.stop_s


def _row(section: SongSection, settings: Sequence[SectionSettings]) -> SectionRow:
    return SectionRow(
        start_s=section.start_s,
        stop_s=section.stop_s,
        label=section.label,
        letter=section.letter,
        likely=section.likely,
        confidence=section.confidence,
        lufs=section.lufs if math.isfinite(section.lufs) else None,
        differs=tuple(line for each in settings for line in differing_words(each)),
    )


def differing_words(each: SectionSettings) -> list[str]:
    """What a section has by itself, a clause for each parameter: `level +2.0 dB`."""
    place = "" if each.where == MASTER else f"{place_label(each.where).lower()} "
    level = [f"{place}level {number(each.gain_db, 1, sign=True)} dB"] if each.gain_db else []
    return [*level, *(f"{place}{_named(name)} {_value(name, value)}" for name, value in each.values.items())]


def _named(name: str) -> str:
    what = name.partition(".")[2].removesuffix("_db").removeprefix("eq_")
    return what.replace("_", " ")


def _value(name: str, value: float) -> str:
    if name.endswith("_db"):
        return f"{number(value, 1, sign=True)} dB"
    return number(value, 2)
