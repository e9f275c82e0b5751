"""A song as the envelope network reads it: levels of bands over time, and how noise-like each is.

Mid and side at 44.1 kHz, windows of 46 ms every 23 ms, half octaves up to 960 Hz and ninths of an octave
from there to 21 kHz.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mixagent.pipeline.dsp.spectral import OVERLAP, ComplexArray
from mixagent.pipeline.types import Float64Array, FloatArray

RATE = 44100
WINDOW = 2048
HOP = WINDOW // OVERLAP
BIN_HZ = RATE / WINDOW
STEP = 2
"""Every second window is read; what the network says is interpolated between."""

FLOOR_DB = -90.0
"""Against the song's mean density; what lies lower is told from silence by nobody."""

_LOW_HZ, _FINE_HZ, _TOP_HZ = 60.0, 960.0, 21000.0
_FINE_PER_OCTAVE = 9
_FLATTEST_DB = -25.0


def _edges() -> NDArray[np.int64]:
    coarse = _LOW_HZ * 2 ** (np.arange(0, 8) / 2)
    fine = _FINE_HZ * 2 ** (
        np.arange(int(_FINE_PER_OCTAVE * np.log2(_TOP_HZ / _FINE_HZ)) + 1) / _FINE_PER_OCTAVE
    )
    return np.unique(np.round(np.concatenate([coarse, fine]) / BIN_HZ).astype(np.int64))


EDGES = _edges()
"""Bins at which bands begin, and the end of the last."""

BANDS = EDGES.size - 1
WIDTHS = np.diff(EDGES)
CENTRES_HZ = np.sqrt(EDGES[1:] * EDGES[:-1]) * BIN_HZ

TAPER = np.sin(np.pi * np.arange(WINDOW) / WINDOW).astype(np.float32)
"""The root of a Hann window, for analysis and for synthesis."""


def mid_side(samples: FloatArray) -> FloatArray:
    """Mid and side, (2, frames), of mono or stereo; the side of mono is silent."""
    left, right = samples[0], samples[-1]
    return np.stack([(left + right) * np.float32(0.5), (left - right) * np.float32(0.5)])


def spectra_of(signals: FloatArray, hop: int = HOP) -> ComplexArray:
    """Spectra of all whole windows of `signals` (2, frames), shape (2, windows, bins)."""
    windows = np.lib.stride_tricks.sliding_window_view(signals, WINDOW, axis=1)[:, ::hop]
    return np.asarray(fft.rfft(windows * TAPER, axis=-1), np.complex64)


def powers_of(spectra: ComplexArray) -> FloatArray:
    """The power of each bin."""
    return np.asarray(spectra.real**2 + spectra.imag**2)


def band_means(power: FloatArray) -> FloatArray:
    """Mean power of the bins of each band, (…, windows, BANDS)."""
    return np.asarray(np.add.reduceat(power, EDGES, axis=-1)[..., :BANDS] / WIDTHS, np.float32)


def density(power: FloatArray) -> float:
    """The mean over windows of what all bins of mid and side have together, per bin: 0 dB of the levels."""
    return float(power.sum(axis=0, dtype=np.float64).mean()) + 1e-20


def levels_db(power: FloatArray, reference: float) -> FloatArray:
    """Levels of the bands against a density, (2, BANDS, windows), at least `FLOOR_DB`."""
    floor = np.float32(10 ** (FLOOR_DB / 10))
    means = band_means(power) / np.float32(reference)
    return np.ascontiguousarray(np.swapaxes(10 * np.log10(np.maximum(means, floor)), -1, -2), np.float32)


def flatness_db(power: FloatArray) -> FloatArray:
    """Spectral flatness of the bands, (2, BANDS, windows) in dB: −2.5 of noise, lower the more tonal."""
    small = np.float32(1e-20)
    log = band_means(np.log(power + small)) * np.float32(10 / np.log(10))
    flat = np.clip(log - 10 * np.log10(band_means(power) + small), _FLATTEST_DB, 0.0)
    return np.ascontiguousarray(np.swapaxes(flat, -1, -2), np.float32)


def long_term_db(levels: FloatArray) -> Float64Array:
    """Levels of the mean power over time, (2, BANDS)."""
    return np.asarray(10 * np.log10(np.mean(10 ** (levels.astype(np.float64) / 10), axis=-1)))
