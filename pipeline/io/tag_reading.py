# mypy: allow-untyped-calls, disable-error-code="attr-defined, union-attr"
"""Tags, pictures, chapters and marks of a file of any format, in one shape.

Nothing here trusts a file: what is too large is left where it lies and named, and what cannot be read is
an error of `TAG_ERRORS`.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import mutagen
from mutagen import (
    apev2,
    asf,
    flac,
    id3,
    mp4,
    oggflac,
    oggopus,
    oggspeex,
    oggvorbis,
)
from mutagen._vorbis import VComment

from mixagent.pipeline.io.tag_names import (
    ALIASES,
    BY_APE,
    BY_ASF,
    BY_ATOM,
    BY_FRAME,
    C2PA_BOX,
    CHUNK_WORDS,
    FRAME_WORDS,
    INFO,
    STALE_ATOMS,
    STALE_CHUNKS,
    STALE_FRAMES,
    STALE_PREFIXES,
)
from mixagent.pipeline.io.wav_chunks import (
    MOST_BYTES,
    Chunk,
    code_page,
    cue_points,
    list_parts,
    read_chunks,
    text_of,
)
from mixagent.pipeline.untrusted import decimal_number

TAG_ERRORS = (
    *(mutagen.MutagenError, OSError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError),
    *(EOFError, struct.error, zlib.error),
)
"""What reading or writing tags that a stranger wrote can end in."""

Texts = dict[str, list[str]]
"""Vorbis comment names in lower case, each with its texts."""

_MOST_WHOLE = 1 << 25
_MOST_TEXT = 1 << 20
_MOST_CHAPTERS = 10_000
_RIFF = (b"RIFF", b"RF64", b"BW64", b"FORM")
_PEOPLE = {"arranger": "arranger", "engineer": "engineer", "producer": "producer", "mix": "mixer"}
_PEOPLE |= {"dj-mix": "djmixer", "lyricist": "lyricist", "composer": "composer"}


@dataclass(frozen=True)
class Picture:
    """A picture: its MIME type, its kind as ID3 numbers them (3 is the front cover), and its bytes."""

    mime: str
    kind: int
    description: str
    data: bytes


@dataclass(frozen=True)
class Chapter:
    """A chapter: where it begins in seconds, and its title."""

    start_s: float
    title: str


@dataclass(frozen=True)
class Tags:
    """All that a file says of its song.

    Attributes:
        texts: by name.
        pictures: covers and others.
        chapters: in order.
        frames: the ID3 frames that the texts were read from, and those that have no other form.
        chunks: of a RIFF file, that another can hold.
        blocks: FLAC's application blocks.
        lost: words for what could not be read.
    """

    texts: Texts = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    frames: tuple[id3.Frame, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    blocks: tuple[bytes, ...] = ()
    lost: tuple[str, ...] = ()

    def with_missing(self, other: Tags) -> Tags:
        """These tags, and of the others what they have none of."""
        return Tags(
            {**other.texts, **self.texts},
            self.pictures or other.pictures,
            self.chapters or other.chapters,
            self.frames or other.frames,
            self.chunks or other.chunks,
            self.blocks or other.blocks,
            (*self.lost, *other.lost),
        )


def read_tags(path: Path) -> Tags:
    """What a file's tags hold, whatever its format.

    Raises:
        TAG_ERRORS: they cannot be read.
    """
    errors: list[Exception] = []
    with path.open("rb") as file:
        after = _front_end(file)
        file.seek(after)
        head = file.read(16)
    alone = head[:4] in (*_RIFF, b"OggS", b"\x1aE\xdf\xa3")
    found = Tags()
    # One that is broken does not cost the others.
    reads: tuple[Callable[[], Tags], ...] = (
        partial(_native, path, head, after),
        partial(_front_id3, path),
        partial(_appended, path),
    )
    for read in reads[:1] if alone else reads:
        try:
            found = found.with_missing(read())
        except TAG_ERRORS as error:
            errors.append(error)
    if errors and not (found.texts or found.pictures or found.frames):
        raise errors[0]
    lost = dict.fromkeys([*found.lost, *("tags that are damaged" for _ in errors)])
    texts = {name: values for name, values in found.texts.items() if values and not is_stale(name)}
    return replace(found, texts=texts, lost=tuple(lost))


def is_stale(name: str) -> bool:
    """True if a text describes the samples or the encoder of the file that it stands in."""
    return name.startswith(STALE_PREFIXES)


def size_words(size: int) -> str:
    """A size for a reader: “17.0 MB”."""
    return f"{size / 1e6:.1f} MB"


def _native(path: Path, head: bytes, at: int) -> Tags:
    magic = head[:4]
    if magic in _RIFF:
        return _from_chunks(read_chunks(path))
    if magic == b"fLaC":
        return _from_flac(path, at)
    if magic == b"OggS":
        return _from_ogg(path)
    if head[4:8] == b"ftyp":
        return _from_mp4_file(path)
    if magic == b"\x1aE\xdf\xa3":
        return _from_ffprobe(path)
    if magic == b"0&\xb2u":
        return _from_asf_file(path, head)
    return Tags()


def _add(texts: Texts, name: str, values: Iterable[str], lost: list[str] | None = None) -> None:
    name = name.lower().strip()
    name = ALIASES.get(name, name)
    for value in values:
        if len(value) > _MOST_TEXT:
            if lost is not None:
                lost.append(f"{name} of {size_words(len(value))}")
            continue
        if (text := fit_text(value)) and name:
            texts.setdefault(name, []).append(text)


def fit_text(text: str) -> str:
    """The text as every format can hold it: without NUL, and with `?` for half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


