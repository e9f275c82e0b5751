"""Train the boosted trees that tell glitches from music by the cues of `pipeline/measure/glitch_cues.py`.

    python scripts/train_glitches.py prepare --store STORE --to EXAMPLES [--glitches 14]
    python scripts/train_glitches.py fit --examples EXAMPLES --to checkpoints/glitches

STORE is of `scripts/music_store.py`; only its songs of the split `train` are read. Of each song all places
are kept at which something may have broken (music), and those at which a glitch was made that can be heard:
the makers of `scripts/restoration/glitches.py`, their sizes drawn anew. Each song is a file, so a killed
`prepare` goes on where it was. Of four songs one is held back and says where the thresholds lie. `fit` needs
scikit-learn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from music_store import RATE
from numpy.typing import NDArray
from restoration.glitches import KINDS, audible
from safetensors.numpy import save_file
from train_delimiter import flattened

from mixagent.pipeline.measure.glitches import Piece, burst_rows, edge_rows, jump_pairs
from mixagent.pipeline.measure.trees import Trees
from mixagent.pipeline.types import FloatArray

MUSIC_S, SECONDS = 60.0, 6.5
NEAR_S = 0.002
HELD = 4
"""One song in so many is held back."""

ALARMS_PER_MINUTE = {"splice": 0.05, "jump": 0.02, "burst": 0.02}
"""False alarms on the songs held back that set the thresholds."""

Random = np.random.Generator
DRAWN: dict[str, Callable[[Random], float]] = {
    "click": lambda random: float(np.round(np.exp(random.uniform(0, np.log(60))))),
    "dropout": lambda random: float(np.exp(random.uniform(np.log(4), np.log(600)))),
    "foreign burst": lambda random: float(np.exp(random.uniform(np.log(4), np.log(150)))),
    "repeated frame": lambda random: float(random.uniform(8, 60)),
    "skipped frame": lambda random: float(random.uniform(8, 60)),
    "jump of level": lambda random: float(random.choice([-1, 1]) * random.uniform(4.5, 13)),
}
"""By kind, a size as its maker counts it."""

NAMES = tuple(kind.name for kind in KINDS)
TREES = {
    "splice": ("click", "repeated frame", "skipped frame", "foreign burst"),
    "jump": ("jump of level",),
    "burst": ("foreign burst",),
}
"""The trees, and the kinds that each learns; dropouts are found by rule."""

MADE_WEIGHT = 5.0
SETTINGS: dict[str, Any] = {
    "learning_rate": 0.08,
    "min_samples_leaf": 40,
    "max_leaf_nodes": 24,
    "l2_regularization": 1.0,
    "max_features": 0.4,
}


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="read the songs and make glitches")
    prepare.add_argument("--store", type=Path, required=True)
    prepare.add_argument("--to", type=Path, required=True)
    prepare.add_argument("--glitches", type=int, default=14, help="made in each song")
    fit = commands.add_parser("fit", help="grow the trees, and write the checkpoint")
    fit.add_argument("--examples", type=Path, required=True)
    fit.add_argument("--to", type=Path, required=True)
    fit.add_argument("--trees", type=int, default=250)
    fit.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.command == "prepare":
        draw_examples(arguments.store, arguments.to, arguments.glitches)
    else:
        grow(arguments)


# --- examples --------------------------------------------------------------------------------------


def draw_examples(store: Path, folder: Path, glitches: int) -> None:
    """Write the rows of each song of a store's split `train`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((store / "train").glob("*.npy"), key=lambda path: _number(path.stem)):
        to = folder / f"{path.stem}.npz"
        if to.exists():
            continue
        song = np.load(path, mmap_mode="r")
        random = np.random.default_rng(_number(path.stem))
        rows = {**_music(song[:, : round(MUSIC_S * RATE)]), **_made(song, glitches, random)}
        with to.with_suffix(".partial").open("wb") as file:
            np.savez_compressed(file, **rows)
        to.with_suffix(".partial").rename(to)


def _number(name: str) -> int:
    return zlib.crc32(name.encode())


def _floats(song: NDArray[np.int16], start: int, stop: int) -> FloatArray:
    return np.ascontiguousarray(np.asarray(song[:, start:stop], np.float32) / np.float32(32767))


