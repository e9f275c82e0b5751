"""A file read as if other bytes stood in it: what a decoder is given where a header is wrong."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Piece = bytes | tuple[int, int]
"""Bytes of one's own, or a span of the file as (start, stop)."""


class SplicedFile(io.RawIOBase):
    """Pieces of a file and bytes of one's own, read as one file; nothing is written or held in memory."""

    def __init__(self, path: Path, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self._pieces = [piece for piece in pieces if _length(piece)]
        self._file = path.open("rb")
        self._size = sum(_length(piece) for piece in self._pieces)
        self._at = 0

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the pieces reach; returns the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, never before the first byte."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _read(self, count: int) -> bytes:
        parts: list[bytes] = []
        begins = 0
        for piece in self._pieces:
            ends = begins + _length(piece)
            if begins <= self._at < ends and count > 0:
                part = self._part(piece, self._at - begins, min(count, ends - self._at))
                parts.append(part)
                self._at += len(part)
                count -= len(part)
            begins = ends
        return b"".join(parts)

    def _part(self, piece: Piece, start: int, count: int) -> bytes:
        if isinstance(piece, bytes):
            return piece[start : start + count]
        self._file.seek(piece[0] + start)
        return self._file.read(count)


def _length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else max(piece[1] - piece[0], 0)


def patched(size: int, patches: Sequence[tuple[int, bytes]]) -> tuple[Piece, ...]:
    """A file's first `size` bytes with each patch's bytes in the place of those at its offset."""
    pieces: list[Piece] = []
    at = 0
    for offset, data in sorted(patches):
        pieces += [(at, offset), data]
        at = offset + len(data)
    return (*pieces, (at, size))
