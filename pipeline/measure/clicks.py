"""Lone clicks: jumps of the wave that stand by themselves and change nothing around them.

Told from drums, whose attack is a burst of jumps and starts something, and from the edges of square
waves and pulses, which come again and again.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.types import FloatArray

LEAST_JUMP = 0.06
"""Third difference from which a jump is looked at, in a song at −20 LUFS."""

MOST_PER_SECOND = 6
"""More jumps than this a second are a sound, not clicks."""

_ALONE, _OVER_RMS = 4.0, 15.0
_REACH_S, _GAP_S = 0.015, 0.0002


def find_clicks(samples: FloatArray, margin: int, rate: int, gain: float = 1.0) -> NDArray[np.int64]:
    """The clicks between the margins.

    Args:
        samples: float32 (channels, frames).
        margin: frames at both ends in which none is looked for but which are listened to; at least 15 ms.
        rate: in Hz.
        gain: that brings the song to −20 LUFS.

    Returns:
        Channel and frame of each, the frame being the last that its jump takes in; shape (clicks, 2).
    """
    reach, gap = round(_REACH_S * rate), max(round(_GAP_S * rate), 4)
    rows = [
        (channel, n)
        for channel, x in enumerate(samples)
        for n in _lone_jumps(np.ascontiguousarray(x), margin, reach, gap, LEAST_JUMP / gain)
    ]
    found = np.array(rows, np.int64).reshape(-1, 2)
    return found[[_is_rare(found, row, rate) for row in found]] if len(found) > MOST_PER_SECOND else found


def _is_rare(found: NDArray[np.int64], row: NDArray[np.int64], rate: int) -> bool:
    near = (found[:, 0] == row[0]) & (np.abs(found[:, 1] - row[1]) < rate / 2)
    return int(near.sum()) <= MOST_PER_SECOND


@njit(cache=True, nogil=True)
def _lone_jumps(x: FloatArray, margin: int, reach: int, gap: int, least: float) -> NDArray[np.int64]:
    """Third differences over `least` that stand alone, with like power on both sides."""
    frames = len(x)
    jumps = np.zeros(frames, np.float32)
    for n in range(3, frames):
        jumps[n] = abs(x[n] - 3 * x[n - 1] + 3 * x[n - 2] - x[n - 3])
    found = np.zeros(frames, np.bool_)
    for n in range(max(margin, reach + 3), min(frames - margin, frames - reach)):
        jump = jumps[n]
        # Hardly any jump is alone, and what is beside it says so first.
        if jump < least or _any_over(jumps, n - gap, n + gap + 1, jump, 1.0):
            continue
        if _any_over(jumps, n + gap + 1, n + reach, jump, _ALONE):
            continue
        if _any_over(jumps, n - reach, n - gap, jump, _ALONE):
            continue
        others = np.sum(jumps[n - reach : n - gap] ** 2) + np.sum(jumps[n + gap + 1 : n + reach] ** 2)
        if _OVER_RMS * np.sqrt(others / (2 * (reach - gap))) > jump:
            continue
        floor = (least / 60) ** 2
        before = np.mean(x[n - reach : n - gap] ** 2) + floor
        after = np.mean(x[n + gap : n + reach] ** 2) + floor
        found[n] = before < 4 * after and after < 4 * before
    return np.nonzero(found)[0]


@njit(cache=True, nogil=True)
def _any_over(jumps: FloatArray, start: int, stop: int, jump: float, times: float) -> bool:
    """True if so many times any of the jumps from `start` to `stop` is more than `jump`."""
    for n in range(start, stop):  # noqa: SIM110 - compiled, and any() would make a generator
        if times * jumps[n] > jump:
            return True
    return False
