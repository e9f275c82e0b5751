"""Edits of a song's ends: silence trimmed, fades in and out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.errors import UsageError, option
from mixagent.pipeline.types import AudioSource, FloatArray, View, blocks

SILENCE_DB = -72.0
"""At either end, samples further than this under the song's highest sample count as silence."""

_KEPT_BEFORE_S, _KEPT_AFTER_S = 0.02, 0.2
"""Silence that stays, so that neither a soft attack nor the end of a tail is cut."""


@dataclass(frozen=True)
class Edits:
    """Trims and fades at the ends of a song, lengths in seconds; by default none.

    Raises:
        UsageError: a fade of no length.
    """

    fade_in_s: float = 0.0
    fade_out_s: float = 0.0
    trim_silence: bool = False

    def __post_init__(self) -> None:
        for name, length_s in (("fade_in", self.fade_in_s), ("fade_out", self.fade_out_s)):
            if not 0.0 <= length_s < np.inf:
                raise UsageError(f"{option(name)} {length_s:g} is not a length in seconds", field=name)

    @property
    def asked(self) -> dict[str, float | bool]:
        """The edits that were asked for, by name."""
        return {name: value for name, value in asdict(self).items() if value}

    def check(self, duration_s: float) -> None:
        """Whether the fades fit into a song.

        Raises:
            UsageError: they are longer than it.
        """
        fades_s = self.fade_in_s + self.fade_out_s
        if fades_s > duration_s:
            both = " together" if self.fade_in_s and self.fade_out_s else ""
            raise UsageError(f"fades of {fades_s:g} s{both} do not fit into {duration_s:.1f} s of song")


NO_EDITS = Edits()


class Span(NamedTuple):
    """A part of a song in seconds from its start."""

    start_s: float
    stop_s: float


@dataclass(frozen=True)
class Section(View):
    """A part of a source, `start` to `stop` in frames."""

    start: int
    stop: int

    @property
    def frames(self) -> int:
        """Length in samples per channel."""
        return self.stop - self.start

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` of the part."""
        start, stop = max(start, 0), min(max(stop, 0), self.frames)
        return self.source.read(self.start + start, self.start + max(stop, start))


@dataclass(frozen=True)
class Faded(View):
    """A source faded in over its first frames and out over its last, each along half a cosine."""

    fade_in: int
    fade_out: int

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop`, faded."""
        samples = self.source.read(start, stop)
        at = max(start, 0) + np.arange(samples.shape[1])
        return samples * (_rise(at, self.fade_in) * _rise(self.frames - 1 - at, self.fade_out))


def _rise(frames_in: NDArray[np.int64], length: int) -> NDArray[np.float32]:
    """0 at frame 0 to 1 from frame `length` on."""
    share = np.minimum(frames_in / length, 1.0) if length else np.ones(frames_in.size)
    return (0.5 - 0.5 * np.cos(np.pi * share)).astype(np.float32)


def span_of(source: AudioSource, edits: Edits) -> Span:
    """The part of a source that edits leave; all of it where there is nothing but silence."""
    start, stop = _programme(source) if edits.trim_silence else (0, source.frames)
    return Span(start / source.rate, stop / source.rate)


def section(source: AudioSource, span: Span) -> AudioSource:
    """A part of a source; the source itself where it is all of it."""
    start, stop = round(span.start_s * source.rate), min(round(span.stop_s * source.rate), source.frames)
    return source if (start, stop) == (0, source.frames) else Section(source, start, stop)


def edited(source: AudioSource, edits: Edits, span: Span) -> AudioSource:
    """The part of a source that edits leave, faded.

    Raises:
        UsageError: the fades are longer than what is left.
    """
    part = section(source, span)
    edits.check(part.frames / part.rate)
    fade_in, fade_out = round(edits.fade_in_s * part.rate), round(edits.fade_out_s * part.rate)
    return Faded(part, fade_in, fade_out) if fade_in or fade_out else part


def _programme(source: AudioSource) -> tuple[int, int]:
    """The first and last frame of the song, with the silence that is kept before and after it."""
    peak = max((float(np.abs(part).max(initial=0.0)) for part in blocks(source)), default=0.0)
    threshold, first, last, at = peak * db_to_amplitude(SILENCE_DB), source.frames, 0, 0
    for part in blocks(source):
        sounding = np.flatnonzero((np.abs(part) > threshold).any(axis=0))
        if sounding.size:
            first, last = min(first, at + int(sounding[0])), at + int(sounding[-1]) + 1
        at += part.shape[1]
    if last == 0:
        return 0, source.frames
    before, after = round(_KEPT_BEFORE_S * source.rate), round(_KEPT_AFTER_S * source.rate)
    return max(first - before, 0), min(last + after, source.frames)
