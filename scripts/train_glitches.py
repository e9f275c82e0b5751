"""Train the boosted trees that tell glitches from music by the cues of `pipeline/measure/glitch_cues.py`.

    python scripts/train_glitches.py prepare --store STORE --to EXAMPLES [--glitches 40]
    python scripts/train_glitches.py fit --examples EXAMPLES --to checkpoints/glitches

STORE is of `scripts/music_store.py`; only its songs of the split `train` are read. Of each song all places
are kept at which something may have broken (music), and those at which a glitch was made that can be heard:
the makers of `scripts/restoration/glitches.py`, their sizes drawn anew. Each song is two files, so a killed
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

from mixagent.pipeline.measure.glitch_cues import RARITY_CUES, RESIDUAL_CUES, rarity
from mixagent.pipeline.measure.glitches import MOST_NEAR, Piece, asked_more, edge_rows, jump_pairs
from mixagent.pipeline.measure.trees import Trees
from mixagent.pipeline.types import FloatArray

MUSIC_S = 60.0
"""Of each song."""

AROUND_S, BESIDE_S, NEAR_S = 3.5, 0.5, 0.002
HELD = 4
"""One song in so many is held back."""

ALARMS_PER_10_MINUTES = {"splice": 0.65, "jump": 0.3}
"""False alarms on the songs held back that set the thresholds."""

Random = np.random.Generator
Arrays = dict[str, NDArray[Any]]
DRAWN: dict[str, Callable[[Random], float]] = {
    "click": lambda random: float(np.round(np.exp(random.uniform(0, np.log(60))))),
    "foreign burst": lambda random: float(np.exp(random.uniform(np.log(4), np.log(150)))),
    "repeated frame": lambda random: float(random.uniform(8, 60)),
    "skipped frame": lambda random: float(random.uniform(8, 60)),
    "jump of level": lambda random: float(random.choice([-1, 1]) * random.uniform(4.5, 13)),
}
"""By kind, a size as its maker counts it; dropouts are found by rule."""

ORDER = (
    *("click", "skipped frame", "jump of level", "foreign burst"),
    *("click", "skipped frame", "jump of level", "repeated frame"),
)
"""The kinds that are made, in turn."""

NAMES = tuple(kind.name for kind in KINDS)
TREES = {
    "splice": ("click", "repeated frame", "skipped frame", "foreign burst"),
    "jump": ("jump of level",),
}
"""The trees, and the kinds whose ends each learns."""

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
    prepare.add_argument("--songs", type=int, default=1000)
    prepare.add_argument("--glitches", type=int, default=40, help="made in each song")
    fit = commands.add_parser("fit", help="grow the trees, and write the checkpoint")
    fit.add_argument("--examples", type=Path, required=True)
    fit.add_argument("--to", type=Path, required=True)
    fit.add_argument("--trees", type=int, default=200)
    fit.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.command == "prepare":
        draw_examples(arguments.store, arguments.to, arguments.songs, arguments.glitches)
    else:
        grow(arguments)


# --- examples --------------------------------------------------------------------------------------


def draw_examples(store: Path, folder: Path, songs: int, glitches: int) -> None:
    """Write the rows of the first songs of a store's split `train`, ordered by checksums of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = sorted((store / "train").glob("*.npy"), key=lambda path: _number(path.stem))
    for path in paths[:songs]:
        song = np.load(path, mmap_mode="r")[:, : round(MUSIC_S * RATE)]
        music = _kept(folder / f"{path.stem}.music.npz", lambda song=song: _music(song))
        random = np.random.default_rng(_number(path.stem))
        _kept(
            folder / f"{path.stem}.made.npz",
            lambda song=song, music=music, random=random: _made(song, music, glitches, random),
        )


def _kept(path: Path, make: Callable[[], Arrays]) -> Arrays:
    """The arrays of a file, made first where it is not there."""
    if not path.exists():
        with path.with_suffix(".partial").open("wb") as file:
            np.savez_compressed(file, **make())  # type: ignore[arg-type]
        path.with_suffix(".partial").rename(path)
    return dict(np.load(path))


def _number(name: str) -> int:
    return zlib.crc32(name.encode())


def _floats(song: NDArray[np.int16], start: int, stop: int) -> FloatArray:
    return np.ascontiguousarray(np.asarray(song[:, start:stop], np.float32) / np.float32(32767))


def _music(song: NDArray[np.int16]) -> Arrays:
    rows = edge_rows(Piece.of(_floats(song, 0, song.shape[1]), RATE))
    return {
        "edges": rows.cues.astype(np.float16),
        "at": rows.at,
        "channel": rows.channel,
        "minutes": np.array(song.shape[1] / RATE / 60),
    }


