"""Files of the formats that ffmpeg reads, looked through for a second one joined to the first.

ffmpeg reads the first of them and says nothing of the rest.
"""

from __future__ import annotations

import mmap
import struct

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MOST_BLOCKS = 1_000_000


def second_file(data: mmap.mmap) -> int | None:
    """Where a second file of the same kind begins; None where none does."""
    if data[4:8] == b"ftyp":
        return _second_mp4(data)
    if data[:4] == b"wvpk":
        return _second_wavpack(data)
    magic = {b"TTA1": b"TTA1\1\0", _ASF_HEADER[:4]: _ASF_HEADER}.get(data[:4])
    if data[:4] == b"MAC ":
        magic = data[:6]
    found = -1 if magic is None else data.find(magic, len(magic))
    return None if found < 0 else found


def asf_duration_s(data: mmap.mmap) -> float:
    """The length that the header of a Windows Media file states in seconds (ASF 1.2, 3.2); 0 for none.

    What ffmpeg gives is worked out from the size of the file, and so never more than is there.
    """
    at = data.find(_ASF_PROPERTIES, 0, 1 << 20)
    if at < 0 or at + 92 > len(data):
        return 0.0
    duration, _, preroll_ms, flags = struct.unpack("<QQQI", data[at + 64 : at + 92])
    return 0.0 if flags & 1 else max(duration / 1e7 - preroll_ms / 1e3, 0.0)


def _second_mp4(data: mmap.mmap) -> int | None:
    at = 0
    for _ in range(_MOST_BLOCKS):
        if at + 8 > len(data):
            return None
        size = int.from_bytes(data[at : at + 4], "big")
        if at and data[at + 4 : at + 8] == b"ftyp":
            return at
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:
            return None
        at += size
    return None


def _second_wavpack(data: mmap.mmap) -> int | None:
    at, index = 0, -1
    for _ in range(_MOST_BLOCKS):
        if data[at : at + 4] != b"wvpk":
            # A tag may stand between.
            at = data.find(b"wvpk", at)
        if at < 0 or at + 32 > len(data):
            return None
        size, block, samples = struct.unpack("<I8xII", data[at + 4 : at + 24])
        if samples and block < index:
            return at
        index = block if samples else index
        at += 8 + size
    return None
