"""The finaliser's settings: the soft clipper before the limiter, and how much punch is kept."""

from __future__ import annotations

from dataclasses import dataclass

from mixagent.pipeline.chain.parameters import CLIPPER, CLIPPER_OFF_DB, PUNCH, Settings
from mixagent.pipeline.decibels import db_to_amplitude


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
        """True if nothing is clipped, at a target that would have a clipper too."""
        return self.over_db >= CLIPPER_OFF_DB

    def bounds(self, ceiling_dbtp: float) -> tuple[float, float]:
        """The level at which the curve begins to bend, and how much further it ends, both linear."""
        end = db_to_amplitude(ceiling_dbtp + self.over_db)
        begin = end * db_to_amplitude(-self.knee_db)
        return begin, end - begin


@dataclass(frozen=True)
class FinaliserSettings:
    """The settings of the finaliser that are set by hand.

    Attributes:
        clipper: takes the short peaks before the limiter; None leaves it to the target.
        punch: how much of what a loud target takes of the transients is given back, 0 (nothing) to 2; 1 is
            as much as the finaliser finds right.
    """

    clipper: Clipper | None = None
    punch: float = 1.0


BY_TARGET = FinaliserSettings()
"""All is left to the target."""


def finaliser_settings(settings: Settings) -> FinaliserSettings:
    """Read the finaliser's own from all settings; `BY_TARGET` where they are neutral."""
    values = settings.section(CLIPPER)
    left = values["over_db"] == settings.space[f"{CLIPPER}.over_db"].neutral
    clipper = None if left else Clipper(values["over_db"], values["knee_db"])
    return FinaliserSettings(clipper, settings[f"{PUNCH}.keep"])
