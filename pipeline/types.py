"""The types that every stage shares: audio in memory, audio on disk, and stems.

Samples are float32 arrays of shape (channels, frames), nominal full scale ±1. A stage takes any
`AudioSource` and reads it in blocks, so that memory does not grow with the song.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Float64Array = NDArray[np.float64]

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0..1. It may raise to cancel."""

ShowProgress = Callable[[str, float], None]
"""Called with what is at work, such as a stage's name, and the share of it that is done, 0..1; from any
thread. It may raise to stop the work."""

BLOCK_FRAMES = 1 << 17
"""Frames in a block (3 s at 44.1 kHz): large enough that a block's overhead is small."""


class AudioSource(Protocol):
    """Anything that gives samples by position: `Audio`, `DiskAudio`, a stem's residual."""

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""

    @property
    def channels(self) -> int:
        """Number of channels."""

    @property
    def frames(self) -> int:
        """Length in samples per channel."""

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` (clipped to the length) as float32 (channels, frames).

        The array may be a view of the source: a caller that writes to it copies first.
        """


@dataclass(frozen=True)
class Audio:
    """Audio in memory: float32 `samples` (channels, frames) at `rate` Hz."""

    samples: FloatArray
    rate: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.dtype != np.float32:
            raise ValueError(
                f"samples must be float32 (channels, frames), not {self.samples.dtype} {self.samples.shape}"
            )
        if self.rate <= 0:
            raise ValueError(f"rate must be positive, not {self.rate}")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[0])

    @property
    def frames(self) -> int:
        """Length in samples per channel."""
        return int(self.samples.shape[1])

    def read(self, start: int, stop: int) -> FloatArray:
        """A view of samples `start` to `stop`, shape (channels, frames)."""
        return self.samples[:, max(start, 0) : max(stop, 0)]


@dataclass(frozen=True)
class DiskAudio:
    """Audio in a raw file of little-endian float32 frames, channels interleaved.

    Reads go through the file system's cache and not through a memory map, so that a song's pages
    never count as this program's memory.
    """

    path: Path
    rate: int
    channels: int
    frames: int

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` from the file, shape (channels, frames)."""
        start = min(max(start, 0), self.frames)
        count = min(max(stop, start), self.frames) - start
        flat = np.fromfile(
            self.path, dtype="<f4", count=count * self.channels, offset=start * self.channels * 4
        )
        if flat.size != count * self.channels:
            raise OSError(f"{self.path} is shorter than its {self.frames} frames")
        return np.ascontiguousarray(flat.reshape(count, self.channels).T)


class DiskAudioWriter:
    """Writes blocks (channels, frames) to a raw file and gives the `DiskAudio` back at the end."""

    def __init__(self, path: Path, rate: int, channels: int) -> None:
        self._file = path.open("wb")
        self._path, self._rate, self._channels, self._frames = path, rate, channels, 0

    def write(self, block: FloatArray) -> None:
        """Append a block of shape (channels, frames)."""
        self._file.write(np.ascontiguousarray(block.T, dtype="<f4").data)
        self._frames += block.shape[1]

    def close(self) -> DiskAudio:
        """Close the file and return what it holds."""
        self._file.close()
        return DiskAudio(self._path, self._rate, self._channels, self._frames)

    def __enter__(self) -> DiskAudioWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def blocks(source: AudioSource, size: int = BLOCK_FRAMES) -> Iterator[FloatArray]:
    """The source's samples in order, in blocks of `size` frames; the last one may be shorter."""
    for start in range(0, source.frames, size):
        yield source.read(start, min(start + size, source.frames))


def mean_power(audio: Audio) -> float:
    """Mean square of all samples; 0 where there are none."""
    return float(np.mean(np.square(audio.samples, dtype=np.float64))) if audio.samples.size else 0.0


def load(source: AudioSource) -> Audio:
    """The whole source in memory."""
    return Audio(source.read(0, source.frames), source.rate)


def collect(parts: Iterable[FloatArray], rate: int, channels: int) -> Audio:
    """Blocks (channels, frames) joined in memory."""
    arrays = list(parts)
    if not arrays:
        return Audio(np.zeros((channels, 0), np.float32), rate)
    return Audio(np.concatenate(arrays, axis=1), rate)


def spool(parts: Iterable[FloatArray], path: Path, rate: int, channels: int) -> DiskAudio:
    """Blocks (channels, frames) written to a raw file at `path`."""
    with DiskAudioWriter(path, rate, channels) as writer:
        for part in parts:
            writer.write(part)
        return writer.close()


@dataclass(frozen=True)
class Combination:
    """A weighted sum of sources of one length, rate and channels, added up as it is read."""

    terms: tuple[tuple[float, AudioSource], ...]

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""
        return self.terms[0][1].rate

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.terms[0][1].channels

    @property
    def frames(self) -> int:
        """Length in samples per channel."""
        return self.terms[0][1].frames

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` of the sum, shape (channels, frames)."""
        (weight, first), *others = self.terms
        total = first.read(start, stop) * np.float32(weight)
        for weight, source in others:
            total += source.read(start, stop) * np.float32(weight)
        return total


@dataclass(frozen=True)
class View:
    """A source seen through: what a kind of view does not change is as the source has it."""

    source: AudioSource

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""
        return self.source.rate

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.source.channels

    @property
    def frames(self) -> int:
        """Length in samples per channel."""
        return self.source.frames

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop`, shape (channels, frames)."""
        return self.source.read(start, stop)


@dataclass(frozen=True)
class Shifted(View):
    """A source that plays `later` frames later, under 0 earlier; silence fills the gap."""

    later: int

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop`, shape (channels, frames)."""
        start, stop = max(start, 0), min(stop, self.frames)
        first, last = start - self.later, stop - self.later
        inside = self.source.read(max(first, 0), max(last, 0))
        before = min(max(-first, 0), max(stop - start, 0))
        after = max(stop - start, 0) - before - inside.shape[1]
        return np.pad(inside, ((0, 0), (before, after)))


@dataclass(frozen=True)
class Watched(View):
    """A source that tells how far it was read, so that a pass over it can be shown and stopped."""

    progress: Progress

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` of the source."""
        self.progress(min(stop, self.frames) / max(self.frames, 1))
        return self.source.read(start, stop)


@dataclass(frozen=True)
class Stems:
    """The parts of a mix by name, in order, all of the mix's length, rate and channels.

    The residual is what the parts leave of the mix, so parts and residual always sum to it.
    """

    mix: AudioSource
    parts: Mapping[str, AudioSource]

    def __post_init__(self) -> None:
        for name, part in self.parts.items():
            if (part.rate, part.channels, part.frames) != (self.mix.rate, self.mix.channels, self.mix.frames):
                raise ValueError(
                    f"stem {name} ({part.channels} ch, {part.frames} frames, {part.rate} Hz) does not match "
                    f"the mix ({self.mix.channels} ch, {self.mix.frames} frames, {self.mix.rate} Hz)"
                )
        object.__setattr__(self, "parts", MappingProxyType(dict(self.parts)))

    @property
    def residual(self) -> AudioSource:
        """The mix minus the sum of the parts."""
        return Combination(((1.0, self.mix), *((-1.0, part) for part in self.parts.values())))

    def with_part(self, name: str, part: AudioSource) -> Stems:
        """These stems with one part restored; the mix changes by the same difference."""
        # The mix last: where the part is as it was, the sum is the mix itself, bit for bit.
        mix = Combination(((1.0, part), (-1.0, self.parts[name]), (1.0, self.mix)))
        return Stems(mix, {**self.parts, name: part})
