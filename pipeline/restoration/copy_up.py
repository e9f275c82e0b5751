"""Makes bands anew: what lies below them, whitened and shifted up, at the levels and as noise-like as told.

Spectral band replication (Dietz, Liljeryd, Kjörling and Kunz, AES 112th Convention, 2002) in overlapping
spectra. The shift is a multiple of the overlap, so phases go on from window to window and an attack in the
source is an attack in the copy; noise comes in where a band should be more noise-like than its source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mixagent.pipeline.dsp.spectral import OVERLAP, ComplexArray
from mixagent.pipeline.restoration.band_levels import (
    BANDS,
    CENTRES_HZ,
    EDGES,
    HOP,
    RATE,
    TAPER,
    WINDOW,
    band_means,
    flatness_db,
    powers_of,
)
from mixagent.pipeline.types import FloatArray

NOISE_FLATNESS_DB = -2.5
_REACH = 16
_MOST_SHARE = 0.4
_LEAST_SOURCE = 24
_SEED = 7
_MONO = 1e-7


@dataclass(frozen=True)
class Target:
    """What is to be there.

    Attributes:
        power: of each bin of mid and side in each window, (2, windows, bins).
        flatness_db: of each band, (2, BANDS, windows).
    """

    power: FloatArray
    flatness_db: FloatArray


def between(values: FloatArray, windows: int, step: int) -> FloatArray:
    """Values of every `step`th window for all `windows`, by lines between; time is the last axis."""
    at = np.arange(windows) / step
    low = np.minimum(at.astype(int), values.shape[-1] - 1)
    high = np.minimum(low + 1, values.shape[-1] - 1)
    share = np.clip(at - low, 0.0, 1.0).astype(np.float32)
    return np.asarray(values[..., low] * (1 - share) + values[..., high] * share, np.float32)


def bins_of(bands_db: FloatArray) -> FloatArray:
    """Power of the bins from levels of the bands (…, BANDS, windows), by lines in dB over log frequency."""
    octaves = np.log2(CENTRES_HZ)
    at = np.log2(np.maximum(np.arange(WINDOW // 2 + 1), 1) * (CENTRES_HZ[0] / _centre_bin()))
    high = np.clip(np.searchsorted(octaves, at), 1, BANDS - 1)
    share = np.clip((at - octaves[high - 1]) / (octaves[high] - octaves[high - 1]), 0.0, 1.0)
    rows = np.swapaxes(bands_db, -1, -2)
    low_db, high_db = rows[..., high - 1], rows[..., high]
    return np.asarray(10 ** ((low_db + (high_db - low_db) * share.astype(np.float32)) / 10), np.float32)


def _centre_bin() -> float:
    return float(np.sqrt(EDGES[0] * EDGES[1]))


def sources_of(gone: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The bin from which each bin that is gone is copied; of others, itself.

    Args:
        gone: the bins that are to be filled, (bins,).
    """
    source = np.arange(gone.size)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], gone, [False]]).astype(int)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        lender = _lender(gone, int(start), int(stop - start))
        if lender is None:
            continue
        first, width = lender
        places = np.arange(start, stop)
        # Overlapping windows stay in phase where the shift is a multiple of what they overlap by.
        shift = -(-(start - first) // OVERLAP) * OVERLAP
        source[start:stop] = places - shift - (places - start) // width * width
    return source


def _lender(gone: NDArray[np.bool_], start: int, wanted: int) -> tuple[int, int] | None:
    """First bin and width, a multiple of the overlap, of what lends to a run that begins at `start`."""
    best: tuple[int, int] | None = None
    stop, most = start, -(-wanted // OVERLAP) * OVERLAP
    while stop > EDGES[0]:
        first = stop
        while first > EDGES[0] and not gone[first - 1] and stop - first < _MOST_SHARE * stop:
            first -= 1
        # The edge itself is half gone, and rounding the shift takes up to three bins.
        width = min((stop - 2 - first - OVERLAP) // OVERLAP * OVERLAP, most)
        if width > (best[1] if best else 0):
            best = stop - 2 - width, width
        if best and best[1] >= min(_LEAST_SOURCE, most):
            break
        stop = first - 1
        while stop > EDGES[0] and gone[stop - 1]:
            stop -= 1
    return best


def whitened(spectra: ComplexArray, power: FloatArray) -> ComplexArray:
    """Spectra over their own envelope, window by window; digital silence stays silent."""
    bins = power.shape[-1]
    sums = np.zeros((*power.shape[:-1], bins + 1))
    np.cumsum(power, axis=-1, dtype=np.float64, out=sums[..., 1:])
    low, high = np.maximum(np.arange(bins) - _REACH, 0), np.minimum(np.arange(bins) + _REACH + 1, bins)
    around = (sums[..., high] - sums[..., low]) / (high - low)
    return np.asarray(spectra / np.sqrt(np.maximum(around, 1e-16)), np.complex64)


def grown(
    spectra: ComplexArray,
    power: FloatArray,
    source: NDArray[np.int64],
    target: Target,
    second: int,
) -> ComplexArray:
    """Spectra of the target's envelope in the bins that have a source, nought elsewhere.

    Args:
        spectra: of the song, (2, windows, bins).
        power: of each.
        source: as `sources_of` gives it.
        target: what is to be there.
        second: of the song, at which the spectra begin: noise is the same wherever a piece begins.
    """
    copied = source != np.arange(source.size)
    made = whitened(spectra, power)[..., source]
    noise = _noise(spectra.shape[1], second)
    made = np.where(powers_of(made) > 1e-6, made, noise)
    have_db = _smooth(flatness_db(powers_of(made)))
    want_db = _smooth(target.flatness_db)
    share = np.clip((want_db - have_db) / np.maximum(NOISE_FLATNESS_DB - have_db, 0.5), 0.0, 1.0)
    share_bins = _steps(share)
    made = made * np.sqrt(1 - share_bins) + noise * np.sqrt(share_bins)
    wanted = target.power * copied
    have = band_means(wanted * powers_of(made)).mean(axis=1)
    should = band_means(wanted).mean(axis=1)
    level = np.sqrt(np.clip(should / np.maximum(have, 1e-30), 0.1, 10.0))
    level_bins = _steps(level[..., None].astype(np.float32))
    return np.asarray(made * np.sqrt(wanted) * level_bins, np.complex64)


def _smooth(values: FloatArray) -> FloatArray:
    """A running mean over nine windows."""
    sums = np.cumsum(np.pad(values, ((0, 0), (0, 0), (5, 4)), mode="edge"), axis=-1, dtype=np.float64)
    return np.asarray((sums[..., 9:] - sums[..., :-9]) / 9, np.float32)


def _steps(bands: FloatArray) -> FloatArray:
    """Values of bands (2, BANDS, windows) for bins, (2, windows, bins)."""
    bins = np.clip(np.searchsorted(EDGES, np.arange(WINDOW // 2 + 1), side="right") - 1, 0, BANDS - 1)
    return np.asarray(np.swapaxes(bands, -1, -2)[..., bins], np.float32)


def _noise(windows: int, second: int) -> ComplexArray:
    """Spectra of white noise of power 1 a bin, that overlap as those of a signal do."""
    frames = WINDOW + (windows - 1) * HOP
    seconds = range(second, second + -(-frames // RATE))
    drawn = [
        np.random.default_rng([_SEED, one + 1]).standard_normal((2, RATE), np.float32) for one in seconds
    ]
    signal = np.concatenate(drawn, axis=1)[:, :frames]
    parts = np.lib.stride_tricks.sliding_window_view(signal, WINDOW, axis=1)[:, ::HOP]
    return np.asarray(fft.rfft(parts * TAPER, axis=-1) * np.float32(np.sqrt(2 / WINDOW)), np.complex64)


def sounding(power: FloatArray) -> FloatArray:
    """1 for a channel that has something, else 0, (2, 1, 1): mono stays mono."""
    total = power.sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(total > _MONO * total.max(), np.float32)[:, None, None]


def signals_of(spectra: ComplexArray, frames: int) -> FloatArray:
    """Mid and side, (2, frames), from spectra of their windows, overlapped and added."""
    parts = fft.irfft(spectra, WINDOW, axis=-1) * (TAPER * np.float32(2 / OVERLAP))
    windows = parts.shape[1]
    out = np.zeros((2, (windows + OVERLAP - 1) * HOP), np.float32)
    for shift in range(OVERLAP):
        part = parts[:, :, shift * HOP : (shift + 1) * HOP].reshape(2, -1)
        out[:, shift * HOP : shift * HOP + windows * HOP] += part
    return np.pad(out, ((0, 0), (0, max(frames - out.shape[1], 0))))[:, :frames]
