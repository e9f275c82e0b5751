"""The frames of an MPEG audio file, counted: its header, where it has one, need not be true.

A decoder goes by the Xing, Info or VBRI header, or guesses from the first bytes where there is none. So a
file of variable bit rate without a header, or of several songs joined, is read only in part.

Sources: ISO/IEC 11172-3 and 13818-3 (frames), the Xing and VBRI headers as LAME and Fraunhofer write them.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from mixagent.pipeline.io.spliced_file import Piece

_RATES = (44_100, 48_000, 32_000)
_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RESYNC_BYTES = 1024
"""What libmpg123 looks through for the next frame before it gives up."""
_COUNTED_OTHERWISE = 2
"""Frames by which encoders' counts differ, as some count the header's own."""
_MOST_STREAMS = 10_000


@dataclass(frozen=True)
class Kind:
    """What the frames of one stream have in common; `channels` 1 or 2."""

    version: int
    layer: int
    rate: int
    channels: int
    frame_samples: int


@dataclass
class Stream:
    """Frames of one kind that belong together.

    Attributes:
        kind: of the frames.
        spans: where they lie in the file, without the junk between.
        frames: how many, without a header.
        bitrates: the bit rates that they have, as their headers code them.
        stated: how many its header states; None where it has none or says nothing.
        count_at: offset of that number in the file; None where it cannot be put right there.
        header: the first frame where that is a header without sound; its (start, stop).
    """

    kind: Kind
    spans: list[tuple[int, int]] = field(default_factory=list)
    frames: int = 0
    bitrates: set[int] = field(default_factory=set)
    stated: int | None = None
    count_at: int | None = None
    header: tuple[int, int] | None = None

    @property
    def samples(self) -> int:
        """Length in samples, with what the encoder put before and after the song."""
        return self.frames * self.kind.frame_samples

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.kind.rate


@dataclass(frozen=True)
class Scan:
    """What a file holds.

    Attributes:
        streams: in order.
        longest_junk: bytes of the longest stretch between frames that is neither frame nor tag.
        is_cut: whether the file ends within a frame.
    """

    streams: tuple[Stream, ...]
    longest_junk: int
    is_cut: bool

    @property
    def is_ordinary(self) -> bool:
        """True if a decoder that goes by the file's own header reads all of it."""
        if len(self.streams) != 1 or self.longest_junk > _RESYNC_BYTES:
            return not self.streams
        (stream,) = self.streams
        if stream.stated is None:
            return len(stream.bitrates) == 1
        return stream.frames <= stream.stated + _COUNTED_OTHERWISE


def scan_frames(data: mmap.mmap) -> Scan:
    """Walk through the frames of a file; no streams where none are found, as with a free bit rate."""
    streams: list[Stream] = []
    at, junk = _skipped(data, 0), 0
    size, confirmed, cut = len(data), False, False
    while at < size and len(streams) < _MOST_STREAMS:
        found = _frame(data[at : at + 4])
        if found is not None and not confirmed:
            found = found if _goes_on(data, at, found) else None
        if found is None:
            after = _skipped(data, at)
            confirmed = False
            if after == at:
                after = _next_sync(data, at + 1)
                junk = max(junk, after - at) if after < size and streams else junk
            at = after
            continue
        length, kind = found
        if at + length > size:
            cut = confirmed
            break
        current = streams[-1] if streams else None
        if current is not None and kind != current.kind and confirmed and not _goes_on(data, at, found):
            confirmed = False
            continue
        header = _header(data, at, kind)
        if current is None or kind != current.kind or header is not None:
            current = Stream(kind)
            streams.append(current)
        if header is not None:
            current.stated, current.count_at = header
            current.header = (at, at + length)
        else:
            current.frames += 1
            current.bitrates.add(data[at + 2] >> 4)
        if current.spans and current.spans[-1][1] == at:
            current.spans[-1] = (current.spans[-1][0], at + length)
        else:
            current.spans.append((at, at + length))
        at, confirmed = at + length, True
    return Scan(tuple(stream for stream in streams if stream.frames), junk, cut)


def stream_pieces(stream: Stream) -> tuple[Piece, ...]:
    """A file of that stream alone, whose header states the frames that are there."""
    if stream.count_at is not None:
        (start, stop), *others = stream.spans
        count = struct.pack(">I", stream.frames)
        return ((start, stream.count_at), count, (stream.count_at + 4, stop), *others)
    spans: Sequence[Piece] = stream.spans
    if stream.header is not None:
        (_, stop), *others = stream.spans
        spans = [(stream.header[1], stop), *others]
    return (_info_frame(stream), *spans)


def _info_frame(stream: Stream) -> bytes:
    """A frame of silence with an Info header that states the number of frames."""
    kind = stream.kind
    version = {1: 3, 2: 2, 25: 0}[kind.version]
    layer = 4 - kind.layer
    rates = {1: 1, 2: 2, 25: 4}[kind.version]
    rate = _RATES.index(kind.rate * rates)
    for bitrate in range(5, 15):
        word = bytes(
            (
                0xFF,
                0xE0 | version << 3 | layer << 1 | 1,
                bitrate << 4 | rate << 2,
                0xC0 * (kind.channels == 1),
            )
        )
        found = _frame(word)
        if found is not None and found[0] >= 64:
            break
    assert found is not None
    frame = bytearray(found[0])
    frame[:4] = word
    at = _side_bytes(kind) + 4
    frame[at : at + 12] = b"Info" + struct.pack(">II", 1, stream.frames)
    return bytes(frame) if kind.layer == 3 else b""


