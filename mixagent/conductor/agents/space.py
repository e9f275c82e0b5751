"""The space agent: the width of each band as finished music has it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixagent.conductor.agents.base import NOTHING, Desk
from mixagent.conductor.state import Move
from mixagent.conductor.studio import INNER, Heard
from mixagent.pipeline.chain.parameters import GRAPHIC_HZ
from mixagent.pipeline.finished.band import Judgement
from mixagent.pipeline.finished.measures import GROUPS, MEASURES

MOST_DB = 3.0
_GRAPHIC = {f"width_{hz}": f"graphic.width_{hz}_db" for hz in GRAPHIC_HZ}


@dataclass(frozen=True)
class SpaceAgent:
    """Sides against mid, third octave by third octave."""

    name: str = "space"
    owns: tuple[str, ...] = ("graphic.width_*",)
    opinions: tuple[str, ...] = ()

    def concern(self, heard: Heard) -> float:
        """Width outside of finished music, in spreads."""
        return heard.grade.outside.get("width", 0.0)

    def propose(self, desk: Desk) -> Move | None:
        """Each band's sides to the inner edge."""
        concern = self.concern(desk.heard)
        if concern <= NOTHING or desk.heard.judgement is None:
            return None
        values: dict[str, float] = {}
        for name, gain_db in width_moves_db(desk.heard.judgement).items():
            values |= desk.moved(_GRAPHIC[name], gain_db)
        return Move(self.name, values, "the sides are not yet where finished music has them", concern) if values else None


def width_moves_db(judgement: Judgement) -> dict[str, float]:
    """By measure of width, the gain of the sides to the inner edge, within `MOST_DB`; those over half a dB."""
    moves = {}
    for place in GROUPS["width"]:
        name, deviation = MEASURES[place].name, float(judgement.deviations[place])
        if name not in _GRAPHIC or not np.isfinite(deviation):
            continue
        beyond = np.sign(deviation) * max(abs(deviation) - INNER, 0.0)
        gain_db = float(np.clip(-beyond * judgement.band.spread[place], -MOST_DB, MOST_DB))
        if abs(gain_db) >= 0.5:
            moves[name] = gain_db
    return moves
