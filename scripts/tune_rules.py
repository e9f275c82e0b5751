"""Sweep each scale of the rule policy over damaged training songs and print what it recovers.

Excerpts of training songs are damaged at random severities by the mechanisms that are not kept for
validation; each scale is swept alone around the defaults. Never run it on songs kept for evaluation.

    python scripts/tune_rules.py --songs DIR [--count 12]
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from benchmark_recovery import excerpt, find_songs, share_undone

from mixagent.envs.pathologies import KINDS, damage, damage_all
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import diagnose
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.render import render
from mixagent.pipeline.types import Audio, Stems
from mixagent.policies.base import Context
from mixagent.policies.rules import RulePolicy, RuleScales
from mixagent.reward.recovery import Original

FACTORS = (0.0, 0.5, 1.0, 1.5)
TARGET = loudness_target("streaming")
KIND_OF = {
    "mud": "mud",
    "resonance": "mud",
    "shimmer": "shimmer",
    "lines": "shimmer",
    "air": "holes",
    "gaps": "holes",
    "lean": "panning",
    "width": "panning",
    "expand": "flatness",
}


@dataclass(frozen=True)
class Case:
    """One damaged excerpt, heard once."""

    kind: str
    original: Original
    damaged: Audio
    context: Context


def hear(kind: str, original: Original, damaged: Audio) -> Case:
    """Analyse and diagnose a damaged excerpt."""
    analysis = analyse(damaged)
    space = ParameterSpace.for_stems(())
    return Case(kind, original, damaged, Context(analysis, {}, diagnose(damaged, analysis), TARGET, space))


def score(case: Case, scales: RuleScales) -> tuple[float, float]:
    """Distance to the original before and after the rules at these scales."""
    settings = RulePolicy(scales).decide(case.context).settings
    done = render(Stems(case.damaged, {}), settings, TARGET).audio
    after = case.original.distance(Audio(done.read(0, done.frames), done.rate))
    return case.original.distance(case.damaged).total, after.total


def cases_of(song: Path, seconds: float, seed: int) -> list[Case]:
    """An excerpt damaged by each pathology, by all five, and by nothing."""
    random = np.random.default_rng(seed)
    original = Original(excerpt(song, seconds))
    severities = random.uniform(0.3, 0.9, len(KINDS) + 1)
    damaged = {
        kind: damage(original.audio, kind, severity, seed=seed)
        for kind, severity in zip(KINDS, severities, strict=False)
    }
    damaged["all five"] = damage_all(original.audio, float(severities[-1]), seed)
    return [hear(kind, original, audio) for kind, audio in damaged.items()]


def sweep(seconds: float, numbered: tuple[int, Path]) -> list[tuple[str, str, float, tuple[float, float]]]:
    """(scale, kind, value, distances) for one song."""
    seed, song = numbered
    rows = []
    for case in cases_of(song, seconds, seed):
        rows.append(("defaults", case.kind, 1.0, score(case, RuleScales())))
        for field in fields(RuleScales):
            if case.kind not in (KIND_OF[field.name], "all five"):
                continue
            default = getattr(RuleScales(), field.name)
            for factor in FACTORS:
                scales = replace(RuleScales(), **{field.name: default * factor})
                rows.append((field.name, case.kind, default * factor, score(case, scales)))
    return rows


def main() -> None:
    """Print the sweep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    songs = find_songs(options.songs, options.count, options.seconds)
    with ProcessPoolExecutor(options.workers) as pool:
        rows = [row for part in pool.map(partial(sweep, options.seconds), enumerate(songs)) for row in part]
    keys = dict.fromkeys(row[:3] for row in rows)
    for key in sorted(keys, key=lambda k: (k[0], k[1], k[2])):
        shares = [row[3] for row in rows if row[:3] == key]
        print(f"{key[0]:10} {key[1]:9} {key[2]:6.2f}  {100 * share_undone(shares):+6.1f} %  ({len(shares)})")


if __name__ == "__main__":
    main()
