"""Training material of the reading net: excerpts of finished songs as bands, each beside damaged ones.

Decoding, codecs and vocoders are slow, so their results are kept: a pass holds one excerpt of each
song, clean and after `variants` draws of `envs.degradation`. Of them the net learns by their summaries
(`Songs`); more damage is drawn afresh on those for every example, which costs next to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixagent.envs.corpus import RATE_HZ, Corpus, Song, Split
from mixagent.envs.degradation import degrade, draw_families
from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.errors import InputError
from mixagent.pipeline.files import atomically, write_atomically
from mixagent.pipeline.measure.song_bands import BANDS, read_bands
from mixagent.pipeline.types import Audio, Progress
from mixagent.policies.reading.summary import FIGURES, Summary

EXCERPT_S = 8.0
_EDGE_S = 2.0
_LEAST_POWER = db_to_power(-50)
_ATTEMPTS = 4
_COUNTS = (0.5, 0.35, 0.15)
"""Share of the draws that hold one, two and three families."""

Half = NDArray[np.float16]


@dataclass(frozen=True)
class Pass:
    """One excerpt of each song of a split.

    Attributes:
        songs: ids, in order.
        bands: `SongBands.stacked`, shape (songs, 1 + variants, rows, frames); the first is clean.
        families: what was done to each variant.
    """

    songs: tuple[str, ...]
    bands: Half
    families: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Songs:
    """The summaries of all excerpts of a split.

    Attributes:
        powers, spreads, figures: as in `Summary`, each with (songs, passes, 1 + variants) in front.
        there: which excerpts there are, shape (songs, passes); a silent one is not.
    """

    powers: NDArray[np.float32]
    spreads: NDArray[np.float32]
    figures: NDArray[np.float32]
    there: NDArray[np.bool_]

    @classmethod
    def of(cls, passes: Sequence[Pass]) -> Songs:
        """The summaries of passes."""
        names = sorted({name for done in passes for name in done.songs})
        place = {name: number for number, name in enumerate(names)}
        shape = (len(names), len(passes), passes[0].bands.shape[1])
        powers, spreads = (np.zeros((*shape, 3, BANDS), np.float32) for _ in range(2))
        figures, there = np.zeros((*shape, FIGURES), np.float32), np.zeros(shape[:2], np.bool_)
        for number, done in enumerate(passes):
            for name, bands in zip(done.songs, done.bands, strict=True):
                there[place[name], number] = True
                for variant, read in enumerate(bands):
                    summary = Summary.of(read[None])
                    here = (place[name], number, variant)
                    powers[here], spreads[here] = summary.powers, summary.spreads
                    figures[here] = summary.figures
        return cls(powers, spreads, figures, there)


def build_passes(
    corpus: Corpus,
    split: Split,
    folder: Path,
    passes: int,
    variants: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> None:
    """Write `passes` files of excerpts that are not there yet; a killed run goes on from there.

    Raises:
        InputError: the corpus has no song of the split that is fit for clean truth.
    """
    songs = corpus.songs(split, "clean truth")
    if not songs:
        raise InputError(f"{corpus.directory} has no song of the split {split!r} fit for clean truth")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(passes):
        if not _path(folder, split, number).is_file():
            _write(_built(corpus, songs, variants, (seed, number)), _path(folder, split, number))
        if progress:
            progress((number + 1) / passes)


def load_passes(folder: Path, split: Split) -> list[Pass]:
    """The passes of a split that are there, in order; their bands are mapped, not read."""
    return [_read(path) for path in sorted(folder.glob(f"{split}-*.npy"))]


def _built(corpus: Corpus, songs: Sequence[Song], variants: int, seed: tuple[int, int]) -> Pass:
    names, rows, families = [], [], []
    for index, song in enumerate(songs):
        random = np.random.default_rng([*seed, index])
        original = _excerpt(corpus, song, random)
        if original is None:
            continue
        drawn = [
            draw_families(random, 1 + int(random.choice(len(_COUNTS), p=_COUNTS))) for _ in range(variants)
        ]
        versions = [original, *(degrade(original, done, random) for done in drawn)]
        rows.append(np.stack([read_bands(audio).stacked() for audio in versions]).astype(np.float16))
        names.append(song.id)
        families += drawn
    return Pass(tuple(names), np.stack(rows), tuple(families))


def _excerpt(corpus: Corpus, song: Song, random: np.random.Generator) -> Audio | None:
    """Part of a song that is not silent, or None."""
    latest_s = song.duration_s - EXCERPT_S - _EDGE_S
    for _ in range(_ATTEMPTS):
        start_s = float(random.uniform(min(_EDGE_S, max(latest_s, 0.0)), max(latest_s, 0.0)))
        audio = corpus.segment(song, start_s, EXCERPT_S)
        power = float(np.mean(np.square(audio.samples, dtype=np.float64)))
        if audio.frames >= round(EXCERPT_S * RATE_HZ) and power > _LEAST_POWER:
            return audio
    return None


def _path(folder: Path, split: Split, number: int) -> Path:
    return folder / f"{split}-{number:03d}.npy"


def _write(done: Pass, path: Path) -> None:
    told = {"songs": done.songs, "families": done.families}
    write_atomically(path.with_suffix(".json"), json.dumps(told))
    with atomically(path) as place:
        np.save(place, done.bands)


def _read(path: Path) -> Pass:
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    bands = np.load(path, mmap_mode="r")
    return Pass(tuple(told["songs"]), bands, tuple(tuple(names) for names in told["families"]))
