"""Finds bands that blink: those that a codec or a generator drops for moments and brings back.

A blink begins and ends within a window, while what lies under the band goes on: music's own decay is
slower, and where a note stops, so does what lies under it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.decibels import powers_to_db
from mixagent.pipeline.dsp.spectral import ComplexArray, SpectralProcessor, window_frames
from mixagent.pipeline.types import AudioSource, Float64Array, blocks

LOW_HZ, HIGH_HZ = 4000.0, 16000.0
_PER_OCTAVE = 6
WINDOW_S = 0.0232
UNDER = _PER_OCTAVE
"""Bands under the lowest that may blink, against which each is held."""

_FLOOR_DB = -110.0
_AWAY_DB, _THERE_DB = 16.0, 10.0
_EDGE_DB, _EDGE_SHARE = 12.0, 0.5
_EDGE_WINDOWS = 4
_SHORTEST, _LONGEST_S = 2, 2.0
_MOST_AWAY = 0.45
_AROUND, _MARGIN = 12, 3
_STEADY_DB = 4.5
_FEWEST = 4


@dataclass(frozen=True)
class Blinks:
    """The moments in which bands are away.

    Attributes:
        edges_hz: of the bands, rising; the first `UNDER` bands are only those under the lowest.
        over_db: level that a band should have over the median of the octave under it, by band and
            window, shape (bands, windows); NaN where it needs nothing.
        away_share: share of the windows in which each band is away, shape (bands,).
    """

    edges_hz: Float64Array
    over_db: NDArray[np.float32]
    away_share: Float64Array

    @property
    def found(self) -> bool:
        """True if any band blinks."""
        return bool(self.away_share.any())


def measure_blinks(source: AudioSource) -> Blinks:
    """Find the blinks of a source's bands, in one pass."""
    listener = BlinkListener(source.rate, source.channels)
    for block in blocks(source):
        listener.process(block)
    return listener.blinks()


class BlinkListener(SpectralProcessor):
    """Measures the level of each band in the very windows in which they will be filled."""

    def __init__(self, rate: int, channels: int) -> None:
        size = window_frames(WINDOW_S, rate)
        super().__init__(size, channels)
        self.edges_hz = _edges_hz(rate)
        self._bins = band_bins(self.edges_hz, size, rate)
        self._levels: list[Float64Array] = []
        self._hop_s = self.hop / rate

    def correction(self, spectra: ComplexArray) -> None:
        """Nothing is added."""
        self._levels.append(_band_power(spectra, self._bins))

    def blinks(self) -> Blinks:
        """The blinks of all that it was given. This ends the stream."""
        self.process(np.zeros((self._heard.shape[0], self.latency), np.float32))
        return find_blinks(self.levels_db(), self.edges_hz, self._hop_s)

    def levels_db(self) -> Float64Array:
        """Mean power of the bins of each band by window in dB, shape (bands, windows)."""
        bands = max(self.edges_hz.size - 1, 0)
        levels = np.concatenate([np.zeros((0, bands)), *self._levels])
        return np.asarray(powers_to_db(levels + 1e-20)).T


@njit(cache=True, nogil=True)
def _band_power(spectra: ComplexArray, edges: NDArray[np.int64]) -> Float64Array:
    """Mean power of the bins of each band in each window, all channels summed, (windows, bands)."""
    channels, windows = spectra.shape[:2]
    bands = max(edges.size - 1, 0)
    levels = np.zeros((windows, bands))
    sums = np.zeros(edges[-1] + 1 if bands else 1)
    for t in range(windows):
        for k in range(sums.size - 1):
            power = 0.0
            for c in range(channels):
                value = spectra[c, t, k]
                power += value.real * value.real + value.imag * value.imag
            sums[k + 1] = sums[k] + power
        for band in range(bands):
            low, high = edges[band], edges[band + 1]
            levels[t, band] = (sums[high] - sums[low]) / max(high - low, 1)
    return levels