# --- ID3 ---------------------------------------------------------------------------------------


def _front_end(file: io.BufferedReader) -> int:
    """Where the ID3 tag at the beginning of a file ends; 0 where there is none."""
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10 or max(head[6:10]) > 127:
        return 0
    return 10 + _synchsafe(head[6:10]) + 10 * bool(head[5] & 16)


def _front_id3(path: Path) -> Tags:
    with path.open("rb") as file:
        if not _front_end(file):
            return Tags()
        file.seek(0)
        head = file.read(10)
        data, lost = _id3_bytes(file, head, _synchsafe(head[6:10]))
    found = _from_id3(data)
    return replace(found, lost=(*found.lost, *lost))


def _synchsafe(data: bytes) -> int:
    return data[0] << 21 | data[1] << 14 | data[2] << 7 | data[3]


def _id3_bytes(file: io.BufferedReader | io.BytesIO, head: bytes, size: int) -> tuple[bytes, list[str]]:
    """A tag's bytes without the frames that are too long, and words for those."""
    if size <= _MOST_WHOLE:
        return head + file.read(size), []
    if head[3] not in (3, 4) or head[5] & 0xC0:
        return b"", [f"tags of {size_words(size)}"]
    kept: list[bytes] = []
    lost: list[str] = []
    at, end = file.tell(), file.tell() + size
    while at + 10 <= end:
        file.seek(at)
        frame = file.read(10)
        length = _synchsafe(frame[4:8]) if head[3] == 4 else struct.unpack(">I", frame[4:8])[0]
        if not frame[:4].isalnum():
            break
        if length > MOST_BYTES:
            kind = frame[:4].decode("ascii", "replace")
            what = "cover" if kind == "APIC" else FRAME_WORDS.get(kind, kind)
            lost.append(f"{what} of {size_words(length)}")
        elif sum(len(each) for each in kept) + length <= 4 * _MOST_WHOLE:
            kept.append(frame + file.read(length))
        at += 10 + length
    body = b"".join(kept)
    sizes = bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0))
    return head[:6] + sizes + body, lost


def _from_id3(data: bytes) -> Tags:
    if not data:
        return Tags()
    return from_frames(tuple(id3.ID3(io.BytesIO(data)).values()))


