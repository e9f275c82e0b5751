"""A corpus: an index of songs that lie anywhere, each measured, with its split and what it is fit for.

The index is `index.jsonl` in the corpus's folder, one song a line. It is replaced whole and at once,
so a run that is killed leaves the last one, and a second run goes on from there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import platformdirs
import soundfile

from mixagent.envs.duplicates import same_recording
from mixagent.envs.songs import (
    FITS,
    SHORTEST_S,
    SPLITS,
    Fit,
    Found,
    Song,
    Split,
    content_hash,
    find_songs,
    measure_song,
    split_of,
)
from mixagent.envs.workers import end_with_parent
from mixagent.pipeline.errors import InputError, OutputError, UsageError, reason
from mixagent.pipeline.files import exclusive_lock, scratch_folder, write_atomically
from mixagent.pipeline.folders import user_folder
from mixagent.pipeline.io import decode
from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.names import for_libsndfile
from mixagent.pipeline.types import Audio, AudioSource, Combination, FloatArray, ShowProgress, Stems, load

__all__ = ["FITS", "RATE_HZ", "SPLITS", "Corpus", "Fit", "Song", "Split", "default_corpus", "split_of"]

RATE_HZ = 44100
"""Rate of the segments that a corpus gives."""


_SAVE_EVERY_S = 5.0
_MARGIN_S = 0.05


def default_corpus() -> Path:
    """`MIXAGENT_CORPUS`, or the folder `corpus` in the user's data folder."""
    return user_folder("MIXAGENT_CORPUS", Path(platformdirs.user_data_dir("mixagent")) / "corpus")


class Corpus:
    """The songs that the index in `directory` names; a folder without an index is an empty corpus."""

    def __init__(self, directory: Path, rows: Sequence[Song]) -> None:
        self.directory = directory
        self._rows = tuple(rows)

    @classmethod
    def open(cls, directory: Path | None = None) -> Corpus:
        """The corpus in a folder, by default `default_corpus()`.

        Raises:
            InputError: an index that cannot be read or was written by another version.
        """
        directory = (directory or default_corpus()).absolute()
        return cls(directory, tuple(_read_index(directory)))

    @property
    def rows(self) -> tuple[Song, ...]:
        """Every row of the index, in the order in which they were added."""
        return self._rows

    def songs(self, split: Split | None = None, fit: Fit | None = None) -> list[Song]:
        """The songs in use, in the order in which they were added, of one split and fit if named."""
        return [
            song
            for song in self._rows
            if not song.skipped and split in (None, song.split) and (fit is None or fit in song.fit)
        ]

    def skipped(self) -> list[Song]:
        """The songs that were found and are not used; `skipped` says why."""
        return [song for song in self._rows if song.skipped]

    def add(
        self,
        folders: Sequence[Path],
        split: Split | None = None,
        *,
        shortest_s: float = SHORTEST_S,
        workers: int = 1,
        progress: ShowProgress | None = None,
    ) -> Corpus:
        """Index the songs in `folders` and give the corpus back as it is then.

        Songs that are indexed already and have not changed are not measured again. A file that is
        broken, silent, mono, short or a copy of another gets its reason in the index.

        Args:
            folders: folders of songs, or of songs in stems (`songs.find_songs`).
            split: forces the split; by default each artist's hash gives it.
            shortest_s: shorter songs are skipped.
            workers: processes that measure.
            progress: called with "measuring" and the share done.

        Raises:
            InputError: a folder that does not exist.
            OutputError: the index or the scratch space cannot be written.
            UsageError: another program is adding to this corpus.
        """
        found = [song for folder in folders for song in find_songs(folder.absolute())]
        with _disk_errors(self.directory), locked(self.directory):
            index = _Index(self.directory, _read_index(self.directory))
            wanted = [one for one in found if not index.keep(one, split)]
            try:
                for done, song in enumerate(_measure(wanted, split, shortest_s, workers), 1):
                    index.put(song)
                    if progress:
                        progress("measuring", done / len(wanted))
            finally:
                index.save()
        return Corpus.open(self.directory)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Inside, a disk error becomes an `OutputError` of one line."""
        with _disk_errors(self.directory):
            yield

    def segment(self, song: Song, start_s: float, seconds: float) -> Audio:
        """Part of a song, float32 stereo at `RATE_HZ`; silence past its end.

        Raises:
            InputError: a file is gone or cannot be read.
        """
        return load(self.stems(song, start_s, seconds).mix)

    def stems(self, song: Song, start_s: float, seconds: float) -> Stems:
        """Part of a song with its parts, all float32 stereo at `RATE_HZ`; the mix is their sum.

        A song that is not in stems has no parts.

        Raises:
            InputError: a file is gone or cannot be read.
        """
        parts = {name: _sum([_read(path, start_s, seconds) for path in files]) for name, files in song.parts}
        if not parts:
            return Stems(_read(song.path, start_s, seconds), {})
        return Stems(_sum(list(parts.values())), parts)

    def check(self, progress: ShowProgress | None = None) -> list[str]:
        """What no longer is as the index says, a line each: files that are gone or have changed."""
        problems: list[str] = []
        songs = self.songs()
        for done, song in enumerate(songs, 1):
            problems.extend(_problems(song))
            if progress:
                progress("checking", done / len(songs))
        return problems


# --- the index -------------------------------------------------------------------------------------


class _Index:
    """The rows while songs are added, saved every few seconds."""

    def __init__(self, directory: Path, rows: Iterator[Song]) -> None:
        self._directory = directory
        self._rows = {song.path: song for song in rows}
        self._saved_s = time.monotonic()

    def keep(self, found: Found, split: Split | None) -> bool:
        """True if a song is indexed as it is; if so it takes the split that is forced."""
        row = self._rows.get(found.path)
        if row is None or row.parts != found.parts or row.size_bytes != found.size_bytes():
            return False
        if row.skipped.startswith("short") or not row.content or content_hash(found.files) != row.content:
            return False
        if split and row.split != split:
            self._rows[row.path] = replace(row, split=split)
        return True

    def put(self, song: Song) -> None:
        """Add a song, or take it for a copy of one that is there."""
        others = (row for row in self._rows.values() if row.path != song.path and not row.skipped)
        if not song.skipped:
            twin = next((row for row in others if _alike(row, song)), None)
            song = replace(song, skipped=f"duplicate of {twin.path}") if twin else song
        self._rows[song.path] = song
        if time.monotonic() - self._saved_s > _SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write the index whole."""
        rows = [json.dumps(_relative(song.to_json(), self._directory)) for song in self._rows.values()]
        write_atomically(self._directory / "index.jsonl", "".join(f"{row}\n" for row in rows))
        self._saved_s = time.monotonic()


