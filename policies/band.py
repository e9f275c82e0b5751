"""The band policy: what brings a song into the band of finished music, and repairs of what was found.

Tone, width, balance and dynamics are answers to the band (`pipeline.finished.answers`); cut-offs, gaps and
rings are answered by the rules. It is the baseline action of the trained policy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mixagent.pipeline.finished.answers import answer
from mixagent.pipeline.finished.band import Band, judge
from mixagent.pipeline.finished.findings import FOUND, findings
from mixagent.pipeline.finished.reasons import reasons_of
from mixagent.policies.base import Context, Decision
from mixagent.policies.rules import RulePolicy

REPAIRS = (
    "master.extend_from_hz",
    "master.extend_db",
    "master.gap_fill_db",
    "master.blink_fill_db",
    "master.resonance_cut_db",
)
"""What the rules answer: no setting of tone brings back what is gone."""


@dataclass(frozen=True)
class BandPolicy:
    """Brings a song to the inner edge of finished music, or of a band that somebody chose.

    Attributes:
        against: the band of references; None for finished music.
    """

    against: Band | None = None
    name: str = "band"
    hears_stems: bool = False

    def decide(self, context: Context) -> Decision:
        """The settings; neutral for a song that was not measured, as silence."""
        if context.measures is None:
            return _repairs(context, frozenset())
        judgement = judge(context.measures, self.against)
        repairs = _repairs(context, {f.fault.name for f in findings(judgement, FOUND)})
        values = {k: v for k, v in answer(judgement).values.items() if k in context.space}
        settings = context.space.settings({**repairs.settings.changed(), **values})
        return Decision(settings, {**repairs.reasons, **reasons_of(judgement, values)})


def _repairs(context: Context, found: Collection[str]) -> Decision:
    """The rules' repairs, and their narrow bells where a resonance was found to stand out."""
    decided = RulePolicy().decide(context)
    bells = "master.bell_" if "resonant" in found else REPAIRS
    kept: Mapping[str, float] = {
        name: value
        for name, value in decided.settings.changed().items()
        if name in REPAIRS or name.startswith(bells)
    }
    return Decision(context.space.settings(kept), {k: v for k, v in decided.reasons.items() if k in kept})
