"""Four bands whose levels are read and moved hop by hop: what the de-limiter sees, and how its gains work.

The bands overlap gently and sum to the signal, and gains of 0 dB leave it bit for bit. A hop lasts as long
at every rate, so nothing is resampled.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from mixagent.pipeline.decibels import db_to_amplitude, floored_powers_to_db
from mixagent.pipeline.types import FloatArray

CROSSOVERS_HZ = (150.0, 800.0, 4000.0)
BANDS = len(CROSSOVERS_HZ) + 1
HOP_S = 128 / 44100
LISTENED = 18
"""Narrower bands whose power the network hears: where it dips in all of them at once, a gain went down."""

_NEAR_S = (0.0, 0.05, 0.5)
FEATURES = 4 + BANDS + LISTENED + len(_NEAR_S)
"""Figures of a hop that `features` gives."""

CEILING_SHARE = 0.999
"""The ceiling of a song is the level that this share of its hops stays under."""

_WIDTH_OCTAVES = 0.3
_WINDOW_S = 256 / 44100
_TOP_HZ = 16000.0
_PAD_S = 0.1
_FLOOR_DB = -90.0


def split(samples: FloatArray, rate: int, crossovers_hz: tuple[float, ...] = CROSSOVERS_HZ) -> FloatArray:
    """The bands of float32 (channels, frames) by zero-phase filters, (bands, channels, frames)."""
    frames = samples.shape[1]
    size = int(fft.next_fast_len(frames + round(_PAD_S * rate), real=True))
    spectrum = fft.rfft(samples, size)
    bands = np.empty((len(crossovers_hz) + 1, *samples.shape), np.float32)
    bands[-1] = samples
    for band, gain in zip(bands[:-1], _gains(size, rate, crossovers_hz), strict=True):
        band[:] = fft.irfft(spectrum * gain, size)[:, :frames]
        bands[-1] -= band
    return bands


@lru_cache(maxsize=4)
def _gains(size: int, rate: int, crossovers_hz: tuple[float, ...]) -> FloatArray:
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / rate), 1.0))[None]
    corners = np.log2(np.array(crossovers_hz))[:, None]
    below = 0.5 - 0.5 * np.tanh((octaves - corners) / _WIDTH_OCTAVES)
    return np.diff(np.concatenate((0 * octaves, below)), axis=0).astype(np.float32)


def hop_starts(frames: int, rate: int) -> NDArray[np.int64]:
    """Where each hop begins; the last may be shorter."""
    count = max(int(np.ceil(frames / (HOP_S * rate))), 1)
    return np.floor(np.arange(count) * (HOP_S * rate)).astype(np.int64)


def hop_peaks(samples: FloatArray, rate: int) -> FloatArray:
    """The highest absolute sample of each channel in each hop, (..., channels, hops)."""
    starts = hop_starts(samples.shape[-1], rate)
    return np.maximum.reduceat(np.abs(samples), starts, axis=-1)


def hop_sums(products: FloatArray, rate: int) -> FloatArray:
    """Sums over each hop of the last axis."""
    return np.add.reduceat(products, hop_starts(products.shape[-1], rate), axis=-1)


def features(samples: FloatArray, bands: FloatArray, rate: int, ceiling: float) -> FloatArray:
    """What the network reads of a stretch, (FEATURES, hops), about -4..1 each.

    Args:
        samples: float32 (channels, frames).
        bands: `split` of them.
        rate: in Hz.
        ceiling: the song's, linear: levels are against it.
    """
    scale = np.float32(1 / max(ceiling, 1e-6))
    length = np.diff(np.append(hop_starts(samples.shape[1], rate), samples.shape[1])).astype(np.float32)
    peaks_db = _db((hop_peaks(samples, rate) * scale) ** 2)
    side = (samples[0] - samples[-1]) * (0.5 * scale)
    side_db = _db(hop_sums(side * side, rate) / length)
    power_db = _db(_listened(samples * scale, rate))
    band_peaks_db = _db((hop_peaks(bands, rate).max(axis=1) * scale) ** 2)
    fine = np.clip(peaks_db.max(axis=0), -6.0, 2.0) / 2
    coarse = np.stack((peaks_db.max(axis=0), peaks_db.min(axis=0), side_db))
    near = 1 / (1 + np.exp(-(np.clip(peaks_db.max(axis=0), -6.0, 2.0) + 0.5) / 0.2))
    often = np.stack([ndimage.uniform_filter1d(near, round(s / HOP_S) + 1, mode="nearest") for s in _NEAR_S])
    return np.concatenate((fine[None], coarse / 20, power_db / 20, band_peaks_db / 20, often)).astype(
        np.float32
    )


def _listened(samples: FloatArray, rate: int) -> FloatArray:
    """The mean power of the channels around each hop in `LISTENED` bands, (LISTENED, hops)."""
    size = 2 * round(_WINDOW_S * rate / 2)
    starts = hop_starts(samples.shape[1], rate)
    first = size // 2 - round(HOP_S * rate / 2)
    padded = np.pad(samples, ((0, 0), (first, size)))
    window = (np.hanning(size + 1)[:-1] * np.sqrt(8 / 3) / size).astype(np.float32)
    edges = np.round(np.geomspace(1, _TOP_HZ * size / rate, LISTENED)).astype(np.int64)
    edges = np.minimum(np.maximum(edges, np.arange(1, LISTENED + 1)), size // 2 - 1)
    power = np.zeros((len(starts), size // 2 + 1), np.float32)
    for channel in padded:
        frames = np.lib.stride_tricks.sliding_window_view(channel, size)[starts]
        spectrum = fft.rfft(frames * window, axis=1)
        power += spectrum.real**2 + spectrum.imag**2
    sums = np.add.reduceat(power, np.concatenate(([0], edges)), axis=1)[:, :LISTENED]
    return np.ascontiguousarray(sums.T) * np.float32(2 / len(samples))


def _db(power: FloatArray) -> FloatArray:
    return np.asarray(floored_powers_to_db(power, 10 ** (_FLOOR_DB / 10)), np.float32)


def apply_gains(samples: FloatArray, bands: FloatArray, gains_db: FloatArray, rate: int) -> FloatArray:
    """The samples with each band moved by its gains (BANDS, hops) in dB, joined in dB between hops."""
    frames = samples.shape[1]
    starts = hop_starts(frames, rate)
    centres = starts + 0.5 * HOP_S * rate
    at = np.arange(frames)
    moved = samples.copy()
    for band, gain_db in zip(bands, gains_db, strict=True):
        if np.any(gain_db):
            moved += band * (db_to_amplitude(np.interp(at, centres, gain_db)) - 1).astype(np.float32)
    return moved
