"""Waveforms as few numbers, taken while a song is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

POINTS = 4096
"""Stretches that a waveform is kept in."""

_BLOCK = 1 << 16
_SCALE = 127.0


@dataclass(frozen=True)
class Sound:
    """What a file sounds like for a page: rate, channels, length, and its peaks as `packed`."""

    audio: dict[str, Any]
    peaks: bytes


class Peaks:
    """Lowest and highest sample of each of `POINTS` equal stretches of a song of a known length."""

    def __init__(self, frames: int, points: int = POINTS) -> None:
        self._at = 0
        # First frame of each stretch; of a song with fewer frames than stretches some have none.
        self._first = -(-np.arange(points, dtype=np.int64) * max(1, frames) // points)
        self._low = np.zeros(points, np.float32)
        self._high = np.zeros(points, np.float32)

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """The next samples, shape (channels, frames)."""
        frames = block.shape[1]
        if not frames:
            return
        begin, end = np.searchsorted(self._first, (self._at + 1, self._at + frames))
        which = np.arange(begin - 1, end)
        starts = np.maximum(self._first[which] - self._at, 0)
        last_of_its_frame = np.append(np.diff(starts) > 0, True)
        which, starts = which[last_of_its_frame], starts[last_of_its_frame]
        low = np.minimum.reduceat(block.min(axis=0), starts)
        high = np.maximum.reduceat(block.max(axis=0), starts)
        self._low[which] = np.minimum(self._low[which], low)
        self._high[which] = np.maximum(self._high[which], high)
        self._at += frames

    def packed(self) -> bytes:
        """All lows, then all highs, a signed byte each."""
        both = np.clip(np.concatenate([self._low, self._high]), -1.0, 1.0)
        return bytes(np.round(both * _SCALE).astype(np.int8))


def unpacked(peaks: bytes, points: int) -> tuple[list[float], list[float]]:
    """Lows and highs of so many stretches, at most as many as are kept, −1 to 1."""
    both = np.frombuffer(peaks, np.int8).astype(np.float32) / _SCALE
    low, high = both[: both.size // 2], both[both.size // 2 :]
    edges = np.arange(points) * low.size // points
    lows, highs = np.minimum.reduceat(low, edges), np.maximum.reduceat(high, edges)
    return [round(float(v), 3) for v in lows], [round(float(v), 3) for v in highs]


def peaks_of(blocks: Iterable[npt.NDArray[np.float32]], frames: int) -> bytes:
    """Peaks of a song that is read in blocks."""
    peaks = Peaks(frames)
    for block in blocks:
        peaks.add(block)
    return peaks.packed()


def sound_of(path: Path) -> Sound:
    """A file that this project wrote, read once through.

    Raises:
        soundfile.LibsndfileError: it cannot be read.
    """
    import soundfile

    with soundfile.SoundFile(path) as file:
        audio = {
            "rate_hz": file.samplerate,
            "channels": file.channels,
            "duration_s": round(file.frames / file.samplerate, 3),
        }
        blocks = (block.T for block in file.blocks(_BLOCK, dtype="float32", always_2d=True))
        return Sound(audio, peaks_of(blocks, file.frames))
