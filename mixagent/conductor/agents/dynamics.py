"""The dynamics agent: peaks against loudness as finished music has them."""

from __future__ import annotations

from dataclasses import dataclass

from mixagent.conductor.agents.base import NOTHING, Desk
from mixagent.conductor.state import Move
from mixagent.conductor.studio import Heard
from mixagent.pipeline.finished.measures import GROUPS, MEASURES

RAISED_DB = 1.5
RATIO = 0.5
_PUNCH = tuple(MEASURES[place].name for place in GROUPS["punch"])


@dataclass(frozen=True)
class DynamicsAgent:
    """Attacks and compression of the master."""

    name: str = "dynamics"
    owns: tuple[str, ...] = ("master.transient_*", "master.expand_ratio", "master.comp_*", "drum_bus.comp_*")
    opinions: tuple[str, ...] = ("discontinuity", "loudness")

    def concern(self, heard: Heard) -> float:
        """Punch outside of finished music, in spreads."""
        return heard.grade.outside.get("punch", 0.0)

    def propose(self, desk: Desk) -> Move | None:
        """Attacks raised where the song is flat, a gentle compressor where peaks stand out."""
        concern = self.concern(desk.heard)
        if concern <= NOTHING or desk.heard.judgement is None:
            return None
        if desk.heard.judgement.mean_of(_PUNCH) < 0:
            values = desk.moved("master.transient_attack_db", RAISED_DB)
            reason = "the attacks stand less out than in finished music"
        else:
            values = desk.moved("master.comp_ratio", RATIO)
            reason = "peaks stand further out than in finished music"
        return Move(self.name, values, reason, concern) if values else None
