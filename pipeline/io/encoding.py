# mypy: allow-untyped-calls
"""Samples to audio files: wav, flac, mp3 and ogg, dithered at 16 bit, never half a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial as partial_function
from pathlib import Path
from typing import IO, Any, Literal

import mutagen.ogg
import numpy as np
import soundfile
from numpy.typing import NDArray

from mixagent.pipeline.errors import OutputError, UsageError, reason
from mixagent.pipeline.files import atomically, clear_leftovers, followed
from mixagent.pipeline.io.dither import quantise
from mixagent.pipeline.io.tags import Retag, copy_tags
from mixagent.pipeline.names import check_name, for_libsndfile
from mixagent.pipeline.types import AudioSource, Progress, blocks
from mixagent.pipeline.untrusted import file_name

BitDepth = Literal["16", "24", "32f"]

_FRAMES = 1 << 14

_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".mp3": "MP3", ".ogg": "OGG"}
_SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}
_SAMPLE_BYTES = {"16": 2, "24": 3, "32f": 4}
_LOSSY: dict[str, dict[str, Any]] = {
    ".mp3": {"compression_level": 0.0, "bitrate_mode": "CONSTANT"},
    ".ogg": {"compression_level": 0.1},
}
MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_RIFF_BYTES = 0xFFFFFFFF - (1 << 20)
"""What a RIFF file can hold, less room for the header and the tags."""


def check_output(
    path: Path,
    rate: int,
    bit_depth: BitDepth = "24",
    *,
    overwrite: bool = True,
    inputs: Collection[Path] = (),
) -> None:
    """Whether `encode` could write there, asked before the work is done.

    Raises:
        UsageError: a suffix, rate or bit depth that the format does not have, or one of the `inputs`.
        OutputError: the folder is missing, a file or write-protected, or the name is taken.
    """
    try:
        file_name(str(path))
    except ValueError as error:
        raise UsageError(f"cannot write {str(path)!r}: that is not a name that a file can have") from error
    check_name(path)
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise UsageError(
            f"{path}: the format {suffix or 'without a suffix'} is not written: use wav, flac, mp3 or ogg"
        )
    if suffix == ".flac" and bit_depth == "32f":
        raise UsageError(f"{path}: flac holds 16 or 24 bit: choose one, or write wav for 32f")
    if suffix == ".mp3" and rate not in MP3_RATES_HZ:
        raise UsageError(f"{path}: mp3 has no sample rate of {rate} Hz: choose 44100 or 48000, or write flac")
    folder = followed(path).parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {path}: the folder {folder} does not exist")
    if path.exists() and any(other.exists() and path.samefile(other) for other in inputs):
        raise UsageError(f"cannot write {path}: it is the input, which is never overwritten")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: the folder {folder} may not be written to")
    if path.exists() and not overwrite:
        raise OutputError(f"cannot write {path}: it exists already")


def encode(
    source: AudioSource,
    path: Path,
    bit_depth: BitDepth = "24",
    *,
    seed: int = 0,
    overwrite: bool = True,
    inputs: Collection[Path] = (),
    tags_from: Path | None = None,
    retag: Retag | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """`encode_all` for one file."""
    return encode_all(
        source,
        [path],
        bit_depth,
        seed=seed,
        overwrite=overwrite,
        inputs=inputs,
        tags_from=tags_from,
        retag=retag,
        progress=progress,
    )


def encode_all(
    source: AudioSource,
    paths: Sequence[Path],
    bit_depth: BitDepth = "24",
    *,
    seed: int = 0,
    overwrite: bool = True,
    inputs: Collection[Path] = (),
    tags_from: Path | None = None,
    retag: Retag | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Write the source into each file: wav (RF64 from 4 GB on), flac, mp3 or ogg, as its suffix says.

    16 bit is dithered from `seed`; mp3 is 320 kb/s constant (the most that a lower rate has below
    32 kHz), ogg is Vorbis at about 340 kb/s, and both leave `bit_depth` aside. Samples over full
    scale clip in integer formats. Once all files are whole they get their names: a path is either the old
    file or the whole new one, and what fails leaves none of them. Of an output that is a link, what it
    leads to is written. Equal input gives equal bytes.

    Args:
        source: what to write.
        paths: where; the suffix of each is its format.
        bit_depth: of wav and flac.
        seed: of the dither.
        overwrite: whether an existing file may be replaced.
        inputs: files that must never be replaced.
        tags_from: a file whose tags and pictures are copied.
        retag: given its texts, says which of them are others in what is written. Asked when the samples
            are.
        progress: called with the share done, 0 to 1; what it raises ends the writing.

    Returns:
        Warnings for the user: tags that could not be kept.

    Raises:
        UsageError, OutputError: as `check_output`; and the disk is full or refuses the file.
    """
    for path in paths:
        check_output(path, source.rate, bit_depth, overwrite=overwrite, inputs=inputs)
    report = progress or (lambda share: None)
    warnings: dict[str, None] = {}
    for folder in {followed(path).parent for path in paths}:
        clear_leftovers(folder)
    with ExitStack() as files:
        # Each gets its name as the stack closes: when all are whole.
        partials = {
            path: files.enter_context(atomically(path, through_link=True, durable=True)) for path in paths
        }
        for done, (path, partial) in enumerate(partials.items()):
            with _output_errors(path, partial):
                again = partial_function(_write_whole, source, partial, bit_depth, seed)
                again(_part_of(report, done, len(partials)))
                if tags_from is not None or retag is not None:
                    warnings |= dict.fromkeys(_tagged(partial, tags_from, retag, again))
    return tuple(warnings)


