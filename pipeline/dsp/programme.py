"""The programme level: what the dynamic processors hold their thresholds against.

A threshold in dBFS means something else for every song. Here each is relative to how loud the
material itself is, measured once over the whole of it by the same filters that the processors
listen through.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.dsp.cascade import UNCHANGED
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, blocks

WINDOW_S = 0.1
FLOOR_DB = -120.0

BODY_HZ = 120.0
"""Below this a first-order roll-off keeps the bass from driving the level detectors."""

_GATE_DB = -70.0
_RELATIVE_GATE_DB = -10.0
_BAND_QUANTILE = 0.75
_SPREAD_POINTS = 32


@dataclass(frozen=True)
class DynamicBand:
    """A band that a dynamic cut watches: its centre and the Q of the detector's band-pass."""

    name: str
    low_hz: float
    high_hz: float

    @property
    def centre_hz(self) -> float:
        """Geometric centre of the band."""
        return math.sqrt(self.low_hz * self.high_hz)

    @property
    def q(self) -> float:
        """Q of a band-pass that is 3 dB down at the band's edges."""
        return self.centre_hz / (self.high_hz - self.low_hz)

    def fits(self, rate: int) -> bool:
        """True if the band's centre lies far enough below Nyquist to be filtered."""
        return self.centre_hz < 0.45 * rate


LOW_MID = DynamicBand("low_mid", 200.0, 500.0)
SHIMMER = DynamicBand("shimmer", 6000.0, 12000.0)


@dataclass(frozen=True)
class BandLevel:
    """The usual strength of a band: its level, and its share of the body, where it is rather strong.

    Both are the upper quartile over the gated windows, in dB.
    """

    level_db: float
    share_db: float

    @property
    def silent(self) -> bool:
        """True if no window counted."""
        return self.level_db <= FLOOR_DB


class Levelled(Protocol):
    """The programme level that a threshold is relative to.

    `level_db` is the mean power over the channels in dB re full scale, gated as ITU-R BS.1770 gates
    (−70 dB, then −10 dB under the mean). `spread_db` are quantiles of the gated windows' levels
    against it, the shape that make-up gain is computed from.
    """

    @property
    def level_db(self) -> float:
        """The gated mean level."""

    @property
    def spread_db(self) -> tuple[float, ...]:
        """Quantiles of the windows' levels against it."""


@dataclass(frozen=True)
class Level:
    """A level, see `Levelled`."""

    level_db: float
    spread_db: tuple[float, ...]

    @property
    def silent(self) -> bool:
        """True if no window counted."""
        return self.level_db <= FLOOR_DB


@dataclass(frozen=True)
class Programme:
    """The level of a stem or mix, see `Levelled`; measured above `BODY_HZ`."""

    level_db: float
    low_mid: BandLevel
    shimmer: BandLevel
    spread_db: tuple[float, ...]

    def raised(self, gain_db: float) -> Programme:
        """The programme of the same material `gain_db` louder."""
        return replace(
            self,
            level_db=self.level_db + gain_db,
            low_mid=replace(self.low_mid, level_db=self.low_mid.level_db + gain_db),
            shimmer=replace(self.shimmer, level_db=self.shimmer.level_db + gain_db),
        )

    def band(self, band: DynamicBand) -> BandLevel:
        """The usual level of one of the watched bands."""
        return self.low_mid if band is LOW_MID else self.shimmer


def measure_programme(source: AudioSource) -> Programme:
    """The programme level of a source, in one pass."""
    rate = source.rate
    filters = [body_filter(rate), band_pass(LOW_MID, rate), band_pass(SHIMMER, rate)]
    meter = WindowMeter(filters, rate, source.channels)
    for block in blocks(source):
        meter.update(block)
    levels_db = meter.levels_db()
    gated = gate(levels_db[:, 0])
    level = level_of(levels_db[:, 0], gated)
    low_mid, shimmer = usual_levels(levels_db, gated)
    return Programme(level.level_db, low_mid, shimmer, level.spread_db)


def gate(levels_db: Float64Array, lowest_db: float = _GATE_DB) -> NDArray[np.bool_]:
    """The windows that count: over `lowest_db`, and over 10 dB under the mean of those."""
    gated = levels_db > lowest_db
    if gated.any():
        gated &= levels_db > _mean_db(levels_db[gated]) + _RELATIVE_GATE_DB
    return gated


def level_of(levels_db: Float64Array, gated: NDArray[np.bool_]) -> Level:
    """The level of the gated windows; `FLOOR_DB` where there are none."""
    if not gated.any():
        return Level(FLOOR_DB, (0.0,))
    level_db = _mean_db(levels_db[gated])
    quantiles = np.quantile(levels_db[gated], (np.arange(_SPREAD_POINTS) + 0.5) / _SPREAD_POINTS)
    return Level(level_db, tuple(float(level) for level in quantiles - level_db))


def usual_levels(levels_db: Float64Array, gated: NDArray[np.bool_]) -> tuple[BandLevel, ...]:
    """The usual strength of each band, of windows (windows, 1 + bands) whose first is the body."""
    bands = range(1, levels_db.shape[1])
    if not gated.any():
        return tuple(BandLevel(FLOOR_DB, 0.0) for _ in bands)
    slow_db = powers_to_db(uniform_filter1d(db_to_power(levels_db[:, 0]), 5))
    return tuple(
        BandLevel(_strong(levels_db[gated, band]), _strong((levels_db[:, band] - slow_db)[gated]))
        for band in bands
    )


