"""What a limiter leaves in a song, hop by hop, and how a course of gains is applied.

Peaks that crowd at one level, how long they do and how long ago, and levels of narrow bands against what
they are around: where all of them dip at once, a gain went down. Nothing is resampled: a hop lasts as long
at every rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from mixagent.pipeline.decibels import db_to_amplitude, floored_powers_to_db
from mixagent.pipeline.types import Float64Array, FloatArray

HOP_S = 128 / 44100
LISTENED = 18
"""Narrow bands whose power is read."""

TRACES = 113
"""Figures of a hop that `traces` gives."""

CEILING_SHARE = 0.999
"""The ceiling of a song is the level that this share of its hops stays under."""

AT_CEILING_DB = 0.5
"""A hop whose peak is no further under the ceiling is at it."""

_WINDOW_S = 256 / 44100
_TOP_HZ = 16000.0
_FLOOR_DB = -90.0
_MOST_AWAY_HOPS = 600


def hop_starts(frames: int, rate: int) -> NDArray[np.int64]:
    """Where each hop begins; the last may be shorter."""
    count = max(int(np.ceil(frames / (HOP_S * rate) - 1e-6)), 1)
    starts: NDArray[np.int64] = np.floor(np.arange(count) * (HOP_S * rate) + 1e-6).astype(np.int64)
    return starts


def hop_peaks(samples: FloatArray, rate: int) -> FloatArray:
    """The highest absolute sample of each channel in each hop, (channels, hops)."""
    return np.asarray(np.maximum.reduceat(np.abs(samples), hop_starts(samples.shape[1], rate), axis=1))


def hop_means(products: FloatArray, rate: int) -> FloatArray:
    """Means of (frames,) over each hop."""
    starts = hop_starts(products.shape[0], rate)
    return np.asarray(np.add.reduceat(products, starts) / np.diff(np.append(starts, products.shape[0])))


def traces(samples: FloatArray, rate: int, ceiling: float) -> FloatArray:
    """The figures of each hop of a stretch of about 5 s, (hops, TRACES).

    Args:
        samples: float32 (channels, frames).
        rate: in Hz.
        ceiling: the song's, linear: levels are against it.
    """
    scaled = samples * np.float32(1 / max(ceiling, 1e-6))
    peaks = hop_peaks(scaled, rate)
    peak_db = np.clip(_db(peaks.max(axis=0) ** 2), -60.0, 3.0)
    lesser_db = np.clip(_db(peaks.min(axis=0) ** 2), -60.0, 3.0)
    level_db = _db(hop_means(np.square(scaled).mean(axis=0), rate))
    bands_db = _db(_band_powers(scaled, rate))
    near = 1 / (1 + np.exp(-(np.maximum(peak_db, -6.0) + AT_CEILING_DB) / 0.2))
    columns = [peak_db, lesser_db - peak_db, level_db - peak_db, level_db]
    columns += [np.roll(peak_db, lag) for lag in (-16, -8, -4, -2, -1, 1, 2, 4, 8, 16)]
    columns += [ndimage.maximum_filter1d(peak_db, width) for width in (9, 35, 171)]
    columns += [_mean(peak_db, width) for width in (9, 35, 171)]
    columns += [near, *(_mean(near, width) for width in (3, 9, 35, 171, 689))]
    for width in (9, 35, 171):
        columns += [np.roll(_mean(near, width), side * (width // 2 + 1)) for side in (-1, 1)]
    columns += [np.log1p(hops) for hops in _away(near > 0.5)]
    columns += [level_db - _mean(level_db, width) for width in (9, 35, 171, 689)]
    columns += [_mean(level_db, width) for width in (689, 171)]
    for width in (9, 35, 171):
        dips = bands_db - _mean(bands_db, width)
        columns += [
            dips.mean(axis=0),
            *(part.mean(axis=0) for part in _thirds(dips)),
            np.median(dips, axis=0),
        ]
    columns += [part.mean(axis=0) - level_db for part in _thirds(bands_db)]
    columns += list(bands_db - _mean(bands_db, 171))
    sixths = bands_db.reshape(6, LISTENED // 6, -1).mean(axis=1)
    for lag in (-16, -4, 4, 16):
        columns += list(np.roll(sixths, lag, axis=1) - sixths)
    columns += [np.roll(level_db, lag) - level_db for lag in (-64, -16, -4, 4, 16, 64)]
    of_all = (
        near.mean(),
        level_db.mean(),
        peak_db.std(),
        *np.quantile(peak_db, (0.5, 0.9, 0.99)),
        ndimage.maximum_filter1d(peak_db, 35).mean(),
    )
    columns += [np.full(len(peak_db), figure) for figure in of_all]
    return np.stack(columns, axis=1).astype(np.float32)


def _thirds(bands: NDArray[np.floating]) -> tuple[NDArray[np.floating], ...]:
    return bands[:4], bands[4:10], bands[10:]


def _mean(values: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    return np.asarray(ndimage.uniform_filter1d(values, width, axis=-1, mode="nearest"))


def _away(hits: NDArray[np.bool_]) -> tuple[Float64Array, Float64Array]:
    """Hops since the last hit, and to the next."""
    at = np.arange(hits.size)
    last = np.maximum.accumulate(np.where(hits, at, -_MOST_AWAY_HOPS))
    following = np.minimum.accumulate(np.where(hits, at, hits.size + _MOST_AWAY_HOPS)[::-1])[::-1]
    return (
        np.minimum(at - last, _MOST_AWAY_HOPS).astype(np.float64),
        np.minimum(following - at, _MOST_AWAY_HOPS).astype(np.float64),
    )


def _band_powers(samples: FloatArray, rate: int) -> FloatArray:
    """The mean power of the channels around each hop in `LISTENED` bands, (LISTENED, hops)."""
    size = 2 * round(_WINDOW_S * rate / 2)
    starts = hop_starts(samples.shape[1], rate)
    padded = np.pad(samples, ((0, 0), (size // 2 - round(HOP_S * rate / 2), size)))
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


def apply_gains(samples: FloatArray, gains_db: FloatArray, rate: int) -> FloatArray:
    """The samples (channels, frames) under gains (hops,) in dB, joined in dB between the hops' middles."""
    if not np.any(gains_db):
        return samples
    centres = hop_starts(samples.shape[1], rate) + 0.5 * HOP_S * rate
    course_db = np.interp(np.arange(samples.shape[1]), centres, gains_db)
    return samples * db_to_amplitude(course_db).astype(np.float32)
