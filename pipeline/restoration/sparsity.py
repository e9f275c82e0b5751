"""Clipped samples from the sparsest spectrum that agrees with what is known of them.

Siedenburg, Kowalski, Dörfler, "Audio declipping with social sparsity", ICASSP 2014: iterative shrinkage
with momentum in a tight Gabor frame. A coefficient is kept by the power of its neighbourhood (persistent
empirical Wiener shrinkage), so lone ones, which clipping makes, go and partials stay. The threshold falls
from iteration to iteration. Samples that were not clipped are to be met; clipped ones are to lie beyond
their level. Two channels are turned to their principal axes first, where what they share stands once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

from mixagent.pipeline.types import FloatArray

WINDOW_S = 0.186
"""Of the frame: on dense mixes longer than the 46 ms that suit single instruments."""

ITERATIONS = 100
_OVERLAP = 4
_HIGHEST_THRESHOLD, _LOWEST_THRESHOLD = 0.5, 0.01
_MOMENTUM = 0.9
_FRAMES_BESIDE, _BINS_BESIDE = 3, 1

Spectrum = NDArray[np.complex64]


def window_frames(rate: int) -> int:
    """Length of the frame's window, a multiple of its overlap whose transform is fast."""
    quarter = round(WINDOW_S * rate / _OVERLAP)
    return _OVERLAP * int(fft.next_fast_len(max(quarter, 16), real=True))


def beyond_level(
    samples: FloatArray,
    level: FloatArray,
    rate: int,
    step: Callable[[float], None],
    iterations: int = ITERATIONS,
) -> FloatArray:
    """The samples with those replaced that were clipped.

    Args:
        samples: float32 (channels, frames), mono or stereo.
        level: of the same shape: 0 where a sample is as it was; else the level, negative for the lower
            side, that it was clipped to and lies beyond.
        rate: in Hz.
        step: called with the share done.
        iterations: steps of the threshold's fall.
    """
    scale = float(np.abs(level).max())
    if not scale:
        return samples
    frame = _Frame(samples.shape[1], window_frames(rate))
    turn = _principal_axes(samples)
    known, bound = samples / np.float32(scale), level / np.float32(scale)
    high, low = bound > 0, bound < 0
    ahead = [frame.analysed(channel) for channel in turn @ known]
    kept = [spectrum.copy() for spectrum in ahead]
    powers = np.empty((2, *ahead[0].shape), np.float32)
    # What a steady partial gives a coefficient grows with the root of the window's length.
    unit = np.sqrt(frame.size / 8192)
    thresholds = np.geomspace(_HIGHEST_THRESHOLD, _LOWEST_THRESHOLD, iterations) * unit
    for at, threshold in enumerate(thresholds):
        made = turn.T @ np.stack([frame.made(spectrum) for spectrum in ahead])
        astray = known - made
        np.copyto(astray, np.maximum(bound - made, 0), where=high)
        np.copyto(astray, np.minimum(bound - made, 0), where=low)
        for index, channel in enumerate(turn @ astray):
            ahead[index] += frame.analysed(channel)
            _shrink(ahead[index], kept[index], np.float32(threshold**2), np.float32(_MOMENTUM), powers)
        step((at + 1) / iterations)
    made = turn.T @ np.stack([frame.made(spectrum) for spectrum in kept]) * np.float32(scale)
    return np.where(high, np.maximum(made, level), np.where(low, np.minimum(made, level), samples))


def _principal_axes(samples: FloatArray) -> FloatArray:
    """The rotation (channels, channels) after which two channels are uncorrelated."""
    if len(samples) != 2:
        return np.eye(len(samples), dtype=np.float32)
    (left, shared), (_, right) = (samples @ samples.T).astype(np.float64)
    angle = 0.5 * np.arctan2(2 * shared, left - right)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, sine], [-sine, cosine]], np.float32)


class _Frame:
    """A tight Gabor frame over `frames` samples: `made(analysed(x))` is x."""

    def __init__(self, frames: int, size: int) -> None:
        self.size, self._frames = size, frames
        self._hop = size // _OVERLAP
        self._before = size - self._hop
        self._count = -(-(frames + self._before) // self._hop)
        self._window = _window(size)

    def analysed(self, samples: FloatArray) -> Spectrum:
        """The coefficients (windows, bins) of samples (frames,)."""
        padded = np.zeros((self._count - 1) * self._hop + self.size, np.float32)
        padded[self._before : self._before + self._frames] = samples
        cut = np.lib.stride_tricks.sliding_window_view(padded, self.size)[:: self._hop]
        return np.asarray(fft.rfft(cut * self._window, norm="ortho", axis=1), np.complex64)

    def made(self, spectrum: Spectrum) -> FloatArray:
        """The samples (frames,) of coefficients."""
        pieces = fft.irfft(spectrum, self.size, norm="ortho", axis=1)
        pieces *= self._window
        quarters = pieces.reshape(self._count, _OVERLAP, self._hop)
        summed = np.zeros((self._count + _OVERLAP - 1, self._hop), np.float32)
        for quarter in range(_OVERLAP):
            summed[quarter : quarter + self._count] += quarters[:, quarter]
        return summed.ravel()[self._before : self._before + self._frames]


@lru_cache(maxsize=2)
def _window(size: int) -> FloatArray:
    window: FloatArray = (np.hanning(size + 1)[:-1] / np.sqrt(1.5)).astype(np.float32)
    return window


@njit(cache=True, nogil=True, fastmath=True)
def _shrink(
    ahead: Spectrum, kept: Spectrum, least: np.float32, momentum: np.float32, powers: FloatArray
) -> None:
    """Shrink `ahead` to the new `kept` by the mean power of each neighbourhood, and move on past it."""
    windows, bins = ahead.shape
    across, summed = powers[0], powers[1]
    for t in range(windows):
        row, out = ahead[t], across[t]
        for f in range(bins):
            total = np.float32(0)
            for g in range(max(f - _BINS_BESIDE, 0), min(f + _BINS_BESIDE, bins - 1) + 1):
                total += row[g].real ** 2 + row[g].imag ** 2
            out[f] = total
    size = np.float32((2 * _FRAMES_BESIDE + 1) * (2 * _BINS_BESIDE + 1))
    for t in range(windows):
        out = summed[t]
        out[:] = np.float32(1e-20)
        for u in range(max(t - _FRAMES_BESIDE, 0), min(t + _FRAMES_BESIDE, windows - 1) + 1):
            near = across[u]
            for f in range(bins):
                out[f] += near[f]
    for t in range(windows):
        for f in range(bins):
            share = max(np.float32(1) - least * size / summed[t, f], np.float32(0))
            shrunk = ahead[t, f] * share
            ahead[t, f] = shrunk + momentum * (shrunk - kept[t, f])
            kept[t, f] = shrunk
