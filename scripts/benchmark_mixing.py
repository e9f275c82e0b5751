"""Measures how far policies put mixes in order that were put out of it on purpose, stem by stem.

    python scripts/benchmark_mixing.py --corpus CORPUS [--split test] [--songs 40] [--systems neutral mix]
    python scripts/benchmark_mixing.py --multitracks DIR [--songs 12]

An excerpt of each song is taken apart, or comes in stems where DIR holds multitracks; its stems are put in
disorder (`envs/disorders.py`), summed, and the sum is all that a system is given: it is taken apart again by
the embedded separator. The kinds are balance, tone, dynamics, space, alignment, one stem that is wrong in
every way, all of the first four together, and undamaged songs.

recovery   share of the distance to the original undone, over songs (`reward/recovery.py`)
levels     share of the stems' level errors undone: the true stems in disorder through the strips that were
           set, each against the loudness of the mix
moved      dB by which undamaged songs' tone and image were moved, and how far their stems' levels

Systems are policies, and searches: `random@N`, `search@N` (CMA-ES) on the blind reward, `truth@N` the search
that knows the original. The target is low, so that what is judged is the mix and not what a limiter does to
it. Rows go to OUTPUT/rows.jsonl as they are known; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from benchmark_stems import cell, decided, ratio

from mixagent.envs.cases import Case, CaseStore, Damage, make_case, true_stems
from mixagent.envs.corpus import RATE_HZ, Corpus
from mixagent.envs.disorders import (
    DISORDERS,
    ONE_STEM,
    Disorder,
    disorder,
    draw_disorder,
    draw_one_stem,
    there,
)
from mixagent.envs.mixing import Material
from mixagent.learning.evaluation_tables import Estimate
from mixagent.pipeline.chain.mixing import measure_levels, strip_blocks
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.files import heal_lines, read_lines
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.render import premaster
from mixagent.pipeline.separation import Separator, choose_separator
from mixagent.pipeline.types import AudioSource, Stems, collect, load, mean_power
from mixagent.policies.trial import blind_part
from mixagent.reward.model import RewardModel, load_reward

ALL, UNTOUCHED = "all four", "undamaged"
KINDS = (*DISORDERS, ONE_STEM, ALL, UNTOUCHED)

_CANDIDATES, _EDGE_S, _FEWEST = 4, 3.0, 2
_LEAST_POWER = db_to_power(-50)

Row = dict[str, Any]


@dataclass(frozen=True)
class Excerpt:
    """A song's excerpt with its true stems."""

    name: str
    stems: Stems


@dataclass(frozen=True)
class Disordered:
    """A case, and its true stems before and after they were put in disorder."""

    case: Case
    original: Stems
    spoilt: Stems


def excerpts(options: argparse.Namespace) -> Iterator[Excerpt]:
    """The loudest of a few excerpts of each song, with two stems or more that sound."""
    corpus = Corpus.open(options.multitracks if options.multitracks else options.corpus)
    songs = corpus.songs(None, "stems") if options.multitracks else corpus.songs(options.split, "clean truth")
    if options.multitracks and not songs:
        raise SystemExit(f"{options.multitracks} is no corpus of multitracks: see `mixagent corpus add`")
    songs = [song for song in songs if bool(song.parts) == bool(options.multitracks)]
    places = np.linspace(0, len(songs) - 1, min(options.songs, len(songs))).round().astype(int)
    for song in (songs[place] for place in places):
        random = np.random.default_rng([options.seed, crc32(song.id.encode())])
        latest_s = song.duration_s - options.seconds - _EDGE_S
        starts_s = random.uniform(min(_EDGE_S, max(latest_s, 0.0)), max(latest_s, 0.0), _CANDIDATES)
        drawn = [corpus.stems(song, float(at), options.seconds) for at in starts_s]
        loudest = max(drawn, key=lambda stems: mean_power(load(stems.mix)))
        if mean_power(load(loudest.mix)) < _LEAST_POWER:
            continue
        stems = true_stems(loudest, _separator())
        if len(there(stems)) >= _FEWEST:
            yield Excerpt(song.id, stems)


@cache
def _separator() -> Separator:
    return choose_separator("embedded", "cpu", 4).separator


def drawn_disorder(name: str, kind: str, stems: Sequence[str], seed: int) -> Disorder | None:
    """The disorder of one kind of an excerpt; the same whenever it is asked for."""
    random = np.random.default_rng([seed, crc32(f"{name} {kind}".encode())])
    if kind == UNTOUCHED:
        return None
    if kind == ONE_STEM:
        return draw_one_stem(random, stems)
    return draw_disorder(random, stems, DISORDERS[:4] if kind == ALL else [k for k in DISORDERS if k == kind])


def disordered(excerpt: Excerpt, kind: str, options: argparse.Namespace) -> Disordered:
    """The case of an excerpt in disorder, made once."""
    original = excerpt.stems
    done = drawn_disorder(excerpt.name, kind, there(original), options.seed)
    store, name = CaseStore(options.output / "cases"), f"{excerpt.name} {kind} {_separator().version}"
    if not store.path(name).exists():
        damage = Damage(severities={}, mechanisms={}, disorder=done, seed=0)
        target = loudness_target(options.target)
        store.save(make_case(name, load(original.mix), damage, _separator(), target, true_stems=original))
    spoilt = original if done is None else disorder(original, done)
    return Disordered(store.load(name), original, spoilt)


# --- judging ---------------------------------------------------------------------------------------


