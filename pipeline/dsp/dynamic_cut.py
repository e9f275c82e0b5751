"""A dynamic cut: takes a band down while it stands out, and leaves it alone otherwise.

A band stands out where it exceeds both its own usual level and its usual share of the sound: a loud
chorus raises the level and not the share, a solo in that register the share and not the level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.audio import FloatArray
from mixagent.pipeline.dsp.programme import (
    LOW_MID,
    SHIMMER,
    DynamicBand,
    Programme,
    band_pass,
    bell_core,
    body_filter,
)

Float64Array = NDArray[np.float64]

MARGIN_DB = 3.0
"""What a band may exceed its usual level by before it is taken down."""

_KNEE_DB = 4.0
_TICK_S = 0.00036
_BODY_S = 0.4
_FLOOR = 1e-12
# Two bells this far apart (as a power of the band's width), this wide against the band and together
# this much deeper than the cut make a flat bottom of the cut's depth.
_SPREAD = 0.22
_WIDTH = 0.9
_DEEPER = 1.25


@dataclass(frozen=True)
class Ballistics:
    """How fast a cut listens and moves, in ms."""

    detector_ms: float
    attack_ms: float
    release_ms: float


_BALLISTICS = {LOW_MID.name: Ballistics(40.0, 15.0, 150.0), SHIMMER.name: Ballistics(8.0, 3.0, 80.0)}


class DynamicCut:
    """A cut of at most `most_db` in one of the watched bands, stereo-linked; a `Processor`.

    The cut is made by two bells of constant poles and moving depth, which cannot ring or click as
    they move (Regalia and Mitra 1987), each with half of it.
    """

    latency = 0

    def __init__(
        self, band: DynamicBand, most_db: float, programme: Programme, rate: int, channels: int
    ) -> None:
        self._tick = max(2, round(_TICK_S * rate))
        tick_ms, speed, usual = 1000 * self._tick / rate, _BALLISTICS[band.name], programme.band(band)
        rates = [1 - math.exp(-tick_ms / ms) for ms in (speed.detector_ms, 1000 * _BODY_S)]
        moves = [1 - math.exp(-tick_ms / ms) for ms in (speed.attack_ms, speed.release_ms)]
        self._shape = np.array([*rates, *moves, usual.level_db, usual.share_db, most_db])
        span, q = (band.high_hz / band.low_hz) ** _SPREAD, _WIDTH * band.q
        self._filters = np.stack(
            [
                body_filter(rate),
                band_pass(band, rate),
                bell_core(band.centre_hz / span, q, rate),
                bell_core(band.centre_hz * span, q, rate),
            ]
        )
        self._memory = np.zeros((channels, 4, 2))
        self._state = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0])

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames)."""
        block = np.ascontiguousarray(block)
        out = np.empty_like(block)
        _cut(block, self._filters, self._shape, self._tick, self._memory, self._state, out)
        return out


@njit(cache=True, nogil=True, inline="always")
def _section(x: float, filters: Float64Array, memory: Float64Array, k: int) -> float:
    y: float = filters[k, 0] * x + memory[k, 0]
    memory[k, 0] = filters[k, 1] * x - filters[k, 3] * y + memory[k, 1]
    memory[k, 1] = filters[k, 2] * x - filters[k, 4] * y
    return y


@njit(cache=True, nogil=True)
def _cut(
    block: FloatArray,
    filters: Float64Array,
    shape: Float64Array,
    tick: int,
    memory: Float64Array,
    state: Float64Array,
    out: FloatArray,
) -> None:
    channels, frames = block.shape
    detector, slow, attack, release, usual_level, usual_share, most = shape
    body_sum, band_sum, count, body, band, moved, gain, step = state
    for n in range(frames):
        for c in range(channels):
            x = float(block[c, n])
            heard = _section(x, filters, memory[c], 0)
            body_sum += heard * heard
            heard = _section(x, filters, memory[c], 1)
            band_sum += heard * heard
            x += (gain - 1) * _section(x, filters, memory[c], 2)
            out[c, n] = x + (gain - 1) * _section(x, filters, memory[c], 3)
        gain += step
        count += 1
        if count < tick:
            continue
        band += detector * (band_sum / (tick * channels) - band)
        body += slow * (body_sum / (tick * channels) - body)
        level = 10 * math.log10(band + _FLOOR)
        share = level - 10 * math.log10(body + _FLOOR)
        over = min(level - usual_level, share - usual_share) - MARGIN_DB
        if over <= -_KNEE_DB / 2:
            over = 0.0
        elif over < _KNEE_DB / 2:
            over = (over + _KNEE_DB / 2) ** 2 / (2 * _KNEE_DB)
        wanted = most * math.tanh(over / most)
        moved += (attack if wanted > moved else release) * (wanted - moved)
        step = (10 ** (-_DEEPER * moved / 40) - gain) / tick
        body_sum, band_sum, count = 0.0, 0.0, 0.0
    state[:] = body_sum, band_sum, count, body, band, moved, gain, step