def from_frames(all_frames: Sequence[id3.Frame]) -> Tags:
    """What ID3 frames say; those that are no longer true of a master are left out."""
    texts: Texts = {}
    lost: list[str] = []
    frames = tuple(frame for frame in all_frames if not _is_stale_frame(frame))
    for frame in frames:
        for name, values in expressed(frame) or ():
            _add(texts, name, values, lost)
    pictures = tuple(Picture(f.mime, int(f.type), f.desc, f.data) for f in frames if isinstance(f, id3.APIC))
    chapters = [
        Chapter(frame.start_time / 1000, next((str(sub) for sub in frame.sub_frames.getall("TIT2")), ""))
        for frame in frames
        if isinstance(frame, id3.CHAP)
    ]
    others = tuple(frame for frame in frames if not isinstance(frame, id3.APIC))
    ordered = tuple(sorted(chapters, key=lambda chapter: chapter.start_s))[:_MOST_CHAPTERS]
    return Tags(texts, pictures, ordered, others, lost=tuple(lost))


def _is_stale_frame(frame: id3.Frame) -> bool:
    described = isinstance(frame, (id3.TXXX, id3.COMM)) and is_stale(frame.desc.lower())
    return described or frame.FrameID in STALE_FRAMES


def expressed(frame: id3.Frame) -> list[tuple[str, list[str]]] | None:
    """The names and texts that say what a frame does; None for one that texts cannot say."""
    kind = frame.FrameID
    if isinstance(frame, id3.TXXX):
        return [(frame.desc, [str(text) for text in frame.text])]
    if isinstance(frame, id3.WXXX):
        return [(frame.desc or "url", [frame.url])]
    if isinstance(frame, id3.COMM):
        # A described comment is a program's own note, not the user's.
        return [(frame.desc or "comment", [str(text) for text in frame.text])]
    if isinstance(frame, id3.USLT):
        return [("lyrics", [frame.text])]
    if isinstance(frame, id3.TCON):
        return [("genre", list(frame.genres))]
    if isinstance(frame, id3.TIPL | id3.TMCL | id3.IPLS):
        return [_person(*map(str, pair[:2])) for pair in frame.people if len(pair) >= 2]
    if isinstance(frame, id3.UFID) and frame.owner == "http://musicbrainz.org":
        return [("musicbrainz_trackid", [frame.data.decode("ascii", "replace")])]
    if isinstance(frame, id3.UrlFrame) and kind in BY_FRAME:
        return [(BY_FRAME[kind].name, [frame.url])]
    if kind in ("GRP1",):
        return [("grouping", [str(text) for text in frame.text])]
    if kind in BY_FRAME and isinstance(frame, id3.TextFrame):
        return [(BY_FRAME[kind].name, [str(text) for text in frame.text])]
    if isinstance(frame, id3.TextFrame):
        return [(kind.lower(), [str(text) for text in frame.text])]
    return None


def _person(role: str, person: str) -> tuple[str, list[str]]:
    name = _PEOPLE.get(role.lower())
    return (name, [person]) if name else ("performer", [f"{person} ({role})" if role else person])


def frame_words(frame: id3.Frame) -> str:
    """What a frame that texts cannot say is called for a reader."""
    if isinstance(frame, id3.GEOB | id3.PRIV):
        marks = f"{getattr(frame, 'mime', '')} {getattr(frame, 'desc', '')} {getattr(frame, 'owner', '')}"
        if "c2pa" in marks.lower():
            return "C2PA provenance mark"
        name = getattr(frame, "desc", "") or getattr(frame, "owner", "") or getattr(frame, "filename", "")
        return f"{FRAME_WORDS[frame.FrameID]} ({name})" if name else FRAME_WORDS[frame.FrameID]
    return FRAME_WORDS.get(frame.FrameID, frame.FrameID)


# --- other formats -----------------------------------------------------------------------------


