"""Train the agent that mixes (`mixagent.policies.mixing`).

    python scripts/train_mixing.py material --corpus CORPUS --to STORE [--passes 0-5] [--held-out 0-3]
    python scripts/train_mixing.py train --store STORE --to RUN [--steps 4000] [--seed 0]
    python scripts/train_mixing.py report --store STORE --run RUN
    python scripts/train_mixing.py ship --run RUN [--run RUN] --to checkpoints/mixing [--card CARD.md]
    python scripts/train_mixing.py held-out --store STORE --to checkpoints/mixing_cases

`material` takes excerpts of the training songs and of the validation songs apart, puts their stems in
disorder, takes the mixes apart again and keeps the measures; a pass is one excerpt of each song. It goes on
where it was stopped. One thread each, so two processes may each make some of the passes. `train` draws its
examples from them and goes on from its last checkpoint. `ship` takes several runs as one policy, whose
actions are the mean of theirs. `held-out` keeps the validation passes, and mixes of the first training pass,
as the cases on which a net that learnt from its user is judged and held.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors.numpy import load_file

from mixagent.envs.corpus import Corpus
from mixagent.pipeline.files import read_lines
from mixagent.pipeline.separation import choose_separator
from mixagent.policies.mixing.agent import frozen_net
from mixagent.policies.mixing.examples import Drawing
from mixagent.policies.mixing.forward import BoundMixer, FrozenMixer
from mixagent.policies.mixing.held_out import HeldOut
from mixagent.policies.mixing.material import build_passes, load_passes
from mixagent.policies.mixing.network import Shape, load_net
from mixagent.policies.mixing.policy import MixingCheckpoint
from mixagent.policies.mixing.training import judged, judging, train
from mixagent.policies.supervised import Recipe, file_log

HELD_OUT_SEED = 7

PPO = "best.safetensors"
"""The file of the best weights in the folder of a run of PPO."""

RECIPE = partial(Recipe, rate=5e-4, decay=1.0, noise=0.7, harm=0.0)
"""Few songs: a small net, much noise, much decay."""


def main() -> None:
    """Read the command line and do the part that is asked for."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    material = parts.add_parser("material")
    material.add_argument("--corpus", type=Path, required=True)
    material.add_argument("--to", type=Path, required=True)
    material.add_argument("--passes", type=_numbers, default=range(6))
    material.add_argument("--held-out", type=_numbers, default=range(4))
    material.add_argument("--seed", type=int, default=0)
    training = parts.add_parser("train")
    training.add_argument("--store", type=Path, required=True)
    training.add_argument("--to", type=Path, required=True)
    training.add_argument("--steps", type=int, default=2500)
    training.add_argument("--seed", type=int, default=0)
    report = parts.add_parser("report")
    report.add_argument("--store", type=Path, required=True)
    report.add_argument("--run", type=Path, required=True)
    shipping = parts.add_parser("ship")
    shipping.add_argument("--run", type=Path, action="append", required=True)
    shipping.add_argument("--to", type=Path, required=True)
    shipping.add_argument("--card", type=Path)
    held_out = parts.add_parser("held-out")
    held_out.add_argument("--store", type=Path, required=True)
    held_out.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.part == "material":
        _material(arguments)
    elif arguments.part == "train":
        _train(arguments.store, arguments.to, RECIPE(steps=arguments.steps, seed=arguments.seed))
    elif arguments.part == "report":
        batches = judging(load_passes(arguments.store, "validation"))
        print(json.dumps(judged(load_net(arguments.run), batches), indent=1))
    elif arguments.part == "held-out":
        passes = [load_passes(arguments.store, split) for split in ("validation", "train")]
        HeldOut.of(passes[0], passes[1][:1]).save(arguments.to)
    else:
        _ship(arguments.run, arguments.to, arguments.card)


def _material(arguments: argparse.Namespace) -> None:
    corpus, separator = Corpus.open(arguments.corpus), choose_separator("embedded", "cpu", 4).separator
    build_passes(
        corpus, "validation", arguments.to, arguments.held_out, separator, seed=HELD_OUT_SEED, progress=_told
    )
    build_passes(
        corpus, "train", arguments.to, arguments.passes, separator, seed=arguments.seed, progress=_told
    )


def _train(store: Path, run: Path, recipe: Recipe) -> None:
    drawing, shape = Drawing(more=0.9, gain_db=3.5, clean=0.1), Shape()
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.json").write_text(json.dumps({**asdict(recipe), **asdict(drawing)}), encoding="utf-8")
    passes = load_passes(store, "train"), load_passes(store, "validation")
    train(*passes, run, recipe, drawing, shape, file_log(run))


def _ship(runs: Sequence[Path], folder: Path, card: Path | None) -> None:
    mixers, training, results = zip(*map(_shipped, runs), strict=True)
    kept = card or folder / "README.md"
    text = kept.read_text(encoding="utf-8") if kept.is_file() else "# The net that mixes\n"
    names = [run.name for run in runs]
    told = [dict(zip(names, rows, strict=True)) for rows in (training, results)]
    MixingCheckpoint(mixers, asdict(Shape()), told[0], told[1]).save(folder, text)


def _shipped(run: Path) -> tuple[BoundMixer, dict[str, Any], dict[str, Any]]:
    """The net of a run, how it was trained and what it reached: a warm start's, or PPO's from one."""
    if not (run / PPO).is_file():
        score = torch.load(run / "best.pt", weights_only=True)["score"]
        recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
        return BoundMixer(frozen_net(load_net(run))), recipe, {"score": score}
    weights, config = load_file(run / PPO), OmegaConf.load(run / "config.yaml")
    net, start = (
        {name.removeprefix(part): tensor for name, tensor in weights.items() if name.startswith(part)}
        for part in ("net.", "start.")
    )
    evaluated = read_lines(run / "evaluations.jsonl")
    phases = {"warm start": evaluated[0], "PPO": max(evaluated, key=lambda row: row["total"])}
    results = {name: {k: v for k, v in row.items() if "spread" not in k} for name, row in phases.items()}
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)
    trainer = {
        str(key): value for key, value in resolved["trainer"].items() if key in ("seed", "reach", "ppo")
    }
    mixer = BoundMixer(FrozenMixer(net), FrozenMixer(start), float(config.trainer.reach))
    return mixer, trainer, results


def _numbers(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _told(share: float) -> None:
    print(f"{100 * share:.0f} %", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
