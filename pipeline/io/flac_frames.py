"""How long a FLAC file really is, by its last frame; its header may say nothing or too little.

Source: RFC 9639, sections 8.2 (streaminfo) and 9.1 (frame header).
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass

from mixagent.pipeline.io.spliced_file import Piece

_MOST_TAIL = 1 << 20
_TOTAL_MASK = (1 << 36) - 1
_BLOCKS = {1: 192, **{k: 576 << (k - 2) for k in range(2, 6)}, **{k: 256 << (k - 8) for k in range(8, 16)}}


@dataclass(frozen=True)
class FlacStream:
    """One FLAC stream of a file.

    Attributes:
        start: offset of its first byte.
        stop: offset after its last byte.
        rate: in Hz.
        channels: how many.
        stated: samples that its header states; 0 for an open end.
        there: samples up to the end of its last frame; None where no frame is found.
        whole: whether the last frame's checksum holds at the stream's end.
    """

    start: int
    stop: int
    rate: int
    channels: int
    stated: int
    there: int | None
    whole: bool

    @property
    def states_less(self) -> bool:
        """True if more is there than the header states."""
        return self.there is not None and self.there > self.stated


def flac_streams(data: mmap.mmap) -> tuple[FlacStream, ...]:
    """The streams of a file, one where it is not several joined; none where it is no FLAC."""
    first = data.find(b"fLaC", 0, 1 << 26)
    starts = [first] if first >= 0 else []
    while (at := _next_stream(data, starts[-1] + 4 if starts else len(data))) >= 0:
        starts.append(at)
    ends = [*starts[1:], len(data)]
    return tuple(_stream(data, start, stop) for start, stop in zip(starts, ends, strict=False))


def stated_right(stream: FlacStream, data: mmap.mmap) -> tuple[Piece, ...]:
    """The stream's bytes with a header that states what is there."""
    at = stream.start + 18
    word = int.from_bytes(data[at : at + 8], "big") & ~_TOTAL_MASK | (stream.there or 0)
    return ((stream.start, at), word.to_bytes(8, "big"), (at + 8, stream.stop))


def _next_stream(data: mmap.mmap, at: int) -> int:
    # A marker and its streaminfo's head: 34 bytes, whether the last block of metadata or not.
    found = [data.find(b"fLaC" + bytes((last, 0, 0, 34)), at) for last in (0, 0x80)]
    return min((place for place in found if place >= 0), default=-1)


def _stream(data: mmap.mmap, start: int, stop: int) -> FlacStream:
    info = data[start + 8 : start + 42].ljust(34, b"\0")
    smallest = int.from_bytes(info[:2], "big")
    word = int.from_bytes(info[10:18], "big")
    rate, channels, total = word >> 44, (word >> 41 & 7) + 1, word & _TOTAL_MASK
    there, whole = _last_frame(data, start, stop, smallest, channels)
    return FlacStream(start, stop, rate, channels, total, there, whole)


def _last_frame(
    data: mmap.mmap, start: int, stop: int, smallest: int, channels: int
) -> tuple[int | None, bool]:
    """Samples up to the end of the last frame, and whether that frame is whole."""
    if data[stop - 128 : stop - 125] == b"TAG":
        stop -= 128
    low = max(start + 42, stop - _MOST_TAIL)
    tail = data[low:stop]
    at, likely = len(tail), None
    while (at := max(tail.rfind(b"\xff\xf8", 0, at), tail.rfind(b"\xff\xf9", 0, at))) >= 0:
        ends = _frame_end(tail[at : at + 16], smallest, channels)
        if ends is None:
            continue
        if _crc(tail[at:], 0x8005, 16) == 0:
            return ends, True
        likely = ends if likely is None else likely
        # Two headers that agree: what follows the last of them is a frame that was cut.
        if likely is not None and 0 < likely - ends <= 1 << 16:
            return likely, False
    return likely, False


def _frame_end(head: bytes, smallest: int, channels: int) -> int | None:
    """The sample after the frame that begins so; None where none does."""
    if len(head) < 6:
        return None
    size_code, rate_code, layout = head[2] >> 4, head[2] & 15, head[3] >> 4
    if not size_code or rate_code == 15 or layout > 10 or head[3] & 1:
        return None
    if (layout + 1 if layout < 8 else 2) != channels:
        return None
    coded = _coded_number(head[4:])
    if coded is None:
        return None
    number, at = coded[0], 4 + coded[1]
    extra = {6: 1, 7: 2}.get(size_code, 0)
    size = int.from_bytes(head[at : at + extra], "big") + 1 if extra else _BLOCKS[size_code]
    at += extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if at >= len(head) or _crc(head[: at + 1], 0x07, 8):
        return None
    return (number if head[1] & 1 else number * smallest) + size


def _coded_number(data: bytes) -> tuple[int, int] | None:
    """A number coded as UTF-8 codes characters, and its length in bytes."""
    first = data[0]
    if first < 0x80:
        return first, 1
    length = next((n for n in range(2, 8) if first >> (7 - n) & 1 == 0), 0)
    if first < 0xC0 or not length or len(data) < length:
        return None
    value = first & (0x7F >> length)
    for byte in data[1:length]:
        if byte >> 6 != 2:
            return None
        value = value << 6 | byte & 0x3F
    return value, length


def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return tuple(table)


_TABLES = {(polynomial, bits): _table(polynomial, bits) for polynomial, bits in ((0x07, 8), (0x8005, 16))}


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    table, mask, value = _TABLES[polynomial, bits], (1 << bits) - 1, 0
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> (bits - 8) ^ byte]
    return value
