"""Overlap-add in the spectrum, in difference form: what the spectrum gains is added to the delayed input."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

from mixagent.pipeline.dsp.streaming import in_pieces
from mixagent.pipeline.types import FloatArray

ComplexArray = NDArray[np.complex64]

OVERLAP = 4
"""Windows that every frame lies in."""

_CHUNK_FRAMES = 1 << 14


def window_frames(seconds: float, rate: int) -> int:
    """The power of two nearest to this duration."""
    return 1 << max(5, round(float(np.log2(seconds * rate))))


class SpectralProcessor(ABC):
    """A `Processor` that adds `correction(spectra)` to its input, `latency` frames late.

    Square-root Hann windows of `size` frames at a quarter of it. Where the correction is zero the
    output is the delayed input, bit for bit.
    """

    def __init__(self, size: int, channels: int) -> None:
        self.latency = size
        self.hop = size // OVERLAP
        phase = np.arange(size) / size
        self._window = np.sin(np.pi * phase).astype(np.float32)
        self._heard = np.zeros((channels, size - self.hop), np.float32)
        self._delayed = np.zeros((channels, size), np.float32)
        self._tail = np.zeros((channels, size - self.hop), np.float32)
        self._ready = np.zeros((channels, self.hop), np.float32)

    @abstractmethod
    def correction(self, spectra: ComplexArray) -> ComplexArray | None:
        """The addition to spectra (channels, windows, bins); None for nothing at all."""

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames), `latency` frames late."""
        return in_pieces(self._process, block, _CHUNK_FRAMES)

    def _process(self, block: FloatArray) -> FloatArray:
        frames = block.shape[1]
        self._heard = np.concatenate([self._heard, block], axis=1)
        self._delayed = np.concatenate([self._delayed, block], axis=1)
        count = (self._heard.shape[1] - self._window.size) // self.hop + 1
        if count > 0:
            self._ready = np.concatenate([self._ready, self._corrections(count)], axis=1)
            self._heard = self._heard[:, count * self.hop :]
        out = self._delayed[:, :frames] + self._ready[:, :frames]
        self._delayed, self._ready = self._delayed[:, frames:], self._ready[:, frames:]
        return out

    def _corrections(self, count: int) -> FloatArray:
        """The finished part of the overlap-add after `count` more windows, (channels, count · hop)."""
        channels, size, hop = self._heard.shape[0], self._window.size, self.hop
        windows = np.empty((channels, count, size), np.float32)
        _cut_windows(self._heard, self._window, hop, windows)
        added = self.correction(fft.rfft(windows, axis=-1))
        total = np.zeros((channels, (count + OVERLAP - 1) * hop), np.float32)
        total[:, : self._tail.shape[1]] = self._tail
        if added is not None:
            _overlap_add(fft.irfft(added, size, axis=-1, overwrite_x=True), self._window, hop, total)
        self._tail = total[:, count * hop :]
        return total[:, : count * hop]


@njit(cache=True, nogil=True)
def _cut_windows(heard: FloatArray, window: FloatArray, hop: int, out: NDArray[np.float32]) -> None:
    channels, count, size = out.shape
    for c in range(channels):
        for t in range(count):
            start = t * hop
            for n in range(size):
                out[c, t, n] = heard[c, start + n] * window[n]


@njit(cache=True, nogil=True)
def _overlap_add(parts: NDArray[np.float32], window: FloatArray, hop: int, total: FloatArray) -> None:
    channels, count, size = parts.shape
    scale = np.float32(2 * hop / size)
    for c in range(channels):
        for t in range(count):
            start = t * hop
            for n in range(size):
                total[c, start + n] += parts[c, t, n] * (window[n] * scale)
