"""Songs named on the command line, folders among them, and a folder for what is made of each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixagent.manifests import read_manifest
from mixagent.pipeline.errors import InputError, UsageError, option
from mixagent.pipeline.names import place_key

SUFFIXES = (".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".m4a")
"""What is taken for a song in a folder; a file that is named is taken whatever its suffix."""

MADE = (".stems", ".vocals", ".mastered")
"""Endings of the folders that splitting and albums make: what lies in them is no song."""

MASTER_ENDING = ".master"
"""What the name of a master ends with, before its suffix, unless it was given another."""

MANIFEST = " - split.json"
"""Ending of the file beside the stems of a song that says what was done; see `manifests.read_manifest`."""


def beside(song: Path, ending: str) -> Path:
    """The name of something made of a song, in the song's folder.

    Raises:
        InputError: what was named as a song is a folder.
    """
    if not song.name:
        raise InputError(f"{song} is a folder: name an audio file")
    return song.with_name(song.stem + ending)


@dataclass(frozen=True)
class SongFile:
    """A song; `below` is where it lies in the folder that was named, None for a song that was."""

    path: Path
    below: Path | None = None


def find_songs(named: Sequence[Path]) -> list[SongFile]:
    """The songs that were named and those in folders that were, sorted, each once.

    Hidden folders, and folders and files that splitting or an album made, are left out.

    Raises:
        InputError: a folder without songs, or the root of all folders.
    """
    found: dict[Path, SongFile] = {}
    for path in named:
        # The root is what is left of "$FOLDER/" when there is no FOLDER.
        if path.resolve() == Path(path.resolve().anchor):
            raise InputError(f"{path} is a whole disk: name a folder of songs")
        songs = list(_in_folder(path)) if path.is_dir() else [SongFile(path)]
        if not songs:
            raise InputError(f"{path} holds no audio files")
        for song in songs:
            found.setdefault(song.path.absolute(), song)
    return list(found.values())


def without_made(songs: Sequence[SongFile], folder: Path) -> list[SongFile]:
    """The songs but for those that a run before put into its folder, where that lies among them.

    Raises:
        InputError: nothing else is left.
    """
    made = folder.resolve()
    left = [song for song in songs if song.below is None or made not in song.path.resolve().parents]
    if not left:
        raise InputError(
            f"{folder} is where the masters go: name another folder for them with {option('output')}",
            field="output",
        )
    return left


def _in_folder(root: Path) -> Iterator[SongFile]:
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith(".") and not name.endswith(MADE))
        made = {made for name in names if name.endswith(MANIFEST) for made in _made(Path(folder) / name)}
        for name in sorted(set(names) - made):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield SongFile(Path(folder) / name, Path(folder).relative_to(root))


def _made(manifest: Path) -> set[str]:
    return {Path(path).name for path in read_manifest(manifest).get("files", {}).values()}


def output_folders(songs: Sequence[SongFile], output: Path | None, ending: str) -> list[Path]:
    """A folder for each song: beside it, `SONG` with the ending, or in `output` as the songs lie.

    `output` itself is the folder of a single song that was named. Songs that differ in their suffix
    alone keep it: `SONG.mp3.stems`.

    Raises:
        UsageError: two songs would get the same folder.
    """
    if output is not None and len(songs) == 1 and songs[0].below is None:
        return [output]
    folders = [_folder(song, output, song.path.stem + ending) for song in songs]
    count = Counter(map(place_key, folders))
    folders = [
        folder if count[place_key(folder)] == 1 else _folder(song, output, song.path.name + ending)
        for song, folder in zip(songs, folders, strict=True)
    ]
    count = Counter(map(place_key, folders))
    twice = [folder for folder in folders if count[place_key(folder)] > 1]
    if twice:
        raise UsageError(f"two of the songs would go into {twice[0]}: name an output folder for each")
    return folders


def _folder(song: SongFile, output: Path | None, name: str) -> Path:
    if output is None:
        return beside(song.path, "").with_name(name)
    return output / (song.below or Path()) / name
