"""Measures how far songs of finished albums are from their album's loudness: the grounds for `--within`.

    python scripts/measure_albums.py FOLDER…

Songs below one of the folders make an album where they agree on artist and album in their tags. Prints a
row for each album of `--least` songs or more: its loudness, and how far its loudest and its quietest song
lie from it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixagent.pipeline.errors import InputError
from mixagent.pipeline.io import decode, tag_texts
from mixagent.pipeline.measure.meters import momentary_lufs, programme_loudness
from mixagent.pipeline.types import Float64Array
from mixagent.song_files import find_songs

SHORTEST_S = 60.0
"""A jingle or an effect is no song."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--least", type=int, default=5, help="songs that make an album")
    parser.add_argument("--most", type=int, default=8, help="songs measured of each")
    options = parser.parse_args()
    print("| album | songs | LUFS | loudest, LU | quietest, LU |\n|---|--:|--:|--:|--:|")
    for name, songs in (album for folder in options.folders for album in albums(folder)):
        if len(songs) >= options.least:
            row = measured(songs, options.most)
            print(f"| {name} | {row[0]} | {row[1]:.1f} | {row[2]:+.1f} | {row[3]:+.1f} |", flush=True)


def albums(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """Songs of one artist and album, with what they are called together."""
    groups: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for song in find_songs([folder]):
        texts = tag_texts(song.path)
        groups[tuple(next(iter(texts.get(key, ())), "?") for key in ("artist", "album"))].append(song.path)
    for key, songs in groups.items():
        yield " / ".join([folder.name, *key]), songs


def measured(songs: Sequence[Path], most: int) -> tuple[int, float, float, float]:
    """Count, loudness as one programme, and the loudest and the quietest song against it."""
    windows = list(long_songs(songs, most))
    levels = [programme_loudness([each]) for each in windows]
    album = programme_loudness(windows)
    return len(windows), album, max(levels) - album, min(levels) - album


def long_songs(songs: Sequence[Path], most: int) -> Iterator[Float64Array]:
    """400 ms windows of each song that is long enough and can be read."""
    for song in songs[:most]:
        with tempfile.TemporaryDirectory(prefix="mixagent-") as scratch:
            try:
                audio = decode(song, Path(scratch) / "song.f32").audio
            except InputError as error:
                print(f"left out: {error}")
                continue
            if audio.frames >= SHORTEST_S * audio.rate:
                yield momentary_lufs(audio)


if __name__ == "__main__":
    main()