def _music(song: NDArray[np.int16]) -> dict[str, NDArray[Any]]:
    piece = Piece.of(_floats(song, 0, song.shape[1]), RATE)
    edges, bursts = edge_rows(piece), burst_rows(piece)
    return {
        "edges": edges.cues.astype(np.float16),
        "bursts": bursts.cues.astype(np.float16),
        "at": edges.at,
        "channel": edges.channel,
        "minutes": np.array(song.shape[1] / RATE / 60),
    }


def _made(song: NDArray[np.int16], count: int, random: Random) -> dict[str, NDArray[Any]]:
    """Rows at made glitches that can be heard, the kind and the number of each."""
    frames, near = round(SECONDS * RATE), round(NEAR_S * RATE)
    edges, bursts = list[FloatArray](), list[FloatArray]()
    told_edges, told_bursts, made = (
        list[tuple[int, ...]](),
        list[tuple[int, ...]](),
        list[tuple[int, float]](),
    )
    for number in range(count if song.shape[1] > frames else 0):
        begin = int(random.integers(song.shape[1] - frames))
        x, at = _floats(song, begin, begin + frames), int(random.uniform(2.6, 3.4) * RATE)
        kind = KINDS[number % len(KINDS)]
        size = DRAWN[kind.name](random)
        if np.sqrt(np.mean(x[:, at - 882 : at + 882] ** 2)) < 0.01:
            continue
        hurt, start, stop = kind.make(x, at, size, random)
        if not audible(kind, x, hurt, start, stop):
            continue
        piece = Piece.of(hurt, RATE)
        rows = edge_rows(piece)
        label = NAMES.index(kind.name)
        for cues, place in zip(rows.cues, rows.at, strict=True):
            side = np.argmin([abs(place - start), abs(place - stop)])
            if abs(place - (start, stop)[side]) <= near:
                edges.append(cues)
                told_edges.append((label, number, int(side)))
        if kind.name == "foreign burst":
            stretches = burst_rows(piece)
            for cues, (first, last) in zip(stretches.cues, stretches.stretches, strict=True):
                if abs(first - start) <= near and abs(last - stop) <= near:
                    bursts.append(cues)
                    told_bursts.append((label, number))
        made.append((label, number, size))
    return {
        "made_edges": np.array(edges, np.float16),
        "made_bursts": np.array(bursts, np.float16),
        "told_edges": np.array(told_edges, np.int32).reshape(-1, 3),
        "told_bursts": np.array(told_bursts, np.int32).reshape(-1, 2),
        "made": np.array(made, np.float32).reshape(-1, 3),
    }


