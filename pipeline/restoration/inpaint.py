"""Glitches that are more than a click: dropouts and foreign bursts are filled, splices re-predicted, jumps
of level taken back.

A gap up to 50 ms is filled by linear prediction; up to 2 s from the passage of the song most like it with
levels by the network of `inpainting_network`; a longer one is told and left. Where one channel of two is
gone, the other says what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.glitches import (
    BURST,
    DROPOUT,
    JUMP,
    SPLICE,
    Glitch,
    find_glitches,
)
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.restoration.gap_filling import (
    AROUND_S,
    LONGEST_FILLED_S,
    LONGEST_PREDICTED_S,
    Neighbourhood,
    filled,
    from_other_channel,
    neighbourhoods,
)
from mixagent.pipeline.restoration.passages import Song
from mixagent.pipeline.types import BLOCK_FRAMES, AudioSource, FloatArray, Progress, View, spool

_NAMES = {
    DROPOUT: ("dropout", "dropouts"),
    BURST: ("foreign burst", "foreign bursts"),
    SPLICE: ("click or splice", "clicks or splices"),
    JUMP: ("jump of level", "jumps of level"),
}
_SEAM_S = 0.0025
_LONGEST_ALONE_S = 0.2
_SEARCHED_S = 150.0


def find(source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
    """The glitches of a source; kinds that it is full of are its texture, told and left alone."""
    told = find_glitches(source, progress)
    longest = round(LONGEST_FILLED_S * source.rate)
    left = [g for g in told.glitches if g.kind == DROPOUT and g.stop - g.start > longest]
    mended = [g for g in told.glitches if g not in left]
    if not (mended or left or told.texture or told.cut):
        return None
    counts = {kind: sum(g.kind == kind for g in mended) for kind in _NAMES}
    values = {f"{_NAMES[kind][1].replace(' ', '_')}": float(n) for kind, n in counts.items() if n}
    said = []
    if mended:
        parts = ", ".join(f"{n} {_NAMES[kind][n > 1]}" for kind, n in counts.items() if n)
        said.append(f"{parts}, the first at {_clock(mended[0].start, source.rate)}.")
    if left:
        values["left_dropouts"] = float(len(left))
        at = ", ".join(_clock(g.start, source.rate) for g in left)
        said.append(f"Silent for more than {LONGEST_FILLED_S:.0f} s at {at}: too long to fill.")
    for end in sorted({g.start == 0 for g in told.cut}, reverse=True):
        silent = max(g.stop - g.start for g in told.cut if (g.start == 0) == end) / source.rate
        values["cut_start_s" if end else "cut_end_s"] = silent
        begins = f"It {'begins' if end else 'ends'} in the middle of its music"
        said.append(f"{begins}, with {silent:.2f} s of silence beside it: left.")
    for kind in told.texture:
        said.append(f"It is full of {_NAMES[kind][1]}: taken for its texture and left.")
    details = {
        "glitches": [asdict(g) for g in mended],
        "left": [[g.start, g.stop] for g in left],
        "texture": list(told.texture),
    }
    return Found(" ".join(said), values, details)


def _clock(frame: int, rate: int) -> str:
    return f"{frame // rate // 60}:{frame / rate % 60:04.1f}"


def run(source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
    """The source with its glitches mended; elsewhere the very samples."""
    glitches = [_glitch(told) for told in found.details["glitches"]]
    if not glitches:
        return Restored(source, False, found.why, found.values)
    level = _Levelled(source, [g for g in glitches if g.kind == JUMP])
    mending = _Mending(level, glitches, [tuple(pair) for pair in found.details["left"]])
    audio = spool(mending.blocks(progress), scratch / "inpainted.f32", source.rate, source.channels)
    values = {**found.values, "mended_s": mending.mended / source.rate}
    why = f"Mended: {found.why}"
    if mending.unaided:
        values["gaps_without_network"] = float(mending.unaided)
        why += f" The network gave no numbers for {mending.unaided} of them: they were filled without it."
    return Restored(audio, True, why, values)


def _glitch(told: Mapping[str, Any]) -> Glitch:
    return Glitch(**{**told, "channels": tuple(told["channels"])})


@dataclass(frozen=True)
class _Levelled(View):
    """A source with its jumps of level taken back."""

    jumps: Sequence[Glitch]

    def read(self, start: int, stop: int) -> FloatArray:
        samples = self.source.read(start, stop)
        first = min(max(start, 0), self.frames)
        near = [j for j in self.jumps if j.start < stop and j.stop > first]
        if near:
            samples = samples.copy()
        for jump in near:
            gain = np.float32(10 ** (-jump.size / 20))
            for channel in jump.channels:
                samples[channel, max(jump.start - first, 0) : jump.stop - first] *= gain
        return samples


@dataclass(frozen=True)
class _Gap:
    """A stretch that is to be filled, in some of the channels."""

    start: int
    stop: int
    channels: tuple[int, ...]


def _gaps(glitches: Sequence[Glitch], rate: int, frames: int) -> list[_Gap]:
    """The gaps that the repair of glitches fills, in order; a splice's is a few milliseconds."""
    seam = round(_SEAM_S * rate)
    made = []
    for glitch in glitches:
        if glitch.kind in (DROPOUT, BURST):
            made.append(_Gap(glitch.start, glitch.stop, glitch.channels))
            continue
        ends = (glitch.start, glitch.stop) if glitch.kind == JUMP else (glitch.start,)
        made += [_Gap(max(at - seam, 0), min(at + seam, frames), glitch.channels) for at in ends]
    return sorted(made, key=lambda gap: gap.start)


