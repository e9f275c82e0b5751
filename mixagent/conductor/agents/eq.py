"""The equaliser agent: the tone of finished music, and what masks the voice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixagent.conductor.agents.base import NOTHING, Desk, size
from mixagent.conductor.state import Move
from mixagent.conductor.studio import Heard
from mixagent.pipeline.chain.parameters import GRAPHIC_HZ
from mixagent.pipeline.finished.answers import answer

MASKED_DB = 36.0
"""In nine of ten finished songs the other stems lie less far over the voice (`studio.voice_masked_db`)."""

CARVED_DB = 2.5


@dataclass(frozen=True)
class EqAgent:
    """Third octaves of the master, and the presence of what lies over the voice."""

    name: str = "eq"
    owns: tuple[str, ...] = ("graphic.tone_*", "other.presence_db")
    dimensions: tuple[str, ...] = ("coloration",)

    def concern(self, heard: Heard) -> float:
        """What the render's tone still calls for, root mean square over the bands, or the voice's masking."""
        return max(_tone(heard), _masking_db(heard))

    def propose(self, desk: Desk) -> Move | None:
        """Whichever of the two is worse."""
        tone_db, masking_db = _tone(desk.heard), _masking_db(desk.heard)
        if max(tone_db, masking_db) <= NOTHING:
            return None
        if masking_db >= tone_db:
            values = desk.moved({"other.presence_db": -CARVED_DB})
            reason = "it covers the voice at 1 to 5 kHz"
        else:
            values, reason = (
                desk.moved(_answered(desk.heard)),
                "its tone is not yet that of finished music",
            )
        return Move(self.name, values, reason, max(tone_db, masking_db)) if values else None


def _answered(heard: Heard) -> Mapping[str, float]:
    return {} if heard.judgement is None else answer(heard.judgement).tone


def _tone(heard: Heard) -> float:
    answered = _answered(heard)
    return size(answered.get(f"graphic.tone_{hz}_db", 0.0) for hz in GRAPHIC_HZ)


def _masking_db(heard: Heard) -> float:
    masked_db = heard.grade.masked_db
    return 0.0 if masked_db is None else max(masked_db - MASKED_DB, 0.0)
