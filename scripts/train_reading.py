"""Train the net that reads a song (`mixagent.policies.reading`).

    python scripts/train_reading.py material --corpus CORPUS --to STORE [--passes 8] [--held-out 4] [--seed 0]
    python scripts/train_reading.py train --store STORE --to RUN [--minutes 60] [--seed 0] [--start RUN]
    python scripts/train_reading.py report --store STORE --run RUN
    python scripts/train_reading.py ship --run RUN --to checkpoints/reading [--card CARD.md]

`material` cuts excerpts of the training songs and of the validation songs, damages them and keeps their
bands; a pass is one excerpt of each song. `train` draws its examples from them and goes on from its last
checkpoint, as `material` does; it may run while passes are still being written. `--start` begins with the
weights of another run. Both are made to share a machine: one thread each.
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
from mixagent.policies.reading.distance import distance
from mixagent.policies.reading.material import Pass, build_passes, load_passes
from mixagent.policies.reading.network import ReadingNet, Shape
from mixagent.policies.reading.policy import ReadingCheckpoint
from mixagent.policies.reading.training import SCORE, Batch, Recipe, batch_of, moved, train

HELD_OUT_SEED = 7


def main() -> None:
    """Read the command line and do the part that is asked for."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    material = parts.add_parser("material")
    material.add_argument("--corpus", type=Path, required=True)
    material.add_argument("--to", type=Path, required=True)
    material.add_argument("--passes", type=int, default=8)
    material.add_argument("--held-out", type=int, default=4)
    material.add_argument("--seed", type=int, default=0)
    training = parts.add_parser("train")
    training.add_argument("--store", type=Path, required=True)
    training.add_argument("--to", type=Path, required=True)
    training.add_argument("--minutes", type=float, default=60.0)
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--start", type=Path)
    report = parts.add_parser("report")
    report.add_argument("--store", type=Path, required=True)
    report.add_argument("--run", type=Path, required=True)
    shipping = parts.add_parser("ship")
    shipping.add_argument("--run", type=Path, required=True)
    shipping.add_argument("--to", type=Path, required=True)
    shipping.add_argument("--card", type=Path)
    arguments = parser.parse_args()
    if arguments.part == "material":
        corpus = Corpus.open(arguments.corpus)
        build_passes(corpus, "validation", arguments.to, arguments.held_out, seed=HELD_OUT_SEED)
        build_passes(corpus, "train", arguments.to, arguments.passes, seed=arguments.seed, progress=_told)
    elif arguments.part == "train":
        _train(
            arguments.store,
            arguments.to,
            Recipe(minutes=arguments.minutes, seed=arguments.seed),
            arguments.start,
        )
    elif arguments.part == "report":
        print(json.dumps(_judge(arguments.store)(_averaged(arguments.run)), indent=1))
    else:
        _ship(arguments.run, arguments.to, arguments.card)


def _train(store: Path, run: Path, recipe: Recipe, start: Path | None) -> None:
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.json").write_text(json.dumps(asdict(recipe)), encoding="utf-8")

    def log(figures: dict[str, float]) -> None:
        line = json.dumps({key: round(value, 4) for key, value in figures.items()})
        print(line, file=sys.stderr, flush=True)
        with (run / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    if start is not None and not (run / "state.pt").is_file():
        state = torch.load(start / "state.pt", weights_only=True)
        torch.save({**state, "used_s": 0.0}, run / "state.pt")
    train(lambda: load_passes(store, "train"), _judge(store), run, recipe, Shape(), log)


def _judge(store: Path) -> Callable[[ReadingNet], dict[str, float]]:
    """Judges a net on the kept excerpts of validation songs: the share undone by what was done to them."""
    batches: dict[str, Batch] = {}
    for name, chosen in _by_family(load_passes(store, "validation")).items():
        batches[name] = batch_of([heard for heard, _ in chosen], [original for _, original in chosen])

    @torch.no_grad()
    def judged(net: ReadingNet) -> dict[str, float]:
        figures: dict[str, float] = {}
        damaged = torch.zeros(2)
        for name, batch in batches.items():
            before = torch.stack(distance(batch.before, batch.original)).sum()
            after = torch.stack(distance(moved(net, batch), batch.original)).sum()
            if name == "clean":
                figures["clean moved, units"] = float(after - before) / len(batch.heard)
            else:
                figures[name] = 1 - float(after) / float(before)
                damaged += torch.stack((before, after))
        figures[SCORE] = 1 - float(damaged[1] / damaged[0]) - 0.1 * figures["clean moved, units"]
        return figures

    return judged


def _by_family(passes: Sequence[Pass]) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Pairs of heard and original by the family that was put on alone, `mixture` for more, and `clean`."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for done in passes:
        variants = done.bands.shape[1] - 1
        for song, bands in enumerate(done.bands):
            original = bands[0].astype(np.float32)
            found.setdefault("clean", []).append((original, original))
            for variant in range(variants):
                names = done.families[song * variants + variant]
                name = names[0] if len(names) == 1 else "mixture"
                found.setdefault(name, []).append((bands[variant + 1].astype(np.float32), original))
    return found


def _averaged(run: Path) -> ReadingNet:
    state = torch.load(run / "best.pt", weights_only=True)
    shape = Shape(**json.loads((run / "shape.json").read_text(encoding="utf-8")))
    net = ReadingNet(shape)
    net.load_state_dict(state["average"])
    return net.eval()


def _ship(run: Path, folder: Path, card: Path | None) -> None:
    net = _averaged(run)
    state = torch.load(run / "best.pt", weights_only=True)
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    lines = map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines())
    figures = next(line for line in lines if line["step"] == state["step"])
    training = {**recipe, "steps": state["step"]}
    kept = folder / "README.md"
    text = (
        (card or kept).read_text(encoding="utf-8")
        if (card or kept).is_file()
        else "# The net that reads a song\n"
    )
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    ReadingCheckpoint(weights, asdict(net.shape), training, figures).save(folder, text)


def _told(share: float) -> None:
    print(f"{share:.0%}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
