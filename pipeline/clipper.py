"""What the soft clipper before the limiter is set to."""

from __future__ import annotations

from dataclasses import dataclass

from mixagent.pipeline.parameters import CLIPPER_OFF_DB, Settings

PLACE = "clipper"


@dataclass(frozen=True)
class Clipper:
    """A curve that no peak leaves by more than `over_db` over the ceiling.

    It begins to bend `knee_db` under that. What it leaves over the ceiling is the limiter's. At
    `CLIPPER_OFF_DB` all is the limiter's.
    """

    over_db: float
    knee_db: float

    @property
    def off(self) -> bool:
        """Whether nothing is clipped, at a target that would have a clipper too."""
        return self.over_db >= CLIPPER_OFF_DB

    def bounds(self, ceiling_dbtp: float) -> tuple[float, float]:
        """Where the curve begins to bend, and how much further it ends, both linear."""
        end = 10 ** ((ceiling_dbtp + self.over_db) / 20)
        begin = end * 10 ** (-self.knee_db / 20)
        return begin, end - begin


def clipper_of(settings: Settings) -> Clipper | None:
    """The clipper that the settings ask for; None where they leave it to the target."""
    values = settings.section(PLACE)
    if values["over_db"] == settings.space[f"{PLACE}.over_db"].neutral:
        return None
    return Clipper(values["over_db"], values["knee_db"])
