"""A Linkwitz–Riley crossover of fourth order whose bands sum flat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from mixagent.pipeline.dsp.cascade import TINY, Butterworth
from mixagent.pipeline.dsp.equaliser import HIGHEST_SHARE
from mixagent.pipeline.types import Float64Array, FloatArray

_CHUNK_FRAMES = 256


class Crossover:
    """Splits a signal into bands in phase with one another, which sum to an all-pass of it.

    From the lowest corner up, each splits what is left into a band and the rest, and the bands under
    it go through its all-pass, which the ones above go through as the sum of its halves, so that all
    turn alike (Linkwitz, JAES 24(1), 1976; D'Appolito, "Active realization of multiway all-pass
    crossover systems", JAES 35(4), 1987). The high half is that all-pass less the low half, which is
    the Butterworth low-pass twice; all of them share their poles, and two recursions in double
    precision and direct form II give them all.

    Args:
        corners_hz: rising; those too close to the Nyquist frequency are left out, and with each the
            bands above and below it are one.
        rate: Hz.
        channels: of the signal.
    """

    def __init__(self, corners_hz: Sequence[float], rate: int, channels: int) -> None:
        lows = [Butterworth.at(hz, rate).low for hz in corners_hz if hz < HIGHEST_SHARE * rate]
        self.bands = len(lows) + 1
        self._corners = np.array([(low[0], low[3], low[4]) for low in lows]).reshape(-1, 3)
        self._splits = np.zeros((channels, len(lows), 4))
        self._turns = np.zeros((channels, len(lows), len(lows), 2))

    def split(self, block: FloatArray) -> FloatArray:
        """The next block (channels, frames) in bands from low to high: (bands, channels, frames)."""
        out = np.empty((self.bands, *block.shape), np.float32)
        _split(np.ascontiguousarray(block), self._corners, self._splits, self._turns, out)
        return out


@njit(cache=True, nogil=True, fastmath={"contract"})
def _split(
    block: FloatArray, corners: Float64Array, splits: Float64Array, turns: Float64Array, out: FloatArray
) -> None:
    channels, frames = block.shape
    count = corners.shape[0]
    parts = np.empty((count + 1, _CHUNK_FRAMES))
    for c in range(channels):
        for start in range(0, frames, _CHUNK_FRAMES):
            end = min(start + _CHUNK_FRAMES, frames)
            rest = parts[count, : end - start]
            rest[:] = block[c, start:end]
            for k in range(count):
                gain, a1, a2 = corners[k]
                _part(rest, gain, a1, a2, splits[c, k], parts[k])
                for band in range(k):
                    _turn(parts[band, : rest.size], a1, a2, turns[c, k, band])
            for band in range(count + 1):
                out[band, c, start:end] = parts[band, : rest.size]


@njit(cache=True, nogil=True, inline="always")
def _part(
    rest: Float64Array, gain: float, a1: float, a2: float, state: Float64Array, low: Float64Array
) -> None:
    """Takes the low half of a corner out of `rest`, which keeps the high half."""
    u1, u2, v1, v2 = state
    for n in range(rest.size):
        u = (rest[n] - a2 * u2) - a1 * u1
        turned = (a2 * u + a1 * u1) + u2
        once = gain * ((u + u2) + 2.0 * u1)
        v = (once - a2 * v2) - a1 * v1
        low[n] = gain * ((v + v2) + 2.0 * v1)
        rest[n] = turned - low[n]
        u1, u2, v1, v2 = u, u1, v, v1
    _keep((u1, u2, v1, v2), state)


@njit(cache=True, nogil=True, inline="always")
def _turn(band: Float64Array, a1: float, a2: float, state: Float64Array) -> None:
    """The all-pass of a corner, in place."""
    u1, u2 = state
    for n in range(band.size):
        u = (band[n] - a2 * u2) - a1 * u1
        band[n] = (a2 * u + a1 * u1) + u2
        u1, u2 = u, u1
    _keep((u1, u2), state)


@njit(cache=True, nogil=True, inline="always")
def _keep(values: tuple[float, ...], state: Float64Array) -> None:
    """Stores a recursion's values, none of them so small that it would become denormal in silence."""
    for i in range(len(values)):
        state[i] = values[i] if abs(values[i]) > TINY else 0.0
