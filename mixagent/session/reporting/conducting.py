"""What the conductor did, in the report's words."""

from __future__ import annotations

from mixagent.report.model import ConductorSection, RoundRow
from mixagent.report.words import number

MODEL = "nisqa"


def conductor_lines(section: ConductorSection) -> list[str]:
    """What was tried and what stands, and how the voice was graded where that was asked for."""
    kept = [row for row in section.rounds if row.kept]
    tried = f"{section.renders} render{'s' if section.renders != 1 else ''} of the loudest parts heard"
    if section.blind_before is None or section.blind_after is None:
        return [f"Conductor: {section.over}"]
    before, after = (number(blind, 3, sign=True) for blind in (section.blind_before, section.blind_after))
    stands = f"{len(kept)} of {len(section.rounds)} moves kept, blind reward {before} to {after}"
    summed = stands if section.rounds else section.over
    return [f"Conductor: {tried}; {summed}", *map(_kept_words, kept), *_voice_words(section)]


def _kept_words(row: RoundRow) -> str:
    count = len(row.values)
    moved = next(iter(row.values)) if count == 1 else f"{count} parameters"
    return f"Conductor's {row.agent} agent moved {moved}: {row.reason}"


def _voice_words(section: ConductorSection) -> list[str]:
    before, after = (voice.get(MODEL) for voice in (section.voice_before, section.voice_after))
    if before is None or after is None:
        return []
    return [f"The voice is graded {after:.1f} of 5 by NISQA, {before:.1f} before the conductor"]
