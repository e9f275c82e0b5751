"""Training material of the mixing agent: excerpts of finished songs in stems, and the same in disorder.

Taking apart is slow, so its results are kept as measures: a pass holds one excerpt of each song, as it is and
in `variants` disorders, each taken apart again. A song that comes in stems of its own is put in disorder by
those; of any other the stems that the separator finds are the truth. More disorder is drawn afresh on the
measures for every example, which costs next to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixagent.envs.cases import separate, true_stems
from mixagent.envs.corpus import RATE_HZ, Corpus, Song, Split
from mixagent.envs.disorders import disorder, draw_any, there
from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.errors import InputError
from mixagent.pipeline.files import atomically, write_atomically
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.stem_measures import ROLES, measures_of
from mixagent.pipeline.separation.base import Separator
from mixagent.pipeline.types import FloatArray, Progress, Stems, load, mean_power

EXCERPT_S = 10.0
_EDGE_S = 3.0
_ATTEMPTS = 4
_LEAST_POWER = db_to_power(-45)


@dataclass(frozen=True)
class Pass:
    """One excerpt of each song of a split.

    Attributes:
        songs: ids, in order.
        shown: `measures_of` each version and what was found in it, (songs, 1 + variants, 5, ROW); the first
            version is the song as it is.
        truth: the same of the true stems.
        kinds: of each variant, by song.
    """

    songs: tuple[str, ...]
    shown: FloatArray
    truth: FloatArray
    kinds: tuple[tuple[tuple[str, ...], ...], ...]


def build_passes(
    corpus: Corpus,
    split: Split,
    folder: Path,
    passes: Sequence[int],
    separator: Separator,
    variants: int = 3,
    seed: int = 0,
    progress: Progress | None = None,
) -> None:
    """Write the passes of these numbers that are not there yet; a killed run goes on from there.

    Raises:
        InputError: the corpus has no song of the split that is fit for clean truth.
    """
    songs = corpus.songs(split, "clean truth")
    if not songs:
        raise InputError(f"{corpus.directory} has no song of the split {split!r} fit for clean truth")
    folder.mkdir(parents=True, exist_ok=True)
    for done, number in enumerate(passes, 1):
        if not (folder / f"{split}-{number:03d}.npz").is_file():
            _write(_built(corpus, songs, separator, variants, (seed, number)), folder, split, number)
        if progress:
            progress(done / len(passes))


def load_passes(folder: Path, split: Split) -> list[Pass]:
    """The passes of a split that are there, in order."""
    return [_read(path) for path in sorted(folder.glob(f"{split}-*.npz"))]


def _built(
    corpus: Corpus, songs: Sequence[Song], separator: Separator, variants: int, seed: tuple[int, int]
) -> Pass:
    names, shown, truth, kinds = [], [], [], []
    for index, song in enumerate(songs):
        random = np.random.default_rng([*seed, index])
        parts = _excerpt(corpus, song, random)
        if parts is None:
            continue
        stems = true_stems(parts, separator)
        present = there(stems)
        if len(present) < 2:
            continue
        drawn = [draw_any(random, present) for _ in range(variants)]
        versions = [stems, *(disorder(stems, done) for done in drawn)]
        names.append(song.id)
        truth.append(np.stack([_measured(version) for version in versions]))
        # A song in stems of its own is taken apart as it is; of any other its stems are what was found.
        clean = separate(load(stems.mix), separator) if parts.parts else stems
        apart = [clean, *(separate(load(version.mix), separator) for version in versions[1:])]
        shown.append(np.stack([_measured(version) for version in apart]))
        kinds.append(tuple(done.kinds for done in drawn))
    return Pass(tuple(names), np.stack(shown), np.stack(truth), tuple(kinds))


def _measured(stems: Stems) -> FloatArray:
    return measures_of(
        analyse(stems.mix), {name: analyse(part) for name, part in stems.parts.items() if name in ROLES}
    )


def _excerpt(corpus: Corpus, song: Song, random: np.random.Generator) -> Stems | None:
    """Part of a song that is not silent, or None."""
    latest_s = song.duration_s - EXCERPT_S - _EDGE_S
    for _ in range(_ATTEMPTS):
        start_s = float(random.uniform(min(_EDGE_S, max(latest_s, 0.0)), max(latest_s, 0.0)))
        parts = corpus.stems(song, start_s, EXCERPT_S)
        mix = load(parts.mix)
        if mix.frames >= round(EXCERPT_S * RATE_HZ) and mean_power(mix) > _LEAST_POWER:
            return parts
    return None


def _write(done: Pass, folder: Path, split: Split, number: int) -> None:
    path = folder / f"{split}-{number:03d}.npz"
    write_atomically(path.with_suffix(".json"), json.dumps({"songs": done.songs, "kinds": done.kinds}))
    with atomically(path) as place, place.open("wb") as file:
        np.savez(file, shown=done.shown.astype(np.float32), truth=done.truth.astype(np.float32))


def _read(path: Path) -> Pass:
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    arrays: Mapping[str, NDArray[np.float32]] = np.load(path)
    kinds = tuple(tuple(tuple(kinds) for kinds in song) for song in told["kinds"])
    return Pass(tuple(told["songs"]), arrays["shown"], arrays["truth"], kinds)