def _read_index(directory: Path) -> Iterator[Song]:
    path = directory / "index.jsonl"
    if not path.exists():
        return
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            song = Song.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}, line {number}: not a song as this version writes it; add the folders again"
            ) from error
        yield _absolute(song, directory)


def _relative(row: dict[str, object], directory: Path) -> dict[str, object]:
    """The row with the paths inside the corpus's folder made relative, so that it can be moved."""

    def shortened(value: object) -> object:
        if isinstance(value, list):
            return [shortened(item) for item in value]
        inside = isinstance(value, str) and value.startswith(f"{directory}{os.sep}")
        return str(value)[len(str(directory)) + 1 :] if inside else value

    return {**row, "path": shortened(row["path"]), "parts": shortened(row["parts"])}


def _absolute(song: Song, directory: Path) -> Song:
    parts = tuple((name, tuple(directory / path for path in files)) for name, files in song.parts)
    return replace(song, path=directory / song.path, parts=parts)


def _alike(first: Song, second: Song) -> bool:
    return first.content == second.content or same_recording(first.acoustic, second.acoustic)


def _measure(found: Sequence[Found], split: Split | None, shortest_s: float, workers: int) -> Iterator[Song]:
    measure = partial(measure_song, split=split, shortest_s=shortest_s)
    if workers <= 1 or len(found) <= 1:
        yield from map(measure, found)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), end_with_parent) as pool:
        try:
            yield from pool.map(measure, found)
        finally:
            pool.shutdown(cancel_futures=True)


def _problems(song: Song) -> Iterator[str]:
    missing = [path for path in song.files if not path.is_file()]
    if missing:
        yield from (f"{path} is gone: add its folder again, or put it back" for path in missing)
    elif content_hash(song.files) != song.content:
        yield f"{song.path} has changed since it was indexed: add its folder again"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    lock = exclusive_lock(directory / "index.lock")
    try:
        lock.acquire(blocking=False)
    except TimeoutError as error:
        raise UsageError(f"another program is adding to the corpus in {directory}: wait for it") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or directory
        raise OutputError(f"cannot write the corpus {place}: {reason(error)}") from error


# --- reading ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _File:
    """An open file that libsndfile reads by position."""

    file: soundfile.SoundFile

    @property
    def rate(self) -> int:
        return int(self.file.samplerate)

    @property
    def channels(self) -> int:
        return int(self.file.channels)

    @property
    def frames(self) -> int:
        return int(self.file.frames)

    def read(self, start: int, stop: int) -> FloatArray:
        start = min(max(start, 0), self.frames)
        self.file.seek(start)
        samples: FloatArray = self.file.read(max(stop - start, 0), dtype="float32", always_2d=True).T
        return samples


def _read(path: Path, start_s: float, seconds: float) -> Audio:
    """Part of a file as stereo at `RATE_HZ`; what libsndfile cannot open is decoded whole."""
    try:
        with soundfile.SoundFile(for_libsndfile(path)) as file:
            return _part(_File(file), start_s, seconds)
    except soundfile.LibsndfileError:
        with scratch_folder() as scratch:
            return _part(decode(path, scratch / "song").audio, start_s, seconds)


def _part(source: AudioSource, start_s: float, seconds: float) -> Audio:
    """Part of a source, resampled with what lies beside it; silence where the source has none."""
    margin = 0 if source.rate == RATE_HZ else round(_MARGIN_S * source.rate)
    start = round(start_s * source.rate) - margin
    frames = round(seconds * source.rate) + 2 * margin
    read = source.read(start, start + frames)
    before = min(max(-start, 0), frames)
    padded = np.pad(read, ((0, 0), (before, frames - before - read.shape[1])))
    stereo = np.ascontiguousarray(np.broadcast_to(padded, (2, frames)))
    resampled = load(resample(Audio(stereo, source.rate), RATE_HZ)).samples
    skip, wanted = round(margin * RATE_HZ / source.rate), round(seconds * RATE_HZ)
    cut = resampled[:, skip : skip + wanted]
    return Audio(np.ascontiguousarray(np.pad(cut, ((0, 0), (0, wanted - cut.shape[1])))), RATE_HZ)


def _sum(parts: Sequence[Audio]) -> Audio:
    return load(Combination(tuple((1.0, part) for part in parts)))
