"""Train the network that undoes limiters.

    python scripts/train_delimiter.py fit --store STORE --to RUN [--steps 4000] [--minutes 150]
    python scripts/train_delimiter.py ship --run RUN --to checkpoints/delimiter

STORE is of `scripts/music_store.py`. An example is 5 s of a song through a limiter, clipper or chain of them
drawn anew (`envs/degradation/limiters.py`), 1 to 16 dB over the ceiling, or untouched. The loss needs no
waveforms: the best gain of a band in a hop, and the SI-SDR of the whole, are made of sums of x·y and y·y.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from music_store import RATE, Music
from scipy import signal
from torch import Tensor
from training import Plan, Task, ship, train

from mixagent.envs.degradation.limiters import draw_limited
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.restoration.delimiter_network import STEP, DelimiterNetwork
from mixagent.pipeline.restoration.gain_bands import (
    BANDS,
    CEILING_SHARE,
    apply_gains,
    features,
    hop_peaks,
    hop_sums,
    split,
)
from mixagent.pipeline.types import FloatArray

FRAMES = 128 * STEP * 108
"""Of an example: 5 s."""

BATCH = 3
CLEAN_SHARE = 0.12
_MOST_DB = 40.0
_LOSS_MOST_DB = 25.0
_LIKENESS = 0.15
_VALIDATED = 24

Random = np.random.Generator


@dataclass(frozen=True)
class Pair:
    """A song before and after its limiter, (2, FRAMES), and the ceiling that the song had."""

    truth: FloatArray
    limited: FloatArray
    ceiling: float


@dataclass(frozen=True)
class Batch:
    """Features (batch, FEATURES, hops); sums of y·y, x·y and x·x by band and hop, (batch, 3, BANDS, hops)."""

    features: Tensor
    sums: Tensor


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("fit", help="train, or go on training")
    fit.add_argument("--store", type=Path, required=True)
    fit.add_argument("--to", type=Path, required=True)
    fit.add_argument("--steps", type=int, default=4000)
    fit.add_argument("--every", type=int, default=200)
    fit.add_argument("--minutes", type=float, default=150.0)
    fit.add_argument("--seed", type=int, default=0)
    shipped = commands.add_parser("ship", help="weights, configuration and how they came about")
    shipped.add_argument("--run", type=Path, required=True)
    shipped.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    torch.manual_seed(getattr(arguments, "seed", 0))
    net = DelimiterNetwork()
    if arguments.command == "ship":
        ship(net, arguments.run, arguments.to)
        weights = (arguments.to / "weights.safetensors").read_bytes()
        config = {"version": 1, "weights_sha256": hashlib.sha256(weights).hexdigest()}
        (arguments.to / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        return
    plan = Plan(arguments.steps, 1e-3, arguments.seed, arguments.minutes, arguments.every, averaging=0.997)
    train(net, delimiting(arguments.store), plan, arguments.to)


def delimiting(store: Path) -> Task[DelimiterNetwork, Batch]:
    """The task: examples of the training songs, figures of fixed examples of the validation songs."""
    music, unheard = Music.of(store, "train"), Music.of(store, "validation")
    fixed = [draw_pair(unheard, np.random.default_rng([7, n])) for n in range(_VALIDATED)]

    def validate(net: DelimiterNetwork) -> Mapping[str, float]:
        gains = np.array([_gain_db(net, pair) for pair in fixed])
        before = np.array([_si_sdr_db(pair.truth, pair.limited) for pair in fixed])
        gained = np.minimum(gains, _MOST_DB) - np.minimum(before, _MOST_DB)
        damaged = before < _MOST_DB
        return {
            "score": float(gained.mean()),
            "damaged": float(gained[damaged].mean()),
            "clean": float(gained[~damaged].mean()) if not damaged.all() else 0.0,
            "worst": float(gained[damaged].min()),
            "worse": float(np.mean(gained[damaged] < 0)),
        }

    return Task(lambda random: _batch([draw_pair(music, random) for _ in range(BATCH)]), loss_of, validate)


def draw_pair(music: Music, random: Random) -> Pair:
    """An example, drawn anew."""
    truth = _dynamic_excerpt(music, random)
    if random.random() < 0.15:
        truth = truth + _dynamic_excerpt(music, random) * np.float32(db_to_amplitude(random.uniform(-6, 6)))
    if random.random() < 0.3:
        truth = _filtered(truth, _tilt(random))
    limited, raised_db = truth, 0.0
    if random.random() >= CLEAN_SHARE:
        limited = draw_limited(truth, RATE, float(random.uniform(1, 16)), random)
    elif random.random() < 0.6:
        raised_db = random.uniform(0, 20)
    if random.random() < 0.15:
        rotation = signal.tf2sos(*_all_pass(random))
        truth, limited = _filtered(truth, rotation), _filtered(limited, rotation)
    if random.random() < 0.15:
        noise = random.normal(size=limited.shape) * limited.std() * db_to_amplitude(random.uniform(-55, -30))
        limited = limited + noise.astype(np.float32)
    if random.random() < 0.5:
        truth, limited = truth[::-1], limited[::-1]
    ceiling = float(np.quantile(hop_peaks(limited, RATE).max(axis=0), CEILING_SHARE))
    return Pair(truth, limited, ceiling * db_to_amplitude(raised_db))


def _dynamic_excerpt(music: Music, random: Random) -> FloatArray:
    """An excerpt, rather one that nobody crushed before: half of the flat ones are drawn again."""
    for _ in range(4):
        part = music.excerpt(random, FRAMES)
        crest = float(np.abs(part).max() / max(np.sqrt(np.mean(part**2)), 1e-9))
        if crest > db_to_amplitude(13.0) or random.random() < 0.1:
            break
    return part


def _tilt(random: Random) -> FloatArray:
    gain, corner = db_to_amplitude(random.uniform(-6, 6)), random.uniform(150, 3000) / (RATE / 2)
    high_b, high_a = signal.butter(1, corner, "high")
    low_b, _ = signal.butter(1, corner, "low")
    return np.asarray(signal.tf2sos(low_b + gain * high_b, high_a))


def _all_pass(random: Random) -> tuple[FloatArray, FloatArray]:
    omega, radius = 2 * np.pi * random.uniform(40, 1500) / RATE, random.uniform(0.9, 0.995)
    backward = np.array([1.0, -2 * radius * np.cos(omega), radius**2])
    return backward[::-1].copy(), backward


def _filtered(samples: FloatArray, sections: FloatArray) -> FloatArray:
    return np.asarray(signal.sosfilt(sections, samples), np.float32)


def _batch(pairs: list[Pair]) -> Batch:
    read, sums = [], []
    for pair in pairs:
        x, y = split(pair.truth, RATE), split(pair.limited, RATE)
        read.append(features(pair.limited, y, RATE, pair.ceiling))
        products = np.stack([(y * y).sum(axis=1), (x * y).sum(axis=1), (x * x).sum(axis=1)])
        sums.append(hop_sums(products, RATE) / np.float32(np.sum(pair.truth**2) + 1e-9))
    return Batch(torch.from_numpy(np.stack(read)), torch.from_numpy(np.stack(sums)))


def loss_of(net: DelimiterNetwork, batch: Batch) -> Tensor:
    """Squared error of the gains in dB, by the amplitude of what they move, and a little of the SI-SDR."""
    gains_db = net(batch.features)
    gains = 10 ** (gains_db.clamp(-12, 20) / 20)
    yy, xy, xx = batch.sums.unbind(1)  # each (batch, BANDS, hops)
    best_db = 20 * torch.log10((xy / (yy + 1e-12)).clamp(0.5, 8))
    amplitude = yy.sqrt()
    weight = (
        amplitude / amplitude.sum((1, 2), keepdim=True) + amplitude / amplitude.sum(2, keepdim=True) / BANDS
    )
    astray = (weight * (gains_db - best_db) ** 2).sum((1, 2))
    moved, shared, truth = (yy * gains**2).sum((1, 2)), (xy * gains).sum((1, 2)), xx.sum((1, 2))
    alike = (shared**2 / (moved * truth + 1e-20)).clamp(0, 1)
    unlike = torch.log10(1 - alike + 10 ** (-_LOSS_MOST_DB / 10))
    return (0.1 * astray + _LIKENESS * unlike).mean()


def _gain_db(net: DelimiterNetwork, pair: Pair) -> float:
    bands = split(pair.limited, RATE)
    read = torch.from_numpy(features(pair.limited, bands, RATE, pair.ceiling)[None])
    gains_db = net(read)[0].numpy()
    return _si_sdr_db(pair.truth, apply_gains(pair.limited, bands, gains_db, RATE))


def _si_sdr_db(truth: FloatArray, estimate: FloatArray) -> float:
    x, y = truth.ravel().astype(np.float64), estimate.ravel().astype(np.float64)
    alike = np.dot(x, y) ** 2 / max(np.dot(x, x) * np.dot(y, y), 1e-30)
    return float(10 * np.log10(alike / max(1 - alike, 1e-9)))


if __name__ == "__main__":
    main()
