"""A delay line that is read between its samples, by band-limited interpolation.

The interpolator is a sinc under a Kaiser window, tabled and interpolated linearly between its phases. At a
whole position it is the sample itself, bit for bit.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

from mixagent.pipeline.types import Float64Array, FloatArray

REACH = 24
"""Samples on each side of a position that its value rests on."""

_PHASES = 512
_KAISER_BETA = 8.0


def read_between(samples: FloatArray, positions: Float64Array) -> FloatArray:
    """The values of samples (channels, frames) at fractional positions (n,); outside them is silence.

    Up to 0.85 of the Nyquist frequency the error is below −80 dB.
    """
    out = np.zeros((samples.shape[0], positions.size), np.float32)
    _read(np.ascontiguousarray(samples), positions, _table(), out)
    return out


@cache
def _table() -> Float64Array:
    """The interpolator at each phase from 0 to 1, shape (phases + 1, 2 · REACH), for neighbours in order."""
    phases = np.arange(_PHASES + 1)[:, None] / _PHASES
    distances = np.arange(1 - REACH, REACH + 1)[None] - phases
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (distances / REACH) ** 2, 0, 1))) / np.i0(_KAISER_BETA)
    table: Float64Array = np.sinc(distances) * window
    # Without this the interpolated level would ripple with the phase.
    table /= table.sum(axis=1, keepdims=True)
    return table


@njit(cache=True, nogil=True)
def _read(samples: FloatArray, positions: Float64Array, table: Float64Array, out: FloatArray) -> None:
    channels, frames = samples.shape
    phases, taps = table.shape[0] - 1, table.shape[1]
    before = taps // 2 - 1
    for n in range(positions.size):
        whole = int(np.floor(positions[n]))
        phase = positions[n] - whole
        if phase == 0.0:
            if 0 <= whole < frames:
                for c in range(channels):
                    out[c, n] = samples[c, whole]
            continue
        place = phase * phases
        row = int(place)
        mixed = place - row
        first = max(0, before - whole)
        last = min(taps, frames - whole + before)
        for c in range(channels):
            total = 0.0
            for tap in range(first, last):
                weight = table[row, tap] + mixed * (table[row + 1, tap] - table[row, tap])
                total += weight * samples[c, whole - before + tap]
            out[c, n] = total
