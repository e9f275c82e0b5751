"""Fills spectral holes that stand still: narrow bands that a generator or a codec has all but left out.

A hole is a flat-bottomed dip of the long-term spectrum between two shoulders. It is found by least
squares on a logarithmic axis, where it is a box under a straight line, and filled by the inverse of
that box in linear phase, and where that is not enough by what lies below it. A cliff or a slope has no
shoulder on its far side, and ripple is not deep enough: neither is touched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_amplitude, db_to_power, powers_to_db
from mixagent.pipeline.dsp.spectral import OVERLAP, ComplexArray, SpectralProcessor, window_frames
from mixagent.pipeline.measure.analysis import MidSideSpectrum, band_power
from mixagent.pipeline.types import AudioSource, Float64Array, blocks

LOW_HZ, HIGH_HZ = 700.0, 16000.0
LIFT_DB = 18.0
"""Sound in a hole may be raised by so much; the rest of a deeper hole is copied into it."""

DEEPEST_DB = 36.0
"""A hole as deep as this or deeper counts as empty."""

LEAST_DB = 7.0
"""Shallower dips are taken for music's own ripple."""

_PER_OCTAVE = 96
_WIDTHS_OCTAVES = np.arange(0.2, 0.62, 0.02)
_EDGE_OCTAVES = 0.04
_SHOULDER_OCTAVES = 0.2
_MOST_HOLES = 6
_CLEAR = 2.0
# White noise of −90 dBFS up to 10 kHz: what lies lower in a hole is noise, which filling would raise.
_FLOOR_DB_HZ = -130.0
_OVERSHOOT_DB = 6.0
_WINDOW_S = 0.093
_HEARD_S = 0.5
_FINE_BINS = 16


@dataclass(frozen=True)
class SpectralHole:
    """A static hole: its place, its width at half depth, and its depth under its shoulders."""

    centre_hz: float
    width_octaves: float
    depth_db: float


@dataclass(frozen=True)
class SpectralHoles:
    """The holes of a spectrum, and the level by which each point of it may be raised."""

    holes: tuple[SpectralHole, ...]
    hz: Float64Array
    missing_db: Float64Array


def measure_spectral_holes(source: AudioSource) -> SpectralHoles:
    """The static holes of a mono or stereo source, in one pass."""
    spectrum = MidSideSpectrum(source.rate)
    for block in blocks(source):
        mid, side = (block[0] + block[-1]) / 2, (block[0] - block[-1]) / 2
        spectrum.update(np.stack([mid, side]))
    return find_spectral_holes(spectrum.mean_power(source.frames).sum(axis=0), source.rate)


def find_spectral_holes(power: Float64Array, rate: int) -> SpectralHoles:
    """The holes of a long-term spectrum, deepest effect first.

    Args:
        power: power of each bin from 0 Hz to half the rate, shape (bins,).
        rate: sample rate in Hz.
    """
    octaves = np.arange(0.0, np.log2(max(min(HIGH_HZ, 0.48 * rate) / LOW_HZ, 1.0)), 1 / _PER_OCTAVE)
    edges_hz = LOW_HZ * 2 ** np.append(octaves, octaves[-1:] + 1 / _PER_OCTAVE)
    hz = np.sqrt(edges_hz[1:] * edges_hz[:-1])
    density = band_power(power, rate, edges_hz) / np.diff(edges_hz)
    there_db = powers_to_db(density + db_to_power(_FLOOR_DB_HZ - 20))
    level_db, found = there_db.copy(), list[SpectralHole]()
    raised_db = np.zeros_like(level_db)
    while len(found) < _MOST_HOLES and (best := _clearest(level_db)) is not None:
        start, width, depth_db, line_db = best
        box = _box(width)
        inside = slice(start, start + box.size)
        # An edge that was placed a little outside the hole must not be raised above its shoulder.
        short_db = np.maximum(line_db + _OVERSHOOT_DB - level_db[inside], 0.0)
        raised_db[inside] += np.minimum(depth_db * box, short_db)
        level_db[inside] += depth_db * box
        middle = start + box.size // 2
        found.append(SpectralHole(float(hz[middle]), width, depth_db))
    raised_db[there_db < _FLOOR_DB_HZ] = 0.0
    return SpectralHoles(tuple(found), hz, raised_db)


