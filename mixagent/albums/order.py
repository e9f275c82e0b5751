"""The songs of an album in their order: by a cue sheet, or by the numbers in tags and names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from mixagent.albums.cue_sheets import CueSheet, CueTrack, read_cue
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.io import tag_texts
from mixagent.pipeline.untrusted import leading_number, one_line
from mixagent.song_files import MASTER_ENDING, SongFile

PlacedBy = Literal["cue", "tag", "name", "order"]

_NUMBER = re.compile(r"(?:(\d)-)?(\d{1,3})(?=[\s._)-]|$)")


@dataclass(frozen=True)
class Track:
    """A song in its place.

    Attributes:
        song: the file.
        number: that tags, name or cue sheet give it; None where none does.
        disc: of several; 0 where none is named.
        placed_by: what gave the number.
        title: by the cue sheet, the tags or the file's name.
        performer: of the track.
        pregap_s: silence before it that a cue sheet asks for.
    """

    song: SongFile
    number: int | None
    disc: int
    placed_by: PlacedBy
    title: str
    performer: str = ""
    pregap_s: float = 0.0

    @property
    def path(self) -> Path:
        """The audio file."""
        return self.song.path


@dataclass(frozen=True)
class AlbumOrder:
    """An album's tracks in order, its names, and what the user should know about the order."""

    tracks: tuple[Track, ...]
    title: str = ""
    performer: str = ""
    warnings: tuple[str, ...] = ()


def ordered(songs: Sequence[SongFile], cue: Path | None = None) -> AlbumOrder:
    """The songs in the album's order.

    Discs come one after the other, folders in the order of their names. Masters that lie beside their
    song are left out. What a cue sheet does not name follows after what it does; a file that it names
    and that is not among the songs stands in its place, to be reported when it is opened.

    Raises:
        InputError: the cue sheet cannot be used.
        UsageError: two songs of one name in one folder.
    """
    own, masters = _without_masters(songs)
    _check_names(own)
    texts = {song.path: tag_texts(song.path) for song in own}
    tracks = sorted((_track(song, texts[song.path]) for song in own), key=_place)
    warnings = [f"{path} is left out: it is the master of another song here" for path in masters]
    if cue is None:
        return AlbumOrder(
            tuple(tracks),
            _shared(texts.values(), "album"),
            _shared(texts.values(), "albumartist", "artist"),
            (*warnings, *_numbering(tracks)),
        )
    return _by_cue(tracks, cue, read_cue(cue), warnings)


def _without_masters(songs: Sequence[SongFile]) -> tuple[list[SongFile], list[Path]]:
    names = {song.path.parent / song.path.stem for song in songs}
    masters = [
        song
        for song in songs
        if song.path.stem.endswith(MASTER_ENDING)
        and song.path.parent / song.path.stem.removesuffix(MASTER_ENDING) in names
    ]
    return [song for song in songs if song not in masters], [song.path for song in masters]


def _check_names(songs: Sequence[SongFile]) -> None:
    seen: dict[str, Path] = {}
    for song in songs:
        # In capitals or not: the masters may go to a disk where that makes no difference.
        place = str((song.below or Path()) / song.path.stem).casefold()
        if place in seen:
            raise UsageError(f"{seen[place]} and {song.path} would become one master: keep one of them")
        seen[place] = song.path


def _track(song: SongFile, texts: Mapping[str, list[str]]) -> Track:
    stem = song.path.stem
    found = _NUMBER.match(stem)
    named, named_disc = (int(found[2]), int(found[1] or 0)) if found else (None, 0)
    tagged, tagged_disc = (leading_number(_first(texts, name)) for name in ("tracknumber", "discnumber"))
    rest = stem[found.end() :].lstrip(" ._)-") if found else stem
    return Track(
        song,
        named if tagged is None else tagged,
        (named_disc if tagged is None else 0) if tagged_disc is None else tagged_disc,
        "tag" if tagged is not None else "name" if found else "order",
        _first(texts, "title") or rest or stem,
        _first(texts, "artist"),
    )


def _first(texts: Mapping[str, list[str]], *names: str) -> str:
    return one_line(next((value for name in names for value in texts.get(name, ())), ""))


def _shared(texts: Iterable[Mapping[str, list[str]]], *names: str) -> str:
    """What all songs agree on."""
    values = {_first(each, *names) for each in texts}
    return values.pop() if len(values) == 1 else ""


def _place(track: Track) -> tuple[int, str, bool, int, list[tuple[bool, int, str]]]:
    below = "" if track.song.below is None else str(track.song.below)
    number = track.number or 0
    return track.disc, below, track.number is None, number, _natural(track.path.name)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key by which `song 2` comes before `song 10`."""
    parts = re.findall(r"(\d+)|(\D+)", name.casefold())
    return [(not digits, int(digits or 0), text) for digits, text in parts]


def _numbering(tracks: Sequence[Track]) -> list[str]:
    """What is odd about the numbers of each disc or folder."""
    warnings = []
    for _, group in groupby(tracks, key=lambda track: (track.disc, track.song.below)):
        disc = list(group)
        numbers = [track.number for track in disc if track.number is not None]
        bare = [track.path.name for track in disc if track.number is None]
        if numbers and bare:
            warnings.append(f"{', '.join(bare)}: no number in tags or name, so placed last")
        twice = sorted({n for n in numbers if numbers.count(n) > 1})
        warnings += [f"two songs are number {n}: they follow by their names" for n in twice]
        absent = sorted(set(range(min(numbers, default=1), max(numbers, default=0))) - set(numbers))
        if absent and len(absent) < len(numbers):
            warnings.append(f"no song is number {', '.join(map(str, absent))}")
    return warnings


def _by_cue(tracks: Sequence[Track], cue: Path, sheet: CueSheet, warnings: Sequence[str]) -> AlbumOrder:
    left = {track.path.absolute(): track for track in tracks}
    placed = []
    for number, entry in enumerate(sheet.tracks, 1):
        name = entry.file.replace("\\", "/").rsplit("/", 1)[-1]
        found = _named(left.values(), name)
        if found is None:
            found = Track(SongFile(cue.parent / name), None, 0, "cue", Path(name).stem)
        left.pop(found.path.absolute(), None)
        placed.append(_cued(found, number, entry))
    told = [f"{track.path} is not in {cue.name}, so it comes last" for track in left.values()]
    order = (*placed, *left.values())
    return AlbumOrder(order, sheet.title, sheet.performer, (*warnings, *told))


def _named(tracks: Iterable[Track], name: str) -> Track | None:
    """The track whose file has this name, else one that differs in the suffix alone: a converted one."""
    pool = list(tracks)
    same = [track for track in pool if track.path.name == name]
    alike = [track for track in pool if track.path.stem == Path(name).stem]
    return next(iter([*same, *alike]), None)


def _cued(track: Track, number: int, entry: CueTrack) -> Track:
    return Track(
        track.song,
        number,
        0,
        "cue",
        entry.title or track.title,
        entry.performer or track.performer,
        entry.pregap_s,
    )
