# mypy: allow-untyped-calls, disable-error-code="attr-defined"
"""Tags and cover art, carried from one file to another across formats.

Whatever the format, tags are read into one shape: Vorbis comment names with lists of texts, and
pictures.
"""

from __future__ import annotations

import base64
import binascii
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mutagen
import soundfile
from mutagen import flac, id3, mp4, wave
from mutagen._vorbis import VComment

from mixagent.pipeline.errors import OutputError
from mixagent.pipeline.files import atomically

Texts = dict[str, list[str]]
"""Vorbis comment names in lower case, each with its texts."""

Retag = Callable[[Texts], Mapping[str, list[str]]]
"""Given the texts of a file, says which of them are others in the file that they are copied to."""

REPLAYGAIN_LUFS = -18.0
"""Reference level of ReplayGain 2.0."""


@dataclass(frozen=True)
class _Picture:
    mime: str
    kind: int
    description: str
    data: bytes


@dataclass(frozen=True)
class _Tags:
    texts: Texts
    pictures: tuple[_Picture, ...] = ()


@dataclass(frozen=True)
class _Field:
    name: str
    frame: str
    atom: str


_FIELDS = (
    _Field("title", "TIT2", "©nam"),
    _Field("artist", "TPE1", "©ART"),
    _Field("album", "TALB", "©alb"),
    _Field("albumartist", "TPE2", "aART"),
    _Field("date", "TDRC", "©day"),
    _Field("tracknumber", "TRCK", "trkn"),
    _Field("discnumber", "TPOS", "disk"),
    _Field("genre", "TCON", "©gen"),
    _Field("composer", "TCOM", "©wrt"),
    _Field("bpm", "TBPM", "tmpo"),
    _Field("initialkey", "TKEY", "----:com.apple.iTunes:initialkey"),
    _Field("copyright", "TCOP", "cprt"),
    _Field("isrc", "TSRC", "----:com.apple.iTunes:ISRC"),
    _Field("comment", "COMM", "©cmt"),
    _Field("lyrics", "USLT", "©lyr"),
)
_BY_NAME = {field.name: field for field in _FIELDS}
_BY_FRAME = {field.frame: field for field in _FIELDS}
_BY_ATOM = {field.atom: field for field in _FIELDS}
_ALIASES = {"unsyncedlyrics": "lyrics", "description": "comment", "tempo": "bpm", "year": "date"}

# Loudness tags and gapless information describe the input's samples: on the master a player would
# turn it down or cut it by what is no longer true. The encoder named is not the one that wrote it.
_STALE_PREFIXES = ("replaygain_", "r128_", "itunnorm", "itunsmpb", "mp3gain_", "encoder", "length")


def replaygain_texts(
    integrated_lufs: float, sample_peak_dbfs: float, of: Literal["track", "album"] = "track"
) -> dict[str, list[str]]:
    """ReplayGain 2.0 tags: the gain to -18 LUFS in dB, and the highest sample, 1 at full scale.

    Source: hydrogenaudio's ReplayGain 2.0 specification, "Metadata format".
    """
    return {
        f"replaygain_{of}_gain": [f"{REPLAYGAIN_LUFS - integrated_lufs:.2f} dB"],
        f"replaygain_{of}_peak": [f"{10 ** (sample_peak_dbfs / 20):.6f}"],
        "replaygain_reference_loudness": [f"{REPLAYGAIN_LUFS:.2f} LUFS"],
    }


