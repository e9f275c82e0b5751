"""Cue sheets: the order of an album's files, their titles, and the pauses before them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mixagent.pipeline.errors import InputError, UsageError, option, reason
from mixagent.pipeline.untrusted import file_name, one_line, whole_number

FRAMES_A_SECOND = 75
MOST_TRACKS = 99
"""What a cue sheet can number."""

_KINDS = {".mp3": "MP3", ".aiff": "AIFF", ".aif": "AIFF"}
_MOST_BYTES = 1 << 20
_MOST_MINUTES = _MOST_NUMBERED = 999
_LINE_END = re.compile(r"\r\n|\n|\r")
_WORDS = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True)
class CueTrack:
    """A track: its file as the sheet names it, what it is called, and the silence before it in seconds."""

    file: str
    title: str = ""
    performer: str = ""
    pregap_s: float = 0.0


@dataclass(frozen=True)
class CueSheet:
    """An album's tracks in order."""

    tracks: tuple[CueTrack, ...]
    title: str = ""
    performer: str = ""


@dataclass
class _Reading:
    """How far a sheet was read: the file that is open, and the track that has no place in one yet."""

    file: str = ""
    track: CueTrack | None = None
    postgap_s: float = 0.0
    tracks: list[CueTrack] = field(default_factory=list)
    title: str = ""
    performer: str = ""


def read_cue(path: Path) -> CueSheet:
    """A cue sheet with a file for each track.

    `PREGAP` and the `POSTGAP` before it are silence that the files do not hold; a pause between
    `INDEX 00` and `INDEX 01` is in the files already.

    Raises:
        InputError: it cannot be read, is no cue sheet, or cuts one file into several tracks.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error
    if len(raw) > _MOST_BYTES:
        raise InputError(f"{path} is not a cue sheet: it is over 1 MB long")
    reading = _Reading()
    for number, line in enumerate(_LINE_END.split(_decoded(raw)), 1):
        words = [quoted or plain for quoted, plain in _WORDS.findall(line)]
        try:
            _take(reading, words)
        except (ValueError, IndexError) as error:
            raise InputError(f"{path} is damaged: line {number} cannot be understood") from error
    if not reading.tracks:
        raise InputError(f"{path} is not a cue sheet: it names no track of a file")
    files = [track.file for track in reading.tracks]
    if len(set(files)) < len(files):
        raise InputError(f"{path} cuts one file into several tracks: cut the file first, a file for each")
    return CueSheet(tuple(reading.tracks), reading.title, reading.performer)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        # What programs for CDs wrote before UTF-8.
        return raw.decode("cp1252", "replace")


def _take(reading: _Reading, words: Sequence[str]) -> None:
    """One line."""
    command = words[0].upper() if words else ""
    if command == "FILE":
        reading.file = file_name(words[1])
    elif command == "TRACK":
        _number(words[1], _MOST_NUMBERED)
        reading.track = CueTrack("", pregap_s=reading.postgap_s)
        reading.postgap_s = 0.0
    elif command == "POSTGAP":
        reading.postgap_s = _seconds(words[1])
    elif command == "INDEX" and _number(words[1], _MOST_NUMBERED) == 1 and reading.track and reading.file:
        _seconds(words[2])
        reading.tracks.append(replace(reading.track, file=reading.file))
    elif command == "PREGAP" and reading.track is not None:
        reading.track = replace(reading.track, pregap_s=reading.track.pregap_s + _seconds(words[1]))
    elif command in ("TITLE", "PERFORMER"):
        _name(reading, command.lower(), one_line(words[1]))


def _name(reading: _Reading, what: str, text: str) -> None:
    if reading.track is None:
        setattr(reading, what, text)
    elif what == "title":
        reading.track = replace(reading.track, title=text)
    else:
        reading.track = replace(reading.track, performer=text)


def _seconds(text: str) -> float:
    minutes, seconds, frames = (
        _number(part, most)
        for part, most in zip(text.split(":"), (_MOST_MINUTES, 59, FRAMES_A_SECOND - 1), strict=True)
    )
    return 60 * minutes + seconds + frames / FRAMES_A_SECOND


def _number(text: str, most: int) -> int:
    value = whole_number(text, 0, most)
    if value is None:
        raise ValueError(f"no number up to {most}")
    return value


def cue_text(sheet: CueSheet) -> str:
    """The sheet as a cue file's text.

    Raises:
        UsageError: more tracks than a cue sheet can number.
    """
    if len(sheet.tracks) > MOST_TRACKS:
        raise UsageError(
            f"a cue sheet holds {MOST_TRACKS} tracks, not {len(sheet.tracks)}: "
            f"leave {option('write_cue')} out"
        )
    lines = [*_named("", sheet.title, sheet.performer)]
    for number, track in enumerate(sheet.tracks, 1):
        lines.append(f'FILE "{_quoted(track.file)}" {_KINDS.get(Path(track.file).suffix.lower(), "WAVE")}')
        lines.append(f"  TRACK {number:02d} AUDIO")
        lines += _named("    ", track.title, track.performer)
        if track.pregap_s:
            lines.append(f"    PREGAP {_clock(track.pregap_s)}")
        lines.append("    INDEX 01 00:00:00")
    return "\n".join(lines) + "\n"


def _named(indent: str, title: str, performer: str) -> list[str]:
    pairs = (("PERFORMER", performer), ("TITLE", title))
    return [f'{indent}{what} "{_quoted(text)}"' for what, text in pairs if text]


def _quoted(text: str) -> str:
    """A cue sheet knows no escape for a quote, and a line is a command."""
    return one_line(text).replace('"', "'")


def _clock(seconds: float) -> str:
    whole, frames = divmod(round(seconds * FRAMES_A_SECOND), FRAMES_A_SECOND)
    return f"{whole // 60:02d}:{whole % 60:02d}:{frames:02d}"