class _Mending:
    """Fills the gaps of a source one after the other."""

    def __init__(
        self, source: AudioSource, glitches: Sequence[Glitch], left: Sequence[tuple[int, int]]
    ) -> None:
        self._source = source
        self._gaps = _gaps(glitches, source.rate, source.frames)
        barred = [(gap.start, gap.stop) for gap in self._gaps] + list(left)
        self._searched = _Searched(source, barred)
        self.mended = self.unaided = 0

    def blocks(self, progress: Progress) -> Iterator[FloatArray]:
        """The source in blocks, mended."""
        source, waiting, pending = self._source, list(self._gaps), list[tuple[_Gap, FloatArray]]()
        for start in range(0, source.frames, BLOCK_FRAMES):
            stop = min(start + BLOCK_FRAMES, source.frames)
            while waiting and waiting[0].start < stop:
                gap = waiting.pop(0)
                pending.append((gap, self._fill(gap)))
                self.mended += gap.stop - gap.start
                progress(gap.start / source.frames)
            block = source.read(start, stop)
            if pending:
                block = block.copy()
            for gap, patch in pending:
                low, high = max(gap.start, start), min(gap.stop, stop)
                for channel in gap.channels if low < high else ():
                    block[channel, low - start : high - start] = patch[
                        channel, low - gap.start : high - gap.start
                    ]
            pending = [(gap, patch) for gap, patch in pending if gap.stop > stop]
            progress(stop / source.frames)
            yield block

    def _fill(self, gap: _Gap) -> FloatArray:
        source, rate = self._source, self._source.rate
        around = round(AROUND_S * rate)
        first = max(gap.start - around, 0)
        samples = source.read(first, min(gap.stop + around, source.frames))
        alone = Neighbourhood(samples, gap.start - first, gap.stop - first)
        if gap.stop - gap.start <= LONGEST_PREDICTED_S * rate:
            return filled(alone, rate)
        near = neighbourhoods(
            source, self._searched.near(gap.start, gap.stop), gap.start, gap.stop, _passages()
        )
        if len(gap.channels) < source.channels:
            return from_other_channel(near[0], samples, gap.channels[0], rate)
        if near[0].passage is None:
            # Too short a song for a passage: prediction fades, and of much would take minutes.
            short = gap.stop - gap.start <= _LONGEST_ALONE_S * rate
            return filled(alone, rate) if short else samples[:, alone.start : alone.stop]
        levels = _levels(near, rate, gap.start)
        self.unaided += levels is None
        return filled(near[0], rate, levels)


class _Searched:
    """The stretch of a song in which passages are looked for, kept while it will do."""

    def __init__(self, source: AudioSource, barred: Sequence[tuple[int, int]]) -> None:
        self._source, self._barred = source, barred
        self._kept: tuple[int, int, Song] | None = None

    def near(self, start: int, stop: int) -> Song:
        """The stretch around a gap."""
        frames, wide = self._source.frames, round(_SEARCHED_S * self._source.rate)
        if self._kept is not None:
            first, last, song = self._kept
            if first <= max(start - wide // 2, 0) and min(stop + wide // 2, frames) <= last:
                return song
        first, last = max(start - wide, 0), min(stop + 2 * wide, frames)
        song = Song(self._source, first, last, self._barred)
        self._kept = (first, last, song)
        return song


def _passages() -> int:
    from mixagent.pipeline.restoration.inpainting_network import PASSAGES

    return PASSAGES


def _levels(near: Sequence[Neighbourhood], rate: int, seed: int) -> FloatArray | None:
    from mixagent.pipeline.restoration.inpainting_network import continued, load_network

    return continued(load_network(), near, rate, seed)
