"""A mix as a workstation has it: tracks with faders, pans, sends and equalisers, and notes of the rest.

The mixer that it is written for: a fader is a linear gain, and a pan lowers the side that it turns away from,
by its own amount and linearly, and leaves the other (a balance of 0 dB at the centre).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.errors import UsageError, option
from mixagent.pipeline.types import AudioSource
from mixagent.report.words import parameter_value

Format = Literal["reaper", "dawproject"]

SUFFIXES: dict[Format, str] = {"reaper": ".rpp", "dawproject": ".dawproject"}
"""The formats, and the suffixes of their files."""

_TOLD_DB = 0.05

BandKind = Literal["high_pass", "low_shelf", "bell", "high_shelf"]


@dataclass(frozen=True)
class ProjectRequest:
    """Where a mix goes as a project, and in which formats.

    Raises:
        UsageError: no format.
    """

    folder: Path
    formats: tuple[Format, ...] = ("reaper", "dawproject")

    def __post_init__(self) -> None:
        if not self.formats:
            raise UsageError(
                f"{option('project_format')} is empty: choose of {', '.join(SUFFIXES)}",
                field="project_format",
            )


@dataclass(frozen=True)
class Fader:
    """A linear gain, 1.0 at 0 dB, and a pan from −1 (left) to 1 (right)."""

    volume: float = 1.0
    pan: float = 0.0


@dataclass(frozen=True)
class Band:
    """A band of an equaliser; a high-pass has no gain."""

    kind: BandKind
    frequency_hz: float
    q: float
    gain_db: float = 0.0


@dataclass(frozen=True)
class Compressor:
    """A compressor: its threshold in dBFS of the level that it listens to."""

    threshold_db: float
    ratio: float
    attack_ms: float
    release_ms: float


@dataclass(frozen=True)
class Sent:
    """A send behind the fader: to which return, and its linear gain."""

    to: str
    volume: float


@dataclass(frozen=True)
class Track:
    """A track, a bus or a return.

    Attributes:
        name: no other of the project has it.
        colour: as #rrggbb.
        audio: its sound; None for a bus or a return.
        fader: level and place.
        bands: of its equaliser, in the order of the signal.
        compressors: in the order of the signal.
        sends: behind its fader.
        notes: what has no counterpart, in words.
        bus: the bus that it goes into; None for the master.
        mute: whether it is silent until somebody wants it.
    """

    name: str
    colour: str
    audio: AudioSource | None = None
    fader: Fader = Fader()
    bands: tuple[Band, ...] = ()
    compressors: tuple[Compressor, ...] = ()
    sends: tuple[Sent, ...] = ()
    notes: tuple[str, ...] = ()
    bus: str | None = None
    mute: bool = False


@dataclass(frozen=True)
class Project:
    """A mix.

    Attributes:
        title: of the song, on one line.
        rate: of all sound in Hz.
        channels: of all sound.
        frames: of all sound.
        tracks: the stems, each right behind the bus that it goes into.
        returns: reverb and delay, as far as something is sent to them.
        master: without sound.
        notes: of the project as a whole.
    """

    title: str
    rate: int
    channels: int
    frames: int
    tracks: tuple[Track, ...]
    returns: tuple[Track, ...]
    master: Track
    notes: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate

    @property
    def all_tracks(self) -> tuple[Track, ...]:
        """Tracks, buses and returns in their order, without the master."""
        return (*self.tracks, *self.returns)

    def told(self, devices: bool) -> list[str]:
        """All notes, line by line.

        Args:
            devices: whether equalisers and compressors are told as well.
        """
        lines = list(self.notes)
        for track in (*self.all_tracks, self.master):
            told = track_notes(track, devices)
            if told:
                lines += ["", f"{track.name}:", *(f"- {line}" for line in told)]
        return lines


def track_notes(track: Track, devices: bool) -> list[str]:
    """The notes of a track, with its equaliser and compressors where these are to be told."""
    if not devices:
        return [*track.notes]
    told = [band for band in track.bands if band.kind == "high_pass" or abs(band.gain_db) >= _TOLD_DB]
    return [*map(_band_words, told), *map(_compressor_words, track.compressors), *track.notes]


def _band_words(band: Band) -> str:
    kind = band.kind.replace("_", "-" if band.kind == "high_pass" else " ").capitalize()
    gain = "" if band.kind == "high_pass" else f"{parameter_value(band.gain_db, 'dB')}, "
    return f"{kind} at {parameter_value(band.frequency_hz, 'Hz')}, {gain}Q {band.q:.2f}"


def _compressor_words(compressor: Compressor) -> str:
    ratio, threshold = parameter_value(compressor.ratio, ":1"), parameter_value(compressor.threshold_db, "dB")
    attack, release = (parameter_value(ms, "ms") for ms in (compressor.attack_ms, compressor.release_ms))
    return f"Compressor {ratio} over {threshold}FS of the level, attack {attack}, release {release}"


def fader(gain_db: float = 0.0, left: float = 1.0, right: float = 1.0) -> Fader:
    """The fader of a mixer that gives left and right these gains.

    Args:
        gain_db: of both.
        left, right: linear, over 0 at least one of them.
    """
    louder = max(left, right)
    lowered = 1.0 - min(left, right) / louder
    pan = 0.0 if math.isclose(left, right) else math.copysign(lowered, right - left)
    return Fader(db_to_amplitude(gain_db) * louder, pan)


def audio_tracks(project: Project) -> Sequence[Track]:
    """The tracks that have sound."""
    return [track for track in project.tracks if track.audio is not None]
