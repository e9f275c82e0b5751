"""A mix as a REAPER project: its text.

REAPER has no device of its own whose settings are written as text, so equalisers and compressors are told in
the notes: of the project, which REAPER shows by itself, and of each track, which SWS shows.

Sources: ReaTeam, "State Chunk Definitions"; REAPER's API, `I_PANLAW_FLAGS` (2 is a linear taper).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence

from mixagent.daw.project import Project, Sent, Track, track_notes

_SPACE = uuid.UUID("6d697861-6765-6e74-8000-646177000000")
_HEADER = '<REAPER_PROJECT 0.1 "7.0/win64" 0'
_OWN_COLOUR = 0x1000000


def reaper_project(project: Project, files: Mapping[str, str]) -> str:
    """The text of an .rpp file.

    Args:
        project: the mix.
        files: the names of the tracks' files beside it, by track.
    """
    tracks = project.all_tracks
    lines = [
        _HEADER,
        *_indented(_notes("NOTES 0 2", project.told(devices=True))),
        # A balance of 0 dB at the centre with a linear taper, as `daw.project` has it.
        "  PANLAW 1",
        "  PANMODE 3",
        "  PANLAWFLAGS 2",
        f"  SAMPLERATE {project.rate} 1 0",
        "  TEMPO 120 4 4",
        f"  MASTER_VOLUME {_number(project.master.fader.volume)} {_number(project.master.fader.pan)} -1 -1 1",
        f"  MASTER_NCH {max(project.channels, 2)} 2",
        "  MASTER_PANMODE 3",
        "  MASTER_PANLAWFLAGS 2",
    ]
    for place, track in enumerate(tracks):
        lines += _indented(_track(project, tracks, place, files.get(track.name)))
    lines += _indented(["<EXTENSIONS", *_indented(_track_notes(project)), ">"])
    return "\n".join([*lines, ">", ""])


def _track(project: Project, tracks: Sequence[Track], place: int, file: str | None) -> Iterator[str]:
    track = tracks[place]
    guid = _guid(project, track)
    yield f"<TRACK {guid}"
    yield f"  NAME {_quoted(track.name)}"
    yield f"  PEAKCOL {_colour(track.colour)}"
    yield "  PANLAWFLAGS 2"
    yield f"  VOLPAN {_number(track.fader.volume)} {_number(track.fader.pan)} -1 -1 1"
    yield f"  MUTESOLO {int(track.mute)} 0 0"
    yield f"  ISBUS {_folder(track)}"
    yield f"  NCHAN {max(project.channels, 2)}"
    yield f"  TRACKID {guid}"
    yield "  MAINSEND 1 0"
    for source, send in _receives(tracks, track.name):
        yield f"  AUXRECV {source} 0 {_number(send.volume)} 0 0 0 0 0 0 -1 0 -1 ''"
    if file is not None:
        yield from _indented(_item(project, track, file))
    yield ">"


def _folder(track: Track) -> str:
    """A bus is a folder whose one track is its last."""
    if track.bus is not None:
        return "2 -1"
    return "1 1" if track.audio is None and not track.mute else "0 0"


def _receives(tracks: Sequence[Track], name: str) -> Iterator[tuple[int, Sent]]:
    """The sends that reach a track, each with the place of the track that it comes from."""
    for place, track in enumerate(tracks):
        for send in track.sends:
            if send.to == name:
                yield place, send


def _item(project: Project, track: Track, file: str) -> Iterator[str]:
    yield "<ITEM"
    yield "  POSITION 0"
    yield f"  LENGTH {_number(project.duration_s)}"
    yield "  LOOP 0"
    yield "  FADEIN 1 0 0 1 0 0 0"
    yield "  FADEOUT 1 0 0 1 0 0 0"
    yield f"  NAME {_quoted(track.name)}"
    yield "  VOLPAN 1 0 1 -1"
    yield "  SOFFS 0"
    yield "  PLAYRATE 1 1 0 -1 0 0.0025"
    yield "  <SOURCE WAVE"
    yield f"    FILE {_quoted(file)}"
    yield "  >"
    yield ">"


def _track_notes(project: Project) -> Iterator[str]:
    for track in project.all_tracks:
        told = track_notes(track, devices=True)
        if told:
            yield from _notes(f"S&M_TRACKNOTES {_guid(project, track)}", told)


def _notes(head: str, lines: Sequence[str]) -> list[str]:
    return [f"<{head}", *(f"  |{line}" for line in lines), ">"]


def _indented(lines: Sequence[str] | Iterator[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _guid(project: Project, track: Track) -> str:
    return f"{{{str(uuid.uuid5(_SPACE, f'{project.title}/{track.name}')).upper()}}}"


def _quoted(text: str) -> str:
    """A text in the first of REAPER's three quotes that it does not hold."""
    quote = next((mark for mark in ('"', "'", "`") if mark not in text), None)
    if quote is None:
        text, quote = text.replace("`", "'"), "`"
    return f"{quote}{text}{quote}"


def _colour(colour: str) -> int:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return _OWN_COLOUR | blue << 16 | green << 8 | red


def _number(value: float) -> str:
    return f"{value:.10f}".rstrip("0").rstrip(".")