def _clearest(level_db: Float64Array) -> tuple[int, float, float, Float64Array] | None:
    """The hole that explains most of the spectrum: start, width, depth and the line of its shoulders."""
    best, most = None, 0.0
    for fit in _fits():
        size = fit.box.size
        if size > level_db.size:
            break
        depth_db, error_db, beside_db = fit.measure(level_db)
        sure = (depth_db > LEAST_DB) & (beside_db > 0.7 * LEAST_DB) & (depth_db > _CLEAR * error_db)
        gain = np.where(sure, depth_db**2 * float(np.sum(fit.box)), 0.0) / (1 + error_db**2)
        k = int(np.argmax(gain))
        if gain[k] > most:
            most = float(gain[k])
            filled = level_db[k : k + size] + depth_db[k] * fit.box
            ramp = np.arange(size)
            line = np.asarray(np.polyval(np.polyfit(ramp, filled, 1), ramp), np.float64)
            best = (k, fit.width_octaves, float(depth_db[k]), line)
    return best


@dataclass(frozen=True)
class _Fit:
    """A box under a line, to be fitted at every place of a spectrum at once.

    `kernels` are, as rows: the two directions of a line, the box without them, and the means of the
    bottom and of either shoulder.
    """

    width_octaves: float
    box: Float64Array
    kernels: Float64Array

    def measure(self, level_db: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Depth of the box, the fit's error, and the depth under the lower shoulder, at every place."""
        level_db = level_db - level_db.mean()
        windows = np.lib.stride_tricks.sliding_window_view(level_db, self.box.size)
        first, second, rest, bottom, left, right = self.kernels @ windows.T
        energy = float(self.kernels[2] @ self.kernels[2])
        depth = -rest / energy
        sums = np.concatenate([[0.0], np.cumsum(level_db**2)])
        squares = sums[self.box.size :] - sums[: -self.box.size]
        unexplained = squares - first**2 - second**2 - depth**2 * energy
        error = np.sqrt(np.maximum(unexplained, 0.0) / self.box.size)
        return depth, error, np.minimum(left, right) - bottom


@lru_cache(maxsize=1)
def _fits() -> tuple[_Fit, ...]:
    return tuple(_fit(float(width)) for width in _WIDTHS_OCTAVES)


def _fit(width: float) -> _Fit:
    box = _box(width)
    line = np.linalg.qr(np.stack([np.ones(box.size), np.arange(box.size) - box.size / 2], axis=1))[0]
    rest = box - line @ (line.T @ box)
    shoulder = int(np.flatnonzero(box > 0)[0])
    places = np.arange(box.size)
    means = [box == 1, places < shoulder, places >= box.size - shoulder]
    return _Fit(width, box, np.stack([*line.T, rest, *(mean / np.sum(mean) for mean in means)]))


def _box(width_octaves: float) -> Float64Array:
    """A hole of depth 1 with its edges and shoulders, on the logarithmic axis."""
    reach = round((width_octaves / 2 + _SHOULDER_OCTAVES) * _PER_OCTAVE)
    octaves = np.abs(np.arange(-reach, reach + 1)) / _PER_OCTAVE
    return np.asarray(np.clip((width_octaves / 2 - octaves) / _EDGE_OCTAVES + 0.5, 0, 1))


class SpectralHoleFiller(SpectralProcessor):
    """Raises each hole to its shoulders, by at most `most_db`, alike in all channels; a `Processor`.

    What is there is raised by `LIFT_DB` at most: under that it is a codec's noise. A deeper hole gets the
    rest from the band below it, shifted up whole, at the level between its shoulders, moment by moment.
    A hole of `DEEPEST_DB` or more counts as empty, and is filled whole where as much is allowed.
    """

    def __init__(self, holes: SpectralHoles, most_db: float, rate: int, channels: int) -> None:
        size = window_frames(_WINDOW_S, rate)
        super().__init__(size, channels)
        hz = np.fft.rfftfreq(size, 1 / rate)
        deep = [hole for hole in holes.holes if hole.depth_db > LIFT_DB and most_db > LIFT_DB]
        lift_db = np.full(hz.size, most_db)
        for hole in deep:
            near = (
                np.abs(np.log2(np.maximum(hz, 1.0) / hole.centre_hz)) < hole.width_octaves / 2 + _EDGE_OCTAVES
            )
            lift_db[near] = LIFT_DB
        raised_db = np.interp(hz, holes.hz, holes.missing_db, 0.0, 0.0)
        self._added = np.asarray(db_to_amplitude(np.minimum(raised_db, lift_db)) - 1, np.float32)
        self._lifted = (1.0 + self._added.astype(np.float64)) ** 2
        self._most = db_to_power(most_db)
        self._pole = math.exp(-self.hop / (_HEARD_S * rate))
        places = [_place(hole, size, rate) for hole in deep]
        self._places = np.array([place for place in places if place is not None], np.int64).reshape(-1, 5)
        self._have, self._want = np.zeros((2, channels, hz.size))
        self._count = np.zeros(1)

    def correction(self, spectra: ComplexArray) -> ComplexArray:
        """The spectra times gain − 1, and what is copied into deep holes."""
        added = np.asarray(spectra * self._added)
        if len(self._places):
            _copy_into(
                spectra, self._places, self._lifted, self._most, self._pole,
                self._count, self._have, self._want, added,
            )  # fmt: skip
        return added


def _place(hole: SpectralHole, size: int, rate: int) -> tuple[int, int, int, int, int] | None:
    """Bins of the left shoulder, the edges and the right shoulder of a hole, and the shift that fills it."""
    octaves = np.array([-_SHOULDER_OCTAVES - hole.width_octaves / 2, -hole.width_octaves / 2])
    edges = np.round(hole.centre_hz * 2 ** np.concatenate([octaves, -octaves[::-1]]) * size / rate).astype(
        int
    )
    # Overlapping windows stay in phase where the shift is a multiple of what they overlap by.
    shift = math.ceil((edges[2] - edges[1]) / OVERLAP) * OVERLAP
    if edges[3] > size // 2 or edges[1] - shift - _FINE_BINS < 1 or edges[1] - edges[0] < 2:
        return None
    return int(edges[0]), int(edges[1]), int(edges[2]), int(edges[3]), shift


@njit(cache=True, nogil=True)
def _copy_into(
    spectra: ComplexArray,
    places: NDArray[np.int64],
    lifted: Float64Array,
    most: float,
    pole: float,
    count: Float64Array,
    have: Float64Array,
    want: Float64Array,
    added: ComplexArray,
) -> None:
    """Adds to each deep hole what it still lacks, from below it."""
    channels, windows, bins = spectra.shape
    sums = np.empty(bins + 1)
    deepest = 10 ** (-DEEPEST_DB / 10)
    for t in range(windows):
        count[0] += 1
        new = max(1 - pole, 1 / count[0])
        for c in range(channels):
            sums[0] = 0.0
            for k in range(bins):
                value = spectra[c, t, k]
                sums[k + 1] = sums[k] + value.real**2 + value.imag**2
            for left, low, high, right, shift in places:
                before = (sums[low] - sums[left]) / (low - left) + 1e-20
                after = (sums[right] - sums[high]) / (right - high) + 1e-20
                for k in range(low, high):
                    share = (k - low + 0.5) / (high - low)
                    target = math.exp((1 - share) * math.log(before) + share * math.log(after))
                    near = sums[min(k + 5, high)] - sums[max(k - 4, low)]
                    there = near / (min(k + 5, high) - max(k - 4, low))
                    have[c, k] += new * (there - have[c, k])
                    want[c, k] += new * (target - want[c, k])
                    allowed = min(want[c, k], max(have[c, k], want[c, k] * deepest) * most)
                    raised = have[c, k] * lifted[k]
                    if raised >= allowed or want[c, k] <= 0:
                        continue
                    source = k - shift
                    around = sums[source + _FINE_BINS + 1] - sums[max(source - _FINE_BINS, 0)]
                    if around <= 0:
                        continue
                    fine = (2 * _FINE_BINS + 1) / around
                    amount = math.sqrt((allowed - raised) / want[c, k] * target * fine)
                    added[c, t, k] += spectra[c, t, source] * np.float32(amount)
