"""Uncompressed files whose chunks say how long they are, held against the bytes that are there.

A recorder that crashed leaves sizes of 0 or those of its last save; a file over 4 GB wraps round; a
download ends early. libsndfile believes the sizes, so what it is given has them put right.

Sources: Multimedia Programming Interface 1.0 (RIFF), EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64), AIFF 1.3,
Sony Wave64, Apple Core Audio Format 1.0, NeXT/Sun au.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mixagent.pipeline.io.spliced_file import Piece, patched

_MOST_CHUNKS = 10_000
_STREAMED = 0x7FFFF000
"""From this size on a header was written to a pipe, before the length was known."""
_LEAST_REST = 256
_TAG_MAGIC = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS", b"PK\3\4")
_JUDGED_BYTES = 1 << 18
_RANDOM_BITS = 7.7
_MOST_OFFSET = 0.4
_W64_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")


@dataclass(frozen=True)
class SampleData:
    """Where a file's samples lie, and how many bytes of them its header states.

    Attributes:
        start: offset of the first sample.
        stated: bytes of samples as stated; None where the header leaves it open.
        frame_bytes: of one frame of all channels, or of one block of a coded format.
        rate: in Hz.
        linear: whether a sample is `frame_bytes / channels` bytes of PCM or float.
        floating: whether they are floats.
        big_endian: the order of their bytes.
        channels: how many.
        resized: given the bytes of samples, the patches of the header that state them.
        then: given an offset, where the chunk there ends; None where no chunk stands.
    """

    start: int
    stated: int | None
    frame_bytes: int
    rate: int
    linear: bool
    floating: bool
    big_endian: bool
    channels: int
    resized: Callable[[int], list[tuple[int, bytes]]]
    then: Callable[[int], int | None]


@dataclass(frozen=True)
class Resized:
    """How a file with a wrong size is to be read.

    Attributes:
        pieces: what a decoder is given; None where the file is right as it is.
        stated_frames: what the header states where that is more than is there; else 0.
        warning: what the user should know, without the file's name; empty where there is nothing.
    """

    pieces: tuple[Piece, ...] | None = None
    stated_frames: int = 0
    warning: str = ""


def put_right(data: mmap.mmap) -> Resized:
    """What has to be read in another way than the header says; as it is for a file of another kind."""
    find = _FORMATS.get(data[:4])
    found = None if find is None else find(data)
    size = len(data)
    if found is None or found.start > size or not found.frame_bytes or not found.rate:
        return Resized()
    there = size - found.start
    other = [(0, b"RF64")] if data[:4] == b"BW64" else []
    if found.stated is None:
        return _renamed(size, [*other, *(found.resized(there) if data[:4] in _STRICT else [])])
    if found.stated > there:
        frames = found.stated // found.frame_bytes if found.linear else 0
        pieces = patched(size, [*other, *found.resized(there)]) if data[:4] in _STRICT or other else None
        return Resized(pieces, frames)
    return _rest_read(data, found, other)


def _renamed(size: int, patches: list[tuple[int, bytes]]) -> Resized:
    return Resized(patched(size, patches) if patches else None)


def _rest_read(data: mmap.mmap, found: SampleData, other: list[tuple[int, bytes]]) -> Resized:
    assert found.stated is not None
    size, end = len(data), found.start + found.stated
    rest, second = _after_chunks(data, found, end)
    if second:
        seconds = second / found.frame_bytes / found.rate
        # libsndfile refuses what has two.
        return Resized(patched(end, other), 0, f"a second part of {seconds:.1f} s of samples was not read")
    if rest is None:
        # libsndfile reads a Wave64's trailing chunks as samples.
        ends_early = data[:4] == b"riff" and end < size
        return Resized(patched(end, other)) if ends_early else _renamed(size, other)
    seconds = (size - rest) / found.frame_bytes / found.rate
    stated = found.stated / found.frame_bytes / found.rate
    if not _sounds_like(data[rest : rest + _JUDGED_BYTES], found):
        silent = not any(data[rest : rest + _JUDGED_BYTES])
        told = (
            "" if silent and seconds < 1.0 else f"the {size - rest} bytes after the stated end were not read"
        )
        return Resized(_renamed(size, other).pieces, 0, told)
    there = (size - found.start) // found.frame_bytes * found.frame_bytes
    told = more_than_stated(stated, there / found.frame_bytes / found.rate)
    return Resized(patched(size, [*other, *found.resized(there)]), 0, told)


def more_than_stated(stated_s: float, there_s: float) -> str:
    """What the user is told of a header that states too little."""
    return f"its header states {stated_s:.1f} s of audio; {there_s:.1f} s are there and were read"


def _after_chunks(data: mmap.mmap, found: SampleData, end: int) -> tuple[int | None, int]:
    """Where samples may go on after the stated end, None where chunks or nothing follow; and the bytes of a
    second chunk of samples among those.
    """
    size = len(data)
    for at in (end + found.stated % 2 if found.stated else end, end):
        second, position = 0, at
        for _ in range(_MOST_CHUNKS):
            if position + 8 > size:
                return None, second
            after = found.then(position)
            if after is None or after > size + 1:
                break
            second += after - position if data[position : position + 4] in (b"data", b"SSND") else 0
            position = after
        if position > at:
            # Chunks, and then something that is none.
            return None, second
    tagged = data[end : end + 8].startswith(_TAG_MAGIC) or data[end + 1 : end + 9].startswith(_TAG_MAGIC)
    return (None if tagged or size - end < _LEAST_REST else end), 0


def _sounds_like(rest: bytes, found: SampleData) -> bool:
    """True if bytes are samples: not silence, not random, not text."""
    width = found.frame_bytes // max(found.channels, 1)
    if not any(rest):
        return False
    if not found.linear or width not in (1, 2, 3, 4, 8):
        return True
    count = len(rest) // width * width
    if found.floating:
        order = ">" if found.big_endian else "<"
        with np.errstate(all="ignore"):
            values = np.abs(np.frombuffer(rest[:count], f"{order}f{width}").astype(np.float64))
        return bool(
            np.mean(np.isfinite(values) & ((values == 0) | ((values > 1e-12) & (values < 16)))) > 0.99
        )
    grid = np.frombuffer(rest[:count], np.uint8).reshape(-1, width)
    top = grid[:, 0 if found.big_endian else -1]
    shares = np.bincount(top, minlength=256) / len(top)
    shares = shares[shares > 0]
    signed = top.astype(np.int16) - 128 if width == 1 else top.astype(np.int8)
    bits = float(-np.sum(shares * np.log2(shares)))
    return bits < _RANDOM_BITS and abs(float(np.mean(signed))) < _MOST_OFFSET * 128


# --- formats -----------------------------------------------------------------------------------


def _riff(data: mmap.mmap) -> SampleData | None:
    large = data[:4] != b"RIFF"
    layout: tuple[int, int, int, int, int] | None = None
    long_size: tuple[int, int] | None = None
    at = 12
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data) or data[8:12] != b"WAVE":
            return None
        name, size = data[at : at + 4], _number(data, at + 4, "<I")
        if name == b"ds64":
            long_size = (at + 16, _number(data, at + 16, "<Q"))
        elif name == b"fmt ":
            code, channels, rate = struct.unpack("<HHI", data[at + 8 : at + 16].ljust(8, b"\0"))
            frame = _number(data, at + 20, "<H")
            real = _number(data, at + 32, "<H") if code == 0xFFFE else code
            layout = (real, channels, rate, frame, at)
        elif name == b"data":
            break
        at += 8 + size + size % 2
    else:
        return None
    if layout is None:
        return None
    code, channels, rate, frame, _ = layout
    wide = large and size == 0xFFFFFFFF and long_size is not None
    stated: int | None = long_size[1] if wide and long_size else size
    if not wide and size >= _STREAMED:
        stated = None if size >= 0xFFFFF000 or at + 8 + size > len(data) else size

    def resized(count: int) -> list[tuple[int, bytes]]:
        if wide and long_size:
            return [(long_size[0], struct.pack("<Q", count))]
        whole = min(len(data) - 8, 0xFFFFFFFF)
        return [(4, struct.pack("<I", whole)), (at + 4, struct.pack("<I", min(count, 0xFFFFFFFF)))]

    return SampleData(
        at + 8,
        stated,
        frame,
        rate,
        code in (1, 3),
        code == 3,
        False,
        channels,
        resized,
        _chunks(data, "<I"),
    )


def _aiff(data: mmap.mmap) -> SampleData | None:
    layout: tuple[int, int, int, int] | None = None
    coding = b"NONE"
    at, sound = 12, 0
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data) or data[8:12] not in (b"AIFF", b"AIFC"):
            break
        name, size = data[at : at + 4], _number(data, at + 4, ">I")
        if name == b"COMM":
            channels, _, bits = struct.unpack(">HIH", data[at + 8 : at + 16].ljust(8, b"\0"))
            layout = (channels, bits, _extended(data[at + 16 : at + 26]), at)
            coding = data[at + 26 : at + 30] if data[8:12] == b"AIFC" else coding
        elif name == b"SSND" and not sound:
            sound = at
        if layout and sound:
            break
        at += 8 + size + size % 2
    if layout is None or not sound:
        return None
    channels, bits, rate, common = layout
    size, offset = _number(data, sound + 4, ">I"), _number(data, sound + 8, ">I")
    frame = channels * ((bits + 7) // 8)

    def resized(count: int) -> list[tuple[int, bytes]]:
        return [
            (4, struct.pack(">I", min(len(data) - 8, 0xFFFFFFFF))),
            (common + 10, struct.pack(">I", min(count // max(frame, 1), 0xFFFFFFFF))),
            (sound + 4, struct.pack(">I", min(count + 8 + offset, 0xFFFFFFFF))),
        ]

    linear = coding in (b"NONE", b"sowt", b"twos", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64")
    return SampleData(
        sound + 16 + offset,
        None if size >= _STREAMED else max(size - 8 - offset, 0),
        frame,
        rate,
        linear,
        coding.lower().startswith(b"fl"),
        coding != b"sowt",
        channels,
        resized,
        _chunks(data, ">I"),
    )


def _extended(raw: bytes) -> int:
    """An 80-bit extended float as a whole number; 0 where it is none of a sample rate."""
    exponent, mantissa = struct.unpack(">HQ", raw.ljust(10, b"\0"))
    shift = 16383 + 63 - exponent
    return mantissa >> shift if 0 <= shift < 64 else 0


def _wave64(data: mmap.mmap) -> SampleData | None:
    layout: tuple[int, int, int, int] | None = None
    at = 40
    for _ in range(_MOST_CHUNKS):
        if at + 24 > len(data):
            return None
        name, size = data[at : at + 4], _number(data, at + 16, "<Q")
        if name == b"fmt ":
            code, channels, rate = struct.unpack("<HHI", data[at + 24 : at + 32].ljust(8, b"\0"))
            real = _number(data, at + 48, "<H") if code == 0xFFFE else code
            layout = (real, channels, rate, _number(data, at + 36, "<H"))
        elif name == b"data":
            break
        at += max(-(-size // 8) * 8, 24)
    else:
        return None
    if layout is None:
        return None
    code, channels, rate, frame = layout

    def resized(count: int) -> list[tuple[int, bytes]]:
        return [(16, struct.pack("<Q", len(data))), (at + 16, struct.pack("<Q", count + 24))]

    def then(position: int) -> int | None:
        position = -(-position // 8) * 8
        length = _number(data, position + 16, "<Q")
        known = data[position + 4 : position + 16] == _W64_GUID or _printable(data[position : position + 4])
        return position + max(-(-length // 8) * 8, 24) if known and length >= 24 else None

    stated = max(size - 24, 0)
    return SampleData(at + 24, stated, frame, rate, code in (1, 3), code == 3, False, channels, resized, then)


def _core_audio(data: mmap.mmap) -> SampleData | None:
    layout: tuple[float, bytes, int, int, int, int] | None = None
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            return None
        name, size = data[at : at + 4], _number(data, at + 4, ">q")
        if name == b"desc":
            layout = struct.unpack(">d4s4I", data[at + 12 : at + 40].ljust(28, b"\0"))
        elif name == b"data":
            break
        if size < 0:
            return None
        at += 12 + size
    else:
        return None
    if layout is None or not 0 < layout[0] < 1e7:
        return None
    rate, coding, flags, frame, _, channels = layout

    def resized(count: int) -> list[tuple[int, bytes]]:
        return [(at + 4, struct.pack(">q", count + 4))]

    def then(position: int) -> int | None:
        length = _number(data, position + 4, ">q")
        fits = _printable(data[position : position + 4]) and 0 <= length <= len(data)
        return position + 12 + length if fits else None

    return SampleData(
        at + 16,
        None if size < 0 else max(size - 4, 0),
        frame,
        int(rate),
        coding == b"lpcm",
        bool(flags & 1),
        not flags & 2,
        channels,
        resized,
        then,
    )


def _next_sun(data: mmap.mmap) -> SampleData | None:
    start, size, coding, rate, channels = struct.unpack(">5I", data[4:24].ljust(20, b"\0"))
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(coding, 0)

    def resized(count: int) -> list[tuple[int, bytes]]:
        return [(8, struct.pack(">I", min(count, 0xFFFFFFFF)))]

    return SampleData(
        start,
        None if size >= _STREAMED else size,
        width * channels,
        rate,
        coding in (2, 3, 4, 5, 6, 7),
        coding in (6, 7),
        True,
        channels,
        resized,
        lambda position: None,
    )


def _chunks(data: mmap.mmap, number: str) -> Callable[[int], int | None]:
    def then(position: int) -> int | None:
        if not _printable(data[position : position + 4]):
            return None
        size = _number(data, position + 4, number)
        return position + 8 + size + size % 2

    return then


def _printable(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _number(data: mmap.mmap, at: int, form: str) -> int:
    size = struct.calcsize(form)
    return int(struct.unpack(form, data[at : at + size].ljust(size, b"\0"))[0])


_FORMATS: Mapping[bytes, Callable[[mmap.mmap], SampleData | None]] = MappingProxyType(
    {
        b"RIFF": _riff,
        b"RF64": _riff,
        b"BW64": _riff,
        b"FORM": _aiff,
        b"riff": _wave64,
        b"caff": _core_audio,
        b".snd": _next_sun,
    }
)
_STRICT = (b"caff",)
"""Formats of which libsndfile refuses a file that ends before its stated size, or states none."""