def _appended(path: Path) -> Tags:
    """An APEv2 or ID3v1 tag at the end of a file."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 128, 0))
        tail = file.read()
        first = Tags()
        if tail[:3] == b"TAG" and len(tail) == 128:
            first, size = _from_id3(bytes(10) + tail), size - 128
        file.seek(max(size - 32, 0))
        foot = file.read(32)
    if foot[:8] != b"APETAGEX":
        return first
    length = struct.unpack("<I", foot[12:16])[0]
    if length > _MOST_WHOLE:
        return replace(first, lost=(f"tags of {size_words(length)}",))
    return _from_ape(dict(apev2.APEv2(path))).with_missing(first)


def _from_ape(tags: Mapping[str, Any]) -> Tags:
    texts: Texts = {}
    lost: list[str] = []
    pictures = []
    for key, value in tags.items():
        name = key.lower()
        if isinstance(value, apev2.APETextValue):
            _add(texts, BY_APE[name].name if name in BY_APE else name, list(value), lost)
        elif isinstance(value, apev2.APEBinaryValue) and name.startswith("cover art"):
            _, _, data = bytes(value.value or b"").partition(b"\0")
            pictures.append(Picture(_mime(data), 4 if "back" in name else 3, "", data))
        elif isinstance(value, apev2.APEExtValue):
            _add(texts, name, [str(value)], lost)
        else:
            lost.append(key)
    return Tags(texts, tuple(pictures), lost=tuple(lost))


def _mime(data: bytes) -> str:
    return "image/png" if data[:4] == b"\x89PNG" else "image/jpeg"


def _from_vorbis(tags: Iterable[tuple[str, str]], blocks: Sequence[flac.Picture]) -> Tags:
    texts: Texts = {}
    lost: list[str] = []
    pictures = list(blocks)
    chapters: dict[str, list[str]] = {}
    for name, value in tags:
        if name.lower() == "metadata_block_picture":
            pictures += _decoded_picture(value)
        elif name.lower().startswith("chapter") and name[7:10].isdecimal():
            chapters.setdefault(name[7:10], ["", ""])[name.lower().endswith("name")] = value
        else:
            _add(texts, name, [value], lost)
    known = [(_seconds(start), title) for start, title in chapters.values()]
    ordered = sorted(
        (Chapter(start, title) for start, title in known if start is not None), key=lambda c: c.start_s
    )
    return Tags(
        texts,
        tuple(Picture(p.mime, int(p.type), p.desc, p.data) for p in pictures),
        tuple(ordered),
        lost=tuple(lost),
    )


def _seconds(clock: str) -> float | None:
    parts = [decimal_number(part, 0, 1e6) for part in clock.split(":")]
    if len(parts) != 3 or None in parts:
        return None
    hours, minutes, seconds = (part or 0.0 for part in parts)
    return 3600 * hours + 60 * minutes + seconds


def _decoded_picture(value: str) -> list[flac.Picture]:
    try:
        return [flac.Picture(base64.b64decode(value))]
    except (binascii.Error, flac.error, struct.error, ValueError):
        return []


def _from_flac(path: Path, at: int) -> Tags:
    comments: list[tuple[str, str]] = []
    pictures, applications, lost = [], [], []
    with path.open("rb") as file:
        file.seek(at + 4)
        if file.read(4)[1:] != b"\0\0\x22":
            raise flac.error(f"{path} has no stream info")
        file.seek(at + 4)
        last, total = False, 0
        while not last and len(head := file.read(4)) == 4:
            last, kind, size = bool(head[0] & 128), head[0] & 127, int.from_bytes(head[1:], "big")
            after = file.tell() + size
            total += size
            if kind in (2, 4, 6) and total > 4 * _MOST_WHOLE:
                lost.append(f"{'cover' if kind == 6 else 'block'} of {size_words(size)}")
            elif kind == 4:
                comments += VComment(file.read(size), framing=False)
            elif kind == 6:
                pictures.append(flac.Picture(file.read(size)))
            elif kind == 2:
                applications.append(file.read(size))
            elif kind == 5:
                lost.append("cue sheet block")
            file.seek(after)
    found = _from_vorbis(comments, pictures)
    return replace(found, blocks=tuple(applications), lost=(*found.lost, *lost))


def _from_ogg(path: Path) -> Tags:
    with path.open("rb") as file:
        size = _ogg_head_bytes(file)
    if size > 2 * _MOST_WHOLE:
        return Tags(lost=(f"tags of {size_words(size)}",))
    kinds = [oggvorbis.OggVorbis, oggopus.OggOpus, oggflac.OggFLAC, oggspeex.OggSpeex]
    opened = mutagen.File(path, options=kinds)
    tags = None if opened is None else opened.tags
    return Tags() if tags is None else _from_vorbis(tags, getattr(opened, "pictures", []))


def _ogg_head_bytes(file: io.BufferedReader) -> int:
    """How far a file's pages reach on which no sample ends: those of its headers."""
    at = 0
    while len(head := file.read(27)) == 27 and head[:4] == b"OggS":
        if struct.unpack("<q", head[6:14])[0] > 0:
            break
        at += 27 + head[26] + sum(file.read(head[26]))
        file.seek(at)
        if at > 2 * _MOST_WHOLE:
            break
    return at


