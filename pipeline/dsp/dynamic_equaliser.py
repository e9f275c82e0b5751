"""A dynamic equaliser: bells that move while what is behind their own cores is over its threshold.

The bells are of constant poles and moving depth, which cannot ring or click as they move (Regalia and
Mitra, "Tunable digital frequency response equalization filters", 1987).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.dsp.cascade import TINY
from mixagent.pipeline.dsp.programme import bell_core
from mixagent.pipeline.types import Float64Array, FloatArray

_KNEE_DB = 4.0
_TICK_S = 0.00036
_STILL_DB = 1e-6
_NEPERS = math.log(10) / 20


@dataclass(frozen=True)
class DynamicBell:
    """A band of the dynamic equaliser.

    Its gain goes up to `range_db`, negative for a cut, as the level behind the bell's core exceeds
    `over_db`, with a time constant of `attack_ms` where it grows and `release_ms` where it goes back.
    """

    centre_hz: float
    q: float
    range_db: float
    over_db: float
    attack_ms: float
    release_ms: float


class DynamicEqualiser:
    """Bells in a row, each stereo-linked, in one pass over the samples; a `Processor`."""

    latency = 0

    def __init__(self, bells: Sequence[DynamicBell], rate: int, channels: int) -> None:
        self._tick = max(2, round(_TICK_S * rate))
        tick_ms = 1000 * self._tick / rate
        self._cores = np.stack([bell_core(bell.centre_hz, bell.q, rate)[[0, 3, 4]] for bell in bells])
        self._shapes = np.array([_shape(bell, tick_ms) for bell in bells])
        self._memory = np.zeros((channels, len(bells), 2))
        # Of each bell its power so far, its mean power, its gain in dB and linear, and the gain's step.
        self._state = np.array([[0.0, 0.0, 0.0, 1.0, 0.0]] * len(bells))
        self._count = 0

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames)."""
        block = np.ascontiguousarray(block)
        out = np.empty_like(block)
        self._count = _follow_bands(
            block, self._cores, self._shapes, self._tick, self._count, self._memory, self._state, out
        )
        return out


def _shape(bell: DynamicBell, tick_ms: float) -> list[float]:
    """Rates of the detector, of attack and release, power where the knee begins, its level, and the range."""
    heard_ms = max(bell.attack_ms, 1000 / bell.centre_hz)
    rates = [1 - math.exp(-tick_ms / ms) for ms in (heard_ms, bell.attack_ms, bell.release_ms)]
    begin_db = bell.over_db - _KNEE_DB / 2
    return [*rates, db_to_power(begin_db), begin_db, bell.range_db]


@njit(cache=True, nogil=True)
def _follow_bands(
    block: FloatArray,
    cores: Float64Array,
    shapes: Float64Array,
    tick: int,
    count: int,
    memory: Float64Array,
    state: Float64Array,
    out: FloatArray,
) -> int:
    """Runs the bells tick by tick; how many frames of the last tick there were."""
    channels, frames = block.shape
    part, start = np.empty(tick), 0
    while start < frames:
        end = min(start + tick - count, frames)
        for c in range(channels):
            x = part[: end - start]
            x[:] = block[c, start:end]
            for k in range(cores.shape[0]):
                state[k, 0] += _ring(x, cores[k], memory[c, k], state[k, 3], state[k, 4])
            out[c, start:end] = x
        state[:, 3] += (end - start) * state[:, 4]
        count, start = count + end - start, end
        if count == tick:
            for k in range(cores.shape[0]):
                _move(state[k], shapes[k], tick, channels)
            count = 0
    return count


@njit(cache=True, nogil=True, inline="always", fastmath={"contract"})
def _ring(x: Float64Array, core: Float64Array, memory: Float64Array, gain: float, step: float) -> float:
    """A bell of a moving gain, in place; the power behind its core, in sum."""
    scale, a1, a2 = core
    w1, w2 = memory
    power, added = 0.0, gain - 1.0
    for n in range(x.size):
        w = (x[n] - a2 * w2) - a1 * w1
        behind = scale * (w - w2)
        w1, w2 = w, w1
        power += behind * behind
        x[n] += added * behind
        added += step
    memory[0], memory[1] = (w1 if abs(w1) > TINY else 0.0), (w2 if abs(w2) > TINY else 0.0)
    return power


@njit(cache=True, nogil=True, inline="always")
def _move(state: Float64Array, shape: Float64Array, tick: int, channels: int) -> None:
    """A bell's gain at the end of the next tick, by its level in the last one."""
    detector, attack, release, begin_power, begin_db, range_db = shape
    total, power, moved_db, gain, _ = state
    power += detector * (total / (tick * channels) - power)
    wanted_db, most_db = 0.0, abs(range_db)
    if power > begin_power:
        over_db = 10 * math.log10(power) - begin_db
        over_db = over_db**2 / (2 * _KNEE_DB) if over_db < _KNEE_DB else over_db - _KNEE_DB / 2
        wanted_db = most_db * math.tanh(over_db / most_db)
    moved_db += (attack if wanted_db > moved_db else release) * (wanted_db - moved_db)
    if moved_db < _STILL_DB:
        moved_db, end = 0.0, 1.0
    else:
        end = math.exp(math.copysign(moved_db, range_db) * _NEPERS)
    state[:] = 0.0, power, moved_db, gain, (end - gain) / tick
