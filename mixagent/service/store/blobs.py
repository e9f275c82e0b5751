"""Bytes by the hash of their content: on the local disk, or wherever else obstore reaches."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import obstore
from obstore.store import LocalStore

_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class BlobInfo:
    """A blob that is there: its hash, its size, and when it was put."""

    sha256: str
    bytes: int
    at: float


class Blobs(Protocol):
    """What the service asks of a place for bytes."""

    def put(self, file: Path) -> str:
        """Keep a file's content, and give its SHA-256; what is there already is not written again."""

    def has(self, sha256: str) -> bool:
        """Whether a blob is there."""

    def fetch(self, sha256: str, to: Path) -> None:
        """Write a blob into a new file.

        Raises:
            FileNotFoundError: it is not there.
        """

    def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Bytes `start` to `stop` of a blob, in pieces."""

    def delete(self, sha256: str) -> None:
        """Forget a blob; one that is not there is forgotten already."""

    def all(self) -> Iterator[BlobInfo]:
        """All that are there."""


class LocalBlobs:
    """Blobs in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._store = LocalStore(folder)

    def put(self, file: Path) -> str:
        """Keep a file's content, and give its SHA-256; what is there already is not written again."""
        sha256 = hash_of(file)
        if not self.has(sha256):
            obstore.put(self._store, _place(sha256), file)
        return sha256

    def has(self, sha256: str) -> bool:
        """Whether a blob is there."""
        return (self._folder / _place(sha256)).exists()

    def fetch(self, sha256: str, to: Path) -> None:
        """Write a blob into a new file.

        Raises:
            FileNotFoundError: it is not there.
        """
        shutil.copyfile(self._folder / _place(sha256), to)

    async def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Bytes `start` to `stop` of a blob, in pieces."""
        if start >= stop:
            return
        found = await obstore.get_async(self._store, _place(sha256), options={"range": (start, stop)})
        async for piece in found.stream(min_chunk_size=_CHUNK_BYTES):
            yield bytes(piece)

    def delete(self, sha256: str) -> None:
        """Forget a blob; one that is not there is forgotten already."""
        with suppress(FileNotFoundError):
            obstore.delete(self._store, _place(sha256))

    def all(self) -> Iterator[BlobInfo]:
        """All that are there."""
        for rows in obstore.list(self._store):
            for row in rows:
                yield BlobInfo(row["path"].rpartition("/")[2], row["size"], row["last_modified"].timestamp())


def hash_of(file: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _place(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"
