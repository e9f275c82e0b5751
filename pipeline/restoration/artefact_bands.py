"""Short-time spectra of mid and side, and the powers of their bands: the form in which artefacts are judged.

Between 2 and 16 kHz, where shimmer lives, a band is 172 Hz wide: as narrow as the resonances of a decoder
and narrow enough that its gain can take one out between two partials.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mixagent.pipeline.types import FloatArray

RATE = 44100
SIZE, HOP = 1024, 512
BINS = SIZE // 2 + 1
EDGES: tuple[int, ...] = (
    0,
    *range(2, 24, 2),
    *range(24, 48, 3),
    *range(48, 372, 4),
    *range(372, 469, 8),
    BINS,
)
"""First bin of each band, and the end of the last."""

BANDS = len(EDGES) - 1
CENTRES_HZ: NDArray[np.float64] = (np.array(EDGES[:-1]) + np.array(EDGES[1:]) - 1) / 2 * RATE / SIZE

Spectra = NDArray[np.complex64]
"""(2, frames, BINS): mid and side."""

_WINDOW = np.sin(np.pi * (np.arange(SIZE) + 0.5) / SIZE).astype(np.float32)


def frames_of(samples: int) -> int:
    """Frames that cover so many samples, the first and the last with half a window outside."""
    return -(-samples // HOP) + 1


def forward(samples: FloatArray) -> Spectra:
    """Spectra of mid and side of samples (1 or 2, (n + 1)·HOP) at `RATE`: n frames without padding.

    Of a mono signal the side is silent.
    """
    left, right = samples[0], samples[-1]
    pair = np.stack([(left + right) / 2, (left - right) / 2])
    frames = np.lib.stride_tricks.sliding_window_view(pair, SIZE, axis=1)[:, ::HOP]
    return np.asarray(fft.rfft(frames * _WINDOW, axis=2), np.complex64)


def backward(spectra: Spectra, channels: int) -> FloatArray:
    """The overlapping windows of n frames added up, (channels, (n + 1)·HOP).

    Between the outer halves of the first and the last window these are the samples that `forward` took.
    """
    pieces = np.asarray(fft.irfft(spectra, SIZE, axis=2), np.float32) * _WINDOW
    joined = np.zeros((2, (pieces.shape[1] + 1) * HOP), np.float32)
    joined[:, :-HOP] += pieces[:, :, :HOP].reshape(2, -1)
    joined[:, HOP:] += pieces[:, :, HOP:].reshape(2, -1)
    mid, side = joined
    return np.stack([mid + side, mid - side]) if channels == 2 else joined[:1]


def band_powers(spectra: Spectra) -> FloatArray:
    """Power of each band, (2, BANDS, frames)."""
    return summed(spectra.real**2 + spectra.imag**2)


def summed(bins: FloatArray) -> FloatArray:
    """Sums over the bins of each band: (2, frames, BINS) to (2, BANDS, frames)."""
    return np.ascontiguousarray(np.add.reduceat(bins, EDGES[:-1], axis=2).transpose(0, 2, 1))


def over_bins(bands: FloatArray) -> FloatArray:
    """Each band's value on its bins: (2, BANDS, frames) to (2, frames, BINS)."""
    return np.repeat(bands.transpose(0, 2, 1), np.diff(EDGES), axis=2)
