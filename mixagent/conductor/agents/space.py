"""The space agent: the width and the balance of each band as finished music has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixagent.conductor.agents.base import NOTHING, Desk, size
from mixagent.conductor.state import Move
from mixagent.conductor.studio import Heard
from mixagent.pipeline.chain.parameters import GRAPHIC_HZ
from mixagent.pipeline.finished.answers import answer


@dataclass(frozen=True)
class SpaceAgent:
    """Sides against mid, and right against left, third octave by third octave."""

    name: str = "space"
    owns: tuple[str, ...] = ("graphic.width_*", "graphic.balance_*")
    dimensions: tuple[str, ...] = ()

    def concern(self, heard: Heard) -> float:
        """What the render's width and balance still call for, root mean square over the bands."""
        answered = _answered(heard)
        sides = [
            answered.get(f"graphic.{what}_{hz}_db", 0.0) for what in ("width", "balance") for hz in GRAPHIC_HZ
        ]
        return size(sides)

    def propose(self, desk: Desk) -> Move | None:
        """Each band to the inner edge."""
        concern = self.concern(desk.heard)
        values = desk.moved(_answered(desk.heard)) if concern > NOTHING else {}
        reason = "the sides are not yet where finished music has them"
        return Move(self.name, values, reason, concern) if values else None


def _answered(heard: Heard) -> Mapping[str, float]:
    if heard.judgement is None:
        return {}
    answered = answer(heard.judgement)
    return {**answered.width, **answered.balance}
