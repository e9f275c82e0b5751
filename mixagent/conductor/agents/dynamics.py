"""The dynamics agent: peaks against loudness as finished music has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixagent.conductor.agents.base import NOTHING, Desk
from mixagent.conductor.state import Move
from mixagent.conductor.studio import Heard
from mixagent.pipeline.finished.answers import answer

RIDE = "master.ride_db"
"""Sections are not heard in the loudest parts: what was decided of them stands."""


@dataclass(frozen=True)
class DynamicsAgent:
    """Attacks of the master and of its bands."""

    name: str = "dynamics"
    owns: tuple[str, ...] = ("master.transient_*", "*_band.transient_*")
    dimensions: tuple[str, ...] = ("discontinuity", "loudness")

    def concern(self, heard: Heard) -> float:
        """The largest move of attacks that the render still calls for, in dB."""
        return max([0.0, *(abs(move) for name, move in _answered(heard).items() if name.endswith("_db"))])

    def propose(self, desk: Desk) -> Move | None:
        """Attacks raised or lowered to the inner edge."""
        concern = self.concern(desk.heard)
        values = desk.moved(_answered(desk.heard)) if concern > NOTHING else {}
        reason = "the attacks do not yet stand out as in finished music"
        return Move(self.name, values, reason, concern) if values else None


def _answered(heard: Heard) -> Mapping[str, float]:
    if heard.judgement is None:
        return {}
    answered = answer(heard.judgement).dynamics
    return {name: move for name, move in answered.items() if name != RIDE}