# --- trees -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """Rows of many songs.

    Attributes:
        cues: float32 (rows, columns).
        told: of each: the song's number, the channel and the frame of music; or the song's number, kind,
            number in the song and side of a made glitch.
    """

    cues: FloatArray
    told: NDArray[np.int64]


def grow(arguments: argparse.Namespace) -> None:
    """Grow the trees, set their thresholds on the songs held back and write the checkpoint."""
    songs = [dict(np.load(path)) for path in sorted(arguments.examples.glob("*.npz"))]
    held = [song for number, song in enumerate(songs) if number % HELD == 0]
    learned = [song for number, song in enumerate(songs) if number % HELD]
    minutes = sum(float(song["minutes"]) for song in held)
    figures: dict[str, Any] = {"songs": len(songs), "minutes_held_back": round(minutes, 1)}
    scores = list[tuple[Rows, FloatArray, float]]()
    for name, kinds in TREES.items():
        what = "bursts" if name == "burst" else "edges"
        settings = {**SETTINGS, "max_iter": arguments.trees, "random_state": arguments.seed}
        trees, base, arrays = _grown(learned, what, kinds, settings)
        music, made = _rows(held, what), _made_rows(held, what)
        threshold = _threshold(name, music, trees(music.cues), minutes)
        scores.append((made, trees(made.cues), threshold))
        _write(arguments.to / name, arrays, base, threshold)
        figures[name] = {**settings, "threshold": threshold, "columns": music.cues.shape[1]}
    figures["found_share"] = _found_shares(held, scores)
    text = json.dumps(figures, indent=1)
    (arguments.to / "training.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def _grown(
    songs: Sequence[dict[str, Any]], what: str, kinds: Sequence[str], settings: dict[str, Any]
) -> tuple[Trees, float, dict[str, NDArray[Any]]]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    music, made = _rows(songs, what), _made_rows(songs, what)
    kind = made.told[:, 1]
    counts = np.array([(kind == NAMES.index(name)).sum() for name in kinds])
    wanted = np.isin(kind, [NAMES.index(name) for name in kinds])
    weights = counts.sum() / len(kinds) / counts[[kinds.index(NAMES[k]) for k in kind[wanted]]]
    rows = np.concatenate([music.cues, made.cues[wanted]])
    glitch = np.arange(len(rows)) >= len(music.cues)
    # A false alarm in a thousand edges is one too many, so the music counts in full.
    of_all = np.concatenate([np.ones(len(music.cues)), MADE_WEIGHT * weights])
    grown = HistGradientBoostingClassifier(**settings).fit(rows, glitch, sample_weight=of_all)
    base, arrays = flattened(grown)
    return Trees(base, **arrays), base, arrays


def _rows(songs: Sequence[dict[str, Any]], what: str) -> Rows:
    cues = np.concatenate([song[what] for song in songs]).astype(np.float32)
    if what == "bursts":
        numbers = np.repeat(np.arange(len(songs)), [len(song[what]) for song in songs])
        return Rows(cues, numbers[:, None].astype(np.int64))
    told = [
        np.stack([np.full(len(song["at"]), number), song["channel"], song["at"]], axis=1)
        for number, song in enumerate(songs)
    ]
    return Rows(cues, np.concatenate(told).astype(np.int64))


def _made_rows(songs: Sequence[dict[str, Any]], what: str) -> Rows:
    parts = [(n, song[f"made_{what}"], song[f"told_{what}"]) for n, song in enumerate(songs)]
    parts = [part for part in parts if len(part[1])]
    told = [np.concatenate([np.full((len(t), 1), n), t], axis=1) for n, _, t in parts]
    return Rows(np.concatenate([c for _, c, _ in parts]).astype(np.float32), np.concatenate(told))


def _threshold(name: str, music: Rows, scores: FloatArray, minutes: float) -> float:
    """The lowest threshold at which music gives no more false alarms than `ALARMS_PER_MINUTE`."""
    most = int(ALARMS_PER_MINUTE[name] * minutes)
    if name == "jump":
        sums = _pair_scores(music, scores)
        return float(np.sort(sums)[-most - 1]) if len(sums) > most else 0.0
    events = _events(music, scores) if name == "splice" else np.sort(scores)
    return float(events[-most - 1])


def _events(music: Rows, scores: FloatArray) -> FloatArray:
    """The highest score of each group of edges within 20 ms, sorted."""
    order = np.lexsort((music.told[:, 2], music.told[:, 0]))
    told = music.told[order]
    new = (np.diff(told[:, 0], prepend=-1) != 0) | (np.diff(told[:, 2], prepend=0) > 0.02 * RATE)
    return np.sort(np.maximum.reduceat(scores[order], np.nonzero(new)[0]))


def _pair_scores(music: Rows, scores: FloatArray) -> FloatArray:
    sums = list[float]()
    for song, channel in np.unique(music.told[:, :2], axis=0):
        mine = (music.told[:, 0] == song) & (music.told[:, 1] == channel)
        sums += [pair.score for pair in jump_pairs(music.told[mine, 2], music.cues[mine], scores[mine], RATE)]
    return np.array(sums, np.float32)


def _found_shares(held: Sequence[dict[str, Any]], scores: Sequence[tuple[Rows, FloatArray, float]]) -> Any:
    """By kind, the share of the glitches made in the songs held back that one of the trees finds."""
    found = set[tuple[int, int]]()
    for name, (made, score, threshold) in zip(TREES, scores, strict=True):
        if name == "jump":
            best = dict[tuple[int, int], dict[int, float]]()
            for (song, _, number, side), value in zip(made.told, score, strict=True):
                sides = best.setdefault((int(song), int(number)), {})
                sides[int(side)] = max(sides.get(int(side), -99.0), float(value))
            found |= {at for at, sides in best.items() if len(sides) == 2 and sum(sides.values()) > threshold}
        else:
            found |= {(int(t[0]), int(t[2])) for t in made.told[score > threshold]}
    shares = dict[str, Any]()
    for k, name in enumerate(NAMES):
        all_made = [(n, int(one[1])) for n, song in enumerate(held) for one in song["made"] if one[0] == k]
        shares[name] = [round(float(np.mean([one in found for one in all_made])), 3), len(all_made)]
    return shares


def _write(folder: Path, arrays: dict[str, NDArray[Any]], base: float, threshold: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(arrays, folder / "weights.safetensors")
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    config = {"version": 1, "weights_sha256": digest, "base": base, "threshold": threshold}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
