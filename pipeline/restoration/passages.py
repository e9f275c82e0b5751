"""The passage of a song that could stand in for a gap: the one around which the song sounds most alike.

A song is read as levels in bands, frame by frame, of mid and of side. Around a gap these are compared with
all other places of the song at once, the frames beside the gap counting most, so that a passage is found
in the same place of its bar without anyone knowing the beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mixagent.pipeline.types import AudioSource, FloatArray, Progress

NOMINAL_RATE, _NOMINAL_HOP, _NOMINAL_BINS = 44100, 512, 513
_GROWTH = 0.11

FLOOR_DB = -100.0
"""Level of a band that holds nothing, against a full-scale sine."""

CONTEXT = 64
"""Frames of 11.6 ms on either side of a gap by which it is compared."""

POOLED = 3
"""Neighbouring bands that are compared as one."""

_DECAY = 24.0
_APART = 8
_BLOCK_WINDOWS = 512


def _centres() -> NDArray[np.float64]:
    centres = [1.0]
    while centres[-1] < _NOMINAL_BINS - 1:
        centres.append(centres[-1] + max(1.0, centres[-1] * _GROWTH))
    return np.array(centres[:-1])


CENTRES_HZ = _centres() * NOMINAL_RATE / (2 * (_NOMINAL_BINS - 1))
"""The middle of each band in Hz: single bins of 43 Hz at the bottom, then 11 % apart."""

BANDS = len(CENTRES_HZ)


@dataclass(frozen=True)
class Frames:
    """How a song at a rate is cut into frames: alike in seconds at every rate.

    Attributes:
        rate: in Hz.
        hop: frames of audio from one to the next, 11.6 ms.
        shares: of each bin in each band, shape (BANDS, bins); those of a bin sum to 1.
    """

    rate: int
    hop: int
    shares: FloatArray

    @classmethod
    def at(cls, rate: int) -> Frames:
        """Those of a rate."""
        hop = round(_NOMINAL_HOP * rate / NOMINAL_RATE)
        hz = np.arange(hop + 1) * rate / (2 * hop)
        place = np.interp(hz, CENTRES_HZ, np.arange(BANDS))
        shares = np.maximum(1 - np.abs(place[None] - np.arange(BANDS)[:, None]), 0)
        return cls(rate, hop, shares.astype(np.float32))

    def count(self, frames: int) -> int:
        """Whole windows (two hops) in so many samples."""
        return max(frames // self.hop - 1, 0)


def measure_levels(samples: FloatArray, frames: Frames) -> FloatArray:
    """Levels of mid and side in dB, float32 (2, BANDS, windows); the first window begins at sample 0.

    Args:
        samples: float32 (channels, frames); mono has a silent side.
        frames: of the samples' rate.
    """
    hop, count = frames.hop, frames.count(samples.shape[1])
    left, right = samples[0], samples[-1]
    window = np.hanning(2 * hop + 1)[:-1].astype(np.float32)
    levels = np.full((2, BANDS, count), FLOOR_DB, np.float32)
    for row, signal in enumerate(((left + right) / 2, (left - right) / 2)):
        if count and np.any(signal):
            windows = np.lib.stride_tricks.sliding_window_view(signal, 2 * hop)[::hop][:count]
            spectra = scipy.fft.rfft(windows * window, axis=1)
            powers = (spectra.real**2 + spectra.imag**2) * np.float32((1 / hop) ** 2 * 4)
            sums = frames.shares @ powers.T
            levels[row] = 10 * np.log10(sums + 10 ** (FLOOR_DB / 10))
    return levels


def pooled(levels: FloatArray) -> FloatArray:
    """Levels as they are compared: of mid and side, neighbours averaged, (2 · BANDS // POOLED, windows)."""
    whole = BANDS // POOLED * POOLED
    groups = levels[:, :whole].reshape(2, whole // POOLED, POOLED, -1).mean(axis=2)
    return np.ascontiguousarray(groups.reshape(2 * (whole // POOLED), -1), np.float32)


class Likeness:
    """Compares what is around a gap with every place of a song.

    Args:
        features: `pooled` levels of the whole song, (features, windows).
    """

    def __init__(self, features: FloatArray) -> None:
        self.features = features
        self.windows = features.shape[1]
        self._size = scipy.fft.next_fast_len(self.windows + 2 * CONTEXT + 1024, real=True)
        self._spectra = scipy.fft.rfft(features, self._size)
        self._squares = scipy.fft.rfft((features**2).sum(axis=0), self._size)

    def passages(
        self, start: int, stop: int, most: int, barred: NDArray[np.bool_] | None = None
    ) -> list[tuple[int, float]]:
        """The places most like a gap's, best first.

        Args:
            start, stop: first window of the gap and the one after it.
            most: so many at most.
            barred: windows that are no passage's, such as other gaps; shape (windows,).

        Returns:
            Windows from the gap to the passage, and how unlike they are: mean squared dB.
        """
        first, last = max(start - CONTEXT, 0), min(stop + CONTEXT, self.windows)
        at = np.arange(first, last)
        away = np.where(at < start, start - at, at - stop + 1)
        weights = np.where((at >= start) & (at < stop), 0, np.exp(-away / _DECAY)).astype(np.float32)
        if weights.sum() == 0:
            return []
        weights /= weights.sum()
        context = self.features[:, first:last]
        crossed = (self._spectra * np.conj(scipy.fft.rfft(context * weights, self._size))).sum(axis=0)
        squares = self._squares * np.conj(scipy.fft.rfft(weights, self._size))
        # Index n: the context laid at window n. Beyond the song's ends stand 0 dB, unlike anything.
        unlike = scipy.fft.irfft(squares - 2 * crossed, self._size)[: self.windows]
        unlike = unlike + float((weights * (context**2).sum(axis=0)).sum())
        unlike /= len(self.features)
        lags = np.arange(self.windows) - first
        free = (start + lags >= 0) & (stop + lags <= self.windows)
        free &= np.abs(lags) >= stop - start + 2
        if barred is not None:
            sums = np.concatenate([[0], np.cumsum(barred)])
            low, high = np.clip(start + lags, 0, self.windows), np.clip(stop + lags, 0, self.windows)
            free &= sums[high] == sums[low]
        return _best(np.where(free, unlike, np.inf), lags, most)


class Song:
    """A stretch of a song in which passages are looked for.

    Args:
        source: the song.
        start, stop: the stretch.
        barred: stretches (start, stop) of the song that are no passage's, such as its gaps.
        progress: called with the share that was read, 0..1.
    """

    def __init__(
        self,
        source: AudioSource,
        start: int,
        stop: int,
        barred: Sequence[tuple[int, int]] = (),
        progress: Progress = lambda _: None,
    ) -> None:
        self.frames, self._start = Frames.at(source.rate), start
        hop = self.frames.hop
        parts, block = [], _BLOCK_WINDOWS * hop
        for at in range(start, stop, block):
            parts.append(pooled(measure_levels(source.read(at, min(at + block + hop, stop)), self.frames)))
            progress((min(at + block, stop) - start) / (stop - start))
        features = np.concatenate(parts, axis=1) if parts else np.zeros((1, 0), np.float32)
        self._likeness = Likeness(features)
        self._barred = np.zeros(features.shape[1], bool)
        for first, last in barred:
            self._barred[slice(*self._windows(first, last))] = True

    def passages(self, start: int, stop: int, most: int) -> list[int]:
        """Frames of audio from the gap to each of the passages most like it, best first."""
        first, last = self._windows(start, stop)
        found = self._likeness.passages(first, last, most, self._barred)
        return [lag * self.frames.hop for lag, _ in found]

    def _windows(self, start: int, stop: int) -> tuple[int, int]:
        hop = self.frames.hop
        first = max((start - self._start) // hop - 1, 0)
        return first, max(-(-(stop - self._start) // hop), first + 1)


def _best(unlike: NDArray[np.float64], lags: NDArray[np.int64], most: int) -> list[tuple[int, float]]:
    found = []
    unlike = unlike.copy()
    for _ in range(most):
        at = int(unlike.argmin())
        if not np.isfinite(unlike[at]):
            break
        found.append((int(lags[at]), float(unlike[at])))
        unlike[max(at - _APART, 0) : at + _APART + 1] = np.inf
    return found
