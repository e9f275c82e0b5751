# mypy: allow-untyped-calls, disable-error-code="attr-defined"
"""Tags written into a wav, flac, mp3 or ogg file: what it can hold, and words for what it cannot."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import mutagen
from mutagen import flac, id3

from mixagent.pipeline.io.tag_names import BY_NAME
from mixagent.pipeline.io.tag_reading import (
    Chapter,
    Picture,
    Tags,
    chunk_words,
    expressed,
    frame_words,
    from_frames,
    size_words,
)
from mixagent.pipeline.io.wav_chunks import MOST_BYTES, Chunk, append_chunks, fitted

_MOST_BLOCK = (1 << 24) - 1
_APPLICATION = 2
_TIMED = (b"cue ", b"smpl", b"LIST", b"plst")
_TIMED_FRAMES = ("CHAP", "CTOC", "SYLT", "ETCO", "SYTC")


def write_tags(
    tags: Tags, path: Path, changed: Collection[str] = (), ratio: float = 1.0, same_length: bool = True
) -> list[str]:
    """Write tags into a file that has none.

    Args:
        tags: what to write.
        path: a wav, flac, mp3 or ogg file.
        changed: names of texts that are others than those of the frames.
        ratio: rate of the file over that of the one that the tags came from.
        same_length: whether the times in the tags still hold.

    Returns:
        Words for what could not be kept.

    Raises:
        TAG_ERRORS: the tags cannot be written.
    """
    lost = list(tags.lost)
    if path.suffix.lower() == ".wav" and _is_rf64(path):
        return [*lost, "tags, as a wav file over 4 GB has no place for them"]
    chapters = tags.chapters if same_length else ()
    if tags.chapters and not same_length:
        lost.append("chapters, as the length changed")
    file = mutagen.File(path)
    if file is None:
        raise mutagen.MutagenError("the format has no tags")
    if _says_something(tags, chapters):
        if file.tags is None:
            file.add_tags()
        if isinstance(file.tags, id3.ID3):
            lost += _to_id3(tags, chapters, file, changed, same_length)
        else:
            lost += _to_vorbis(tags, chapters, file)
        file.save()
    lost += _chunks_into(tags.chunks, path, ratio, same_length)
    return lost


def has_times(tags: Tags) -> bool:
    """True if the tags name places in the song."""
    timed = any(frame.FrameID in _TIMED_FRAMES for frame in tags.frames)
    return bool(tags.chapters or tags.chunks) or timed


def _says_something(tags: Tags, chapters: Collection[Chapter]) -> bool:
    return bool(tags.texts or tags.pictures or chapters or tags.frames or tags.blocks)


def _is_rf64(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"RF64"


# --- ID3 ---------------------------------------------------------------------------------------


def _to_id3(
    tags: Tags, chapters: Collection[Chapter], file: Any, changed: Collection[str], same_length: bool
) -> list[str]:
    said = from_frames(tags.frames).texts
    kept = [
        frame
        for frame in tags.frames
        if (same_length or frame.FrameID not in _TIMED_FRAMES) and not _says(frame, changed)
    ]
    for frame in kept:
        file.tags.add(frame)
    for name, values in tags.texts.items():
        if name in changed or name not in said:
            file.tags.add(_frame(name, values))
    for index, picture in enumerate(tags.pictures):
        # ID3 tells pictures apart by their description alone.
        description = picture.description or (f"picture {index + 1}" if index else "")
        file.tags.add(
            id3.APIC(
                encoding=id3.Encoding.UTF8,
                mime=picture.mime,
                type=picture.kind,
                desc=description,
                data=picture.data,
            )
        )
    if chapters and not any(isinstance(frame, id3.CHAP) for frame in kept):
        for frame in _chapter_frames(chapters):
            file.tags.add(frame)
    return [frame_words(f) for f in tags.frames if not same_length and f.FrameID in _TIMED_FRAMES[2:]]


def _says(frame: id3.Frame, names: Collection[str]) -> bool:
    return any(name.lower() in names for name, _ in expressed(frame) or ())


def _frame(name: str, values: list[str]) -> id3.Frame:
    utf8 = id3.Encoding.UTF8
    if name == "lyrics":
        return id3.USLT(encoding=utf8, lang="XXX", desc="", text="\n".join(values))
    if name == "comment":
        return id3.COMM(encoding=utf8, lang="XXX", desc="", text=values)
    if name in BY_NAME and BY_NAME[name].frame:
        kind: type[id3.Frame] = getattr(id3, BY_NAME[name].frame)
        if issubclass(kind, id3.TextFrame):
            return kind(encoding=utf8, text=values)
        if issubclass(kind, id3.UrlFrame):
            return kind(url=values[0])
    return id3.TXXX(encoding=utf8, desc=name.upper(), text=values)


def _chapter_frames(chapters: Collection[Chapter]) -> Iterator[id3.Frame]:
    names = [f"ch{number}" for number in range(len(chapters))]
    nowhere = 0xFFFFFFFF
    starts = [min(round(1000 * chapter.start_s), nowhere - 1) for chapter in chapters]
    for name, chapter, start, stop in zip(names, chapters, starts, [*starts[1:], nowhere], strict=True):
        title = [id3.TIT2(encoding=id3.Encoding.UTF8, text=[chapter.title])] if chapter.title else []
        yield id3.CHAP(name, start, stop, nowhere, nowhere, title)
    yield id3.CTOC("toc", id3.CTOCFlags.TOP_LEVEL | id3.CTOCFlags.ORDERED, names, [])


# --- Vorbis comments ---------------------------------------------------------------------------


def _to_vorbis(tags: Tags, chapters: Collection[Chapter], file: Any) -> list[str]:
    lost = [
        frame_words(f) for f in tags.frames if expressed(f) is None and not isinstance(f, id3.CHAP | id3.CTOC)
    ]
    for name, values in tags.texts.items():
        file.tags[_vorbis_name(name)] = values
    for number, chapter in enumerate(chapters, 1):
        file.tags[f"CHAPTER{number:03d}"] = [_clock(chapter.start_s)]
        file.tags[f"CHAPTER{number:03d}NAME"] = [chapter.title]
    fitting, large = _fitting(tags.pictures)
    lost += large
    pictures = [_flac_picture(picture) for picture in fitting]
    if isinstance(file, flac.FLAC):
        for picture in pictures:
            file.add_picture(picture)
        for data in tags.blocks:
            block = flac.MetadataBlock(data)
            block.code = _APPLICATION
            file.metadata_blocks.append(block)
    else:
        lost += ["application block" for _ in tags.blocks]
        if pictures:
            encoded = [base64.b64encode(picture.write()).decode("ascii") for picture in pictures]
            file.tags["metadata_block_picture"] = encoded
    return lost


def _fitting(pictures: Collection[Picture]) -> tuple[list[Picture], list[str]]:
    """The pictures that a block of FLAC's format can hold, and words for the others."""
    head = 64
    fits = [p for p in pictures if len(p.data) + len(p.description.encode()) + head <= _MOST_BLOCK]
    large = [f"cover of {size_words(len(p.data))}" for p in pictures if p not in fits]
    return fits, large


