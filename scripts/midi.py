"""Standard MIDI files as notes and controls in seconds: read, and written again at a tempo of their own.

Files of formats 0 and 1 in ticks a beat are read by mido; meta events other than the tempo, and system
exclusives, are left out.
"""

from __future__ import annotations

import bisect
import io
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import mido
from mido.midifiles.meta import KeySignatureError

DRUM_CHANNEL = 9

_TICKS_A_BEAT = 9600
_TICKS_A_SECOND = 2 * _TICKS_A_BEAT


@dataclass(frozen=True)
class Note:
    """A note: pitch and velocity 0..127, times in seconds."""

    start_s: float
    end_s: float
    channel: int
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Control:
    """Any other channel message: `kind` is its status without the channel (0xB0, 0xC0, 0xE0 …)."""

    at_s: float
    channel: int
    kind: int
    data: tuple[int, ...]


@dataclass(frozen=True)
class Score:
    """The notes and controls of a piece, each in order of time, and how long a beat is at its start."""

    notes: tuple[Note, ...]
    controls: tuple[Control, ...]
    beat_s: float = 0.5

    @property
    def duration_s(self) -> float:
        """The end of the last note."""
        return max((note.end_s for note in self.notes), default=0.0)


@dataclass(frozen=True)
class _Event:
    tick: int
    message: mido.Message | mido.MetaMessage


def read_midi(data: bytes) -> Score:
    """The piece in a MIDI file's bytes.

    Raises:
        ValueError: not a MIDI file, cut short, or timed in SMPTE frames.
    """
    if data[:4] != b"MThd" or len(data) < 14:
        raise ValueError("not a MIDI file")
    try:
        file = mido.MidiFile(file=io.BytesIO(data))
    except EOFError as error:
        raise ValueError("cut short") from error
    except (OSError, LookupError, KeySignatureError) as error:
        raise ValueError(f"not read: {error}") from error
    if file.ticks_per_beat <= 0:
        raise ValueError("timed in SMPTE frames")
    events = [event for track in file.tracks for event in _timed(track)]
    events.sort(key=lambda event: event.tick)
    return _in_seconds(events, file.ticks_per_beat)


def _timed(track: mido.MidiTrack) -> list[_Event]:
    tick, events = 0, []
    for message in track:
        tick += message.time
        events.append(_Event(tick, message))
    return events


def _in_seconds(events: Sequence[_Event], division: int) -> Score:
    ticks, seconds, beat_s = [0], [0.0], [0.5]
    for event in events:
        if event.message.type == "set_tempo":
            seconds.append(seconds[-1] + (event.tick - ticks[-1]) / division * beat_s[-1])
            ticks.append(event.tick)
            beat_s.append(event.message.tempo / 1e6)

    def time_s(tick: int) -> float:
        k = bisect.bisect_right(ticks, tick) - 1
        return seconds[k] + (tick - ticks[k]) / division * beat_s[k]

    sounding: dict[tuple[int, int], deque[tuple[float, int]]] = defaultdict(deque)
    notes, controls = [], []
    for event in events:
        message, at_s = event.message, time_s(event.tick)
        if not hasattr(message, "channel") or message.is_meta:
            continue
        if message.type == "note_on" and message.velocity:
            sounding[message.channel, message.note].append((at_s, message.velocity))
        elif message.type in ("note_on", "note_off"):
            if waiting := sounding[message.channel, message.note]:
                start_s, velocity = waiting.popleft()
                notes.append(Note(start_s, at_s, message.channel, message.note, velocity))
        else:
            status, *values = message.bytes()
            controls.append(Control(at_s, message.channel, status & 0xF0, tuple(values)))
    first_beat_s = beat_s[bisect.bisect_right(ticks, 0) - 1]
    return Score(tuple(sorted(notes, key=lambda note: note.start_s)), tuple(controls), first_beat_s)


def write_midi(score: Score) -> bytes:
    """A MIDI file of format 0, with ticks of 1/19200 s."""
    messages = [
        _message(control.at_s, 0, control.kind | control.channel, control.data) for control in score.controls
    ]
    for note in score.notes:
        messages.append(_message(note.start_s, 2, 0x90 | note.channel, (note.pitch, note.velocity)))
        # At one time a note ends before the next begins, but never before its own start.
        end_s = max(note.end_s, note.start_s + 2 / _TICKS_A_SECOND)
        messages.append(_message(end_s, 1, 0x80 | note.channel, (note.pitch, 0)))
    file, before = mido.MidiFile(type=0, ticks_per_beat=_TICKS_A_BEAT), 0
    track = file.add_track()
    for tick, _, message in sorted(messages):
        track.append(mido.Message.from_bytes(message, tick - before))
        before = tick
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def _message(at_s: float, order: int, status: int, data: tuple[int, ...]) -> tuple[int, int, bytes]:
    return round(at_s * _TICKS_A_SECOND), order, bytes((status, *data))
