"""How a voice moves its pitch: within held notes and from note to note.

A singer's pitch wanders while a note is held and slides into the next one; a voice that was tuned hard, or
made by a machine, stands on a line and jumps. Notes are segmented by SwiftF0's own dynamic programming.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from mixagent.pipeline.measure.pitch import FRAME_S, PitchTrack
from mixagent.pipeline.types import Float64Array

SHORTEST_HELD_S = 0.25
"""A note that is sung for as long is held."""

_EDGE_FRAMES = 4
_GLIDE_FRAMES = 12
_LONGEST_GAP_FRAMES = 3
_LEAST_STEP_CENTS, _MOST_STEP_CENTS = 80.0, 700.0
_LEAST_SUNG = 0.9


@dataclass(frozen=True)
class Note:
    """A note: the first frame of it and the one after the last.

    Attributes:
        cents: its mean pitch above `pitch.REFERENCE_HZ`.
        deviation_cents: standard deviation of its pitch, 64 ms from either end left out.
        modulation_cents: the same about a parabola in time: what goes faster than the note.
        held: True for one of `SHORTEST_HELD_S` and more; of the others both figures are 0.
    """

    start: int
    stop: int
    cents: float
    deviation_cents: float = 0.0
    modulation_cents: float = 0.0
    held: bool = False

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.stop - self.start) * FRAME_S


@dataclass(frozen=True)
class Change:
    """A change of pitch between two notes that are sung through.

    Attributes:
        time_s: when half of it is done.
        step_cents: from the one to the other.
        glide_s: the time from 20 to 80 % of it.
        before, after: the notes.
    """

    time_s: float
    step_cents: float
    glide_s: float
    before: Note
    after: Note


@dataclass(frozen=True)
class Singing:
    """The notes of a voice, and the changes between them."""

    notes: tuple[Note, ...]
    changes: tuple[Change, ...]

    @property
    def held(self) -> tuple[Note, ...]:
        """The held notes."""
        return tuple(note for note in self.notes if note.held)

    @property
    def deviation_cents(self) -> float:
        """Median over the held notes; NaN without one."""
        return _median([note.deviation_cents for note in self.held])

    @property
    def modulation_cents(self) -> float:
        """Median over the held notes; NaN without one."""
        return _median([note.modulation_cents for note in self.held])

    @property
    def glide_s(self) -> float:
        """Median over the changes; NaN without one."""
        return _median([change.glide_s for change in self.changes])


def measure_singing(track: PitchTrack) -> Singing:
    """The notes and changes of a voice."""
    notes = tuple(_measured(track.cents, start, stop) for start, stop in _spans(track))
    changes = [_change(track.cents, one, two) for one, two in itertools.pairwise(notes)]
    return Singing(notes, tuple(change for change in changes if change is not None))


def motion_of(cents: Float64Array) -> tuple[float, float] | None:
    """Deviation and modulation in cents of a note's pitch (frames,); None where too little of it is sung."""
    inner = cents[_EDGE_FRAMES : len(cents) - _EDGE_FRAMES]
    sung = np.isfinite(inner)
    if len(cents) * FRAME_S < SHORTEST_HELD_S or sung.mean() < _LEAST_SUNG:
        return None
    frames, pitch = np.flatnonzero(sung), inner[sung]
    slow = np.polynomial.Polynomial.fit(frames, pitch, 2)(frames)
    return float(pitch.std()), float((pitch - slow).std())


def _spans(track: PitchTrack) -> list[tuple[int, int]]:
    """The frames of each note, from and to."""
    from swift_f0 import PitchResult, segment_notes

    if not np.isfinite(track.hz).any():
        return []
    found = segment_notes(PitchResult(track.times_s, track.hz, track.confidence, track.level_db))
    return [(round(note.start / FRAME_S), round(note.end / FRAME_S)) for note in found]


def _measured(cents: Float64Array, start: int, stop: int) -> Note:
    inside = cents[start:stop]
    sung = inside[np.isfinite(inside)]
    mean = float(sung.mean()) if sung.size else float("nan")
    motion = motion_of(inside)
    if motion is None:
        return Note(start, stop, mean)
    return Note(start, stop, mean, *motion, held=True)


def _change(cents: Float64Array, one: Note, two: Note) -> Change | None:
    """The change from one note to the next; None across a rest, and where the pitch is lost between them."""
    if two.start - one.stop > _LONGEST_GAP_FRAMES:
        return None
    first, last = max(one.start, one.stop - _GLIDE_FRAMES), min(two.stop, two.start + _GLIDE_FRAMES)
    before, after = cents[first : one.stop - 2], cents[two.start + 2 : last]
    inside = cents[first:last]
    if min(before.size, after.size) < _LONGEST_GAP_FRAMES or not np.isfinite(inside).all():
        return None
    begun, ended = float(np.median(before)), float(np.median(after))
    step = ended - begun
    if not _LEAST_STEP_CENTS <= abs(step) <= _MOST_STEP_CENTS:
        return None
    done = (inside - begun) / step
    places = np.arange(0, len(done) - 1, 0.05)
    fine = np.interp(places, np.arange(len(done)), done)
    late = int(np.argmax(fine > 0.8))
    early = late - int(np.argmax(fine[late::-1] <= 0.2))
    middle = early + int(np.argmax(fine[early : late + 1] >= 0.5))
    glide_s = float(places[late] - places[early]) * FRAME_S
    return Change((first + float(places[middle])) * FRAME_S, step, glide_s, one, two)


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")