def level_errors_lu(made: Disordered, settings: Settings) -> tuple[float, float]:
    """Mean error of the true stems' levels against the mix in LU, before and after the strips."""
    parts = {name: made.spoilt.parts[name] for name in there(made.original)}
    levels = measure_levels(made.spoilt)
    through = {
        name: collect(strip_blocks(made.spoilt, name, settings, levels), part.rate, part.channels)
        for name, part in parts.items()
    }
    mixed = premaster(made.spoilt, _strips_alone(settings))
    wanted = _against({name: made.original.parts[name] for name in parts}, made.original.mix)
    before, after = _against(parts, made.spoilt.mix), _against(through, mixed)
    found = [name for name in parts if all(math.isfinite(x[name]) for x in (wanted, before, after))]
    errors = [[abs(x[name] - wanted[name]) for name in found] for x in (before, after)]
    return float(np.mean(errors[0])), float(np.mean(errors[1]))


def _strips_alone(settings: Settings) -> Settings:
    places = ("vocals", "drums", "bass", "other", "drum_bus", "vocal_bus", "reverb", "delay")
    kept = {k: v for k, v in settings.changed().items() if k.startswith(tuple(f"{p}." for p in places))}
    return settings.space.settings(kept)


def _against(parts: Mapping[str, AudioSource], mix: AudioSource) -> dict[str, float]:
    whole = integrated_lufs(mix)
    return {name: integrated_lufs(part) - whole for name, part in parts.items()}


def row_of(
    made: Disordered, song: str, kind: str, system: str, rewards: dict[str, RewardModel], seed: int
) -> Row:
    """What a system does to a case."""
    since = time.perf_counter()
    material = Material(made.case, ParameterSpace.for_stems(tuple(made.case.stems.parts)))
    settings = decided(system, material, rewards, seed)
    seconds = time.perf_counter() - since
    pair = material.render_pair(settings)
    assert material.original is not None
    before, after = (side.distance(material.original) for side in (pair.before, pair.after))
    levels = level_errors_lu(made, settings)
    return {
        **{"song": song, "kind": kind, "system": system, "seed": seed, "seconds": round(seconds, 4)},
        "before": {**asdict(before), "total": before.total, "levels": levels[0]},
        "after": {**asdict(after), "total": after.total, "levels": levels[1]},
        "settings": settings.changed(),
    }


def fill(options: argparse.Namespace) -> None:
    """Measure what is not known yet."""
    whole = load_reward()
    truth = [term for term in whole.terms if term.name == "truth"]
    rewards = {"blind": blind_part(whole), "truth": RewardModel(tuple(truth), {"truth": 1.0})}
    path = options.output / "rows.jsonl"
    options.output.mkdir(parents=True, exist_ok=True)
    heal_lines(path)
    known = {(row["song"], row["kind"], row["system"], row["seed"]) for row in read_lines(path)}
    for excerpt in excerpts(options):
        for kind in options.kinds:
            systems = [s for s in options.systems if (excerpt.name, kind, s, options.seed) not in known]
            made = disordered(excerpt, kind, options) if systems else None
            for system in systems:
                assert made is not None
                row = row_of(made, excerpt.name, kind, system, rewards, options.seed)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


# --- the table -------------------------------------------------------------------------------------


def table(rows: Sequence[Row], kinds: Sequence[str]) -> str:
    """A row a system: recovery and levels by kind, and what undamaged songs lose."""
    damaged = [kind for kind in kinds if kind != UNTOUCHED]
    heads = [
        *("system", "songs", *(f"{kind} %" for kind in damaged), "levels, balance %", "levels, all four %"),
        *("moved: tone dB", "image dB", "levels LU", "ms"),
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * (len(heads) - 1) + "|"]
    for system in dict.fromkeys(row["system"] for row in rows):
        own = [row for row in rows if row["system"] == system]
        by = {kind: [row for row in own if row["kind"] == kind] for kind in kinds}
        clean = by.get(UNTOUCHED, [])
        cells = [
            *(system, str(len({row["song"] for row in own}))),
            *(_share(by[kind], "total") for kind in damaged),
            *(_share(by.get(kind, []), "levels") for kind in ("balance", ALL)),
            *(_mean(clean, what) for what in ("tone", "image", "levels")),
            f"{1000 * float(np.median([row['seconds'] for row in own])):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _share(rows: Sequence[Row], what: str) -> str:
    left = ratio(rows, lambda row: row["after"][what], lambda row: row["before"][what])
    undone = left and Estimate(100 * (1 - left.value), 100 * (1 - left.high), 100 * (1 - left.low))
    return cell(undone, 0)


def _mean(rows: Sequence[Row], what: str) -> str:
    return cell(ratio(rows, lambda row: row["after"][what], lambda row: 1.0), 2)


def main() -> None:
    """Fill in what is missing and print the table."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--multitracks", type=Path, help="a corpus of songs in stems")
    parser.add_argument("--split", default="test")
    parser.add_argument("--songs", type=int, default=40, help="how many, spread evenly")
    parser.add_argument("--systems", nargs="+", default=["neutral", "mix_rules", "mix"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seconds", type=float, default=8.0, help=f"of an excerpt, at {RATE_HZ} Hz")
    parser.add_argument("--target", default="-23", help="LUFS, or a name such as streaming")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/mixing"))
    options = parser.parse_args()
    if (options.corpus is None) == (options.multitracks is None):
        parser.error("name --corpus or --multitracks")
    fill(options)
    rows = [row for row in read_lines(options.output / "rows.jsonl") if row["kind"] in options.kinds]
    print(table([row for row in rows if row["system"] in options.systems], options.kinds))


if __name__ == "__main__":
    main()
