"""True peaks between samples: interpolation of each sample interval (BS.1770-5, Annex 2) at 8×.

Interval i lies between sample i and the next one; its peak is the largest absolute value, over all
channels, of both samples and of the seven points between them. Interpolators of different length
disagree close to the Nyquist frequency, by more than 1 dB on white noise, so there are two: a short
one in direct form, which holds the filter of common meters too, and a long one by FFT, which comes
close to the ideal band-limited interpolation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

from mixagent.pipeline.audio import FloatArray

SHORT_REACH = 16
LONG_REACH = 256
"""Samples on each side of an interval that an interpolator uses."""

HOP_FRAMES = 3584
"""Intervals that are looked at in one go: with what the long interpolator reaches, one FFT of 4096."""

_FFT_FRAMES = HOP_FRAMES + 2 * LONG_REACH
_GROUP = 64
_METER_REACH = 6


@dataclass(frozen=True)
class ShortBank:
    """Fractional-delay filters in mirrored pairs, one pair a row.

    A filter for the point p of an interval and its mirror image for 1 − p share their products:
    with u the sums and v the differences of the samples at equal distance from the interval's
    middle, their outputs are `even @ u ± odd @ v`, and the larger magnitude of the two is
    `|even @ u| + |odd @ v|`. Shapes: (pairs, SHORT_REACH) and, for `reach`, (pairs,).
    """

    even: NDArray[np.float32]
    odd: NDArray[np.float32]
    reach: NDArray[np.int64]
    most_gain: float


@cache
def short_bank() -> ShortBank:
    """8× by a Kaiser-windowed sinc of 32 taps, and 4× by the 12-tap Hann-windowed sinc of libebur128."""
    rows = [_taps(k / 8, SHORT_REACH, _kaiser(6.0)) for k in range(1, 5)]
    rows += [_taps(k / 4, _METER_REACH, _hann) for k in range(1, 3)]
    reach = [row.shape[1] for row in rows]
    padded = np.stack([np.pad(row, ((0, 0), (0, SHORT_REACH - row.shape[1]))) for row in rows])
    before, after = padded[:, 0], padded[:, 1]
    most_gain = float(np.abs(padded).sum(axis=(1, 2)).max())
    even, odd = ((before + after) / 2).astype(np.float32), ((before - after) / 2).astype(np.float32)
    return ShortBank(even, odd, np.array(reach), most_gain)


@cache
def _long_bank() -> tuple[NDArray[np.complex64], float]:
    rows = [_taps(k / 8, LONG_REACH, _kaiser(8.0)) for k in range(1, 8)]
    ordered = np.stack([np.concatenate((row[0][::-1], row[1])) for row in rows])
    most_gain = float(np.abs(ordered).sum(axis=1).max())
    return np.conj(fft.rfft(ordered, _FFT_FRAMES)).astype(np.complex64), most_gain


def _taps(
    point: float, reach: int, window: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Coefficients of the samples before and after a point of an interval, nearest first: (2, reach)."""
    distance = np.stack((point + np.arange(reach), 1.0 - point + np.arange(reach)))
    return np.sinc(distance) * window(distance / reach)


def _kaiser(beta: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    def window(position: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.i0(beta * np.sqrt(np.maximum(1.0 - position**2, 0.0))) / np.i0(beta)

    return window


def _hann(position: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 + 0.5 * np.cos(np.pi * position)


def short_peaks(samples: FloatArray, ceiling: float) -> FloatArray:
    """Peaks (HOP_FRAMES,) of the intervals from `samples[:, SHORT_REACH - 1]` on, by the short bank.

    `samples` has HOP_FRAMES + 2·SHORT_REACH − 1 frames. Where no interpolated value can reach
    `ceiling`, the larger sample stands for the peak.
    """
    bank = short_bank()
    peaks = np.empty(HOP_FRAMES, np.float32)
    _short_peaks(samples, bank.even, bank.odd, bank.reach, np.float32(ceiling / bank.most_gain), peaks)
    return peaks


def long_peaks(samples: FloatArray, ceiling: float) -> FloatArray:
    """Peaks (HOP_FRAMES,) of the intervals from `samples[:, LONG_REACH - 1]` on, by both banks.

    `samples` has HOP_FRAMES + 2·LONG_REACH − 1 frames. Where no interpolated value can reach
    `ceiling`, the larger sample stands for the peak.
    """
    inset = LONG_REACH - SHORT_REACH
    peaks = short_peaks(samples[:, inset : samples.shape[1] - inset], ceiling)
    responses, most_gain = _long_bank()
    for channel in samples:
        if np.abs(channel).max() * most_gain > ceiling:
            spectrum = fft.rfft(channel, _FFT_FRAMES)
            between = fft.irfft(spectrum * responses, _FFT_FRAMES, overwrite_x=True)
            np.abs(between, out=between)
            np.maximum(peaks, between[:, :HOP_FRAMES].max(axis=0), out=peaks)
    return peaks


@njit(cache=True, nogil=True, fastmath={"contract"})
def _short_peaks(
    samples: NDArray[np.float32],
    even: NDArray[np.float32],
    odd: NDArray[np.float32],
    reach: NDArray[np.int64],
    ignore_below: np.float32,
    peaks: NDArray[np.float32],
) -> None:
    even_sum, odd_sum = np.empty(_GROUP, np.float32), np.empty(_GROUP, np.float32)
    peaks[:] = 0.0
    for start in range(0, peaks.size, _GROUP):
        found = peaks[start : start + _GROUP]
        for c in range(samples.shape[0]):
            x = samples[c, start : start + _GROUP + 2 * SHORT_REACH - 1]
            loudest = np.float32(0.0)
            for i in range(x.size):
                loudest = max(loudest, abs(x[i]))
            ends = x[SHORT_REACH - 1 :]
            for i in range(_GROUP):
                found[i] = max(found[i], max(abs(ends[i]), abs(ends[i + 1])))
            if loudest <= ignore_below:
                continue
            for row in range(even.shape[0]):
                even_sum[:] = 0.0
                odd_sum[:] = 0.0
                for j in range(0, reach[row], 2):
                    e0, e1 = even[row, j], even[row, j + 1]
                    o0, o1 = odd[row, j], odd[row, j + 1]
                    # Slices, because an index that numba cannot prove positive is not vectorised.
                    before = x[SHORT_REACH - 2 - j : SHORT_REACH - 1 - j + _GROUP]
                    after = x[SHORT_REACH + j : SHORT_REACH + j + 1 + _GROUP]
                    for i in range(_GROUP):
                        even_sum[i] += e0 * (before[i + 1] + after[i]) + e1 * (before[i] + after[i + 1])
                        odd_sum[i] += o0 * (before[i + 1] - after[i]) + o1 * (before[i] - after[i + 1])
                for i in range(_GROUP):
                    found[i] = max(found[i], abs(even_sum[i]) + abs(odd_sum[i]))