def _clock(seconds: float) -> str:
    whole, milliseconds = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{milliseconds:03d}"


def _vorbis_name(name: str) -> str:
    """The name with what Vorbis comments forbid (`=`, `~` and all but printable ASCII) taken out."""
    return "".join(c for c in name if " " <= c <= "}" and c != "=") or "unnamed"


def _flac_picture(picture: Picture) -> flac.Picture:
    block = flac.Picture()
    block.mime, block.type, block.desc, block.data = (
        picture.mime,
        picture.kind,
        picture.description,
        picture.data,
    )
    return block


# --- chunks ------------------------------------------------------------------------------------


def _chunks_into(chunks: Collection[Chunk], path: Path, ratio: float, same_length: bool) -> list[str]:
    """Append a wav's chunks to a wav; words for those that it, or another format, cannot hold."""
    if path.suffix.lower() != ".wav":
        return [chunk_words(chunk) for chunk in chunks]
    kept = [fitted(chunk, ratio) for chunk in chunks if same_length or chunk.name not in _TIMED]
    room = 0xFFFFFFFF - path.stat().st_size - (1 << 16)
    if sum(len(chunk.data) + 9 for chunk in kept) > min(room, 4 * MOST_BYTES):
        return [chunk_words(chunk) for chunk in chunks]
    if kept:
        append_chunks(path, kept)
    return [
        f"{chunk_words(c)}, as the length changed" for c in chunks if not same_length and c.name in _TIMED
    ]
