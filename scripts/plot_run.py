"""Draws the board of a training run: truth against blind, reward terms, actions over songs, and the update.

    python scripts/plot_run.py runs/ppo [--to docs/training_run.png]

The figures are those of RUN/progress.csv and RUN/evaluations.jsonl, which W&B and TensorBoard are given too.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mixagent.pipeline.files import read_lines

MOST_PARAMETERS = 12


def main() -> None:
    """Read the run and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--to", type=Path, default=Path("training_run.png"))
    options = parser.parse_args()
    with (options.run / "progress.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    evaluations = [row for row in read_lines(options.run / "evaluations.jsonl") if row["iteration"] >= 0]
    figure, axes = plt.subplots(2, 3, figsize=(15, 8), layout="constrained")
    _recoveries(axes[0, 0], evaluations)
    _columns(
        axes[0, 1], rows, {"reward/total": "with the truth", "reward/blind": "blind"}, "reward of rollouts"
    )
    _columns(axes[0, 2], rows, _starting(rows, "terms/"), "reward terms of rollouts")
    _spread(axes[1, 0], evaluations[-1])
    kl = {"train/approx_kl": "KL to the last policy", "train/clip_fraction": "share clipped"}
    _columns(axes[1, 1], rows, kl, "update")
    loss = {"train/policy_gradient_loss": "policy", "train/value_loss": "value", "train/std": "deviation"}
    _columns(axes[1, 2], rows, loss, "losses and deviation of actions")
    options.to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.to, dpi=80)


def _starting(rows: Sequence[Mapping[str, str]], prefix: str) -> dict[str, str]:
    return {name: name.removeprefix(prefix) for name in rows[0] if name.startswith(prefix)}


def _columns(axes: plt.Axes, rows: Sequence[Mapping[str, str]], names: Mapping[str, str], title: str) -> None:
    for name, label in names.items():
        points = [(number, float(row[name])) for number, row in enumerate(rows) if row.get(name)]
        if points:
            axes.plot(*zip(*points, strict=True), label=label)
    axes.set_title(title)
    axes.set_xlabel("rollout")
    axes.legend(fontsize=7)


def _recoveries(axes: plt.Axes, evaluations: Sequence[Mapping[str, float]]) -> None:
    for name in sorted({name for row in evaluations for name in row if name.startswith("recovery/")}):
        points = [(row["iteration"], 100 * row[name]) for row in evaluations if name in row]
        axes.plot(*zip(*points, strict=True), marker="o", label=name.removeprefix("recovery/"))
    axes.set_title("distance to the original undone on validation, %")
    axes.set_xlabel("iteration")
    axes.legend(fontsize=7)


def _spread(axes: plt.Axes, row: Mapping[str, float]) -> None:
    spreads = {
        name.removeprefix("spread/"): value for name, value in row.items() if name.startswith("spread/")
    }
    most = sorted(spreads, key=lambda name: spreads[name])[-MOST_PARAMETERS:]
    axes.barh(most, [spreads[name] for name in most])
    axes.set_title("spread of actions over songs")
    axes.tick_params(axis="y", labelsize=7)


if __name__ == "__main__":
    main()
