"""Lows made mono by a crossover. Apart from the other image tools, because scipy.signal is slow to import."""

from __future__ import annotations

import numpy as np
from scipy import signal

from mixagent.pipeline.audio import FloatArray
from mixagent.pipeline.dsp.cascade import Cascade


class MonoBelow:
    """Makes the lows of a stereo signal mono by a fourth-order Linkwitz–Riley crossover.

    The side passes the crossover's high-pass alone. The mid passes low- and high-pass, whose sum is
    an all-pass of second order, so that mid and side keep their phase and the mid stays flat
    (Linkwitz, "Active crossover networks for noncoincident drivers", JAES 24(1), 1976).
    """

    latency = 0

    def __init__(self, corner_hz: float, rate: int) -> None:
        high = signal.butter(2, corner_hz, "highpass", fs=rate)
        section = np.array([*high[0], *high[1][1:]])
        a1, a2 = section[3:]
        nothing = [1.0, 0.0, 0.0, 0.0, 0.0]
        self._filters = Cascade(np.array([[[a2, a1, 1.0, a1, a2], nothing], [section, section]]), 2)

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (2, frames)."""
        half = np.float32(0.5)
        mid, side = self._filters.process(np.stack([block[0] + block[1], block[0] - block[1]]) * half)
        return np.stack([mid + side, mid - side])
