"""The chunks of a RIFF or AIFF file beside its samples: read, made to fit another rate, and appended."""

from __future__ import annotations

import codecs
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MOST_BYTES = 1 << 24
"""The longest chunk, text or picture that is carried over."""

_MOST_CHUNKS = 10_000
_CODE_PAGES = {65001: "utf-8", 932: "shift_jis", 936: "gbk", 949: "euc_kr", 950: "big5", 20932: "euc_jp"}
_BEXT_BYTES = 602
_BEXT_TIME, _BEXT_VERSION, _BEXT_LOUDNESS = 338, 346, 412
_UNKNOWN_LOUDNESS = struct.pack("<5h", *[0x7FFF] * 5)


@dataclass(frozen=True)
class Chunk:
    """A chunk: its four characters, its bytes (empty where they are too many), and how many there are."""

    name: bytes
    data: bytes
    size: int


def read_chunks(path: Path) -> list[Chunk]:
    """The chunks of a wav, RF64, BW64 or AIFF file but for its samples."""
    with path.open("rb") as file:
        return list(_chunks(file))


def _chunks(file: IO[bytes]) -> Iterator[Chunk]:
    head = file.read(12)
    order = ">" if head[:4] == b"FORM" else "<"
    at, samples = 12, None
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        start = file.read(8)
        if len(start) < 8:
            return
        name, size = start[:4], struct.unpack(f"{order}I", start[4:])[0]
        if name == b"ds64":
            samples = struct.unpack("<Q", file.read(16)[8:].ljust(8, b"\0"))[0]
        elif name in (b"data", b"SSND"):
            size = samples if samples is not None and size == 0xFFFFFFFF else size
        elif all(32 <= byte < 127 for byte in name):
            yield Chunk(name, file.read(size) if size <= MOST_BYTES else b"", size)
        at += 8 + size + size % 2


def list_parts(chunk: Chunk) -> Iterator[Chunk]:
    """The parts of a LIST chunk."""
    at = 4
    while at + 8 <= len(chunk.data):
        name, size = chunk.data[at : at + 4], struct.unpack("<I", chunk.data[at + 4 : at + 8])[0]
        yield Chunk(name, chunk.data[at + 8 : at + 8 + size], size)
        at += 8 + size + size % 2


def code_page(chunks: list[Chunk]) -> str:
    """The code page that a file's CSET chunk names; empty where it names none that is known."""
    stated = next((chunk.data for chunk in chunks if chunk.name == b"CSET"), b"")
    number = struct.unpack("<H", stated[:2])[0] if len(stated) >= 2 else 0
    name = _CODE_PAGES.get(number, f"cp{number}")
    try:
        return codecs.lookup(name).name if number else ""
    except LookupError:
        return ""


def text_of(data: bytes, page: str = "") -> str:
    """A text up to its first NUL, in the code page named, else in UTF-8, else in that of Windows."""
    data = data.split(b"\0")[0]
    for encoding in filter(None, (page, "utf-8", "cp1252")):
        try:
            return data.decode(encoding).strip()
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1").strip()


def cue_points(chunks: list[Chunk]) -> list[tuple[int, str]]:
    """The frame of each marker in a wav, and its label."""
    cue = next((chunk.data for chunk in chunks if chunk.name == b"cue "), b"")
    labels: dict[int, str] = {}
    for chunk in chunks:
        if chunk.name == b"LIST" and chunk.data[:4] == b"adtl":
            for part in list_parts(chunk):
                if part.name == b"labl" and len(part.data) >= 4:
                    labels[struct.unpack("<I", part.data[:4])[0]] = text_of(part.data[4:])
    points = []
    for at in range(4, len(cue) - 23, 24):
        number, position, _, _, _, offset = struct.unpack("<II4sIII", cue[at : at + 24])
        points.append((offset or position, labels.get(number, "")))
    return sorted(points)


def fitted(chunk: Chunk, ratio: float) -> Chunk:
    """The chunk for samples at `ratio` times its rate; what it says of their loudness is taken out."""
    data = bytearray(chunk.data)
    if chunk.name == b"bext" and len(data) >= _BEXT_BYTES:
        time = struct.unpack_from("<Q", data, _BEXT_TIME)[0]
        struct.pack_into("<Q", data, _BEXT_TIME, min(round(time * ratio), (1 << 64) - 1))
        if struct.unpack_from("<H", data, _BEXT_VERSION)[0] >= 2:
            data[_BEXT_LOUDNESS : _BEXT_LOUDNESS + 10] = _UNKNOWN_LOUDNESS
    elif chunk.name == b"cue ":
        for at in range(4, len(data) - 23, 24):
            _scale(data, (at + 4, at + 20), ratio)
    elif chunk.name == b"smpl" and len(data) >= 36:
        _scale(data, (8,), 1 / ratio)
        for at in range(36, len(data) - 23, 24):
            _scale(data, (at + 8, at + 12), ratio)
    return Chunk(chunk.name, bytes(data), len(data))


def _scale(data: bytearray, places: tuple[int, ...], ratio: float) -> None:
    for place in places:
        value = struct.unpack_from("<I", data, place)[0]
        struct.pack_into("<I", data, place, min(round(value * ratio), 0xFFFFFFFF))


def append_chunks(path: Path, chunks: list[Chunk]) -> None:
    """Add chunks at the end of a wav of under 4 GB."""
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        file.write(bytes(end % 2))
        for chunk in chunks:
            file.write(
                chunk.name + struct.pack("<I", len(chunk.data)) + chunk.data + bytes(len(chunk.data) % 2)
            )
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))
