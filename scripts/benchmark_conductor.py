"""Measures what the conductor adds to a policy, on songs that neither has learnt from.

    mixagent corpus build --cases CASES --split test --count 24 --seed 11 --set heard_s=30 \\
        --set separator=embedded --set stems_share=1 --set seconds=6
    mixagent corpus build --cases CASES --split test --count 12 --seed 12 --set disorder_share=1 …
    python scripts/benchmark_conductor.py CASES [--split test] [--policies band mix] [--output runs/conductor]

A case is a damaged excerpt of a finished song in our own stems, which is also what the conductor hears
rendered. A row is a policy, alone and with the conductor on top of it.

recovery   share of the distance to the original undone (`reward/recovery.py`), mean over cases; the original
           is not asked by policy or conductor
worse      cases of which the conductor's settings undo less than the policy's by more than 2 %
outside    how far the render lies outside of finished music, in spreads, summed over the groups of measures

Rows go to OUTPUT/rows.jsonl as they are known; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_stems import cell

from mixagent.conductor.graph import Means
from mixagent.conductor.runner import run
from mixagent.conductor.state import State
from mixagent.conductor.studio import Studio
from mixagent.envs.cases import CaseStore
from mixagent.envs.mixing import Material
from mixagent.learning.evaluation_tables import estimate
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.files import heal_lines, read_lines
from mixagent.policies import load_policy
from mixagent.reward.model import RewardModel, load_reward
from mixagent.reward.terms.truth import undone

OPINIONS = ("reading", "mix")
WORSE = 0.02

Row = dict[str, Any]


def row_of(material: Material, policy: str, reward: RewardModel) -> Row:
    """What a policy does to a case, and the conductor after it."""
    case, space = material.case, material.context.space
    since = time.process_time()
    decision = load_policy(policy).decide(material.context)
    begun = decision.settings.changed()
    decided_s = time.process_time() - since
    others = [name for name in OPINIONS if name != policy]
    since = time.process_time()
    opinions = {name: load_policy(name).decide(material.context).settings.changed() for name in others}
    studio = Studio([case], space, reward, material.context.measures, opinions=opinions)
    end = run(Means(studio), State(begun, dict(decision.reasons)))
    conducted_s = time.process_time() - since
    assert end.begun is not None
    assert end.grade is not None
    assert case.damage is not None
    return {
        "case": case.name,
        "song": case.name.split("@")[0],
        "kinds": list(case.damage.kinds),
        "scrambled": case.damage.disorder is not None,
        "policy": policy,
        "alone": _recovery(material, begun),
        "conducted": _recovery(material, end.settings),
        "outside": [sum(grade.outside.values()) for grade in (end.begun, end.grade)],
        "renders": end.renders,
        "kept": [each.move.agent for each in end.rounds if each.kept],
        "tried": [each.move.agent for each in end.rounds],
        "seconds": [decided_s, conducted_s],
    }


def _recovery(material: Material, values: dict[str, float] | Any) -> float:
    pair = material.render_pair(material.context.space.settings(values))
    assert material.original is not None
    before, after = (side.distance(material.original).total for side in (pair.before, pair.after))
    return float(undone(np.array(before), np.array(after)))


def table(rows: Sequence[Row]) -> str:
    """A row a policy and kind of case."""
    lines = [
        "| policy | cases | alone % | conductor % | difference % | worse | worst % | outside | renders |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    kinds = {"damaged": lambda row: not row["scrambled"], "scrambled": lambda row: row["scrambled"]}
    for policy in dict.fromkeys(row["policy"] for row in rows):
        for name, belongs in kinds.items():
            own = [row for row in rows if row["policy"] == policy and belongs(row)]
            if own:
                lines.append(_line(policy, name, own))
    return "\n".join(lines)


def _line(policy: str, name: str, own: Sequence[Row]) -> str:
    alone, with_it = (np.array([row[key] for row in own]) for key in ("alone", "conducted"))
    gains = with_it - alone
    outside = np.mean([row["outside"] for row in own], axis=0)
    cells = [
        policy,
        f"{name}, {len(own)}",
        *(_mean(own, values) for values in (alone, with_it, gains)),
        f"{int(np.sum(gains < -WORSE))}",
        f"{100 * gains.min():.0f}".replace("-", "−"),
        f"{outside[0]:.2f} → {outside[1]:.2f}",
        f"{np.mean([row['renders'] for row in own]):.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _mean(own: Sequence[Row], values: np.ndarray[Any, Any]) -> str:
    """Mean in percent, its interval over songs."""
    sums: dict[str, np.ndarray[Any, Any]] = {}
    for row, value in zip(own, values, strict=True):
        sums[row["song"]] = sums.get(row["song"], np.zeros(2)) + np.array([100 * value, 1.0])
    return cell(estimate(np.array(list(sums.values()))), 0)


def main() -> None:
    """Fill in what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", type=Path, metavar="CASES")
    parser.add_argument("--split", default="test")
    parser.add_argument("--policies", nargs="+", default=["band", "mix"])
    parser.add_argument("--output", type=Path, default=Path("runs/conductor"))
    options = parser.parse_args()
    path = options.output / "rows.jsonl"
    options.output.mkdir(parents=True, exist_ok=True)
    heal_lines(path)
    known = {(row["case"], row["policy"]) for row in read_lines(path)}
    store, reward = CaseStore(options.cases), load_reward()
    for name in store.names(options.split):
        wanted = [policy for policy in options.policies if (name, policy) not in known]
        if not wanted:
            continue
        case = store.load(name)
        material = Material(case, ParameterSpace.for_stems(tuple(case.stems.parts)))
        for policy in wanted:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row_of(material, policy, reward)) + "\n")
    rows = read_lines(path)
    print(table(rows))
    seconds = np.median([row["seconds"] for row in rows], axis=0)
    print(f"CPU seconds, median: {seconds[0]:.2f} a decision, {seconds[1]:.2f} the conductor")


if __name__ == "__main__":
    main()