def add_texts(path: Path, texts: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Add texts to a file's tags, in the place of those of the same names; a file is changed whole or not.

    Returns:
        Warnings for the user: what could not be kept.

    Raises:
        OutputError: the tags cannot be written.
    """
    with atomically(path, through_link=True, durable=True) as changed:
        try:
            shutil.copyfile(path, changed)
            return _write(_Tags(dict(texts)), changed)
        except (mutagen.MutagenError, OSError) as error:
            raise OutputError(f"cannot write tags to {path}: {error}") from error


def copy_tags(source: Path | None, target: Path, changes: Retag | None = None) -> tuple[str, ...]:
    """Copy texts and pictures from one file to another, whatever their formats.

    Without a `source` there are none. `changes` says which texts are others in the target.
    ReplayGain, R128, iTunes' volume and gapless tags are left behind, and so is the encoder's name.

    Returns:
        Warnings for the user: what could not be kept.

    Raises:
        OutputError: the target's tags cannot be written.
    """
    tags = _Tags({})
    warnings: tuple[str, ...] = ()
    try:
        tags = tags if source is None else _read(source)
    except (mutagen.MutagenError, soundfile.LibsndfileError, OSError, ValueError) as error:
        warnings = (f"the tags of {source} cannot be read ({error}) and were not kept",)
    if changes is not None:
        tags = _Tags({**tags.texts, **changes(tags.texts)}, tags.pictures)
    if not tags.texts and not tags.pictures:
        return warnings
    try:
        return (*warnings, *_write(tags, target))
    except mutagen.MutagenError as error:
        raise OutputError(f"cannot write tags to {target}: {error}") from error


def tag_texts(path: Path) -> Texts:
    """What a file's tags say; nothing where they cannot be read."""
    try:
        return _read(path).texts
    except (mutagen.MutagenError, soundfile.LibsndfileError, OSError, ValueError):
        return {}


def _read(path: Path) -> _Tags:
    file = mutagen.File(path)
    tags = None if file is None else file.tags
    if isinstance(tags, id3.ID3):
        found = _from_id3(tags)
    elif isinstance(tags, VComment):
        found = _from_vorbis(tags, getattr(file, "pictures", []))
    elif isinstance(tags, mp4.MP4Tags):
        found = _from_mp4(tags)
    else:
        found = _Tags(_from_info_chunk(path))
    kept = {name: values for name, values in found.texts.items() if values and not _is_stale(name)}
    return _Tags(kept, found.pictures)


def _is_stale(name: str) -> bool:
    return name.startswith(_STALE_PREFIXES)


def _add(texts: Texts, name: str, values: list[str]) -> None:
    name = name.lower()
    texts.setdefault(_ALIASES.get(name, name), []).extend(value for value in values if value)


# --- reading -----------------------------------------------------------------------------------


def _from_id3(tags: id3.ID3) -> _Tags:
    texts: Texts = {}
    for frame in tags.values():
        if isinstance(frame, id3.TXXX):
            _add(texts, frame.desc, [str(text) for text in frame.text])
        elif isinstance(frame, id3.COMM) and frame.desc:
            # A described comment is a program's own note, not the user's.
            _add(texts, frame.desc, [str(text) for text in frame.text])
        elif isinstance(frame, id3.USLT):
            _add(texts, "lyrics", [frame.text])
        elif isinstance(frame, id3.TCON):
            _add(texts, "genre", list(frame.genres))
        elif frame.FrameID in _BY_FRAME:
            _add(texts, _BY_FRAME[frame.FrameID].name, [str(text) for text in frame.text])
    pictures = [_Picture(f.mime, int(f.type), f.desc, f.data) for f in tags.getall("APIC")]
    return _Tags(texts, tuple(pictures))


def _from_vorbis(tags: VComment, blocks: list[flac.Picture]) -> _Tags:
    texts: Texts = {}
    pictures = list(blocks)
    for name, value in tags:
        if name.lower() == "metadata_block_picture":
            pictures += _decoded_picture(value)
        else:
            _add(texts, name, [value])
    return _Tags(texts, tuple(_Picture(p.mime, int(p.type), p.desc, p.data) for p in pictures))


def _decoded_picture(value: str) -> list[flac.Picture]:
    try:
        return [flac.Picture(base64.b64decode(value))]
    except (binascii.Error, flac.error):
        return []


def _from_mp4(tags: mp4.MP4Tags) -> _Tags:
    texts: Texts = {}
    for atom, values in tags.items():
        if atom in ("trkn", "disk"):
            _add(texts, _BY_ATOM[atom].name, [f"{n}/{total}" if total else str(n) for n, total in values])
        elif atom in _BY_ATOM or atom.startswith("----"):
            name = _BY_ATOM[atom].name if atom in _BY_ATOM else atom.rsplit(":", 1)[-1]
            _add(texts, name, [_text(value) for value in values])
    mimes = {mp4.MP4Cover.FORMAT_JPEG: "image/jpeg", mp4.MP4Cover.FORMAT_PNG: "image/png"}
    covers = [
        _Picture(mimes.get(cover.imageformat, "image/jpeg"), 3, "", bytes(cover))
        for cover in tags.get("covr", [])
    ]
    return _Tags(texts, tuple(covers))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _from_info_chunk(path: Path) -> Texts:
    """The texts of a wav's INFO chunk or an aiff's text chunks."""
    if path.suffix.lower() not in (".wav", ".wave", ".aif", ".aiff"):
        return {}
    texts: Texts = {}
    with soundfile.SoundFile(path) as file:
        for name, value in file.copy_metadata().items():
            if name != "software":
                _add(texts, name, [value])
    return texts


# --- writing -----------------------------------------------------------------------------------


def _write(tags: _Tags, path: Path) -> tuple[str, ...]:
    if path.suffix.lower() == ".wav" and _is_rf64(path):
        return ("tags were not kept: a wav file over 4 GB has no place for them",)
    file = mutagen.File(path)
    if file is None:
        raise mutagen.MutagenError("the format has no tags")
    if file.tags is None:
        file.add_tags()
    writer: Callable[[_Tags, Any], None] = _to_id3 if isinstance(file.tags, id3.ID3) else _to_vorbis
    writer(tags, file)
    file.save()
    return ()


def _is_rf64(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"RF64"


def _to_id3(tags: _Tags, file: wave.WAVE) -> None:
    for name, values in tags.texts.items():
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


def _frame(name: str, values: list[str]) -> id3.Frame:
    utf8 = id3.Encoding.UTF8
    if name == "lyrics":
        return id3.USLT(encoding=utf8, lang="XXX", desc="", text="\n".join(values))
    if name == "comment":
        return id3.COMM(encoding=utf8, lang="XXX", desc="", text=values)
    if name in _BY_NAME:
        frame: type[id3.TextFrame] = getattr(id3, _BY_NAME[name].frame)
        return frame(encoding=utf8, text=values)
    return id3.TXXX(encoding=utf8, desc=name.upper(), text=values)


def _to_vorbis(tags: _Tags, file: Any) -> None:
    for name, values in tags.texts.items():
        file.tags[_vorbis_name(name)] = values
    pictures = [_flac_picture(picture) for picture in tags.pictures]
    if isinstance(file, flac.FLAC):
        for picture in pictures:
            file.add_picture(picture)
    elif pictures:
        encoded = [base64.b64encode(picture.write()).decode("ascii") for picture in pictures]
        file.tags["metadata_block_picture"] = encoded


def _vorbis_name(name: str) -> str:
    """The name with what Vorbis comments forbid (`=`, `~` and all but printable ASCII) taken out."""
    return "".join(c for c in name if " " <= c <= "}" and c != "=") or "unnamed"


def _flac_picture(picture: _Picture) -> flac.Picture:
    block = flac.Picture()
    block.mime, block.type, block.desc, block.data = (
        picture.mime,
        picture.kind,
        picture.description,
        picture.data,
    )
    return block