def _side_bytes(kind: Kind) -> int:
    if kind.version == 1:
        return 17 if kind.channels == 1 else 32
    return 9 if kind.channels == 1 else 17


def _header(data: mmap.mmap, at: int, kind: Kind) -> tuple[int | None, int | None] | None:
    """The frames stated, and where; None where the frame is no header."""
    tag = at + 4 + _side_bytes(kind)
    if data[tag : tag + 4] in (b"Xing", b"Info"):
        flags, count = struct.unpack(">II", data[tag + 4 : tag + 12].ljust(8, b"\0"))
        return (count, tag + 8) if flags & 1 else (None, None)
    if data[at + 36 : at + 40] == b"VBRI":
        return struct.unpack(">I", data[at + 50 : at + 54].ljust(4, b"\0"))[0], at + 50
    return None


@cache
def _frame(word: bytes) -> tuple[int, Kind] | None:
    """Length in bytes and kind of the frame that begins so; None for what begins none."""
    if len(word) < 4 or word[0] != 0xFF or word[1] & 0xE0 != 0xE0:
        return None
    version = {3: 1, 2: 2, 0: 25}.get(word[1] >> 3 & 3)
    layer = 4 - (word[1] >> 1 & 3)
    bitrate, rate = word[2] >> 4, word[2] >> 2 & 3
    if version is None or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    hz = _RATES[rate] // {1: 1, 2: 2, 25: 4}[version]
    kbps = _KBPS[1, layer][bitrate - 1] if version == 1 else _KBPS[2, min(layer, 2)][bitrate - 1]
    padding = word[2] >> 1 & 1
    samples = {1: 384, 2: 1152, 3: 1152 if version == 1 else 576}[layer]
    length = (12_000 * kbps // hz + padding) * 4 if layer == 1 else samples * 125 * kbps // hz + padding
    return length, Kind(version, layer, hz, 1 if word[3] >> 6 == 3 else 2, samples)


def _goes_on(data: mmap.mmap, at: int, found: tuple[int, Kind]) -> bool:
    """True if two more frames of its kind follow, or the end of the file or a tag does."""
    length, kind = found
    for _ in range(2):
        at += length
        if at + 4 > len(data) or _skipped(data, at) > at:
            return True
        after = _frame(data[at : at + 4])
        if after is None or after[1] != kind:
            return False
        length = after[0]
    return True


def _next_sync(data: mmap.mmap, at: int) -> int:
    """The next place at which a frame or a tag begins; the end of the file where none does."""
    while (at := data.find(b"\xff", at)) >= 0:
        found = _frame(data[at : at + 4])
        if found is not None and _goes_on(data, at, found):
            return at
        at += 1
    return len(data)


def _skipped(data: mmap.mmap, at: int) -> int:
    """Where the tags that stand at a place end: ID3v2, ID3v1, APEv2 and Lyrics3."""
    while True:
        head = data[at : at + 32]
        if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            after = at + 10 + size + 10 * bool(head[5] & 16)
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            size, flags = struct.unpack("<I", head[12:16])[0], struct.unpack("<I", head[20:24])[0]
            # A footer's size takes the items before it in.
            after = at + 32 + (size if flags & 1 << 29 else 0)
        elif head[:3] == b"TAG" and len(data) - at >= 128:
            after = at + 128
        elif head[:11] == b"LYRICSBEGIN":
            ends = max(data.find(b"LYRICS200", at), data.find(b"LYRICSEND", at))
            after = ends + 9 if ends >= 0 else at
        else:
            return at
        if after <= at:
            return at
        at = min(after, len(data))


# --- AAC in ADTS -------------------------------------------------------------------------------

_AAC_RATES = (
    96_000,
    88_200,
    64_000,
    48_000,
    44_100,
    32_000,
    24_000,
    22_050,
    16_000,
    12_000,
    11_025,
    8_000,
    7_350,
)


@dataclass(frozen=True)
class AacScan:
    """The frames of an ADTS file: their length in seconds, and whether the last one is whole."""

    duration_s: float
    whole: bool


def scan_aac(data: mmap.mmap) -> AacScan | None:
    """Count the frames of a file of AAC in ADTS (ISO/IEC 14496-3, 1.A.2); None where it begins with none."""
    at, size, duration_s = _skipped(data, 0), len(data), 0.0
    while at + 7 <= size:
        head = data[at : at + 7]
        rate = head[2] >> 2 & 15
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        if head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or rate >= len(_AAC_RATES) or length < 7:
            after = _skipped(data, at)
            if after == at:
                after = data.find(b"\xff", at + 1)
            if after < 0 or not duration_s:
                break
            at = after
            continue
        if at + length > size:
            return AacScan(duration_s, False)
        duration_s += 1024 * ((head[6] & 3) + 1) / _AAC_RATES[rate]
        at += length
    return AacScan(duration_s, True) if duration_s else None
