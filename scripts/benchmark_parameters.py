"""Measures the most that each group of the chain's parameters could add to recovery, in one table.

    python scripts/benchmark_parameters.py --corpus CORPUS [--songs 6] [--output runs/parameters]

Songs are damaged as in `mixagent evaluate`. CMA-ES on the true recovery, which no product can know, first
moves the master's parameters that policies steer, from the policy's own decision on. From the best found,
the same number of further renders is spent on each group of parameters by itself, and once more on the
master's: a group that adds no more than these do has nothing to offer that they lack, however well it were
steered. The songs are those of the validation split, since this decides what a policy is given to steer.

Rows go to OUTPUT/rows.jsonl as they are known; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from mixagent.envs.corpus import SPLITS
from mixagent.envs.mixing import Material
from mixagent.learning.evaluation_cases import UNTOUCHED, Item, MadeCases
from mixagent.learning.evaluation_tables import Estimate, estimate
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.files import heal_lines, read_lines
from mixagent.policies import load_policy
from mixagent.policies.base import Context, Decision
from mixagent.policies.search import SearchPolicy

STEERED = ("master.*",)

GROUPS: Mapping[str, tuple[str, ...]] = {
    "the master again": STEERED,
    "strips of vocals and accompaniment": ("vocals.*", "accompaniment.*"),
    "mid and side equaliser": ("mid.*", "side.*"),
    "dynamic equaliser": ("dynamic_*.range_db", "dynamic_*.threshold_db"),
    "compressor a band": ("*_band.comp_ratio", "*_band.comp_threshold_db"),
    "transients a band": ("*_band.transient_*",),
    "saturation a band": ("*_band.drive_db",),
    "width a band": ("*_band.width",),
}
"""Patterns of the parameters that are searched together."""

START, BEFORE = "policy", "the master first"

Row = dict[str, Any]


class Held:
    """A policy that decides what it was given."""

    name = "held"

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def decide(self, _context: Context) -> Decision:
        """The decision it holds."""
        return self._decision


class Oracle:
    """A damaged segment, and how much of the distance to its original settings undo."""

    def __init__(self, cases: MadeCases, item: Item) -> None:
        case = cases.load(item)
        self._material = Material(case, ParameterSpace.for_stems(tuple(case.stems.parts)))
        assert self._material.original is not None
        self._original = self._material.original
        self.before = self._material.before.distance(self._original).total
        self.context = replace(self._material.context, trial=self._judged)

    def left(self, settings: Settings) -> float:
        """The distance that is left."""
        return self._material.render_pair(settings).after.distance(self._original).total

    def _judged(self, settings: Sequence[Settings]) -> np.ndarray[Any, Any]:
        return np.array([-self.left(one) for one in settings])

    def searched(self, begun: Decision, parameters: Sequence[str], renders: int, seed: int) -> Decision:
        """The best that the search of these parameters finds."""
        return SearchPolicy("cma", renders, Held(begun), seed, tuple(parameters)).decide(self.context)


def rows_of(cases: MadeCases, item: Item, first: int, renders: int) -> Iterator[Row]:
    """The rest of a case's distance after the policy, the first search and that of each group."""
    oracle, seed = Oracle(cases, item), crc32(item.name.encode())

    def row(system: str, settings: Settings) -> Row:
        return {
            "case": item.name,
            "song": item.song,
            "damage": item.damage,
            "system": system,
            "before": oracle.before,
            "after": oracle.left(settings),
            "settings": settings.changed(),
        }

    begun = load_policy("learned").decide(oracle.context)
    yield row(START, begun.settings)
    best = oracle.searched(begun, STEERED, first, seed)
    yield row(BEFORE, best.settings)
    for name, parameters in GROUPS.items():
        yield row(name, oracle.searched(best, parameters, renders, seed + 1).settings)


def table(rows: Sequence[Row]) -> str:
    """Recovery after each search in %, and over all kinds what a group adds to the first search."""
    damages = list(dict.fromkeys(row["damage"] for row in rows))
    heads = ["searched", *damages, "all of them", "beside the master again"]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * (len(heads) - 1) + "|"]
    again = next(iter(GROUPS))
    for system in (START, BEFORE, *GROUPS):
        own = [row for row in rows if row["system"] == system]
        cells = [f"{_undone([row for row in own if row['damage'] == damage]):.0f}" for damage in damages]
        beside = _beside(rows, system, again)
        lines.append(
            "| " + " | ".join([system, *cells, f"{_undone(own):.1f}", beside]).replace("-", "−") + " |"
        )
    return "\n".join(lines)


def _undone(rows: Sequence[Row]) -> float:
    return 100 * (1 - sum(row["after"] for row in rows) / sum(row["before"] for row in rows))


def _beside(rows: Sequence[Row], system: str, other: str) -> str:
    """The share of the distance that a system undoes more than another, with a 95 % interval over songs."""
    sums: dict[str, np.ndarray[Any, Any]] = {}
    for row in rows:
        sign = {system: -100.0, other: 100.0}.get(row["system"])
        if sign is not None and system != other:
            own = sums.setdefault(row["song"], np.zeros(2))
            own += (sign * row["after"], row["before"] / 2)
    if not sums:
        return "–"
    found: Estimate = estimate(np.array(list(sums.values())))
    return f"{found.value:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"


def main() -> None:
    """Fill in what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--split", choices=SPLITS, default="validation")
    parser.add_argument("--songs", type=int, default=6)
    parser.add_argument("--first", type=int, default=96, help="renders of the first search")
    parser.add_argument("--renders", type=int, default=48, help="of each group")
    parser.add_argument("--output", type=Path, default=Path("runs/parameters"))
    options = parser.parse_args()
    cases = MadeCases(str(options.corpus.absolute()), options.split)
    items = [item for item in cases.items(options.songs) if item.damage != UNTOUCHED]
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "rows.jsonl"
    heal_lines(path)
    known = {row["case"] for row in read_lines(path)}
    for item in items:
        if item.name not in known:
            rows = list(rows_of(cases, item, options.first, options.renders))
            with path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
            print(item.name, flush=True)
    names = {item.name for item in items}
    print(f"\n{table([row for row in read_lines(path) if row['case'] in names])}")


if __name__ == "__main__":
    main()
