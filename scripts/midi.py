"""Standard MIDI files as notes and controls in seconds: read, and written again at a tempo of their own.

After "Standard MIDI-File Format Specification 1.1" (MIDI Manufacturers Association, 1996). Formats 0
and 1 in ticks a beat are read; meta events other than the tempo, and system exclusives, are left out.
"""

from __future__ import annotations

import bisect
import struct
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass

DRUM_CHANNEL = 9

_TICKS_A_BEAT = 9600
_TICKS_A_SECOND = 2 * _TICKS_A_BEAT
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}


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
        """Where the last note ends."""
        return max((note.end_s for note in self.notes), default=0.0)


@dataclass(frozen=True)
class _Event:
    tick: int
    status: int
    data: bytes


def read_midi(data: bytes) -> Score:
    """The piece in a MIDI file's bytes.

    Raises:
        ValueError: not a MIDI file, cut short, or timed in SMPTE frames.
    """
    if data[:4] != b"MThd" or len(data) < 14:
        raise ValueError("not a MIDI file")
    _, division = struct.unpack(">HH", data[10:14])
    if division & 0x8000 or not division:
        raise ValueError("timed in SMPTE frames")
    try:
        events = [event for track in _tracks(data) for event in _track_events(track)]
    except IndexError as error:
        raise ValueError("cut short") from error
    events.sort(key=lambda event: event.tick)
    return _in_seconds(events, division)


def _tracks(data: bytes) -> Iterator[bytes]:
    place = 8 + struct.unpack(">I", data[4:8])[0]
    while place + 8 <= len(data):
        size = struct.unpack(">I", data[place + 4 : place + 8])[0]
        if data[place : place + 4] == b"MTrk":
            yield data[place + 8 : place + 8 + size]
        place += 8 + size


def _track_events(track: bytes) -> Iterator[_Event]:
    place, tick, running = 0, 0, 0
    while place < len(track):
        delta, place = _variable(track, place)
        tick += delta
        if track[place] & 0x80:
            running, place = track[place], place + 1
        if running == 0xFF:
            size, start = _variable(track, place + 1)
            yield _Event(tick, 0xFF00 | track[place], track[start : start + size])
            place = start + size
        elif running in (0xF0, 0xF7):
            size, start = _variable(track, place)
            place = start + size
        else:
            size = _DATA_BYTES.get(running & 0xF0, 0)
            if not size:
                raise ValueError(f"an event of status {running:#x}")
            if place + size > len(track):
                raise ValueError("cut short")
            yield _Event(tick, running, track[place : place + size])
            place += size


def _variable(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    while True:
        byte = data[place]
        value, place = value << 7 | byte & 0x7F, place + 1
        if not byte & 0x80:
            return value, place


def _in_seconds(events: list[_Event], division: int) -> Score:
    ticks, seconds, beat_s = [0], [0.0], [0.5]
    for event in events:
        if event.status == 0xFF51:
            seconds.append(seconds[-1] + (event.tick - ticks[-1]) / division * beat_s[-1])
            ticks.append(event.tick)
            beat_s.append(int.from_bytes(event.data) / 1e6)

    def time_s(tick: int) -> float:
        k = bisect.bisect_right(ticks, tick) - 1
        return seconds[k] + (tick - ticks[k]) / division * beat_s[k]

    sounding: dict[tuple[int, int], deque[tuple[float, int]]] = defaultdict(deque)
    notes, controls = [], []
    for event in events:
        kind, channel, at_s = event.status & 0xF0, event.status & 0x0F, time_s(event.tick)
        if event.status > 0xFF:
            continue
        if kind == 0x90 and event.data[1]:
            sounding[channel, event.data[0]].append((at_s, event.data[1]))
        elif kind in (0x80, 0x90):
            if waiting := sounding[channel, event.data[0]]:
                start_s, velocity = waiting.popleft()
                notes.append(Note(start_s, at_s, channel, event.data[0], velocity))
        else:
            controls.append(Control(at_s, channel, kind, tuple(event.data)))
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
    track, before = bytearray(), 0
    for tick, _, message in sorted(messages):
        track += _encoded(tick - before) + message
        before = tick
    track += b"\x00\xff\x2f\x00"
    head = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, _TICKS_A_BEAT)
    return head + struct.pack(">4sI", b"MTrk", len(track)) + bytes(track)


def _message(at_s: float, order: int, status: int, data: tuple[int, ...]) -> tuple[int, int, bytes]:
    return round(at_s * _TICKS_A_SECOND), order, bytes((status, *data))


def _encoded(value: int) -> bytes:
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))