def _from_mp4_file(path: Path) -> Tags:
    lost: list[str] = []
    large = 0
    with path.open("rb") as file:
        for name, start, stop in _boxes(file, 0, path.stat().st_size):
            file.seek(start)
            if name == b"uuid" and file.read(16) == C2PA_BOX:
                lost.append("C2PA provenance mark")
            elif name == b"moov":
                inner = [end - begin for name, begin, end in _boxes(file, start, stop) if name == b"udta"]
                large = max(inner, default=0)
    if large > 2 * _MOST_WHOLE:
        return Tags(lost=(*lost, f"tags of {size_words(large)}"))
    tags = mp4.MP4(path).tags
    found = Tags() if tags is None else _from_mp4(tags)
    chapters = _from_ffprobe(path).chapters
    return replace(found, chapters=chapters, lost=(*found.lost, *lost))


def _boxes(file: io.BufferedReader, at: int, end: int) -> Iterable[tuple[bytes, int, int]]:
    """Name, start and stop of each MP4 box between two offsets."""
    for _ in range(10_000):
        file.seek(at)
        head = file.read(16)
        if at + 8 > end or len(head) < 8:
            return
        size, start = struct.unpack(">I", head[:4])[0], at + 8
        if size == 1 and len(head) == 16:
            size, start = struct.unpack(">Q", head[8:])[0], at + 16
        stop = end if size == 0 else at + size
        if stop < start:
            return
        yield head[4:8], start, min(stop, end)
        at = stop


def _from_mp4(tags: mp4.MP4Tags) -> Tags:
    texts: Texts = {}
    lost: list[str] = []
    for atom, values in tags.items():
        if atom == "covr" or atom in STALE_ATOMS:
            continue
        if atom in ("trkn", "disk"):
            _add(texts, BY_ATOM[atom].name, [f"{n}/{total}" if total else str(n) for n, total in values])
        elif atom in BY_ATOM or atom.startswith("----"):
            name = BY_ATOM[atom].name if atom in BY_ATOM else atom.rsplit(":", 1)[-1]
            _add(
                texts,
                name,
                [_text(value) for value in (values if isinstance(values, list) else [values])],
                lost,
            )
        else:
            lost.append(f"MP4's {atom}")
    mimes = {mp4.MP4Cover.FORMAT_JPEG: "image/jpeg", mp4.MP4Cover.FORMAT_PNG: "image/png"}
    covers = [
        Picture(mimes.get(cover.imageformat, "image/jpeg"), 3, "", bytes(cover))
        for cover in tags.get("covr", [])
    ]
    return Tags(texts, tuple(covers), lost=tuple(lost))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _from_asf_file(path: Path, head: bytes) -> Tags:
    with path.open("rb") as file:
        size = struct.unpack("<Q", file.read(24)[16:])[0]
    if size > 2 * _MOST_WHOLE:
        return Tags(lost=(f"tags of {size_words(size)}",))
    texts: Texts = {}
    lost: list[str] = []
    pictures = []
    for key, value in asf.ASF(path).tags or ():
        name = key.lower()
        if name == "wm/picture":
            pictures += _asf_picture(bytes(value.value))
        elif isinstance(value, asf.ASFByteArrayAttribute):
            lost.append(key)
        else:
            plain = name.removeprefix("wm/")
            _add(texts, BY_ASF[name].name if name in BY_ASF else plain, [_text(value.value)], lost)
    return Tags(texts, tuple(pictures), lost=tuple(lost))


def _asf_picture(data: bytes) -> list[Picture]:
    """A WM/Picture: its kind, its size, two texts in UTF-16 that end in NUL, and its bytes."""
    texts, at = [], 5
    for _ in range(2):
        end = next((k for k in range(at, len(data) - 1, 2) if data[k : k + 2] == b"\0\0"), None)
        if end is None:
            return []
        texts.append(data[at:end].decode("utf-16-le", "replace"))
        at = end + 2
    return [Picture(texts[0], data[0], texts[1], data[at:])]


