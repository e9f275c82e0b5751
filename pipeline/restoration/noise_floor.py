"""Finds steady noise under a voice, by band, while it sings.

Between the harmonics of a voice a spectrum falls to its noise. Of a clean voice these valleys follow the
voice and differ from frame to frame by ten decibels and more; where noise fills them, the lower of them all
lie on it, within three. So a floor is found without a pause, which a separator would have muted anyway; and
breath, reverberation and what a codec leaves, which come and go with the voice, are none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.fft import next_fast_len, rfft
from scipy.stats import gamma

from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray

BAND_EDGES_HZ = tuple(62.5 * 2 ** (step / 2) for step in range(17))
"""Half octaves from 62.5 Hz to 16 kHz."""

FOUND_DB = -50.0
"""A floor is noise from this level up, against the voice."""

STEADY_DB = 3.0
"""The most by which the lower quarter of a band's valleys differ where noise fills them."""

FOLLOWING_DB = 2.5
"""The most by which valleys that are noise's follow the voice, from its softer half to its louder one."""

_LOWEST_BAND_HZ = 500.0
_WINDOW_S = 0.09
_BLOCK_FRAMES = 256
_ACTIVE_DB = 20.0
_LEAST_FRAMES = 30
_LEAST_BANDS, _LEAST_SHARE = 2, 0.4
_AVERAGED = 3

_VALLEY = 0.1
"""The share of a band's bins that are its valley."""

# Power averaged over three half-overlapping Hann windows is distributed as a gamma of this shape: their
# powers correlate by 1/36.
_SHAPE = _AVERAGED / (1 + 2 * (_AVERAGED - 1) / _AVERAGED / 36)


@dataclass(frozen=True)
class NoiseFloor:
    """A steady floor.

    Attributes:
        level_db: against the active voice, in its bands together; −inf where there is none.
        bands_hz: the bands that it fills, (low, high) in Hz.
        densities: its power per Hz in each of them, of each channel, re full scale².
    """

    level_db: float
    bands_hz: tuple[tuple[float, float], ...]
    densities: tuple[tuple[float, ...], ...] = ()

    @property
    def found(self) -> bool:
        """True if it is loud enough to be worth removing."""
        return self.level_db > FOUND_DB


def noise_floor(voice: AudioSource) -> NoiseFloor:
    """The steady floor of a voice; −inf dB where there is none."""
    powers, valleys = _powers_and_valleys(voice)
    total = powers.sum(1)
    active = total > total.max(initial=0.0) * db_to_power(-_ACTIVE_DB)
    if active.sum() < _LEAST_FRAMES:
        return NoiseFloor(-np.inf, ())
    low, middle, high = np.percentile(valleys[active], (5, 15, 25), axis=0)
    heard = (low > 0).all(0)
    low, high = np.where(heard, low, 1.0), np.where(heard, high, np.inf)
    spread_db = powers_to_db(high).mean(0) - powers_to_db(low).mean(0)
    edges = list(itertools.pairwise(BAND_EDGES_HZ))
    lows, highs = np.array(edges).T
    usable = (lows >= _LOWEST_BAND_HZ) & (highs <= 0.9 * voice.rate / 2)
    steady = (
        usable & (spread_db <= STEADY_DB) & (_following_db(valleys[active], total[active]) <= FOLLOWING_DB)
    )
    if steady.sum() < max(_LEAST_BANDS, _LEAST_SHARE * usable.sum()):
        return NoiseFloor(-np.inf, ())
    densities = middle[:, steady]
    noise = (densities.mean(0) * (highs - lows)[steady]).sum()
    level = powers_to_db(noise / active_power(powers).sum())
    return NoiseFloor(
        float(level),
        tuple(edge for edge, kept in zip(edges, steady, strict=True) if kept),
        tuple(tuple(float(density) for density in band) for band in densities.T),
    )


def _following_db(valleys: Float64Array, total: Float64Array) -> Float64Array:
    """How much higher each band's lower valleys are where the voice is loud than where it is soft."""
    loud = total >= np.median(total)
    levels = [np.percentile(valleys[which], 25, axis=0).mean(0) for which in (loud, ~loud)]
    following: Float64Array = powers_to_db(np.maximum(levels[0], 1e-30) / np.maximum(levels[1], 1e-30))
    return following