def _made(song: NDArray[np.int16], music: Arrays, count: int, random: Random) -> Arrays:
    """Rows at the ends of made glitches that can be heard, with kind, number and side; all that were made."""
    around, beside = round(AROUND_S * RATE), round(BESIDE_S * RATE)
    cues, told, made = list[FloatArray](), list[tuple[int, ...]](), list[tuple[int, int, float]]()
    for number in range(count if song.shape[1] > 2 * around else 0):
        middle = int(random.integers(around, song.shape[1] - around))
        x, at = _floats(song, middle - around, middle + around), around
        kind = KINDS[NAMES.index(ORDER[number % len(ORDER)])]
        size, label = DRAWN[kind.name](random), NAMES.index(kind.name)
        if np.sqrt(np.mean(x[:, at - 882 : at + 882] ** 2)) < 0.01:
            continue
        hurt, start, stop = kind.make(x, at, size, random)
        if not audible(kind, x, hurt, start, stop):
            continue
        made.append((label, number, size))
        first = start - beside
        for row, channel, place in _ends(hurt[:, first : stop + beside], start - first, stop - first):
            in_song, side = (
                middle - around + first + place,
                abs(place + first - start) > abs(place + first - stop),
            )
            row[RARITY_CUES] = _rarity(row, in_song, channel, music)
            cues.append(row)
            told.append((label, number, int(side), in_song))
    return {
        "cues": np.array(cues, np.float16),
        "told": np.array(told, np.int32).reshape(-1, 4),
        "made": np.array(made, np.float32).reshape(-1, 3),
    }


def _ends(hurt: FloatArray, start: int, stop: int) -> list[tuple[FloatArray, int, int]]:
    """Cues, channel and frame of the edges at the ends of a glitch in a piece."""
    rows = edge_rows(Piece.of(np.ascontiguousarray(hurt), RATE))
    near = np.minimum(np.abs(rows.at - start), np.abs(rows.at - stop)) <= NEAR_S * RATE
    return [(rows.cues[k], int(rows.channel[k]), int(rows.at[k])) for k in np.flatnonzero(near)]


