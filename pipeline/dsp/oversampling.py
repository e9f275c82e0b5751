"""True peaks between samples: interpolation of each sample interval (BS.1770-5, Annex 2) at 8×.

Interval i lies between sample i and the next one; its peak is the largest absolute value, over all
channels, of both samples and of the seven points between them. Interpolators of different length
disagree close to the Nyquist frequency, by more than 1 dB on white noise, so a peak is the largest
of several: short ones, which hold the filters of common meters, and long ones, which come close to
the ideal band-limited interpolation. Each runs only where what is known of the peak already leaves
room for it to matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.types import FloatArray

SHORT_REACH = 16
LONG_REACH = 256
"""Samples on each side of an interval that an interpolator uses."""

HOP_FRAMES = 3584
"""Intervals that are looked at in one go: with what the long interpolator reaches, one FFT of 4096."""

_FFT_FRAMES = HOP_FRAMES + 2 * LONG_REACH
_BATCH = 512
_NEIGHBOURS = 64
_METER_REACH = 6
_COARSE_MISS = 0.9
"""A peak is at least this share of its height at 4×: cos(π/8) at the Nyquist frequency, and some room."""

_MOVED = 0.97
"""A gain in motion moves the peaks between samples by less than what this leaves."""

_LONG_WINDOWS = ((LONG_REACH, 8.0), (128, 5.0), (64, 5.0), (32, 5.0))
_DOUBT_FROM = 3 * _FFT_FRAMES // 8
_RIPPLE = 0.001
"""The difference of the short and the long responses below that bin (three quarters of Nyquist)."""

_DOUBT = 12.0
"""The factor over its RMS by which the short and the long interpolation are taken to differ at most."""

METERS_DISAGREE = 0.009
"""What is added to a peak, where the interpolators doubt, for the meters that lie between them."""

_MANY = 1000
"""Intervals from which on the interpolation of a whole hop by FFT is faster than a direct one."""


@dataclass(frozen=True)
class ShortBank:
    """The short interpolators.

    `half` and `even`, `odd` are the 4× ones in a form that shares their products, shape
    (SHORT_REACH,), nearest sample first: with u the sums and v the differences of the samples at
    equal distance from the interval's middle, the value there is `half @ u`, and those a quarter
    from either end are `even @ u ± odd @ v`. `taps` are all points of all windows and both samples,
    in time, shape (points, 2·SHORT_REACH). `most_gain` is the largest that any of them can gain.
    """

    half: FloatArray
    even: FloatArray
    odd: FloatArray
    taps: FloatArray
    most_gain: float


@cache
def short_bank() -> ShortBank:
    """8× by Kaiser windows of 32 and of 20 taps (scipy's default), 4× by libebur128's 12-tap Hann."""
    long, short = _eightfold(SHORT_REACH, 6.0), _eightfold(10, 5.0)
    meter = [_taps(k / 4, _METER_REACH, _hann) for k in range(1, 4)]
    samples = [np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])]
    rows = np.stack([_ordered(row, SHORT_REACH) for row in (*long, *short, *meter, *samples)])
    half, (before, after) = long[3][0], long[1]
    return ShortBank(
        half=half.astype(np.float32),
        even=((before + after) / 2).astype(np.float32),
        odd=((before - after) / 2).astype(np.float32),
        taps=rows.astype(np.float32),
        most_gain=float(np.abs(rows).sum(axis=1).max()),
    )


@dataclass(frozen=True)
class LongBank:
    """Interpolators of 64 to 512 taps at seven points each: in time, one array a length, and by bin.

    `doubt` is the largest squared difference of their responses from the short bank's, by bin from
    `_DOUBT_FROM` on.
    """

    taps: tuple[FloatArray, ...]
    responses: NDArray[np.complex64]
    doubt: NDArray[np.float32]


@cache
def long_bank() -> LongBank:
    """The long interpolators."""
    windows = [_eightfold(reach, beta) for reach, beta in _LONG_WINDOWS]
    rows = np.stack([_ordered(row, LONG_REACH) for window in windows for row in window])
    short = np.stack([_ordered(row, LONG_REACH) for row in _eightfold(SHORT_REACH, 6.0)] * len(windows))
    doubt = (np.abs(np.fft.rfft(rows - short, _FFT_FRAMES)) ** 2).max(axis=0)[_DOUBT_FROM:]
    taps = (np.stack([_ordered(row, row.shape[1]) for row in window]) for window in windows)
    return LongBank(
        taps=tuple(of_window.astype(np.float32) for of_window in taps),
        responses=np.conj(np.fft.rfft(rows, _FFT_FRAMES)).astype(np.complex64),
        doubt=doubt.astype(np.float32),
    )


def interpolators(factor: int, reach: int, beta: float) -> list[NDArray[np.float64]]:
    """The points between samples by a Kaiser-windowed sinc of unit gain, as `firwin` makes it.

    `factor` − 1 arrays (2, reach): the coefficients of the samples before and after, nearest first.
    """
    rows = [_taps(k / factor, reach, _kaiser(beta)) for k in range(1, factor)]
    gain = (1.0 + sum(float(row.sum()) for row in rows)) / factor
    return [row / gain for row in rows]


def _eightfold(reach: int, beta: float) -> list[NDArray[np.float64]]:
    return interpolators(8, reach, beta)


def in_time(row: NDArray[np.float64]) -> NDArray[np.float64]:
    """An interpolator's coefficients in the order of time, (2·reach,)."""
    return np.concatenate((row[0][::-1], row[1]))


def _ordered(row: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Coefficients (2, taps) as `_taps` gives them, in time: (2·reach,)."""
    return np.pad(in_time(row), reach - row.shape[1])


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


def coarse_peaks(samples: FloatArray, ignore_below: float) -> FloatArray:
    """Peaks of the intervals from `samples[:, SHORT_REACH - 1]` on, at 4×.

    `samples` (channels, frames) has 2·SHORT_REACH − 1 frames more than there are intervals, which
    are a multiple of 512. Where no interpolated value can reach `ignore_below`, the larger sample
    stands for the peak.
    """
    bank, samples = short_bank(), np.ascontiguousarray(samples)
    peaks = np.zeros(samples.shape[1] - 2 * SHORT_REACH + 1, np.float32)
    _coarse_peaks(samples, bank.half, bank.even, bank.odd, ignore_below / bank.most_gain, peaks)
    return peaks


class PeakEnvelope:
    """The largest peak at 4× of each group of intervals of a stream, from the first sample on.

    Args:
        channels: of the stream.
        group_frames: intervals in a group; a power of two up to 512.
    """

    def __init__(self, channels: int, group_frames: int) -> None:
        self._group_frames = group_frames
        self._waiting = np.zeros((channels, SHORT_REACH - 1), np.float32)
        self._parts: list[FloatArray] = []

    def update(self, block: FloatArray) -> None:
        """Take the next block, float32 (channels, frames)."""
        waiting = np.concatenate((self._waiting, block), axis=1)
        whole = max((waiting.shape[1] - 2 * SHORT_REACH + 1) // _BATCH * _BATCH, 0)
        self._waiting = waiting[:, whole:].copy()
        if whole:
            self._parts.append(self._grouped(waiting[:, : whole + 2 * SHORT_REACH - 1]))

    def peaks(self) -> FloatArray:
        """The peaks of all that was taken so far, with silence after it."""
        missing = -(self._waiting.shape[1] - SHORT_REACH + 1) % _BATCH
        tail = np.pad(self._waiting, ((0, 0), (0, missing + SHORT_REACH)))
        return np.concatenate([*self._parts, self._grouped(tail)])

    def _grouped(self, samples: FloatArray) -> FloatArray:
        largest: FloatArray = coarse_peaks(samples, 0.0).reshape(-1, self._group_frames).max(axis=1)
        return largest


def short_peaks(samples: FloatArray, ceiling: float) -> FloatArray:
    """Like `coarse_peaks`, by the whole short bank where a peak may be over `ceiling` and lead its kind."""
    peaks = coarse_peaks(samples, ceiling)
    places = _leading(peaks, ceiling)
    _raise_peaks(samples, short_bank().taps, places, np.float32(1.0), peaks)
    return peaks


def long_peaks(samples: FloatArray, expected: FloatArray, ceiling: float) -> FloatArray:
    """Peaks (HOP_FRAMES,) of the intervals from `samples[:, LONG_REACH - 1]` on, by both banks.

    `samples` has HOP_FRAMES + 2·LONG_REACH − 1 frames. `expected` is what the intervals' peaks are
    by the short bank if the gain since then was constant over its reach. Where neither the gain's
    motion nor the long bank could take a peak over `ceiling`, the expected one is given back.
    """
    peaks = expected.copy()
    if expected.max() <= np.float32(ceiling / 2):
        return peaks
    inset = LONG_REACH - SHORT_REACH
    places = np.flatnonzero(expected > np.float32(ceiling * _MOVED))
    peaks[places] = 0.0
    around = np.ascontiguousarray(samples[:, inset : samples.shape[1] - inset])
    _raise_peaks(around, short_bank().taps, places, np.float32(1), peaks)
    for channel, spectrum in zip(samples, np.fft.rfft(samples, _FFT_FRAMES), strict=True):
        _raise_by_long_bank(channel, spectrum, ceiling, peaks)
    return peaks


def _raise_by_long_bank(
    channel: FloatArray, spectrum: NDArray[np.complex64], ceiling: float, peaks: FloatArray
) -> None:
    """Raise peaks to the long bank's, where its difference from the short one could matter.

    The largest difference to expect follows from the spectrum close to the Nyquist frequency.
    """
    bank = long_bank()
    close = spectrum[_DOUBT_FROM:]
    power = close.real**2 + close.imag**2
    doubt = _DOUBT * float(np.sqrt(2.0 * np.dot(power, bank.doubt))) / _FFT_FRAMES
    scale = np.float32(1.0 + METERS_DISAGREE * min(doubt, 1.0))
    places = np.flatnonzero(peaks > ceiling * (1.0 - _RIPPLE) - doubt)
    if places.size > _MANY:
        between = np.fft.irfft(spectrum * (scale * bank.responses), _FFT_FRAMES)
        np.abs(between, out=between)
        np.maximum(peaks, between[:, :HOP_FRAMES].max(axis=0), out=peaks)
        return
    for taps in bank.taps:
        inset = LONG_REACH - taps.shape[1] // 2
        around = channel[inset : channel.size - inset].reshape(1, -1)
        _raise_peaks(around, taps, places, scale, peaks)


@njit(cache=True, nogil=True)
def _leading(peaks: NDArray[np.float32], ceiling: float) -> NDArray[np.int64]:
    """The intervals that may be over `ceiling` and, among their neighbours, the highest."""
    floor = np.float32(ceiling * _COARSE_MISS)
    places = np.empty(peaks.size, np.int64)
    count = 0
    for start in range(0, peaks.size, _NEIGHBOURS):
        part = peaks[start : start + _NEIGHBOURS]
        least = max(floor, np.float32(_COARSE_MISS) * part.max())
        if least < part.max():
            for i in range(part.size):
                if part[i] > least:
                    places[count] = start + i
                    count += 1
    return places[:count]


@njit(cache=True, nogil=True, fastmath={"contract", "nnan", "nsz", "reassoc"})
def _raise_peaks(
    samples: NDArray[np.float32],
    taps: NDArray[np.float32],
    places: NDArray[np.int64],
    scale: np.float32,
    peaks: NDArray[np.float32],
) -> None:
    """Raise the peaks at some places to what the rows of `taps` give there."""
    for at in places:
        largest = np.float32(0.0)
        for c in range(samples.shape[0]):
            around = samples[c, at : at + taps.shape[1]]
            for point in range(taps.shape[0]):
                value = np.float32(0.0)
                for j in range(taps.shape[1]):
                    value += around[j] * taps[point, j]
                largest = max(largest, abs(value))
        peaks[at] = max(peaks[at], scale * largest)


@njit(cache=True, nogil=True, fastmath={"contract", "nnan", "nsz"})
def _coarse_peaks(
    samples: NDArray[np.float32],
    half: NDArray[np.float32],
    even: NDArray[np.float32],
    odd: NDArray[np.float32],
    ignore_below: float,
    peaks: NDArray[np.float32],
) -> None:
    middle = np.empty(_BATCH, np.float32)
    sums, differences = np.empty(_BATCH, np.float32), np.empty(_BATCH, np.float32)
    for start in range(0, peaks.size, _BATCH):
        found = peaks[start : start + _BATCH]
        for c in range(samples.shape[0]):
            x = samples[c, start : start + _BATCH + 2 * SHORT_REACH - 1]
            ends = x[SHORT_REACH - 1 :]
            largest = np.float32(0.0)
            for i in range(x.size):
                largest = max(largest, abs(x[i]))
            for i in range(_BATCH):
                found[i] = max(found[i], max(abs(ends[i]), abs(ends[i + 1])))
            if largest <= ignore_below:
                continue
            middle[:] = 0.0
            sums[:] = 0.0
            differences[:] = 0.0
            for j in range(0, SHORT_REACH, 2):
                h0, h1, e0, e1, o0, o1 = half[j], half[j + 1], even[j], even[j + 1], odd[j], odd[j + 1]
                # Slices, because an index that numba cannot prove positive is not vectorised.
                before = x[SHORT_REACH - 2 - j : SHORT_REACH - 1 - j + _BATCH]
                after = x[SHORT_REACH + j : SHORT_REACH + j + 1 + _BATCH]
                for i in range(_BATCH):
                    middle[i] += h0 * (before[i + 1] + after[i]) + h1 * (before[i] + after[i + 1])
                    sums[i] += e0 * (before[i + 1] + after[i]) + e1 * (before[i] + after[i + 1])
                    differences[i] += o0 * (before[i + 1] - after[i]) + o1 * (before[i] - after[i + 1])
            for i in range(_BATCH):
                quarters = abs(sums[i]) + abs(differences[i])
                found[i] = max(found[i], max(abs(middle[i]), quarters))
