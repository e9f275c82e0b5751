"""Train the net that reads a song (`mixagent.policies.reading`).

    python scripts/train_reading.py material --corpus CORPUS --to STORE [--passes 7] [--held-out 4] [--seed 0]
    python scripts/train_reading.py train --store STORE --to RUN [--steps 4000] [--seed 0]
    python scripts/train_reading.py report --store STORE --run RUN
    python scripts/train_reading.py ship --run RUN [--run RUN] --to checkpoints/reading [--card CARD.md]

`material` cuts excerpts of the training songs and of the validation songs, damages them and keeps their
bands; a pass is one excerpt of each song. `train` draws its examples from them; it goes on from its last
checkpoint, as `material` does. `ship` takes several runs as one policy, whose moves are the mean of theirs.
One thread each.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from mixagent.envs.corpus import Corpus
from mixagent.policies.reading.examples import Drawing, Examples
from mixagent.policies.reading.material import Songs, build_passes, load_passes
from mixagent.policies.reading.network import ReadingNet, Shape
from mixagent.policies.reading.policy import ReadingCheckpoint
from mixagent.policies.reading.training import distances, train
from mixagent.policies.supervised import SCORE, Recipe, file_log, load_best

HELD_OUT_SEED = 7

JUDGED = {
    "variants": Drawing(variants=1.0, colour_db=0.0),
    "pathologies": Drawing(variants=0.0, mixed=0.0, clean=0.0, ruined=1.0, colour_db=0.0),
    "fields": Drawing(variants=0.0, mixed=0.0, clean=0.0, ruined=0.0, colour_db=0.0),
    "clean": Drawing(variants=0.0, mixed=0.0, clean=1.0, ruined=0.0, colour_db=0.0),
}
"""The validation songs are judged under each of these."""

JUDGED_EXAMPLES = 512


def main() -> None:
    """Read the command line and do the part that is asked for."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    material = parts.add_parser("material")
    material.add_argument("--corpus", type=Path, required=True)
    material.add_argument("--to", type=Path, required=True)
    material.add_argument("--passes", type=int, default=7)
    material.add_argument("--held-out", type=int, default=4)
    material.add_argument("--seed", type=int, default=0)
    training = parts.add_parser("train")
    training.add_argument("--store", type=Path, required=True)
    training.add_argument("--to", type=Path, required=True)
    training.add_argument("--steps", type=int, default=Recipe.steps)
    training.add_argument("--seed", type=int, default=0)
    report = parts.add_parser("report")
    report.add_argument("--store", type=Path, required=True)
    report.add_argument("--run", type=Path, required=True)
    shipping = parts.add_parser("ship")
    shipping.add_argument("--run", type=Path, action="append", required=True)
    shipping.add_argument("--to", type=Path, required=True)
    shipping.add_argument("--card", type=Path)
    arguments = parser.parse_args()
    if arguments.part == "material":
        corpus = Corpus.open(arguments.corpus)
        build_passes(corpus, "validation", arguments.to, arguments.held_out, seed=HELD_OUT_SEED)
        build_passes(corpus, "train", arguments.to, arguments.passes, seed=arguments.seed, progress=_told)
    elif arguments.part == "train":
        _train(arguments.store, arguments.to, Recipe(steps=arguments.steps, seed=arguments.seed))
    elif arguments.part == "report":
        print(json.dumps(_judge(arguments.store)(_averaged(arguments.run)), indent=1))
    else:
        _ship(arguments.run, arguments.to, arguments.card)


def _train(store: Path, run: Path, recipe: Recipe) -> None:
    drawing = Drawing()
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.json").write_text(json.dumps({**asdict(recipe), **asdict(drawing)}), encoding="utf-8")
    songs = Songs.of(load_passes(store, "train"))
    train(songs, _judge(store), run, recipe, drawing, Shape(), file_log(run))


def _judge(store: Path) -> Callable[[ReadingNet], dict[str, float]]:
    """Judges a net on validation songs: the share undone of what was done to them, beside repairs alone.

    Only mechanisms for training are among it.
    """
    songs = Songs.of(load_passes(store, "validation"))
    batches = {
        name: Examples(songs, drawing, np.random.default_rng(HELD_OUT_SEED)).batch(JUDGED_EXAMPLES)
        for name, drawing in JUDGED.items()
    }

    @torch.no_grad()
    def judged(net: ReadingNet) -> dict[str, float]:
        figures: dict[str, float] = {}
        for name, batch in batches.items():
            before, after = (float(units.mean()) for units in distances(net, batch))
            figures[name] = after - before if name == "clean" else 1 - after / before
        shares = [share for name, share in figures.items() if name != "clean"]
        figures[SCORE] = float(np.mean(shares)) - 0.5 * figures["clean"]
        return figures

    return judged


def _averaged(run: Path) -> ReadingNet:
    return load_best(lambda shape: ReadingNet(Shape(**shape)), run)


def _ship(runs: Sequence[Path], folder: Path, card: Path | None) -> None:
    nets = [_averaged(run) for run in runs]
    results = {}
    for run in runs:
        step = torch.load(run / "best.pt", weights_only=True)["step"]
        lines = map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines())
        results[run.name] = next(line for line in lines if line["step"] == step)
    training = {run.name: json.loads((run / "recipe.json").read_text(encoding="utf-8")) for run in runs}
    kept = card or folder / "README.md"
    text = kept.read_text(encoding="utf-8") if kept.is_file() else "# The net that reads a song\n"
    weights = [{name: value.numpy() for name, value in net.state_dict().items()} for net in nets]
    ReadingCheckpoint(weights, asdict(nets[0].shape), training, results).save(folder, text)


def _told(share: float) -> None:
    print(f"{share:.0%}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
