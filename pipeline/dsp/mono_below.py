"""Lows made mono by a crossover. Apart from the other image tools, because scipy.signal is slow to import."""

from __future__ import annotations

import numpy as np
from scipy import signal

from mixagent.pipeline.audio import FloatArray


class MonoBelow:
    """Makes the lows of a stereo signal mono by a fourth-order Linkwitz–Riley crossover.

    The side passes the crossover's high-pass alone. The mid passes low- and high-pass, whose sum is
    an all-pass of second order, so that mid and side keep their phase and the mid stays flat
    (Linkwitz, "Active crossover networks for noncoincident drivers", JAES 24(1), 1976).
    """

    latency = 0

    def __init__(self, corner_hz: float, rate: int) -> None:
        high = signal.butter(2, corner_hz, "highpass", fs=rate, output="sos")
        self._side = np.concatenate([high, high])
        a1, a2 = high[0, 4], high[0, 5]
        self._mid = np.array([[a2, a1, 1.0, 1.0, a1, a2]])
        self._mid_state, self._side_state = np.zeros((1, 2)), np.zeros((2, 2))

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (2, frames)."""
        left, right = block.astype(np.float64)
        mid, self._mid_state = signal.sosfilt(self._mid, (left + right) / 2, zi=self._mid_state)
        side, self._side_state = signal.sosfilt(self._side, (left - right) / 2, zi=self._side_state)
        return np.stack([mid + side, mid - side]).astype(np.float32)
