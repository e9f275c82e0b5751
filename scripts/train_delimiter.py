"""Train the boosted trees that say how far a limiter held a song down, hop by hop.

    python scripts/train_delimiter.py prepare --store STORE --to EXAMPLES [--count 1600]
    python scripts/train_delimiter.py fit --examples EXAMPLES --to checkpoints/delimiter

STORE is of `scripts/music_store.py`. An example is 5 s of a song through a limiter, clipper or chain of them
drawn anew (`envs/degradation/limiters.py`), 1 to 16 dB over the ceiling, or untouched. It is learned what
gain in dB brings each hop nearest to what it was, weighted by the hop's amplitude. Each hundred of examples
is a file of its own, so a killed `prepare` goes on where it was. `fit` needs scikit-learn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from music_store import RATE, Music
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy import signal

from mixagent.envs.degradation.limiters import draw_limited
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.measure.trees import Trees
from mixagent.pipeline.restoration.limiter_traces import (
    CEILING_SHARE,
    apply_gains,
    hop_means,
    hop_peaks,
    traces,
)
from mixagent.pipeline.types import FloatArray

FRAMES = 128 * 1728
"""Of an example: 5 s."""

KEPT_HOPS = 3
"""One hop in so many is learned from: neighbours say the same."""

CLEAN_SHARE = 0.12
VALIDATED = 60
_FILE = 100
_MOST_DB = 18.0

Random = np.random.Generator


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="draw examples")
    prepare.add_argument("--store", type=Path, required=True)
    prepare.add_argument("--to", type=Path, required=True)
    prepare.add_argument("--count", type=int, default=1600)
    prepare.add_argument("--seed", type=int, default=0)
    fit = commands.add_parser("fit", help="grow the trees, and write the checkpoint")
    fit.add_argument("--store", type=Path, required=True)
    fit.add_argument("--examples", type=Path, required=True)
    fit.add_argument("--to", type=Path, required=True)
    fit.add_argument("--trees", type=int, default=300)
    fit.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.command == "prepare":
        draw_examples(arguments.store, arguments.to, arguments.count, arguments.seed)
    else:
        grow(arguments)


def draw_examples(store: Path, folder: Path, count: int, seed: int) -> None:
    """Write the traces, the best gains and their weights of `count` examples, in files of 100."""
    music = Music.of(store, "train")
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, count, _FILE):
        path = folder / f"{first:05d}.npz"
        if path.exists():
            continue
        drawn = [
            _learned_from(draw_pair(music, np.random.default_rng([seed, first + n]))) for n in range(_FILE)
        ]
        rows, gains, weights = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        with path.with_suffix(".partial").open("wb") as file:
            np.savez(file, rows=rows.astype(np.float16), gains=gains, weights=weights)
        path.with_suffix(".partial").rename(path)


def grow(arguments: argparse.Namespace) -> None:
    """Grow the trees on all examples, measure them on validation songs and write the checkpoint."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    parts = [np.load(path) for path in sorted(arguments.examples.glob("*.npz"))]
    rows, gains, weights = (np.concatenate([p[n] for p in parts]) for n in ("rows", "gains", "weights"))
    settings: dict[str, Any] = {
        "max_iter": arguments.trees,
        "learning_rate": 0.08,
        "min_samples_leaf": 300,
        "max_leaf_nodes": 48,
        "l2_regularization": 1.0,
        "max_features": 0.3,
        "random_state": arguments.seed,
    }
    grown = HistGradientBoostingRegressor(**settings).fit(rows, gains, sample_weight=weights)
    base, arrays = flattened(grown)
    arguments.to.mkdir(parents=True, exist_ok=True)
    save_file(arrays, arguments.to / "weights.safetensors")
    digest = hashlib.sha256((arguments.to / "weights.safetensors").read_bytes()).hexdigest()
    config = {"version": 1, "weights_sha256": digest, "base": base}
    (arguments.to / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    figures = validated(Trees.read(arguments.to), Music.of(arguments.store, "validation"))
    trained = {"examples": len(parts) * _FILE, **settings, "validation": figures}
    (arguments.to / "training.json").write_text(json.dumps(trained, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(trained, indent=1))


def flattened(grown: Any) -> tuple[float, dict[str, NDArray[Any]]]:
    """The trees of scikit-learn's model in the arrays of `Trees`, and their base."""
    nodes = [tree[0].nodes for tree in grown._predictors]
    firsts = np.cumsum([0, *(len(tree) for tree in nodes[:-1])])
    joined = np.concatenate(nodes)
    offsets = np.repeat(firsts, [len(tree) for tree in nodes])
    leaf = joined["is_leaf"].astype(bool)
    arrays = {
        "roots": firsts.astype(np.int32),
        "column": np.where(leaf, -1, joined["feature_idx"]).astype(np.int32),
        "threshold": np.where(leaf, joined["value"], joined["num_threshold"]).astype(np.float32),
        "left": (joined["left"] + offsets).astype(np.int32),
        "right": (joined["right"] + offsets).astype(np.int32),
    }
    return float(np.ravel(grown._baseline_prediction)[0]), arrays


def validated(trees: Trees, music: Music) -> dict[str, float]:
    """Gains of SI-SDR on fixed examples of songs that were not learned from."""
    gained, before = [], []
    for n in range(VALIDATED):
        pair = draw_pair(music, np.random.default_rng([7, n]))
        gains_db = np.maximum(trees(traces(pair.limited, RATE, pair.ceiling)), 0)
        before.append(min(_si_sdr_db(pair.truth, pair.limited), 40.0))
        after = min(_si_sdr_db(pair.truth, apply_gains(pair.limited, gains_db, RATE)), 40.0)
        gained.append(after - before[-1])
    gained_db, before_db = np.array(gained), np.array(before)
    figures = {
        "gain_under_14_db": gained_db[before_db < 14].mean(),
        "gain_14_to_30_db": gained_db[(before_db >= 14) & (before_db < 30)].mean(),
        "gain_clean_db": gained_db[before_db >= 30].mean(),
        "worst_under_14_db": gained_db[before_db < 14].min(),
        "worse_under_14_share": np.mean(gained_db[before_db < 14] < 0),
    }
    return {name: round(float(figure), 3) for name, figure in figures.items()}


@dataclass(frozen=True)
class Pair:
    """A song before and after its limiter, (2, FRAMES), and the ceiling that the song had."""

    truth: FloatArray
    limited: FloatArray
    ceiling: float


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


def _learned_from(pair: Pair) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Rows, best gains in dB and weights of one hop in `KEPT_HOPS`."""
    shared = hop_means((pair.truth * pair.limited).sum(axis=0), RATE)
    power = hop_means(np.square(pair.limited).sum(axis=0), RATE)
    best_db = 20 * np.log10(np.maximum(shared, 1e-12) / np.maximum(power, 1e-12))
    amplitude = np.sqrt(power + 1e-12)
    rows = traces(pair.limited, RATE, pair.ceiling)
    kept = slice(None, None, KEPT_HOPS)
    gains_db = np.clip(best_db, -1.0, _MOST_DB).astype(np.float32)
    return rows[kept], gains_db[kept], (amplitude / amplitude.mean()).astype(np.float32)[kept]


def _si_sdr_db(truth: FloatArray, estimate: FloatArray) -> float:
    x, y = truth.ravel().astype(np.float64), estimate.ravel().astype(np.float64)
    alike = np.dot(x, y) ** 2 / max(np.dot(x, x) * np.dot(y, y), 1e-30)
    return float(10 * np.log10(alike / max(1 - alike, 1e-9)))


if __name__ == "__main__":
    main()