def _mean_db(levels_db: Float64Array) -> float:
    return float(powers_to_db(np.mean(db_to_power(levels_db))))


def _strong(levels_db: Float64Array) -> float:
    return float(np.quantile(levels_db, _BAND_QUANTILE))


class WindowMeter:
    """Mean powers behind each of some filters in windows of `WINDOW_S`.

    Args:
        filters: b0 b1 b2 a1 a2 of each.
        rate: Hz.
        channels: of the sound.
    """

    def __init__(self, filters: Sequence[Float64Array], rate: int, channels: int) -> None:
        self._window = max(1, round(WINDOW_S * rate))
        self._filters = np.stack(filters)
        self._state = np.zeros((channels, len(filters), 2))
        # Last the frames that the unfinished window holds.
        self._sums = np.zeros(len(filters) + 1)
        self._powers: list[Float64Array] = []

    def update(self, block: FloatArray) -> None:
        """Take the next block, (channels, frames)."""
        block = np.ascontiguousarray(block)
        out = np.empty((block.shape[1] // self._window + 1, len(self._filters)))
        self._powers.append(out[: self._windows(block, out)].copy())

    def _windows(self, block: FloatArray, out: Float64Array) -> int:
        """Writes the powers of the windows that the block ends; how many there are."""
        return _window_powers(block, self._filters, self._state, self._sums, self._window, out)

    def levels_db(self) -> Float64Array:
        """The windows so far, the unfinished one with them, in dB over `FLOOR_DB`: (windows, filters)."""
        count = self._sums[-1] * len(self._state)
        rest = (self._sums[:-1] / count)[None] if count else np.empty((0, len(self._filters)))
        return np.asarray(powers_to_db(np.concatenate([*self._powers, rest]) + db_to_power(FLOOR_DB)))


class PowerMeter(WindowMeter):
    """Mean powers of a sound itself, behind no filter."""

    def __init__(self, rate: int, channels: int) -> None:
        super().__init__([UNCHANGED], rate, channels)

    def _windows(self, block: FloatArray, out: Float64Array) -> int:
        return _plain_powers(block, self._sums, self._window, out)


def body_filter(rate: int) -> Float64Array:
    """First-order high-pass at `BODY_HZ` by the bilinear transform: b0 b1 b2 a1 a2."""
    warped = math.tan(math.pi * min(BODY_HZ / rate, 0.25))
    gain = 1 / (1 + warped)
    return np.array([gain, -gain, 0.0, (warped - 1) * gain, 0.0])


def band_pass(band: DynamicBand, rate: int) -> Float64Array:
    """Band-pass of 0 dB at its centre (Bristow-Johnson, Audio EQ Cookbook): b0 b1 b2 a1 a2.

    All zeros, hence silent, where the band lies beyond Nyquist.
    """
    return bell_core(band.centre_hz, band.q, rate) if band.fits(rate) else np.zeros(5)


def bell_core(centre_hz: float, q: float, rate: int) -> Float64Array:
    """The band-pass whose output, scaled by gain − 1 and added to its input, makes a bell.

    Regalia and Mitra, "Tunable digital frequency response equalization filters", 1987.
    """
    omega = 2 * math.pi * centre_hz / rate
    alpha = math.sin(omega) / (2 * q)
    gain = 1 / (1 + alpha)
    return np.array([alpha * gain, 0.0, -alpha * gain, -2 * math.cos(omega) * gain, (1 - alpha) * gain])


@njit(cache=True, nogil=True)
def _window_powers(
    block: FloatArray,
    filters: Float64Array,
    state: Float64Array,
    sums: Float64Array,
    window: int,
    out: Float64Array,
) -> int:
    channels, frames = block.shape
    bands = filters.shape[0]
    done = 0
    for n in range(frames):
        for c in range(channels):
            x = float(block[c, n])
            for b in range(bands):
                y = filters[b, 0] * x + state[c, b, 0]
                state[c, b, 0] = filters[b, 1] * x - filters[b, 3] * y + state[c, b, 1]
                state[c, b, 1] = filters[b, 2] * x - filters[b, 4] * y
                sums[b] += y * y
        sums[bands] += 1
        if sums[bands] == window:
            for b in range(bands):
                out[done, b] = sums[b] / (window * channels)
                sums[b] = 0.0
            sums[bands] = 0.0
            done += 1
    return done


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _plain_powers(block: FloatArray, sums: Float64Array, window: int, out: Float64Array) -> int:
    channels, frames = block.shape
    done = start = 0
    while start < frames:
        end = min(start + window - int(sums[1]), frames)
        for c in range(channels):
            power = 0.0
            part = block[c, start:end]
            for n in range(part.size):
                power += float(part[n]) * float(part[n])
            sums[0] += power
        sums[1] += end - start
        if sums[1] == window:
            out[done, 0] = sums[0] / (window * channels)
            sums[:] = 0.0
            done += 1
        start = end
    return done
