"""The band policy: what brings a song into the band of finished music, and repairs of what was found.

Tone, width, balance and dynamics are answers to the band (`pipeline.finished.answers`); cut-offs, gaps and
rings are answered by the rules. It is the baseline action of the trained policy. Whatever a policy decides,
`towards` answers the band of references instead where they say what is wanted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.chain.amounts import Dimension, dimension
from mixagent.pipeline.chain.parameters import ADVANCED_PLACES, GRAPHIC_HZ
from mixagent.pipeline.finished.answers import answer, graphic_values, made_up_db
from mixagent.pipeline.finished.band import Band, judge
from mixagent.pipeline.finished.findings import FOUND, findings
from mixagent.pipeline.finished.measures import Group, SongMeasures
from mixagent.pipeline.finished.reasons import reasons_of
from mixagent.policies.base import Context, Decision
from mixagent.policies.rules import RulePolicy

REPAIRS = (
    "master.extend_from_hz",
    "master.extend_db",
    "master.gap_fill_db",
    "master.blink_fill_db",
)
"""Left to the rules: no setting of tone brings back what is gone."""

RINGS: Mapping[str, str] = {"master.resonance_cut_db": "metallic", "master.bell_": "resonant"}
"""Left to the rules where the band's fault was found: instruments ring as well."""

_TOLD_BY: Mapping[Dimension, tuple[Group, ...]] = {
    "eq": ("tone",),
    "width": ("width",),
    "dynamics": ("punch", "range"),
}
"""The measures with which references say what a dimension is to be."""


@dataclass(frozen=True)
class BandPolicy:
    """Brings a song to the inner edge of finished music."""

    name: str = "band"
    hears_stems: int = 0
    reads_features: bool = False

    def decide(self, context: Context) -> Decision:
        """The settings; neutral for a song that was not measured, as silence."""
        if context.measures is None:
            return _repairs(context, frozenset())
        judgement = judge(context.measures)
        repairs = _repairs(context, {f.fault.name for f in findings(judgement, FOUND)})
        values = {k: v for k, v in answer(judgement).values.items() if k in context.space}
        settings = context.space.settings({**repairs.settings.changed(), **values})
        return Decision(settings, {**repairs.reasons, **reasons_of(judgement, values)})


def towards(decision: Decision, song: SongMeasures, references: Band) -> Decision:
    """A decision with the answer to references in each dimension of which they say something.

    There nothing of what was decided for the master is left, for it was decided of the same measures; what
    was decided for stems stays, and so do balance and repairs, among them the narrow bells.

    Args:
        decision: of a policy.
        song: what the song measures.
        references: the band that the song is held against.
    """
    space, before = decision.settings.space, decision.settings.changed()
    told = {name for name, groups in _TOLD_BY.items() if any(map(references.tells, groups))}
    judgement = judge(song, references)
    answered = answer(judgement).values
    kept = {name: value for name, value in before.items() if not _is_replaced(name, told)}
    values = {**kept, **{name: value for name, value in answered.items() if dimension(name) in told}}
    reasons = {**decision.reasons, **reasons_of(judgement, answered)}
    if ("eq" in told) != ("width" in told):
        # A tone has what its own width takes or gives made up for: here the two are of different origin.
        tone, width = (answered, before) if "eq" in told else (before, answered)
        tone_db = _gains(tone, "tone") - made_up_db(song, _gains(tone, "width"))
        tone_db = tone_db + made_up_db(song, _gains(width, "width"))
        others = {name: value for name, value in values.items() if not name.startswith("graphic.tone_")}
        values = {**others, **graphic_values("tone", tone_db)}
    told_why = {name: reasons.get(name, "keeps the tone while the sides are moved") for name in values}
    return Decision(space.settings(values), {k: v for k, v in told_why.items() if k in values})


def _is_replaced(name: str, told: set[Dimension]) -> bool:
    place, what = name.split(".", 1)
    if place not in ("master", *ADVANCED_PLACES) or what.startswith(("balance", "bell_")):
        return False
    return dimension(name) in told


def _gains(values: Mapping[str, float], what: str) -> NDArray[np.float64]:
    return np.array([values.get(f"graphic.{what}_{hz}_db", 0.0) for hz in GRAPHIC_HZ])


def _repairs(context: Context, found: Collection[str]) -> Decision:
    """The rules' repairs, and what they do about rings where those were found to stand out."""
    decided = RulePolicy().decide(context)
    repairs = (*REPAIRS, *(name for name, fault in RINGS.items() if fault in found))
    kept = {k: v for k, v in decided.settings.changed().items() if k.startswith(repairs)}
    return Decision(context.space.settings(kept), {k: v for k, v in decided.reasons.items() if k in kept})