def _write_whole(source: AudioSource, path: Path, bit_depth: BitDepth, seed: int, progress: Progress) -> None:
    _write(source, path, bit_depth, seed, progress)
    _make_reproducible(path)


def _tagged(
    path: Path, tags_from: Path | None, retag: Retag | None, write: Callable[[Progress], None]
) -> tuple[str, ...]:
    """Tag a file; where its tags cannot be written, it is written once more without them."""
    try:
        return copy_tags(tags_from, path, retag)
    except OutputError as error:
        write(lambda share: None)
        return (f"the song's tags could not be written and were not kept: {error}",)


def _part_of(progress: Progress, done: int, parts: int) -> Progress:
    return lambda share: progress((done + share) / parts)


def _write(source: AudioSource, path: Path, bit_depth: BitDepth, seed: int, progress: Progress) -> None:
    lossy = path.suffix in _LOSSY
    size = source.frames * source.channels * _SAMPLE_BYTES[bit_depth]
    options = _LOSSY[path.suffix] if lossy else {"subtype": _SUBTYPES[bit_depth]}
    form, done = container_of(path.suffix, size), 0
    name = for_libsndfile(path)
    with soundfile.SoundFile(name, "w", source.rate, source.channels, format=form, **options) as file:
        for samples in _samples(source, None if lossy else bit_depth, seed):
            file.write(samples)
            done += len(samples)
            progress(done / source.frames)


def container_of(suffix: str, size_bytes: int) -> str:
    """The name that libsndfile has for the container of a file: RF64 for a wav over 4 GB."""
    return "RF64" if suffix == ".wav" and size_bytes > _RIFF_BYTES else _FORMATS[suffix]


def _samples(source: AudioSource, bit_depth: BitDepth | None, seed: int) -> Iterator[NDArray[Any]]:
    # Small blocks: libvorbis takes a whole block on the stack.
    parts = blocks(source, _FRAMES)
    if bit_depth is None or bit_depth == "32f":
        return (np.ascontiguousarray(part.T) for part in parts)
    return quantise(parts, int(bit_depth), seed)


def _make_reproducible(path: Path) -> None:
    """Take out what libsndfile draws from the clock: the PEAK chunk's time, Ogg's stream number."""
    with path.open("r+b") as file:
        if path.suffix == ".ogg":
            _renumber(file)
            return
        peak = file.read(256).find(b"PEAK")
        if path.suffix == ".wav" and peak >= 0:
            file.seek(peak + 12)
            file.write(bytes(4))


def _renumber(file: IO[bytes]) -> None:
    while True:
        start = file.tell()
        try:
            page = mutagen.ogg.OggPage(file)
        except EOFError:
            return
        page.serial = 1
        file.seek(start)
        file.write(page.write())


@contextmanager
def _output_errors(path: Path, partial: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}") from error
    except soundfile.LibsndfileError as error:
        raise OutputError(f"cannot write {path}: {_refusal(partial)}") from error


def _refusal(partial: Path) -> str:
    """Why a write failed: libsndfile does not say, so the file system is asked once more."""
    try:
        with partial.open("ab") as file:
            file.write(bytes(1 << 20))
    except OSError as error:
        return reason(error)
    return "the system refused it"
