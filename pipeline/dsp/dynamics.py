"""Stereo-linked level dynamics: a compressor that keeps the loudness, and an upward expander.

pedalboard's compressor follows each channel by itself, which moves the stereo image; this one is
linked. Design after Giannoulis, Massberg and Reiss, "Digital dynamic range compressor design", JAES
60(6), 2012: feed-forward, quadratic soft knee, smooth branching detector in the log domain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from mixagent.pipeline.decibels import db_to_amplitude, db_to_power, powers_to_db
from mixagent.pipeline.dsp.programme import BODY_HZ, Levelled
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, blocks

KNEE_DB = 6.0

_TICK_S = 0.00036
_FLOOR = 1e-12


@dataclass(frozen=True)
class Detector:
    """The level detector: a high-pass, 0 for none, and the length of its mean."""

    above_hz: float
    mean_ms: float


BODY = Detector(BODY_HZ, 5.0)
"""As `Programme` is measured."""


@dataclass(frozen=True)
class Curve:
    """The gain computer relative to the programme level: `slope` dB a dB above `threshold_db`.

    A negative slope compresses, a positive one expands; the gain never exceeds `limit_db`, which it
    approaches smoothly.
    """

    threshold_db: float
    slope: float
    limit_db: float = math.inf

    def gain_db(self, level_db: Float64Array) -> Float64Array:
        """The static gain at levels relative to the programme level."""
        over = np.clip(level_db - self.threshold_db + KNEE_DB / 2, 0, KNEE_DB) ** 2 / (2 * KNEE_DB)
        over += np.maximum(level_db - self.threshold_db - KNEE_DB / 2, 0)
        gain = self.slope * over
        return gain if math.isinf(self.limit_db) else self.limit_db * np.tanh(gain / self.limit_db)


def makeup_db(curve: Curve, programme: Levelled) -> float:
    """The gain that gives the programme its power back after the curve, by its spread of levels."""
    levels = np.array(programme.spread_db)
    before = np.mean(db_to_power(levels))
    after = np.mean(db_to_power(levels + curve.gain_db(levels)))
    return float(powers_to_db(before / after))


def _makeup_db(curve: Curve, programme: Levelled) -> float:
    return makeup_db(curve, programme) if curve.slope < 0 else 0.0


class LevelDynamics:
    """A curve over the programme level, applied to all channels alike; a `Processor`.

    The detector hears what the programme was measured of; its mean is no longer than the attack. What a
    compressor takes is given back: `made_up_db`, where it was measured, else by the programme's spread,
    which knows nothing of attack and release.
    """

    latency = 0

    def __init__(
        self,
        curve: Curve,
        attack_ms: float,
        release_ms: float,
        programme: Levelled,
        rate: int,
        channels: int,
        detector: Detector = BODY,
        made_up_db: float | None = None,
    ) -> None:
        self._tick = max(2, round(_TICK_S * rate))
        tick_ms = 1000 * self._tick / rate
        detector_ms = min(detector.mean_ms, attack_ms)
        self._shape = np.array(
            [
                1 - math.exp(-2 * math.pi * min(detector.above_hz / rate, 0.25)),
                1 - math.exp(-tick_ms / detector_ms),
                1 - math.exp(-tick_ms / attack_ms),
                1 - math.exp(-tick_ms / release_ms),
                programme.level_db + curve.threshold_db,
                curve.slope,
                curve.limit_db,
                _makeup_db(curve, programme) if made_up_db is None else made_up_db,
            ]
        )
        makeup = db_to_amplitude(self._shape[7])
        self._state = np.array([0.0, 0.0, 0.0, 0.0, makeup, 0.0])
        self._lows = np.zeros(channels)

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames)."""
        block = np.ascontiguousarray(block)
        out = np.empty_like(block)
        _follow_level(block, self._shape, self._tick, self._state, self._lows, out)
        return out

    def add_powers(self, block: FloatArray, sums: Float64Array) -> None:
        """Add the energy of the next block, and that of what it becomes, to two sums."""
        _add_energies(block, self.process(block), sums)


def lost_db(dynamics: LevelDynamics, source: AudioSource) -> float:
    """The power that these dynamics take from a whole source, in dB; their state is used up."""
    sums = np.zeros(2)
    for block in blocks(source):
        dynamics.add_powers(block, sums)
    return float(powers_to_db(sums[0] / sums[1])) if sums.min() > 0 else 0.0


def compressor(
    threshold_db: float,
    ratio: float,
    attack_ms: float,
    release_ms: float,
    programme: Levelled,
    rate: int,
    channels: int,
    detector: Detector = BODY,
    made_up_db: float | None = None,
) -> LevelDynamics:
    """A compressor with its threshold against the programme level and its make-up built in."""
    curve = Curve(threshold_db, 1 / ratio - 1)
    return LevelDynamics(curve, attack_ms, release_ms, programme, rate, channels, detector, made_up_db)


def expander(
    ratio: float, programme: Levelled, rate: int, channels: int, detector: Detector = BODY
) -> LevelDynamics:
    """An upward expander of what stands above the programme level, by at most 6 dB.

    Its attack is 8 ms, or as long as the detector's mean where that is longer.
    """
    attack_ms = max(8.0, detector.mean_ms)
    return LevelDynamics(Curve(0.0, ratio - 1, 6.0), attack_ms, 160.0, programme, rate, channels, detector)


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _add_energies(before: FloatArray, after: FloatArray, sums: Float64Array) -> None:
    for c in range(before.shape[0]):
        of_before = of_after = 0.0
        for n in range(before.shape[1]):
            of_before += float(before[c, n]) * float(before[c, n])
            of_after += float(after[c, n]) * float(after[c, n])
        sums[0] += of_before
        sums[1] += of_after


@njit(cache=True, nogil=True)
def _follow_level(
    block: FloatArray,
    shape: Float64Array,
    tick: int,
    state: Float64Array,
    lows: Float64Array,
    out: FloatArray,
) -> None:
    channels, frames = block.shape
    low_rate, detector, attack, release, threshold, slope, limit, makeup = shape
    total, count, power, moved, gain, step = state
    for n in range(frames):
        for c in range(channels):
            x = block[c, n]
            lows[c] += low_rate * (x - lows[c])
            body = x - lows[c]
            total += body * body
            out[c, n] = x * gain
        gain += step
        count += 1
        if count < tick:
            continue
        power += detector * (total / (tick * channels) - power)
        over = 10 * math.log10(power + _FLOOR) - threshold
        if over <= -KNEE_DB / 2:
            over = 0.0
        elif over < KNEE_DB / 2:
            over = (over + KNEE_DB / 2) ** 2 / (2 * KNEE_DB)
        wanted = slope * over
        if wanted > 0:
            wanted = limit * math.tanh(wanted / limit)
        moved += (attack if abs(wanted) > abs(moved) else release) * (wanted - moved)
        step = (10 ** ((moved + makeup) / 20) - gain) / tick
        total, count = 0.0, 0.0
    state[:] = total, count, power, moved, gain, step
