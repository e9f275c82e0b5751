"""Builds a store of cases from a corpus: in parallel, within a disk budget, on from where it was killed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from typing import Any

import numpy as np

from mixagent.envs.cases import STAGES, CaseStore, Curriculum, Damage, draw_damage, make_case, true_stems
from mixagent.envs.corpus import RATE_HZ, SPLITS, Corpus, Song, Split
from mixagent.envs.disorders import draw_any, there
from mixagent.envs.workers import end_with_parent
from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.errors import InputError, OutputError, UsageError
from mixagent.pipeline.files import append_line, heal_lines, read_lines
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.separation.base import Separator
from mixagent.pipeline.separation.choice import choose_separator
from mixagent.pipeline.types import Progress, Stems, load, mean_power

MIXTURE: Mapping[Curriculum, float] = {"none": 0.15, "single": 0.35, "pair": 0.15, "all": 0.35}
"""Share of each stage in a store."""

ALONE_SHARE = 0.5
"""Share of the cases in disorder that have no other damage."""

_CANDIDATES = 3
_ATTEMPTS = 6
_LEAST_POWER = db_to_power(-50)
_EDGE_S = 2.0


@dataclass(frozen=True)
class Recipe:
    """The settings by which the cases of a split are drawn.

    Attributes:
        split: of which songs. Outside of `train`, half of the cases have the validation mechanisms.
        seed: with the case's number it decides everything about the case.
        seconds: length of a segment.
        stems_share: share of the cases that are taken apart, 0..1.
        separator: by which separator.
        rough_share: share of the cases that have damage of no particular kind, and no other.
        disorder_share: share of the cases taken apart whose stems are put in disorder.
        heard_s: so much of the song around a segment is damaged alike and analysed, as the product does with
            whole songs; less in a short song, and never less than the segment.
        repairs: whether the damaged mixes are repaired, as the product does before anything else.
    """

    split: Split
    seed: int
    seconds: float = 4.0
    stems_share: float = 1.0
    separator: str = "spleeter"
    rough_share: float = 0.0
    disorder_share: float = 0.0
    heard_s: float = 0.0
    repairs: bool = True

    def differing(self, row: Mapping[str, Any]) -> str | None:
        """The setting by which a row of the index with this split and seed differs; None for none."""
        made = {"repairs": False, "disorder_share": 0.0, "heard_s": 0.0, **row.get("recipe", {})}
        now = self.to_json()
        return next((f"{key}={value}" for key, value in made.items() if now.get(key) != value), None)

    def to_json(self) -> dict[str, Any]:
        """The settings that decide a case beside its split, seed and number."""
        return {key: value for key, value in asdict(self).items() if key not in ("split", "seed")}


@dataclass(frozen=True)
class Builder:
    """Makes single cases of a recipe; each number gives the same case whoever builds it, and when."""

    store: CaseStore
    corpus: Corpus
    songs: tuple[Song, ...]
    recipe: Recipe

    def build(self, number: int) -> dict[str, Any]:
        """Make and keep the case of this number; its row for the index."""
        recipe = self.recipe
        random = np.random.default_rng([recipe.seed, SPLITS.index(recipe.split), number])
        row: dict[str, Any] = {"number": number, "split": recipe.split, "seed": recipe.seed}
        row["recipe"] = recipe.to_json()
        stage = STAGES[int(random.choice(len(STAGES), p=[MIXTURE[stage] for stage in STAGES]))]
        done = draw_damage(random, stage, recipe.split != "train" and random.random() < 0.5)
        separator = self._separator() if random.random() < recipe.stems_share else None
        drawn = self._segment(random)
        if random.random() < recipe.rough_share:
            done = Damage({}, {}, None, done.seed, rough=True)
        if isinstance(drawn, str):
            return {**row, "skipped": drawn}
        truth = None
        if separator and random.random() < recipe.disorder_share:
            truth = true_stems(drawn.heard, separator)
            done = _disordered(done, truth, random)
        name = f"{drawn.song.id}@{drawn.start_s:.2f}#{recipe.seed}.{number}"
        case = make_case(
            *(name, load(drawn.heard.mix), done, separator, TARGETS["streaming"], drawn.segment),
            repairs=recipe.repairs,
            true_stems=truth,
        )
        assert case.damage is not None
        return {
            **row,
            "name": name,
            "song": drawn.song.id,
            "severities": dict(case.damage.severities),
            "mechanisms": dict(case.damage.mechanisms),
            "disorder": case.damage.disorder.kinds if case.damage.disorder else (),
            "rough": case.damage.rough,
            "stems": list(case.stems.parts),
            "bytes": self.store.save(case),
        }

    def _separator(self) -> Separator:
        return choose_separator(self.recipe.separator, "cpu").separator

    def _segment(self, random: np.random.Generator) -> _Drawn | str:
        """A part of a song that is not silent; or why none of some attempts gave one."""
        reason, seconds = "no song is long enough", self.recipe.seconds
        for _ in range(_ATTEMPTS):
            song = self.songs[int(random.integers(len(self.songs)))]
            latest_s = song.duration_s - seconds - _EDGE_S
            if latest_s <= _EDGE_S:
                continue
            starts = np.round(random.uniform(_EDGE_S, latest_s, _CANDIDATES), 2)
            try:
                drawn = [(float(s), self.corpus.stems(song, float(s), seconds)) for s in starts]
                start_s, stems = max(drawn, key=lambda pair: mean_power(load(pair[1].mix)))
                if mean_power(load(stems.mix)) > _LEAST_POWER:
                    return self._heard(song, start_s, stems)
            except InputError as error:
                reason = str(error)
                continue
            reason = f"{song.id} is silent where it was cut"
        return reason

    def _heard(self, song: Song, start_s: float, stems: Stems) -> _Drawn:
        seconds = self.recipe.seconds
        heard_s = min(self.recipe.heard_s, song.duration_s)
        if heard_s <= seconds:
            return _Drawn(song, start_s, stems, None)
        from_s = round(min(max(start_s - (heard_s - seconds) / 2, 0.0), song.duration_s - heard_s), 2)
        first = round((start_s - from_s) * RATE_HZ)
        segment = slice(first, first + round(seconds * RATE_HZ))
        return _Drawn(song, start_s, self.corpus.stems(song, from_s, heard_s), segment)


@dataclass(frozen=True)
class _Drawn:
    """Part of a song in the stems that it comes in, and where in it the case's segment lies."""

    song: Song
    start_s: float
    heard: Stems
    segment: slice | None


