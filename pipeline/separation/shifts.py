"""The shift trick: a mix is separated several times, each time a little later, and the stems averaged.

Défossez et al., "Music Source Separation in the Waveform Domain", 2019, section 6. A network that
cuts time into frames or strides answers a shifted mix a little differently; the average is better by
about 0.2 dB, and how much the answers differ says how sure the network is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mixagent.pipeline.decibels import powers_to_db
from mixagent.pipeline.separation.base import SeparatedStems, Separator
from mixagent.pipeline.types import (
    BLOCK_FRAMES,
    AudioSource,
    DiskAudioWriter,
    FloatArray,
    Progress,
    Stems,
    View,
)

MOST_S = 0.5
"""Shifts are drawn evenly from 0 to this many seconds."""


class ShiftedSeparator:
    """Another separator, run `shifts` times on a mix that starts later each time.

    The same seed gives the same stems. Takes `shifts` times as long, and that much scratch space.
    """

    def __init__(self, separator: Separator, shifts: int, seed: int = 0) -> None:
        self._separator, self._shifts, self._seed = separator, shifts, seed
        self.name, self.stem_names = separator.name, separator.stem_names

    @property
    def version(self) -> str:
        """The separator's, the number of shifts and their seed."""
        return f"{self._separator.version}, {self._shifts} shifts of seed {self._seed}"

    def separate(self, mix: AudioSource, scratch: Path, progress: Progress | None = None) -> Stems:
        """See `Separator.separate`."""
        delays = np.random.default_rng(self._seed).integers(0, round(MOST_S * mix.rate) + 1, self._shifts)
        with TemporaryDirectory(dir=scratch) as folder:
            passes = [
                self._pass(Delayed(mix, int(delay)), Path(folder) / str(index), self._part(index, progress))
                for index, delay in enumerate(delays)
            ]
            return self._averaged(mix, passes, [int(delay) for delay in delays], scratch)

    def _pass(self, mix: Delayed, folder: Path, progress: Progress | None) -> Stems:
        folder.mkdir()
        return self._separator.separate(mix, folder, progress)

    def _part(self, index: int, progress: Progress | None) -> Progress | None:
        def part(share: float) -> None:
            if progress:
                progress((index + share) / self._shifts)

        return part

    def _averaged(
        self, mix: AudioSource, passes: list[Stems], delays: list[int], scratch: Path
    ) -> SeparatedStems:
        agreement_db: dict[str, float] = {}
        parts: dict[str, AudioSource] = {}
        for name in self.stem_names:
            shifted = [(stems.parts[name], delay) for stems, delay in zip(passes, delays, strict=True)]
            with DiskAudioWriter(scratch / f"{name}.f32", mix.rate, mix.channels) as writer:
                agreement_db[name] = _write_average(shifted, mix.frames, writer.write)
                parts[name] = writer.close()
        peaks = [stems.device_peak_bytes for stems in passes if isinstance(stems, SeparatedStems)]
        peak = max((peak for peak in peaks if peak is not None), default=None)
        return SeparatedStems(mix, parts, agreement_db if self._shifts > 1 else {}, peak)


@dataclass(frozen=True)
class Delayed(View):
    """A source that starts `delay` frames later, after silence."""

    delay: int

    @property
    def frames(self) -> int:
        """Length in samples per channel, the silence included."""
        return self.source.frames + self.delay

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop`, silence before the source begins."""
        stop = min(stop, self.frames)
        before = max(min(self.delay, stop) - start, 0)
        samples = self.source.read(max(start - self.delay, 0), max(stop - self.delay, 0))
        return np.pad(samples, ((0, 0), (before, 0))) if before else samples


def _write_average(
    shifted: list[tuple[AudioSource, int]], frames: int, write: Callable[[FloatArray], None]
) -> float:
    """The average over sources that each start some frames late; its level above the spread, in dB."""
    level = spread = 1e-20
    for start in range(0, frames, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, frames)
        takes = np.stack([source.read(start + delay, stop + delay) for source, delay in shifted])
        mean = takes.mean(0)
        level += float(np.square(mean, dtype=np.float64).sum())
        spread += float(np.square(takes - mean, dtype=np.float64).sum()) / len(takes)
        write(mean)
    return float(np.clip(powers_to_db(level / spread), -20.0, 120.0))