def active_power(powers: Float64Array) -> Float64Array:
    """Mean power per band (bands,) over the frames (frames, bands) within 20 dB of the loudest."""
    total = powers.sum(1)
    active: Float64Array = powers[total >= total.max() * 1e-2].mean(0)
    return active


def band_powers(source: AudioSource) -> Float64Array:
    """Power in each of the half octaves, shape (frames of 45 ms, bands), channels averaged."""
    size, edges = _layout(source)
    rows = [
        np.diff(np.pad(np.cumsum(power.mean(0), axis=1), ((0, 0), (1, 0)))[:, edges], axis=1)
        for power in _spectra(source, size)
    ]
    return np.concatenate(rows) if rows else np.zeros((0, len(BAND_EDGES_HZ) - 1))


def _powers_and_valleys(source: AudioSource) -> tuple[Float64Array, Float64Array]:
    """Of each frame `band_powers`, and the noise per Hz that would make its valleys, (channels, bands)."""
    size, edges = _layout(source)
    share = float(gamma.ppf(_VALLEY, _SHAPE) / _SHAPE) * source.rate / size
    powers, valleys = [], []
    held = np.zeros((source.channels, 0, size // 2 + 1))
    for power in _spectra(source, size):
        powers.append(np.diff(np.pad(np.cumsum(power.mean(0), axis=1), ((0, 0), (1, 0)))[:, edges], axis=1))
        power = np.concatenate((held, power), axis=1)
        count = power.shape[1] - _AVERAGED + 1
        if count > 0:
            smooth = np.mean([power[:, first : first + count] for first in range(_AVERAGED)], axis=0)
            valleys.append(np.stack([_valley(smooth[:, :, a:b]) for a, b in itertools.pairwise(edges)], -1))
        held = power[:, max(count, 0) :]
    bands = len(BAND_EDGES_HZ) - 1
    found = (
        np.concatenate(valleys, axis=1).swapaxes(0, 1) / share
        if valleys
        else np.zeros((0, source.channels, bands))
    )
    levels = np.concatenate(powers) if powers else np.zeros((0, bands))
    return levels[1 : 1 + len(found)], found


def _valley(bins: Float64Array) -> Float64Array:
    """The quantile of the bins (channels, frames, bins); 0 for a band without any."""
    if bins.shape[2] == 0:
        return np.zeros(bins.shape[:2])
    place = int(_VALLEY * (bins.shape[2] - 1))
    return np.asarray(np.partition(bins, place, axis=2)[:, :, place])


def _layout(source: AudioSource) -> tuple[int, list[int]]:
    """Frames of a window, and the bins at the edges of the bands."""
    size = next_fast_len(round(_WINDOW_S * source.rate), real=True)
    frequencies = np.arange(size // 2 + 1) * source.rate / size
    return size, np.searchsorted(frequencies, BAND_EDGES_HZ).tolist()


def _spectra(source: AudioSource, size: int) -> Iterator[Float64Array]:
    """Power of each bin of half-overlapping windows, (channels, frames, bins): its sum is the mean square."""
    window = np.hanning(size).astype(np.float32)
    scale = 2 / (size * float(np.square(window).sum()))
    for frames in _framed(source, size):
        spectrum = rfft(frames * window, axis=2)
        yield (spectrum.real**2 + spectrum.imag**2).astype(np.float64) * scale


def _framed(source: AudioSource, size: int) -> Iterator[FloatArray]:
    """Half-overlapping frames in blocks, each (channels, frames, size)."""
    hop = size // 2
    count = (source.frames - size) // hop + 1
    for first in range(0, count, _BLOCK_FRAMES):
        last = min(first + _BLOCK_FRAMES, count)
        samples = source.read(first * hop, (last - 1) * hop + size)
        yield np.lib.stride_tricks.sliding_window_view(samples, size, axis=1)[:, ::hop]
