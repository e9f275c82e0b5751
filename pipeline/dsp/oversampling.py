"""True peaks between samples: interpolation of each sample interval (BS.1770-5, Annex 2) at 8×.

Interval i lies between sample i and the next one; its peak is the largest absolute value, over all
channels, of both samples and of the seven points between them. Interpolators of different length
disagree close to the Nyquist frequency, by more than 1 dB on white noise, so a peak is the largest
of several: short ones in direct form, which hold the filters of common meters, and long ones, which
come close to the ideal band-limited interpolation. The long ones run only where they can matter.
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
_COARSE = 2
_COARSE_MISS = 0.9
"""A peak is at least this share of its height at 4×: cos(π/8) at the Nyquist frequency, and some room."""

_LONG_WINDOWS = ((LONG_REACH, 8.0), (128, 5.0), (64, 5.0), (32, 5.0))
_DOUBT = 12.0
"""How many times its RMS the short and the long interpolation are taken to differ at most."""

_DISAGREEMENT = 0.009
"""What is added to a peak, where the interpolators doubt, for the meters that lie between them."""

_FEW = 200
"""Intervals up to which direct interpolation is faster than that of a whole hop by FFT."""


@dataclass(frozen=True)
class ShortBank:
    """Fractional-delay filters in mirrored pairs, one pair a row.

    A filter for the point p of an interval and its mirror image for 1 − p share their products:
    with u the sums and v the differences of the samples at equal distance from the interval's
    middle, their outputs are `even @ u ± odd @ v`, and the larger magnitude of the two is
    `|even @ u| + |odd @ v|`. Shapes: (pairs, SHORT_REACH) and, for `reach`, (pairs,). The first
    `_COARSE` pairs are the points of a 4× interpolation.
    """

    even: NDArray[np.float32]
    odd: NDArray[np.float32]
    reach: NDArray[np.int64]
    most_gain: float


@cache
def short_bank() -> ShortBank:
    """8× by Kaiser windows of 32 and of 20 taps (scipy's default), 4× by libebur128's 12-tap Hann."""
    eighth, quarter, three_eighths, half = _eightfold(SHORT_REACH, 6.0)[:4]
    rows = [half, quarter, eighth, three_eighths, *_eightfold(10, 5.0)[:4]]
    rows += [_taps(k / 4, _METER_REACH, _hann) for k in range(1, 3)]
    reach = [row.shape[1] for row in rows]
    padded = np.stack([np.pad(row, ((0, 0), (0, SHORT_REACH - row.shape[1]))) for row in rows])
    before, after = padded[:, 0], padded[:, 1]
    most_gain = float(np.abs(padded).sum(axis=(1, 2)).max())
    even, odd = ((before + after) / 2).astype(np.float32), ((before - after) / 2).astype(np.float32)
    return ShortBank(even, odd, np.array(reach), most_gain)


@dataclass(frozen=True)
class LongBank:
    """Interpolators of 64 to 512 taps, in time (points, 2·LONG_REACH) and in frequency.

    `doubt` is the largest squared difference of their responses from the short bank's, by bin.
    """

    taps: NDArray[np.float32]
    responses: NDArray[np.complex64]
    doubt: NDArray[np.float32]


@cache
def long_bank() -> LongBank:
    """The long interpolators at seven points each."""
    taps = np.stack([_ordered(row) for reach, beta in _LONG_WINDOWS for row in _eightfold(reach, beta)])
    short = np.stack([_ordered(row) for row in _eightfold(SHORT_REACH, 6.0)] * len(_LONG_WINDOWS))
    doubt = (np.abs(fft.rfft(taps - short, _FFT_FRAMES)) ** 2).max(axis=0)
    responses = np.conj(fft.rfft(taps, _FFT_FRAMES)).astype(np.complex64)
    return LongBank(taps.astype(np.float32), responses, doubt.astype(np.float32))


def _eightfold(reach: int, beta: float) -> list[NDArray[np.float64]]:
    """The seven points between samples by a Kaiser-windowed sinc of unit gain, as `firwin` makes it."""
    rows = [_taps(k / 8, reach, _kaiser(beta)) for k in range(1, 8)]
    gain = (1.0 + sum(float(row.sum()) for row in rows)) / 8.0
    return [row / gain for row in rows]


def _ordered(row: NDArray[np.float64]) -> NDArray[np.float64]:
    joined = np.concatenate((row[0][::-1], row[1]))
    return np.pad(joined, LONG_REACH - row.shape[1])


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
    _short_peaks(
        samples, bank.even, bank.odd, bank.reach, ceiling / bank.most_gain, ceiling * _COARSE_MISS, peaks
    )
    return peaks


def long_peaks(samples: FloatArray, ceiling: float) -> FloatArray:
    """Peaks (HOP_FRAMES,) of the intervals from `samples[:, LONG_REACH - 1]` on, by both banks.

    `samples` has HOP_FRAMES + 2·LONG_REACH − 1 frames. The long bank only looks at intervals where
    its difference from the short one, judged by the spectrum close to the Nyquist frequency, could
    take the peak over `ceiling`.
    """
    inset = LONG_REACH - SHORT_REACH
    bank, peaks = long_bank(), short_peaks(samples[:, inset : samples.shape[1] - inset], ceiling)
    for channel in samples:
        spectrum = fft.rfft(channel, _FFT_FRAMES)
        power = spectrum.real**2 + spectrum.imag**2
        doubt = _DOUBT * float(np.sqrt(2.0 * np.dot(power, bank.doubt))) / _FFT_FRAMES
        scale = np.float32(1.0 + _DISAGREEMENT * min(doubt, 1.0))
        places = np.flatnonzero(peaks > ceiling - doubt)
        if places.size > _FEW:
            between = fft.irfft(spectrum * (scale * bank.responses), _FFT_FRAMES, overwrite_x=True)
            np.abs(between, out=between)
            np.maximum(peaks, between[:, :HOP_FRAMES].max(axis=0), out=peaks)
        else:
            _long_peaks(channel, bank.taps, places, scale, peaks)
    return peaks


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _long_peaks(
    samples: NDArray[np.float32],
    taps: NDArray[np.float32],
    places: NDArray[np.int64],
    scale: np.float32,
    peaks: NDArray[np.float32],
) -> None:
    for at in places:
        around = samples[at : at + taps.shape[1]]
        for row in taps:
            value = np.float32(0.0)
            for j in range(row.size):
                value += around[j] * row[j]
            peaks[at] = max(peaks[at], scale * abs(value))


@njit(cache=True, nogil=True, fastmath={"contract", "nnan", "nsz", "reassoc"})
def _largest(values: NDArray[np.float32]) -> np.float32:
    largest = np.float32(0.0)
    for i in range(values.size):
        largest = max(largest, abs(values[i]))
    return largest


@njit(cache=True, nogil=True, fastmath={"contract", "nnan", "nsz"})
def _short_peaks(
    samples: NDArray[np.float32],
    even: NDArray[np.float32],
    odd: NDArray[np.float32],
    reach: NDArray[np.int64],
    ignore_below: float,
    ignore_coarse_below: float,
    peaks: NDArray[np.float32],
) -> None:
    even_sum, odd_sum = np.empty(_GROUP, np.float32), np.empty(_GROUP, np.float32)
    peaks[:] = 0.0
    for start in range(0, peaks.size, _GROUP):
        found = peaks[start : start + _GROUP]
        for c in range(samples.shape[0]):
            x = samples[c, start : start + _GROUP + 2 * SHORT_REACH - 1]
            ends = x[SHORT_REACH - 1 :]
            for i in range(_GROUP):
                found[i] = max(found[i], max(abs(ends[i]), abs(ends[i + 1])))
            if _largest(x) <= ignore_below:
                continue
            for row in range(even.shape[0]):
                if row == _COARSE and _largest(found) <= ignore_coarse_below:
                    break
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
