"""Finished stages of songs, a folder a song, which goes when the last one who has the song deletes it."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixagent.pipeline.files import exclusive_lock, write_atomically

_BLOBS = "blobs.txt"
_FRESH_S = 10.0


@dataclass(frozen=True)
class SongCache:
    """The folder of a song's stages; `used` says whether there are any."""

    folder: Path
    used: bool


class Caches:
    """The folders of all songs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._lock = threading.Lock()
        self._others = exclusive_lock(folder / ".lock")

    def of(self, blobs: Sequence[str]) -> SongCache:
        """The folder of the stages of a job with these files, the song first.

        References and tracks are put down with it: their samples may lie there too.
        """
        song = blobs[0] if blobs else "none"
        folder = self._folder / hashlib.sha256(song.encode()).hexdigest()[:32]
        with self._alone():
            used = folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            known = _blobs_of(folder)
            write_atomically(folder / _BLOBS, "\n".join(sorted({*known, *blobs})))
        return SongCache(folder, used)

    def sweep(self, kept: Collection[str], busy: Collection[str], most_bytes: float) -> int:
        """Remove the folders that hold anything of a file that is gone, and the oldest over a size.

        Args:
            kept: files that somebody still has.
            busy: files that jobs at work read.
            most_bytes: that all folders together may have.

        Returns:
            How many were removed.
        """
        removed, left = 0, []
        for folder in self._all():
            blobs = _blobs_of(folder)
            if blobs & set(busy) or _is_fresh(folder):
                continue
            if not blobs <= set(kept):
                removed += self._remove(folder)
            else:
                left.append((folder.stat().st_mtime, _size(folder), folder))
        over = sum(size for _, size, _ in left) - most_bytes
        for _, size, folder in sorted(left):
            if over > 0:
                over -= size
                removed += self._remove(folder)
        return removed

    def _all(self) -> Iterator[Path]:
        yield from (path for path in self._folder.iterdir() if path.is_dir())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No thread and no other worker of this machine looks or removes meanwhile."""
        with self._lock, self._others:
            yield

    def _remove(self, folder: Path) -> bool:
        with self._alone():
            shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()


def _is_fresh(folder: Path) -> bool:
    """Whether a job may just have got it, that is not known to be at work yet."""
    try:
        return time.time() - (folder / _BLOBS).stat().st_mtime < _FRESH_S
    except OSError:
        return False


def _blobs_of(folder: Path) -> set[str]:
    try:
        return set((folder / _BLOBS).read_text().split())
    except OSError:
        return set()


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
