"""The equaliser agent: tone against finished music, and what masks the voice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixagent.conductor.agents.base import NOTHING, Desk
from mixagent.conductor.state import Move
from mixagent.conductor.studio import INNER, Heard
from mixagent.pipeline.chain.parameters import GRAPHIC_HZ
from mixagent.pipeline.finished.band import Judgement
from mixagent.pipeline.finished.measures import GROUPS, MEASURES

MASKED_DB = 36.0
"""Nine of ten finished songs' other stems lie less far over the voice (`studio.voice_masked_db`)."""

CARVED_DB = 2.5
MOST_DB = 3.0
"""The most that a third octave is moved in one move."""

_GRAPHIC = {f"tone_{hz}": f"graphic.tone_{hz}_db" for hz in GRAPHIC_HZ}


@dataclass(frozen=True)
class EqAgent:
    """Third octaves of the master, and the presence of the stems."""

    name: str = "eq"
    owns: tuple[str, ...] = ("graphic.tone_*", "*.presence_db", "*.bell_*", "*.low_mid_cut_db")
    opinions: tuple[str, ...] = ("coloration",)

    def concern(self, heard: Heard) -> float:
        """Tone outside of finished music, in spreads, or the voice's masking, in units of 6 dB."""
        return max(heard.grade.outside.get("tone", 0.0), _masking(heard))

    def propose(self, desk: Desk) -> Move | None:
        """Whichever of the two is worse is answered first."""
        concern = self.concern(desk.heard)
        if concern <= NOTHING:
            return None
        carved = self._carved(desk, concern)
        if carved is not None and _masking(desk.heard) >= desk.heard.grade.outside.get("tone", 0.0):
            return carved
        judgement = desk.heard.judgement
        return carved if judgement is None else self._toned(desk, judgement, concern) or carved

    def _carved(self, desk: Desk, concern: float) -> Move | None:
        values = desk.moved("other.presence_db", -CARVED_DB)
        if _masking(desk.heard) <= NOTHING or not values:
            return None
        return Move(self.name, values, "it covers the voice at 1 to 5 kHz", concern)

    def _toned(self, desk: Desk, judgement: Judgement, concern: float) -> Move | None:
        values: dict[str, float] = {}
        for name, gain_db in tone_moves_db(judgement).items():
            values |= desk.moved(_GRAPHIC[name], gain_db)
        return Move(self.name, values, "the render is not yet where finished music is", concern) if values else None


def tone_moves_db(judgement: Judgement) -> dict[str, float]:
    """By measure of tone, the gain that brings it to the inner edge, within `MOST_DB`; those over half a dB."""
    moves = {}
    for place in GROUPS["tone"]:
        name, deviation = MEASURES[place].name, float(judgement.deviations[place])
        if name not in _GRAPHIC or not np.isfinite(deviation):
            continue
        beyond = np.sign(deviation) * max(abs(deviation) - INNER, 0.0)
        gain_db = float(np.clip(-beyond * judgement.band.spread[place], -MOST_DB, MOST_DB))
        if abs(gain_db) >= 0.5:
            moves[name] = gain_db
    return moves


def _masking(heard: Heard) -> float:
    masked_db = heard.grade.masked_db
    return 0.0 if masked_db is None else max(masked_db - MASKED_DB, 0.0) / 6.0
