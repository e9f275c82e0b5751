"""Tags and cover art, carried from one file to another across formats.

Whatever the format, tags are read into one shape (`tag_reading`), with the names of Vorbis comments
(`tag_names`), and written as the output has them (`tag_writing`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.errors import InputError, OutputError
from mixagent.pipeline.files import atomically
from mixagent.pipeline.io.decoding import probe
from mixagent.pipeline.io.tag_reading import TAG_ERRORS, Tags, Texts, chunk_chapters, fit_text, read_tags
from mixagent.pipeline.io.tag_writing import has_times, write_tags
from mixagent.pipeline.untrusted import one_line

Retag = Callable[[Texts], Mapping[str, list[str]]]
"""Given the texts of a file, says which of them are others in the file that they are copied to."""

REPLAYGAIN_LUFS = -18.0
"""Reference level of ReplayGain 2.0."""

_MOST_NAMED = 12
_SAME_LENGTH_S = 0.1


def replaygain_texts(
    integrated_lufs: float, sample_peak_dbfs: float, of: Literal["track", "album"] = "track"
) -> dict[str, list[str]]:
    """ReplayGain 2.0 tags: the gain to -18 LUFS in dB, and the highest sample, 1 at full scale.

    Source: hydrogenaudio's ReplayGain 2.0 specification, "Metadata format".
    """
    return {
        f"replaygain_{of}_gain": [f"{REPLAYGAIN_LUFS - integrated_lufs:.2f} dB"],
        f"replaygain_{of}_peak": [f"{db_to_amplitude(sample_peak_dbfs):.6f}"],
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
            return _told(write_tags(Tags(dict(texts)), changed, texts), changed)
        except TAG_ERRORS as error:
            raise OutputError(f"cannot write tags to {path}: {error}") from error


def copy_tags(source: Path | None, target: Path, changes: Retag | None = None) -> tuple[str, ...]:
    """Copy texts, pictures, chapters and marks from one file to another, whatever their formats.

    Without a `source` there are none. `changes` says which texts are others in the target. ReplayGain, R128,
    iTunes' volume and gapless tags are left behind, and so is the encoder's name. Markers and chapters are
    kept where the target is as long as the source.

    Returns:
        Warnings for the user: one that names what could not be kept.

    Raises:
        OutputError: the target's tags cannot be written; it may be damaged.
    """
    tags = Tags()
    warnings: tuple[str, ...] = ()
    try:
        tags = tags if source is None else read_tags(source)
    except TAG_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        warnings = (f"the tags of {source} cannot be read ({reason}) and were not kept",)
    asked = {} if changes is None else changes(tags.texts)
    changed = {name: [fit_text(text) for text in texts] for name, texts in asked.items()}
    try:
        ratio, same_length = 1.0, True
        if source is not None and has_times(tags):
            ratio, same_length = _compared(source, target)
            if target.suffix.lower() != ".wav":
                tags = _with_markers_as_chapters(tags, source)
        written = replace(tags, texts={**tags.texts, **changed})
        return (*warnings, *_told(write_tags(written, target, changed, ratio, same_length), target))
    except TAG_ERRORS as error:
        raise OutputError(f"cannot write tags to {target}: {error}") from error


def tag_texts(path: Path) -> Texts:
    """What a file's tags say; nothing where they cannot be read."""
    try:
        return read_tags(path).texts
    except TAG_ERRORS:
        return {}


def _told(lost: Sequence[str], target: Path) -> tuple[str, ...]:
    if not lost:
        return ()
    names = list(dict.fromkeys(lost))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    named = one_line(", ".join(names[:_MOST_NAMED]))
    return (f"what was not kept of the song's tags in {target.suffix[1:].lower()}: {named}{more}",)


def _compared(source: Path, target: Path) -> tuple[float, bool]:
    """The target's rate over the source's, and whether both are as long; as if where that is not known."""
    try:
        before, after = probe(source), probe(target)
    except InputError:
        return 1.0, True
    same_length = abs(after.duration_s - before.duration_s) <= _SAME_LENGTH_S
    return after.rate / before.rate, same_length or not before.frames


def _with_markers_as_chapters(tags: Tags, source: Path) -> Tags:
    if not any(chunk.name == b"cue " for chunk in tags.chunks):
        return tags
    try:
        chapters = tags.chapters or chunk_chapters(tags.chunks, probe(source).rate)
    except InputError:
        return tags
    others = tuple(chunk for chunk in tags.chunks if chunk.name not in (b"cue ", b"LIST"))
    return replace(tags, chapters=chapters, chunks=others)