def _edges_hz(rate: int) -> Float64Array:
    top_hz = min(HIGH_HZ, 0.45 * rate)
    steps = math.floor(_PER_OCTAVE * math.log2(top_hz / LOW_HZ)) if top_hz > LOW_HZ else 0
    return np.asarray(top_hz * 2 ** (np.arange(-steps - UNDER, 1) / _PER_OCTAVE)) if steps else np.zeros(0)


def band_bins(edges_hz: Float64Array, size: int, rate: int) -> NDArray[np.int64]:
    """First bin of each band, and the end of the last, in a spectrum of `size` frames."""
    return np.round(edges_hz * size / rate).astype(np.int64)


def find_blinks(levels_db: Float64Array, edges_hz: Float64Array, hop_s: float) -> Blinks:
    """The blinks in the levels of bands over time.

    Args:
        levels_db: level of each band by window, shape (bands, windows).
        edges_hz: of the bands, shape (bands + 1,).
        hop_s: time from window to window.
    """
    bands, windows = levels_db.shape
    over_db = np.full((bands, windows), np.nan, np.float32)
    away = np.zeros(bands)
    if windows == 0 or bands <= UNDER:
        return Blinks(edges_hz, over_db, away)
    loudest_db = float(np.percentile(levels_db, 99))
    for band in range(UNDER, bands):
        under_db = np.median(levels_db[band - UNDER : band], axis=0)
        audible = under_db > loudest_db - 60.0
        if audible.sum() < 16:
            continue
        over = levels_db[band] - under_db
        usual_db = float(np.median(over[audible]))
        there = audible & (over > usual_db - _THERE_DB)
        spread_db = float(np.mean(np.abs(over[there] - np.median(over[there]))))
        if spread_db > _STEADY_DB or levels_db[band][there].max() < loudest_db + _FLOOR_DB:
            continue
        spans = _spans(levels_db[band], under_db, audible & (over < usual_db - _AWAY_DB), hop_s)
        gone = sum(stop - start for start, stop in spans)
        if len(spans) < _FEWEST or gone > _MOST_AWAY * audible.sum():
            continue
        away[band] = gone / windows
        for start, stop in spans:
            _fill(over_db[band], over, there, usual_db, start, stop)
    return Blinks(edges_hz, over_db, away)


def _spans(
    level_db: Float64Array, under_db: Float64Array, low: NDArray[np.bool_], hop_s: float
) -> list[tuple[int, int]]:
    """Stretches in which a band is away, with an abrupt edge on both sides that is its own."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]]).astype(np.int8)))
    found = []
    for start, stop in zip(steps[::2], steps[1::2], strict=True):
        if not _SHORTEST <= stop - start <= _LONGEST_S / hop_s:
            continue
        before, after = start - _EDGE_WINDOWS, stop - 1 + _EDGE_WINDOWS
        if before < 0 or after >= level_db.size:
            continue
        inside = slice(start, min(start + 2, stop)), slice(max(stop - 2, start), stop)
        edges = ((before, inside[0]), (after, inside[1]))
        if all(_is_edge(level_db, under_db, outside, part) for outside, part in edges):
            found.append((int(start), int(stop)))
    return found


def _is_edge(level_db: Float64Array, under_db: Float64Array, outside: int, inside: slice) -> bool:
    own_db = float(level_db[outside] - level_db[inside].min())
    shared_db = float(under_db[outside] - under_db[inside].min())
    return own_db >= _EDGE_DB and shared_db <= _EDGE_SHARE * own_db


def _fill(
    over_db: NDArray[np.float32],
    over: Float64Array,
    there: NDArray[np.bool_],
    usual_db: float,
    start: int,
    stop: int,
) -> None:
    """Writes the level that a band should have: from what it has before to what it has after."""
    first, last = max(start - _MARGIN, 0), min(stop + _MARGIN, over.size)
    sides = []
    for side in (slice(max(first - _AROUND, 0), first), slice(last, last + _AROUND)):
        values = over[side][there[side]]
        sides.append(float(np.median(values)) if values.size else usual_db)
    over_db[first:last] = np.linspace(sides[0], sides[1], last - first)
