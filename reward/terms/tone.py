"""Bands that the render lost, and mud that it added.

Each gain is that of a band's bins (mean of their decibels, so that taking out a narrow whistle costs
nothing) against the median band.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixagent.reward.render_pair import RenderPair
from mixagent.reward.terms.base import Guard

_MOST_DB = 24.0


@dataclass(frozen=True)
class LostHighs(Guard):
    """Decibels lost from 4 kHz up against the input, on average over its thirds of octaves."""

    free: float = 4.0
    full: float = 10.0
    name: ClassVar[str] = "lost_highs"

    def harm(self, pair: RenderPair) -> float:
        """Mean loss over the bands from 5 to 16 kHz, each up to 24 dB."""
        return _lost_db(pair, 5000.0, 20000.0)


@dataclass(frozen=True)
class LostLows(Guard):
    """Decibels lost under 220 Hz against the input, on average over its bands."""

    free: float = 5.0
    full: float = 12.0
    name: ClassVar[str] = "lost_lows"

    def harm(self, pair: RenderPair) -> float:
        """Mean loss over the bands from 40 to 220 Hz, each up to 24 dB."""
        return _lost_db(pair, 40.0, 220.0)


@dataclass(frozen=True)
class AddedMud(Guard):
    """Decibels added at 220–500 Hz against the input."""

    free: float = 3.0
    full: float = 8.0
    name: ClassVar[str] = "added_mud"

    def harm(self, pair: RenderPair) -> float:
        """Mean gain of the bands from 220 to 500 Hz."""
        return max(float(pair.tilt_db[pair.after.spectra.bands(220.0, 500.0)].mean()), 0.0)


def _lost_db(pair: RenderPair, low_hz: float, high_hz: float) -> float:
    gain_db = pair.tilt_db[pair.after.spectra.bands(low_hz, high_hz)]
    return float(np.clip(-gain_db, 0.0, _MOST_DB).mean())
