"""Bytes by the hash of their content: on the local disk, or wherever else obstore reaches."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import obstore
from obstore.store import LocalStore

from mixagent.pipeline.errors import UsageError

_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class BlobInfo:
    """A blob that is there: its hash, its size, and when it was put."""

    sha256: str
    bytes: int
    at: float


class Blobs(Protocol):
    """What the service asks of a place for bytes.

    Attributes:
        remote: whether it lies behind a network; see `store.release`.
    """

    remote: bool

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

    def delete_all(self, many: Collection[str]) -> None:
        """Forget blobs."""

    def all(self) -> Iterator[BlobInfo]:
        """All that are there."""

    def address(self, sha256: str, name: str, media_type: str, seconds: float) -> str | None:
        """Where whoever has the address may get a blob for a while; None where there is no such place."""

    def check(self) -> None:
        """Whether it can be used.

        Raises:
            UsageError: it cannot.
        """


class LocalBlobs:
    """Blobs in a folder."""

    remote = False

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._store = LocalStore(folder)

    def put(self, file: Path) -> str:
        """Keep a file's content, and give its SHA-256; what is there already is not written again."""
        sha256 = hash_of(file)
        if not self.has(sha256):
            obstore.put(self._store, place_of(sha256), file)
        return sha256

    def has(self, sha256: str) -> bool:
        """Whether a blob is there."""
        return (self._folder / place_of(sha256)).exists()

    def fetch(self, sha256: str, to: Path) -> None:
        """Write a blob into a new file.

        Raises:
            FileNotFoundError: it is not there.
        """
        shutil.copyfile(self._folder / place_of(sha256), to)

    async def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Bytes `start` to `stop` of a blob, in pieces."""
        if start >= stop:
            return
        found = await obstore.get_async(self._store, place_of(sha256), options={"range": (start, stop)})
        async for piece in found.stream(min_chunk_size=_CHUNK_BYTES):
            yield bytes(piece)

    def delete(self, sha256: str) -> None:
        """Forget a blob; one that is not there is forgotten already."""
        with suppress(FileNotFoundError):
            obstore.delete(self._store, place_of(sha256))

    def delete_all(self, many: Collection[str]) -> None:
        """Forget blobs."""
        for sha256 in many:
            self.delete(sha256)

    def address(self, sha256: str, name: str, media_type: str, seconds: float) -> str | None:
        """None: a folder has no address."""

    def check(self) -> None:
        """A folder that was made can be used."""

    def all(self) -> Iterator[BlobInfo]:
        """All that are there."""
        for rows in obstore.list(self._store):
            for row in rows:
                yield BlobInfo(row["path"].rpartition("/")[2], row["size"], row["last_modified"].timestamp())


def open_blobs(url: str | None, folder: Path) -> Blobs:
    """The store that a URL names; without one it is a folder.

    Raises:
        UsageError: it is none that is known here, or cannot be used.
    """
    if url is None:
        return LocalBlobs(folder)
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        return LocalBlobs(Path(parts.path).absolute())
    if parts.scheme not in ("s3", "s3a"):
        raise UsageError(f"{url} is no store that is known here: give s3://BUCKET/PREFIX or a folder")
    from mixagent.service.store.objects import ObjectBlobs

    blobs = ObjectBlobs(url)
    blobs.check()
    return blobs


def hash_of(file: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def place_of(sha256: str) -> str:
    """The name of a blob in its store."""
    return f"{sha256[:2]}/{sha256}"