def _from_chunks(chunks: list[Chunk]) -> Tags:
    """A wav's ID3 chunk, its INFO list or an AIFF's texts, its markers, and chunks of any other kind."""
    found = Tags()
    lost: list[str] = []
    texts: Texts = {}
    page = code_page(chunks)
    kept = []
    for chunk in chunks:
        if chunk.size > MOST_BYTES and chunk.name not in STALE_CHUNKS:
            lost.append(f"{chunk_words(chunk)} of {size_words(chunk.size)}")
        elif chunk.name in (b"id3 ", b"ID3 "):
            found = _id3_chunk(chunk, lost).with_missing(found)
        elif chunk.name == b"LIST" and chunk.data[:4] == b"INFO":
            for part in list_parts(chunk):
                name = part.name.decode("ascii", "replace")
                if name != "ISFT":
                    _add(texts, INFO.get(name, name), [text_of(part.data, page)], lost)
        elif chunk.name.decode("ascii") in INFO:
            _add(texts, INFO[chunk.name.decode("ascii")], [text_of(chunk.data, page)], lost)
        elif chunk.name not in STALE_CHUNKS or (chunk.name == b"LIST" and chunk.data[:4] == b"adtl"):
            kept.append(chunk)
    return replace(found.with_missing(Tags(texts)), chunks=tuple(kept), lost=(*found.lost, *lost))


def _id3_chunk(chunk: Chunk, lost: list[str]) -> Tags:
    file = io.BytesIO(chunk.data)
    head = file.read(10)
    if head[:3] != b"ID3" or max(head[6:10], default=255) > 127:
        return Tags()
    data, large = _id3_bytes(file, head, _synchsafe(head[6:10]))
    lost += large
    return _from_id3(data)


def chunk_words(chunk: Chunk) -> str:
    """What a chunk is called for a reader."""
    name = chunk.name.decode("ascii", "replace").strip()
    return CHUNK_WORDS.get(chunk.name, "labels of markers" if name == "LIST" else f"{name} chunk")


def chunk_chapters(chunks: Sequence[Chunk], rate: int) -> tuple[Chapter, ...]:
    """A wav's markers as chapters."""
    return tuple(Chapter(frame / rate, label) for frame, label in cue_points(list(chunks))) if rate else ()


def _from_ffprobe(path: Path) -> Tags:
    """What ffprobe tells of a file's tags and chapters; nothing where it is not installed."""
    ffprobe = shutil.which("ffprobe")
    if ffprobe is None:
        return Tags(lost=("tags, as ffprobe is not installed",))
    entries = "format_tags:stream_tags:chapter=start_time:chapter_tags:stream_disposition=attached_pic"
    command = [ffprobe, "-v", "error", "-protocol_whitelist", "file", "-show_entries", entries, "-of", "json"]
    shown = subprocess.run(
        [*command, "-i", f"file:{path}"], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    try:
        told: dict[str, Any] = json.loads(shown.stdout.decode("utf-8", "replace") or "{}")
    except ValueError:
        return Tags(lost=("tags that cannot be read",))
    texts: Texts = {}
    lost: list[str] = []
    streams = told.get("streams", [])
    for tags in (told.get("format", {}).get("tags", {}), *(stream.get("tags", {}) for stream in streams[:1])):
        for key, value in tags.items():
            name = key.lower()
            name = BY_APE[name].name if name in BY_APE else name
            if name not in texts and not (name == "language" and value == "und"):
                _add(texts, name, [str(value)], lost)
    if any(stream.get("disposition", {}).get("attached_pic") for stream in streams):
        lost.append("cover")
    chapters = tuple(
        Chapter(start, str(each.get("tags", {}).get("title", "")))
        for each in told.get("chapters", [])[:_MOST_CHAPTERS]
        if (start := decimal_number(str(each.get("start_time", "")), 0, 1e7)) is not None
    )
    return Tags(texts, chapters=chapters, lost=tuple(lost))
