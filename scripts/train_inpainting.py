"""Train the network that fills gaps, `checkpoints/inpainting`.

    python scripts/train_inpainting.py fit --store STORE --to RUN [--steps 3000] [--minutes 150]
    python scripts/train_inpainting.py ship --run RUN --to checkpoints/inpainting

An example is a window of a song with a gap in it and the passages of that song most alike around the gap.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixagent.pipeline.restoration.inpainting_network import (
    LEVELS,
    PASSAGES,
    InpaintingNetwork,
    conditions,
    noised,
    sample,
    scaled,
)
from mixagent.pipeline.restoration.passages import Frames, Likeness, measure_levels, pooled
from mixagent.pipeline.types import FloatArray
from scripts.music_store import RATE, Music
from scripts.training import Plan, Task, ship, train

AROUND = 32
"""Frames shown on either side of a gap."""

SHORTEST, LONGEST = 4, 64
BATCH_FRAMES = 2000
VALIDATED = {9: 16, 19: 16, 45: 16}


Batch = tuple[Tensor, Tensor, Tensor]
_QUIET_DB = -60.0
_UNLIKE_DB = 3.0


@dataclass(frozen=True)
class Gap:
    """A window with a gap.

    Attributes:
        levels: in dB, (LEVELS, frames).
        gap: 1 in it, (1, frames).
        passages: in dB, (PASSAGES, LEVELS, frames).
    """

    levels: FloatArray
    gap: FloatArray
    passages: FloatArray


class Songs:
    """The songs of a split as levels, kept beside the store."""

    def __init__(self, store: Path, split: str, cache: Path) -> None:
        music = Music.of(store, split)  # type: ignore[arg-type]
        frames = Frames.at(RATE)
        self._levels = list[FloatArray]()
        cache.mkdir(parents=True, exist_ok=True)
        for number, song in enumerate(music.songs):
            path = cache / f"{split}-{number}.npy"
            if not path.exists():
                levels = measure_levels(np.asarray(song, np.float32) / np.float32(32767), frames)
                np.save(path, levels.astype(np.float16))
            levels = np.load(path, mmap_mode="r")
            if levels.shape[2] > 3 * (LONGEST + 2 * AROUND):
                self._levels.append(levels)
        self._likeness = dict[int, Likeness]()

    def draw(self, random: np.random.Generator, length: int) -> Gap:
        """A gap of `length` frames, drawn alike over songs."""
        window = length + 2 * AROUND
        while True:
            number = int(random.integers(len(self._levels)))
            levels = self._levels[number]
            start = int(random.integers(levels.shape[2] - window))
            part = levels[:, :, start : start + window].astype(np.float32)
            if part[0].max() < _QUIET_DB:
                continue
            # Now and then the gap is at or near the song's very start or end.
            before = AROUND
            if random.random() < 0.1:
                before = int(random.choice([0, random.integers(AROUND), 2 * AROUND]))
            if number not in self._likeness:
                self._likeness[number] = Likeness(pooled(levels.astype(np.float32)))
            found = self._likeness[number].passages(start + before, start + before + length, PASSAGES)
            if found:
                break
        shown = [_window(levels, start + lag, window) for lag, _ in found]
        shown += shown[-1:] * (PASSAGES - len(shown))
        gap = np.zeros((1, window), np.float32)
        gap[:, before : before + length] = 1
        return Gap(part.reshape(LEVELS, window), gap, np.stack(shown))


def _window(levels: FloatArray, start: int, window: int) -> FloatArray:
    at = np.clip(np.arange(start, start + window), 0, levels.shape[2] - 1)
    part = np.asarray(levels[:, :, at[0] : at[-1] + 1], np.float32)
    return part[:, :, at - at[0]].reshape(LEVELS, window)


def _examples(songs: Songs, random: np.random.Generator) -> Batch:
    length = int(np.exp(random.uniform(np.log(SHORTEST), np.log(LONGEST + 1))))
    return _batch([songs.draw(random, length) for _ in range(BATCH_FRAMES // (length + 2 * AROUND))])


def _batch(gaps: list[Gap]) -> Batch:
    return (
        torch.from_numpy(np.stack([g.levels for g in gaps])),
        torch.from_numpy(np.stack([g.gap for g in gaps])),
        torch.from_numpy(np.stack([g.passages for g in gaps])),
    )


def _loss(net: InpaintingNetwork, batch: Batch) -> Tensor:
    levels, gap, passages = batch
    shown = conditions(levels, gap, passages)
    clean = scaled(levels, shown) * gap
    time = (torch.rand(1) + torch.arange(len(levels)) / len(levels)) % 1
    noisy, velocity = noised(clean, torch.randn_like(clean) * gap, time)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = net(noisy, time, shown)
    errors = (((predicted.float() - velocity) * gap) ** 2).sum((1, 2)) / gap.sum((1, 2)) / LEVELS
    # Where a passage fits there is little to learn.
    unlike = shown.scale_db.mean((1, 2))
    weights = unlike / (unlike + _UNLIKE_DB)
    return (errors * weights).sum() / weights.sum()


class _Validation:
    """Errors and spreads in dB, of the best passage, of the mean of what may be, and of samples."""

    def __init__(self, songs: Songs) -> None:
        random = np.random.default_rng(1)
        self._batches = [
            _batch([songs.draw(random, length) for _ in range(count)]) for length, count in VALIDATED.items()
        ]

    def __call__(self, net: InpaintingNetwork) -> Mapping[str, float]:
        torch.manual_seed(0)
        rows = list[dict[str, float]]()
        for levels, gap, passages in self._batches:
            row = {"loss": float(_loss(net, (levels, gap, passages)))}
            row["passage_db"] = _error_db(passages[:, 0], levels, gap)
            row["truth_spread_db"] = _spread_db(levels, gap)
            noise = torch.randn_like(levels)
            for name, share in (("mean", 0.0), ("cool", 0.7), ("sample", 1.0)):
                filled = sample(net, levels, gap, passages, noise * share, 1 if share == 0 else 6)
                row[f"{name}_db"] = _error_db(filled, levels, gap)
                row[f"{name}_spread_db"] = _spread_db(filled, gap)
            rows.append(row)
        figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        return {"score": -figures["loss"], **figures}


def _error_db(guess: Tensor, truth: Tensor, gap: Tensor) -> float:
    error = (((guess - truth) * gap) ** 2).sum((1, 2)) / gap.sum((1, 2)) / LEVELS
    return float(error.sqrt().mean())


def _spread_db(levels: Tensor, gap: Tensor) -> float:
    count = gap.sum((1, 2))[:, None]
    mean = (levels * gap).sum(-1) / count
    squares = (((levels - mean[..., None]) * gap) ** 2).sum(-1) / count
    return float(squares.sqrt().mean())


def main() -> None:
    """Read the command line and train or ship."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("fit")
    fit.add_argument("--store", type=Path, required=True)
    fit.add_argument("--to", type=Path, required=True)
    fit.add_argument("--steps", type=int, default=3000)
    fit.add_argument("--rate", type=float, default=2e-3)
    fit.add_argument("--minutes", type=float, default=150.0)
    fit.add_argument("--every", type=int, default=250)
    shipping = commands.add_parser("ship")
    shipping.add_argument("--run", type=Path, required=True)
    shipping.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    net = InpaintingNetwork()
    if arguments.command == "ship":
        ship(net, arguments.run, arguments.to)
        digest = hashlib.sha256((arguments.to / "weights.safetensors").read_bytes()).hexdigest()
        (arguments.to / "config.json").write_text(f'{{"weights_sha256": "{digest}"}}\n', encoding="utf-8")
        return
    cache = arguments.to / "levels"
    songs = Songs(arguments.store, "train", cache)
    validate = _Validation(Songs(arguments.store, "validation", cache))
    task = Task(
        examples=lambda random: _examples(songs, random),
        loss=_loss,
        validate=validate,
    )
    plan = Plan(arguments.steps, arguments.rate, minutes=arguments.minutes, every=arguments.every)
    train(net, task, plan, arguments.to)


if __name__ == "__main__":
    main()
