"""Blobs in any S3, by obstore: whole objects under the hash of their content, which never change.

Networks are slow, answer with 503, or answer twice. Every request is tried again a bounded number of times:
those that obstore knows to be safe by itself, and whole steps here. An object's name is the hash of its
content, so to put it twice is to put it once, and what was fetched is known to be whole or is fetched again.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from mixagent.pipeline.errors import UsageError
from mixagent.service.problems import Problem
from mixagent.service.store.blobs import BlobInfo, hash_of, place_of
from mixagent.service.store.signing import Signature

_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4
_CONNECT_S, _REQUEST_S = 5, 60
_RETRIES, _RETRY_S = 4, 30
_WAITS_S = (0.5, 2.0)
"""Between the tries of a whole step."""

_KEPT = "private, max-age=31536000, immutable"

Given = TypeVar("Given")


class ObjectBlobs:
    """Blobs in a bucket.

    Keys and region are read from the environment as everything that speaks to S3 does: `AWS_ACCESS_KEY_ID`,
    `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, and `AWS_ENDPOINT_URL` of an S3 that is not Amazon's.

    Args:
        url: `s3://bucket/prefix`.

    Raises:
        UsageError: it is no such URL, or there is no such bucket for this key.
    """

    remote = True

    def __init__(self, url: str) -> None:
        self._url, self._bucket = url, urlsplit(url).netloc
        if not self._bucket:
            raise UsageError(f"{url} names no bucket: give s3://BUCKET/PREFIX")
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        self._store = S3Store.from_url(
            url,
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=_CONNECT_S),
                "timeout": timedelta(seconds=_REQUEST_S),
            },
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=_RETRY_S),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
            },
        )
        self._signature = Signature.of_environment(self._bucket, urlsplit(url).path.strip("/"))

    def check(self) -> None:
        """Whether the bucket is there and can be read.

        Raises:
            UsageError: it is not, or the key may not.
        """
        try:
            self._again(lambda: next(iter(obstore.list(self._store, chunk_size=1)), None))
        except (FileNotFoundError, PermissionError, Problem) as error:
            why = str(error.__cause__ or error).strip().splitlines()[0][:300]
            raise UsageError(f"the store {self._url} cannot be used: {why}") from error

    def put(self, file: Path) -> str:
        """Keep a file's content, and give its SHA-256; what is there already is not written again."""
        sha256, size = hash_of(file), file.stat().st_size
        if self._size(sha256) != size:
            self._again(lambda: self._sent(sha256, file, size))
        return sha256

    def _sent(self, sha256: str, file: Path, size: int) -> None:
        try:
            obstore.put(
                self._store,
                place_of(sha256),
                file,
                attributes={"Cache-Control": _KEPT},
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
        except (BaseError, OSError):
            # The end of an upload in parts may be done and its answer lost: to end it again is an error.
            if self._size(sha256) != size:
                raise

    def _size(self, sha256: str) -> int | None:
        try:
            return int(self._again(lambda: obstore.head(self._store, place_of(sha256)))["size"])
        except FileNotFoundError:
            return None

    def has(self, sha256: str) -> bool:
        """Whether a blob is there."""
        return self._size(sha256) is not None

    def fetch(self, sha256: str, to: Path) -> None:
        """Write a blob into a new file.

        Raises:
            FileNotFoundError: it is not there.
        """
        self._again(lambda: self._fetched(sha256, to))

    def _fetched(self, sha256: str, to: Path) -> None:
        place, digest = place_of(sha256), hashlib.sha256()
        size = obstore.head(self._store, place)["size"]
        with to.open("wb") as opened:
            for start in range(0, size, _PART_BYTES):
                stop = min(size, start + _PART_BYTES)
                part = obstore.get_range(self._store, place, start=start, end=stop)
                digest.update(part)
                opened.write(part)
        if digest.hexdigest() != sha256:
            raise OSError("the store gave other bytes than were put")

    async def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Bytes `start` to `stop` of a blob, in pieces."""
        place = place_of(sha256)
        for begin in range(start, stop, _PART_BYTES // 4):
            end = min(stop, begin + _PART_BYTES // 4)
            try:
                piece = await obstore.get_range_async(self._store, place, start=begin, end=end)
            except FileNotFoundError as error:
                raise Problem("missing", "these bytes were deleted") from error
            except (BaseError, OSError) as error:
                raise _away() from error
            yield bytes(piece)

    def delete(self, sha256: str) -> None:
        """Forget a blob; one that is not there is forgotten already."""
        self.delete_all([sha256])

    def delete_all(self, many: Collection[str]) -> None:
        """Forget blobs, in one request for up to a thousand."""
        with suppress(FileNotFoundError):
            self._again(lambda: obstore.delete(self._store, [place_of(sha256) for sha256 in many]))

    def all(self) -> Iterator[BlobInfo]:
        """All that are there."""
        for rows in obstore.list(self._store):
            for row in rows:
                yield BlobInfo(row["path"].rpartition("/")[2], row["size"], row["last_modified"].timestamp())

    def address(self, sha256: str, name: str, media_type: str, seconds: float) -> str | None:
        """Where whoever has the address may get a blob for a while; None where this cannot sign."""
        if self._signature is None:
            return None
        return self._signature.address(place_of(sha256), name, media_type, seconds)

    def _again(self, step: Callable[[], Given]) -> Given:
        """A step, tried again where the store is out of order.

        Raises:
            FileNotFoundError: the object or the bucket is not there.
            Problem: the store cannot be reached, or does not let this program in.
        """
        for wait_s in (*_WAITS_S, None):
            try:
                return step()
            except (FileNotFoundError, PermissionError):
                raise
            except (PermissionDeniedError, UnauthenticatedError) as error:
                raise Problem("output", "the store does not let this service in: see its log") from error
            except (BaseError, OSError) as error:
                if wait_s is None:
                    raise _away() from error
            time.sleep(wait_s)
        raise AssertionError("the last try returns or raises")


def _away() -> Problem:
    return Problem("busy", "the store of songs and results cannot be reached: try again", retry_after_s=10)
