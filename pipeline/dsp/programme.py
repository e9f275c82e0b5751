"""The programme level: what the dynamic processors hold their thresholds against.

A threshold in dBFS means something else for every song. Here each is relative to how loud the
material itself is, measured once over the whole of it by the same filters that the processors
listen through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from mixagent.pipeline.audio import AudioSource, FloatArray, blocks

Float64Array = NDArray[np.float64]

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
        """Whether the band's centre lies far enough below Nyquist to be filtered."""
        return self.centre_hz < 0.45 * rate


LOW_MID = DynamicBand("low_mid", 200.0, 500.0)
SHIMMER = DynamicBand("shimmer", 6000.0, 12000.0)


@dataclass(frozen=True)
class BandLevel:
    """How strong a band usually is: its level, and its share of the body, where it is rather strong.

    Both are the upper quartile over the gated windows, in dB.
    """

    level_db: float
    share_db: float


@dataclass(frozen=True)
class Programme:
    """The level of a stem or mix.

    `level_db` is the mean power over the channels above `BODY_HZ` in dB re full scale, gated as
    ITU-R BS.1770 gates (−70 dB, then −10 dB under the mean). `spread_db` are quantiles of the gated
    windows' levels against it, the shape that make-up gain is computed from.
    """

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
    meter = _WindowMeter(source.rate, source.channels)
    powers = [meter.update(block) for block in blocks(source)]
    windows = np.concatenate([*powers, meter.rest()])
    return _programme(10 * np.log10(windows + 10 ** (FLOOR_DB / 10)))


def _programme(levels_db: Float64Array) -> Programme:
    body_db = levels_db[:, 0]
    gated = body_db > _GATE_DB
    if not gated.any():
        silent = BandLevel(FLOOR_DB, 0.0)
        return Programme(FLOOR_DB, silent, silent, (0.0,))
    gated &= body_db > _mean_db(body_db[gated]) + _RELATIVE_GATE_DB
    level_db = _mean_db(body_db[gated])
    slow_db = 10 * np.log10(uniform_filter1d(10 ** (body_db / 10), 5))
    low_mid, shimmer = (
        BandLevel(_strong(levels_db[gated, band]), _strong((levels_db[:, band] - slow_db)[gated]))
        for band in (1, 2)
    )
    quantiles = np.quantile(body_db[gated], (np.arange(_SPREAD_POINTS) + 0.5) / _SPREAD_POINTS)
    return Programme(level_db, low_mid, shimmer, tuple(float(level) for level in quantiles - level_db))


def _mean_db(levels_db: Float64Array) -> float:
    return float(10 * np.log10(np.mean(10 ** (levels_db / 10))))


def _strong(levels_db: Float64Array) -> float:
    return float(np.quantile(levels_db, _BAND_QUANTILE))


class _WindowMeter:
    """Mean powers of the body and of the watched bands in windows of `WINDOW_S`."""

    def __init__(self, rate: int, channels: int) -> None:
        self._window = max(1, round(WINDOW_S * rate))
        self._filters = np.stack([body_filter(rate), band_pass(LOW_MID, rate), band_pass(SHIMMER, rate)])
        self._state = np.zeros((channels, 3, 2))
        self._sums = np.zeros(4)

    def update(self, block: FloatArray) -> Float64Array:
        """Powers of the windows that this block completes, shape (windows, 3)."""
        block = np.ascontiguousarray(block)
        out = np.empty((block.shape[1] // self._window + 1, 3))
        done = _window_powers(block, self._filters, self._state, self._sums, self._window, out)
        return out[:done]

    def rest(self) -> Float64Array:
        """The power of the unfinished window, shape (0 or 1, 3)."""
        count = self._sums[3]
        return (self._sums[:3] / count)[None] if count else np.empty((0, 3))


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
                sums[b] += y * y / channels
        sums[3] += 1
        if sums[3] == window:
            for b in range(bands):
                out[done, b] = sums[b] / window
                sums[b] = 0.0
            sums[3] = 0.0
            done += 1
    return done
