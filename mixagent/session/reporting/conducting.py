"""What the conductor did, in the report's words."""

from __future__ import annotations

from mixagent.report.conducting import model_words
from mixagent.report.model import ConductorSection, RoundRow
from mixagent.report.words import number

_OVERALL = ("nisqa", "distillmos")


def conductor_lines(section: ConductorSection) -> list[str]:
    """What was tried and what stands, and how the voice was graded where that was asked for."""
    kept = [row for row in section.rounds if row.kept]
    tried = f"{section.renders} render{'s' if section.renders != 1 else ''} of the loudest parts heard"
    if section.blind_before is None or section.blind_after is None:
        return [f"Conductor: {section.over}"]
    before, after = (number(blind, 3, sign=True) for blind in (section.blind_before, section.blind_after))
    stands = f"{len(kept)} of {len(section.rounds)} moves kept, blind reward {before} to {after}"
    summed = stands if section.rounds else section.over
    model = [] if section.model is None else [model_words(section.model)]
    return [f"Conductor: {tried}; {summed}", *map(_kept_words, kept), *model, *_voice_words(section)]


def _kept_words(row: RoundRow) -> str:
    count = len(row.values)
    moved = next(iter(row.values)) if count == 1 else f"{count} parameters"
    who = "The language model" if row.agent == "model" else f"Conductor's {row.agent} agent"
    return f"{who} moved {moved}: {row.reason}" if row.reason else f"{who} moved {moved}"


def _voice_words(section: ConductorSection) -> list[str]:
    """How the voice was graded, where that was asked for; what its input allows is said beside."""
    if section.until is None:
        return []
    if not section.voice_after:
        return [
            f"No voice was graded, so {section.until:g} was not aimed at: there is none, or no judge is here"
        ]
    model = next((name for name in _OVERALL if name in section.voice_after), "judge")
    before, after = section.voice_before[model], section.voice_after[model]
    graded = f"The voice is graded {after:.1f} of 5 by {model}, {before:.1f} before the conductor"
    if after >= section.until:
        return [graded]
    return [f"{graded}; {section.until:g} was not reached: judges made for speech grade singing lower"]