def _rarity(row: FloatArray, at: int, channel: int, music: Arrays) -> FloatArray:
    """An edge's rarity among the edges of the song as it was."""
    same = music["channel"] == channel
    salience = music["edges"][same][:, RESIDUAL_CUES].astype(np.float32).min(axis=1)
    here, quarter = row[RESIDUAL_CUES].min(keepdims=True), RATE // 4000
    order = np.argsort(music["at"][same])
    others = music["at"][same][order] // quarter
    return rarity(np.array([at // quarter]), here, others, salience[order])[0]


# --- trees -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """Rows of many songs.

    Attributes:
        cues: float32 (rows, EDGE_CUES).
        told: of each: the song's number, the channel and the frame of music; or the song's number, kind,
            number in the song, side and frame of a made glitch.
    """

    cues: FloatArray
    told: NDArray[np.int64]


@dataclass(frozen=True)
class Learned:
    """Rows of some songs.

    Attributes:
        music, made: the rows.
        glitches: kind and number in the song of all that were made, by song.
        minutes: of music.
    """

    music: Rows
    made: Rows
    glitches: Sequence[NDArray[np.int64]]
    minutes: float

    @classmethod
    def of(cls, folder: Path, held: bool) -> Learned:
        """The rows of the songs held back, or of the others."""
        stems = sorted(path.name.removesuffix(".made.npz") for path in folder.glob("*.made.npz"))
        stems = [stem for n, stem in enumerate(stems) if (n % HELD == 0) == held]
        music = [dict(np.load(folder / f"{stem}.music.npz")) for stem in stems]
        made = [dict(np.load(folder / f"{stem}.made.npz")) for stem in stems]
        places = [(song["channel"], song["at"]) for song in music]
        kinds = [tuple(song["told"].T) for song in made]
        return cls(
            _rows([song["edges"] for song in music], places),
            _rows([song["cues"] for song in made], kinds),
            [song["made"][:, :2].astype(np.int64) for song in made],
            float(sum(song["minutes"] for song in music)),
        )


def _rows(cues: Sequence[NDArray[Any]], told: Sequence[tuple[NDArray[Any], ...]]) -> Rows:
    parts = [(n, c, t) for n, (c, t) in enumerate(zip(cues, told, strict=True)) if len(c)]
    places = [np.stack([np.full(len(c), n), *t], axis=1) for n, c, t in parts]
    return Rows(
        np.concatenate([c for _, c, _ in parts]).astype(np.float32), np.concatenate(places).astype(np.int64)
    )


def grow(arguments: argparse.Namespace) -> None:
    """Grow the trees, set their thresholds on the songs held back and write the checkpoint."""
    learned, held = (Learned.of(arguments.examples, back) for back in (False, True))
    figures: dict[str, Any] = {
        "songs": len(learned.glitches) + len(held.glitches),
        "glitches_made": int(sum(len(made) for made in (*learned.glitches, *held.glitches))),
        "minutes_held_back": round(held.minutes, 1),
    }
    found = set[tuple[int, int]]()
    for name, kinds in TREES.items():
        settings = {**SETTINGS, "max_iter": arguments.trees, "random_state": arguments.seed}
        base, arrays = _grown(learned, kinds, settings)
        trees = Trees(base, **arrays)
        music, made = trees(held.music.cues), trees(held.made.cues)
        if name == "splice":
            music, made = _asked_more(held, music, made)
        threshold = _threshold(name, held, music)
        found |= _found(name, held.made, made, threshold)
        _write(arguments.to / name, arrays, base, threshold)
        figures[name] = {**settings, "threshold": round(threshold, 3)}
    figures["found_of_made"] = {
        name: [sum(one in found for one in made), len(made)] for name, made in _by_kind(held).items()
    }
    text = json.dumps(figures, indent=1)
    (arguments.to / "training.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def _grown(learned: Learned, kinds: Sequence[str], settings: dict[str, Any]) -> tuple[float, Arrays]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    kind = learned.made.told[:, 1]
    labels = [NAMES.index(name) for name in kinds]
    counts = {label: int((kind == label).sum()) for label in labels}
    wanted = np.isin(kind, labels)
    rows = np.concatenate([learned.music.cues, learned.made.cues[wanted]])
    glitch = np.arange(len(rows)) >= len(learned.music.cues)
    weights = np.ones(len(rows))
    # Every kind counts alike.
    weights[glitch] = [MADE_WEIGHT * wanted.sum() / len(kinds) / counts[k] for k in kind[wanted]]
    return flattened(HistGradientBoostingClassifier(**settings).fit(rows, glitch, sample_weight=weights))


def _asked_more(held: Learned, music: FloatArray, made: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The scores of music and of made glitches, less what is asked more of them in their songs."""
    music, made = music.copy(), made.copy()
    raw = music.copy()
    for song in np.unique(held.music.told[:, 0]):
        here, there = held.music.told[:, 0] == song, held.made.told[:, 0] == song
        likely = here & (raw > 0)
        for scores, rows, column in ((music, likely, 2), (made, there, 4)):
            told = (held.music if scores is music else held.made).told
            scores[rows] -= asked_more(held.music.told[here, 2], raw[here], told[rows, column], RATE)
    return music, made


def _threshold(name: str, held: Learned, scores: FloatArray) -> float:
    """The lowest threshold over which music gives no more false alarms than `ALARMS_PER_10_MINUTES`."""
    at, of = (_pairs if name == "jump" else _events)(held.music, scores)
    most = ALARMS_PER_10_MINUTES[name] * held.minutes / 10
    threshold = float(of.max(initial=0.0))
    for threshold in np.sort(of)[::-1]:
        over = at[of >= threshold]
        if sum(_alarms(over[over[:, 0] == song, 1], name) for song in np.unique(over[:, 0])) > most:
            break
    return float(threshold)


def _alarms(at: NDArray[np.int64], kind: str) -> int:
    """How many of a song's events stay where crowds are left alone."""
    most, near_s = MOST_NEAR[kind]
    crowd = max((int((np.abs(at - one) < near_s * RATE).sum()) for one in at), default=0)
    return len(at) if crowd <= most else 0


def _events(music: Rows, scores: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Song and frame of each group of edges within 20 ms, and the highest score of it."""
    return _grouped(music.told[:, [0, 2]], scores)


def _pairs(music: Rows, scores: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """The same of pairs of edges that could be a jump."""
    places, sums = list[tuple[int, int]](), list[float]()
    for song, channel in np.unique(music.told[:, :2], axis=0):
        mine = (music.told[:, 0] == song) & (music.told[:, 1] == channel)
        at = music.told[mine, 2]
        for pair in jump_pairs(at, music.cues[mine], scores[mine], RATE):
            places.append((int(song), int(at[pair.first])))
            sums.append(pair.score)
    return _grouped(np.array(places, np.int64).reshape(-1, 2), np.array(sums, np.float32))


def _grouped(places: NDArray[np.int64], scores: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    order = np.lexsort((places[:, 1], places[:, 0]))
    ordered = places[order]
    new = (np.diff(ordered[:, 0], prepend=-1) != 0) | (np.diff(ordered[:, 1], prepend=0) > 0.02 * RATE)
    firsts = np.nonzero(new)[0]
    return ordered[firsts], np.maximum.reduceat(scores[order], firsts)


def _found(name: str, made: Rows, scores: FloatArray, threshold: float) -> set[tuple[int, int]]:
    """Song and number of the made glitches that the trees find."""
    if name != "jump":
        return {(int(t[0]), int(t[2])) for t in made.told[scores > threshold]}
    best = dict[tuple[int, int], dict[int, float]]()
    for (song, _, number, side, _), score in zip(made.told, scores, strict=True):
        sides = best.setdefault((int(song), int(number)), {})
        sides[int(side)] = max(sides.get(int(side), -np.inf), float(score))
    return {at for at, sides in best.items() if len(sides) == 2 and sum(sides.values()) > threshold}


def _by_kind(held: Learned) -> dict[str, list[tuple[int, int]]]:
    made = [(n, kind, number) for n, song in enumerate(held.glitches) for kind, number in song]
    return {
        name: [(n, int(number)) for n, kind, number in made if kind == NAMES.index(name)]
        for name in dict.fromkeys(ORDER)
    }


def _write(folder: Path, arrays: Arrays, base: float, threshold: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(arrays, folder / "weights.safetensors")
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    config = {"version": 1, "weights_sha256": digest, "base": base, "threshold": threshold}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
