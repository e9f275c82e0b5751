"""Second-order sections in a row, in one pass over the samples: equalisers, high-passes, crossovers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from mixagent.pipeline.types import Float64Array, FloatArray

UNCHANGED = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
"""A section that does nothing."""

TINY = 1e-30
"""Ringing in silence is cut off here, before it becomes denormal, which processors are slow at."""

_FLUSH_FRAMES = 4096


class Cascade:
    """Sections in a row, the same or different ones for each channel; a `Processor`.

    Transposed direct form II in double precision. The sections are fused into one loop, which a
    processor runs in parallel: sixteen of them take the time of four on their own.

    Args:
        sections: b0 b1 b2 a1 a2 of each, a0 being 1; shape (sections, 5), or (channels, sections, 5).
        channels: channels of the blocks.
    """

    latency = 0

    def __init__(self, sections: Float64Array, channels: int) -> None:
        shape = (channels, *sections.shape[-2:])
        self._sections = np.ascontiguousarray(np.broadcast_to(sections, shape))
        self._state = np.zeros((*shape[:2], 2))

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames)."""
        block = np.ascontiguousarray(block)
        out = np.empty_like(block)
        _filter(block, self._sections, self._state, out)
        return out


def even_rows(rows: Sequence[Sequence[Float64Array]]) -> Float64Array:
    """A `Cascade`'s sections for channels that need different numbers of them: (rows, most, 5)."""
    most = max(map(len, rows))
    return np.stack([np.stack([*row, *[UNCHANGED] * (most - len(row))]) for row in rows])


def first_order_high_pass(corner_hz: float, rate: int) -> Float64Array:
    """One section: a first-order high-pass by the bilinear transform, as b0 b1 b2 a1 a2."""
    warped = math.tan(math.pi * corner_hz / rate)
    gain = 1 / (1 + warped)
    return np.array([gain, -gain, 0.0, (warped - 1) * gain, 0.0])


@dataclass(frozen=True)
class Butterworth:
    """Second-order Butterworth sections of one corner: the halves of a Linkwitz–Riley crossover.

    Each half twice in a row is 6 dB down at the corner, and the two then sum to `all_pass`
    (Linkwitz, "Active crossover networks for noncoincident drivers", JAES 24(1), 1976).
    """

    low: Float64Array
    high: Float64Array
    all_pass: Float64Array

    @classmethod
    def at(cls, corner_hz: float, rate: int) -> Butterworth:
        """By the bilinear transform with its corner prewarped; each as b0 b1 b2 a1 a2."""
        warped = math.tan(math.pi * corner_hz / rate)
        gain = 1 / (1 + math.sqrt(2) * warped + warped**2)
        a1, a2 = 2 * (warped**2 - 1) * gain, (1 - math.sqrt(2) * warped + warped**2) * gain
        low = warped**2 * gain
        return cls(
            low=np.array([low, 2 * low, low, a1, a2]),
            high=np.array([gain, -2 * gain, gain, a1, a2]),
            all_pass=np.array([a2, a1, 1.0, a1, a2]),
        )


@njit(cache=True, nogil=True, fastmath={"contract"})
def _filter(block: FloatArray, sections: Float64Array, state: Float64Array, out: FloatArray) -> None:
    channels, frames = block.shape
    for c in range(channels):
        b, s = sections[c], state[c]
        for start in range(0, frames, _FLUSH_FRAMES):
            for k in range(s.shape[0]):
                for i in range(2):
                    if abs(s[k, i]) < TINY:
                        s[k, i] = 0.0
            for n in range(start, min(start + _FLUSH_FRAMES, frames)):
                x = float(block[c, n])
                for k in range(b.shape[0]):
                    y = b[k, 0] * x + s[k, 0]
                    s[k, 0] = b[k, 1] * x - b[k, 3] * y + s[k, 1]
                    s[k, 1] = b[k, 2] * x - b[k, 4] * y
                    x = y
                out[c, n] = x
