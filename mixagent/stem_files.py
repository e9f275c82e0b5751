"""A song's stems as files: their names, their tags, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mixagent.pipeline.errors import OutputError
from mixagent.pipeline.files import atomically, clear_leftovers
from mixagent.pipeline.io import BitDepth, check_output, encode, probe, resample
from mixagent.pipeline.types import AudioSource, FloatArray, ShowProgress, Stems

STEM_BIT_DEPTH: BitDepth = "32f"
"""Stems may peak over full scale, and only float keeps their sum."""


@dataclass(frozen=True)
class StemFormat:
    """How stems are written: `rate` in Hz, None for the song's own; `seed` is the dither's."""

    suffix: str = "wav"
    bit_depth: BitDepth = STEM_BIT_DEPTH
    rate: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class StemFile:
    """A stem that was written: its highest sample (linear) and what the user should know."""

    path: Path
    peak: float
    warnings: tuple[str, ...]


def all_parts(stems: Stems) -> dict[str, AudioSource]:
    """The parts by name, and what they leave of the mix as `residual`."""
    return {**stems.parts, "residual": stems.residual}


@contextmanager
def stem_files(
    song: Path,
    folder: Path,
    names: Sequence[str],
    form: StemFormat = StemFormat(),
    inputs: Sequence[Path] = (),
) -> Iterator[dict[str, Path]]:
    """A file for each stem of a song by name, as `numbered_files`.

    Raises:
        InputError: the song cannot be read.
        UsageError, OutputError: a file of that kind, or one at that place, cannot be written.
    """
    rate = form.rate or probe(song).rate
    with numbered_files(song.stem, rate, folder, names, form, [song, *inputs]) as files:
        yield files


@contextmanager
def numbered_files(
    title: str, rate: int, folder: Path, names: Sequence[str], form: StemFormat, inputs: Sequence[Path]
) -> Iterator[dict[str, Path]]:
    """A file for each stem by name, checked before the work: `TITLE - 01 vocals.wav` and so on.

    So a folder sorts by song and then in the order of the stems, in a DAW too. The folder is made, and
    taken away again if nothing came into it. The `inputs` are never written over.

    Raises:
        UsageError, OutputError: a file of that kind, or one at that place, cannot be written.
    """
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        files = {
            name: folder / f"{title} - {number:02d} {name}.{form.suffix}"
            for number, name in enumerate(names, 1)
        }
        for path in files.values():
            check_output(path, rate, form.bit_depth, inputs=inputs)
        yield files
    finally:
        if new:
            with suppress(OSError):
                folder.rmdir()


def write_stems(
    parts: Mapping[str, AudioSource],
    files: Mapping[str, Path],
    song: Path | None,
    show: ShowProgress,
    form: StemFormat = StemFormat(),
) -> dict[str, StemFile]:
    """Each part into its file, with the song's tags; the title names the stem, the track its number.

    Where there is no song, there are no tags.

    The files get their names together when all are written: nothing is left half done.

    Raises:
        OutputError: the disk is full or refuses a file.
    """
    if not files:
        return {}
    clear_leftovers(next(iter(files.values())).parent)
    written = {}
    with ExitStack() as placed:
        for number, (stem, path) in enumerate(files.items(), 1):
            made = placed.enter_context(atomically(path, through_link=True))
            with named(path, made):
                file = _write(parts[stem], made, (number, len(files), stem), song, show, form)
            written[stem] = replace(file, path=path)
    return written


def _write(
    part: AudioSource,
    path: Path,
    place: tuple[int, int, str],
    song: Path | None,
    show: ShowProgress,
    form: StemFormat,
) -> StemFile:
    spooled = path.with_suffix(".resampled")
    metered = _Metered(resample(part, form.rate or part.rate, spooled))
    warnings = encode(
        metered,
        path,
        form.bit_depth,
        seed=form.seed,
        inputs=[] if song is None else [song],
        tags_from=song,
        retag=partial(_stem_tags, "" if song is None else song.stem, place),
        progress=partial(show, f"write {place[2]}"),
    )
    spooled.unlink(missing_ok=True)
    return StemFile(path, metered.peak, warnings)


def _stem_tags(
    name: str, place: tuple[int, int, str], texts: Mapping[str, list[str]]
) -> dict[str, list[str]]:
    number, count, stem = place
    title = next(iter(texts.get("title", ())), name)
    return {"title": [f"{title} - {stem}"], "tracknumber": [f"{number}/{count}"]}


class _Metered:
    """A source that remembers the highest sample that was read of it."""

    def __init__(self, source: AudioSource) -> None:
        self._source, self.peak = source, 0.0
        self.rate, self.channels, self.frames = source.rate, source.channels, source.frames

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` of the source."""
        samples = self._source.read(start, stop)
        self.peak = max(self.peak, float(np.abs(samples).max(initial=0.0)))
        return samples


@contextmanager
def named(path: Path, made: Path) -> Iterator[None]:
    """Errors inside name the file as it is to be called, not the one that becomes it."""
    try:
        yield
    except OutputError as error:
        raise OutputError(error.args[0].replace(str(made), str(path))) from error