def _disordered(done: Damage, stems: Stems, random: np.random.Generator) -> Damage:
    sounding = there(stems)
    if len(sounding) < 2:
        return done
    if random.random() < ALONE_SHARE:
        done = Damage({}, {}, None, done.seed)
    return replace(done, disorder=draw_any(random, sounding))


def build_cases(
    store: CaseStore,
    corpus: Corpus,
    split: Split,
    count: int,
    seed: int = 0,
    workers: int = 1,
    disk_gb: float = 20.0,
    progress: Progress | None = None,
    *,
    seconds: float = 4.0,
    stems_share: float = 1.0,
    separator: str = "spleeter",
    rough_share: float = 0.0,
    disorder_share: float = 0.0,
    heard_s: float = 0.0,
) -> None:
    """Fill a store with `count` cases of a split; those that it holds already are kept.

    Args:
        store: where the cases go.
        corpus: where the songs come from: those of the split that are fit for `clean truth`.
        split: `train`, `validation` or `test`. Outside of `train`, half of the cases are damaged by
            the mechanisms that are kept for validation.
        count: how many cases of this split and seed there are at the end.
        seed: with a case's number it decides everything about the case.
        workers: processes.
        disk_gb: the most that the store may take, all splits together.
        progress: called with the share done, 0..1; may raise to cancel.
        seconds: length of a segment.
        stems_share: share of the cases that are taken apart; the others have no stems.
        separator: by which separator.
        rough_share: share of the cases that have damage of no particular kind, and no other.
        disorder_share: share of the cases taken apart whose stems are put in disorder.
        heard_s: so much of the song around a segment is analysed; the segment alone by default.

    Raises:
        InputError: the split has no song.
        UsageError: there are cases of this split and seed that were made by another recipe.
        OutputError: the budget is used up, or the disk is full. What was built stays.
    """
    songs = tuple(corpus.songs(split=split, fit="clean truth"))
    if not songs:
        raise InputError(f"the corpus has no song of the split {split!r} that is fit for clean truth")
    recipe = Recipe(split, seed, seconds, stems_share, separator, rough_share, disorder_share, heard_s)
    _fill(Builder(store, corpus, songs, recipe), count, workers, disk_gb, progress)


def _fill(builder: Builder, count: int, workers: int, disk_gb: float, progress: Progress | None) -> None:
    """Build the cases 0 … count − 1 that the store does not hold yet."""
    index = builder.store.directory / "index.jsonl"
    builder.store.directory.mkdir(parents=True, exist_ok=True)
    heal_lines(index)
    rows, recipe = read_lines(index), builder.recipe
    made = [row for row in rows if (row["split"], row["seed"]) == (recipe.split, recipe.seed)]
    other = next(filter(None, map(recipe.differing, made)), None)
    if other is not None:
        raise UsageError(
            f"{builder.store.directory} holds cases of the split {recipe.split!r} and the seed {recipe.seed} "
            f"that were made with {other}: choose another seed or another folder"
        )
    there = {row["number"] for row in made}
    missing = [number for number in range(count) if number not in there]
    used = sum(row.get("bytes", 0) for row in rows)
    for done, row in enumerate(_built(builder, missing, workers), count - len(missing) + 1):
        append_line(index, row)
        used += row.get("bytes", 0)
        if progress:
            progress(done / count)
        if used > disk_gb * 1e9 and done < count:
            raise OutputError(
                f"{builder.store.directory} holds {used / 1e9:.1f} GB, its budget, after {done} of "
                f"{count} cases: allow more, or ask for fewer"
            )


def _built(builder: Builder, numbers: list[int], workers: int) -> Iterator[dict[str, Any]]:
    if workers <= 1:
        yield from map(builder.build, numbers)
        return
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_start_worker, initargs=(builder,)
    ) as pool:
        yield from _bounded(pool, numbers, 4 * workers)


def _bounded(pool: ProcessPoolExecutor, numbers: Iterable[int], ahead: int) -> Iterator[dict[str, Any]]:
    """Results in order, with only so many under way that stopping early wastes little."""
    waiting: list[Future[dict[str, Any]]] = []
    try:
        for number in numbers:
            waiting.append(pool.submit(_build_here, number))
            if len(waiting) >= ahead:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        for future in waiting:
            future.cancel()


_here: list[Builder] = []
"""The builder of a worker process, sent once."""


def _start_worker(builder: Builder) -> None:
    import torch

    end_with_parent()
    torch.set_num_threads(1)
    _here.append(builder)


def _build_here(number: int) -> dict[str, Any]:
    return _here[0].build(number)
