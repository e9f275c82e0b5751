"""Dynamic cuts: bells whose gain follows the level of a band.

They take a band down while it stands out: where it exceeds both its own usual level and its usual
share of the sound. A loud chorus raises the level and not the share, a solo in that register the
share and not the level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from mixagent.pipeline.dsp.programme import (
    LOW_MID,
    SHIMMER,
    BandLevel,
    DynamicBand,
    Programme,
    band_pass,
    bell_core,
    body_filter,
)
from mixagent.pipeline.types import Float64Array, FloatArray

MARGIN_DB = 3.0
"""The dB by which a band may exceed its usual level before it is taken down."""

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
    """The time constants of a band's detector and gain, in ms."""

    detector_ms: float
    attack_ms: float
    release_ms: float


_BALLISTICS = {LOW_MID.name: Ballistics(40.0, 15.0, 150.0), SHIMMER.name: Ballistics(8.0, 3.0, 80.0)}


@dataclass(frozen=True)
class Reaction:
    """The excess that moves a band's gain: over `usual` by level and by share, less `margin_db`.

    The gain goes by as much as that, smoothly up to `range_db`: down for a negative one, else up.
    """

    usual: BandLevel
    margin_db: float
    range_db: float


class DynamicBells:
    """Bells of one gain that follows the level behind a filter, stereo-linked; a `Processor`.

    The bells are of constant poles and moving depth, which cannot ring or click as they move
    (Regalia and Mitra 1987), each with its share of the gain.

    Args:
        bells: the bells' cores, see `bell_core`.
        detectors: filters of the body and of the band, b0 b1 b2 a1 a2 of each.
        reaction: what moves the gain.
        speed: how fast.
        rate: Hz.
        channels: of the blocks.
        deeper: how much further all bells together go than the gain.
    """

    latency = 0

    def __init__(
        self,
        bells: Sequence[Float64Array],
        detectors: Sequence[Float64Array],
        reaction: Reaction,
        speed: Ballistics,
        rate: int,
        channels: int,
        deeper: float = 1.0,
    ) -> None:
        self._tick = max(2, round(_TICK_S * rate))
        tick_ms, usual = 1000 * self._tick / rate, reaction.usual
        rates = [1 - math.exp(-tick_ms / ms) for ms in (speed.detector_ms, 1000 * _BODY_S)]
        moves = [1 - math.exp(-tick_ms / ms) for ms in (speed.attack_ms, speed.release_ms)]
        reach = [reaction.margin_db, abs(reaction.range_db), math.copysign(deeper, reaction.range_db)]
        self._shape = np.array([*rates, *moves, usual.level_db, usual.share_db, *reach])
        self._filters = np.stack([*bells, *detectors])
        self._bells = len(bells)
        self._memory = np.zeros((channels, len(self._filters), 2))
        self._state = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0])

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames)."""
        block = np.ascontiguousarray(block)
        out = np.empty_like(block)
        _follow_band(
            block, self._filters, self._bells, self._shape, self._tick, self._memory, self._state, out
        )
        return out


def dynamic_cut(
    band: DynamicBand,
    most_db: float,
    programme: Programme,
    rate: int,
    channels: int,
    margin_db: float = MARGIN_DB,
) -> DynamicBells:
    """A cut of at most `most_db` in one of the watched bands while it stands `margin_db` over its usual."""
    span, q = (band.high_hz / band.low_hz) ** _SPREAD, _WIDTH * band.q
    return DynamicBells(
        bells=[bell_core(band.centre_hz / span, q, rate), bell_core(band.centre_hz * span, q, rate)],
        detectors=[body_filter(rate), band_pass(band, rate)],
        reaction=Reaction(programme.band(band), margin_db, -most_db),
        speed=_BALLISTICS[band.name],
        rate=rate,
        channels=channels,
        deeper=_DEEPER,
    )


@njit(cache=True, nogil=True, inline="always")
def _section(x: float, filters: Float64Array, memory: Float64Array, k: int) -> float:
    y: float = filters[k, 0] * x + memory[k, 0]
    memory[k, 0] = filters[k, 1] * x - filters[k, 3] * y + memory[k, 1]
    memory[k, 1] = filters[k, 2] * x - filters[k, 4] * y
    return y


@njit(cache=True, nogil=True)
def _follow_band(
    block: FloatArray,
    filters: Float64Array,
    bells: int,
    shape: Float64Array,
    tick: int,
    memory: Float64Array,
    state: Float64Array,
    out: FloatArray,
) -> None:
    channels, frames = block.shape
    detector, slow, attack, release, usual_level, usual_share, margin, most, deeper = shape
    body_sum, band_sum, count, body, band, moved, gain, step = state
    for n in range(frames):
        for c in range(channels):
            x = float(block[c, n])
            heard = _section(x, filters, memory[c], bells)
            body_sum += heard * heard
            heard = _section(x, filters, memory[c], bells + 1)
            band_sum += heard * heard
            for k in range(bells):
                x += (gain - 1) * _section(x, filters, memory[c], k)
            out[c, n] = x
        gain += step
        count += 1
        if count < tick:
            continue
        band += detector * (band_sum / (tick * channels) - band)
        body += slow * (body_sum / (tick * channels) - body)
        level = 10 * math.log10(band + _FLOOR)
        share = level - 10 * math.log10(body + _FLOOR)
        over = min(level - usual_level, share - usual_share) - margin
        if over <= -_KNEE_DB / 2:
            over = 0.0
        elif over < _KNEE_DB / 2:
            over = (over + _KNEE_DB / 2) ** 2 / (2 * _KNEE_DB)
        wanted = most * math.tanh(over / most)
        moved += (attack if wanted > moved else release) * (wanted - moved)
        step = (10 ** (deeper * moved / (20 * bells)) - gain) / tick
        body_sum, band_sum, count = 0.0, 0.0, 0.0
    state[:] = body_sum, band_sum, count, body, band, moved, gain, step
