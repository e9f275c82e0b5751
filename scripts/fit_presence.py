"""Fits `pipeline/separation/presence.py` to stems that are known to be there or not, and judges it.

Excerpts of finished songs are taken apart, and of their stems mixes are made that lack one of them, or
hold one alone; these are taken apart again. So it is known of each stem what of it should be there, and
which share of its power is its own. Beside them stand the songs themselves: what a separator calls
vocals is a voice where the song is sung, and is none where it is not. What is measured is kept in
--rows, so a run that was stopped goes on. The fit is judged on songs that it has not seen.

    python scripts/fit_presence.py --sung FILE… --instrumental FILE… --rows rows.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from mixagent.pipeline.decibels import powers_to_db
from mixagent.pipeline.io import decode
from mixagent.pipeline.measure.analysis import Analysis, analyse
from mixagent.pipeline.separation import Separator, choose_separator
from mixagent.pipeline.separation.presence import COEFFICIENTS, evidence_of
from mixagent.pipeline.types import Audio, FloatArray, load

Parts = Mapping[str, FloatArray]
Row = dict[str, Any]

FAINT_DB = -30.0
"""Power of a stem against its mix under which it is neither there nor away, and left out of the fit."""

RIDGE = 0.08


def main() -> None:
    """Measure what is missing in --rows, then print the fit and how well it tells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sung", type=Path, nargs="*", default=[], help="finished songs with a voice")
    parser.add_argument("--instrumental", type=Path, nargs="*", default=[], help="finished songs without")
    parser.add_argument("--voices", type=Path, nargs="*", default=[], help="voices without a song")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=12.0)
    arguments = parser.parse_args()
    measure_all(arguments)
    print_fit([json.loads(line) for line in arguments.rows.read_text().splitlines()])


def measure_all(arguments: argparse.Namespace) -> None:
    """A row for each mix, appended to --rows."""
    done = arguments.rows.read_text().splitlines() if arguments.rows.exists() else []
    known = {(row["song"], row["kind"]) for row in map(json.loads, done)}
    separator = choose_separator("embedded", "cpu", 4).separator
    songs = [(path, kind) for kind in ("sung", "instrumental", "voices") for path in getattr(arguments, kind)]
    for path, kind in songs:
        if (path.stem, kind) in known:
            continue
        mix = _excerpt(path, arguments.seconds)
        rows = list(_rows(path.stem, kind, mix, separator))
        with arguments.rows.open("a") as file:
            # The song itself last: it says that all of its mixes were measured.
            file.writelines(json.dumps(row) + "\n" for row in reversed(rows))


def _excerpt(path: Path, seconds: float) -> Audio:
    """Some seconds from 45 % of a song on."""
    with TemporaryDirectory() as scratch:
        song = decode(path, Path(scratch) / "song.f32").audio
        frames = round(seconds * song.rate)
        start = max(min(round(0.45 * song.frames), song.frames - frames), 0)
        return Audio(song.read(start, start + frames), song.rate)


def _rows(song: str, kind: str, mix: Audio, separator: Separator) -> Iterator[Row]:
    stems = _separated(mix, separator)
    yield _row(song, kind, mix, stems, _known_shares(kind, stems))
    if kind == "voices":
        return
    held = {k: v for k, v in stems.items() if kind == "sung" or k != "vocals"}
    chosen = [tuple(set(held) - {name}) for name in held] + [(name,) for name in held]
    for names in chosen:
        truth = {name: stem for name, stem in held.items() if name in names}
        part = Audio(np.sum(list(truth.values()), axis=0, dtype=np.float32), mix.rate)
        apart = _separated(part, separator)
        shares = {name: _own_share(truth.get(name), stem) for name, stem in apart.items()}
        yield _row(song, "+".join(sorted(names)), part, apart, shares)


def _separated(mix: Audio, separator: Separator) -> dict[str, FloatArray]:
    with TemporaryDirectory() as scratch:
        return {k: load(v).samples for k, v in separator.separate(mix, Path(scratch)).parts.items()}


def _known_shares(kind: str, stems: Parts) -> dict[str, float]:
    """What is known of a song's own stems: of the voice alone, or of all where there is but a voice."""
    if kind == "voices":
        return {name: float(name == "vocals") for name in stems}
    return {"vocals": float(kind == "sung")}


def _own_share(truth: FloatArray | None, stem: FloatArray) -> float:
    """The share of a stem's power that is its own; 0 where the mix holds none of it."""
    if truth is None:
        return 0.0
    error = _power(stem - truth)
    return float(_power(truth) / (_power(truth) + error))


def _power(samples: FloatArray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) + 1e-15


def _row(song: str, kind: str, mix: Audio, stems: Parts, shares: Mapping[str, float]) -> Row:
    return {
        "song": song,
        "kind": kind,
        "mix": analyse(mix).to_json(),
        "stems": {name: analyse(Audio(stem, mix.rate)).to_json() for name, stem in stems.items()},
        "shares": dict(shares),
        "power_db": {k: float(powers_to_db(_power(v) / _power(mix.samples))) for k, v in stems.items()},
    }


def print_fit(rows: Sequence[Row]) -> None:
    """For each stem its coefficients, and what they tell of songs that they were not fitted to."""
    for name in COEFFICIENTS:
        songs, evidence, shares = _table(rows, name)
        told = np.zeros(len(shares))
        for song in set(songs):
            left_out = songs == song
            told[left_out] = _told(_fitted(evidence[~left_out], shares[~left_out]), evidence[left_out])
        there, away = shares >= 0.5, shares == 0.0
        print(f"\n{name}: {np.round(_fitted(evidence, shares), 3).tolist()}")
        print(f"  {there.sum()} there, told {_said(told[there])} (10, 50, 90 %)")
        print(f"  {away.sum()} not there, told {_said(told[away])}")
        right = np.mean(np.concatenate([told[there] >= 0.5, told[away] < 0.5]))
        print(f"  {100 * right:.0f} % on the right side of a half, r = {np.corrcoef(told, shares)[0, 1]:.2f}")


def _table(
    rows: Sequence[Row], name: str
) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]:
    chosen = [row for row in rows if name in row["shares"] and not _faint(row, name)]
    evidence = []
    for row in chosen:
        evidence.append(evidence_of(Analysis.from_json(row["stems"][name]), Analysis.from_json(row["mix"])))
    songs = np.array([row["song"] for row in chosen])
    return songs, np.array(evidence), np.array([row["shares"][name] for row in chosen])


def _faint(row: Row, name: str) -> bool:
    return bool(row["shares"][name] > 0.0 and row["power_db"][name] < FAINT_DB)


def _fitted(evidence: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logistic regression on shares, those that are there and those that are not of equal weight."""
    weights = np.where(shares >= 0.5, 0.5 / max((shares >= 0.5).sum(), 1), 0.5 / max((shares < 0.5).sum(), 1))

    def loss(coefficients: NDArray[np.float64]) -> float:
        told = np.clip(_told(coefficients, evidence), 1e-9, 1 - 1e-9)
        misfit = -(shares * np.log(told) + (1 - shares) * np.log(1 - told))
        return float(weights @ misfit + RIDGE * np.square(coefficients[1:]).sum() / 10)

    return np.asarray(minimize(loss, np.zeros(evidence.shape[1])).x)


def _told(coefficients: NDArray[np.float64], evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-evidence @ coefficients)))


def _said(told: NDArray[np.float64]) -> str:
    return ", ".join(f"{np.percentile(told, p):.2f}" for p in (10, 50, 90)) if told.size else "–"


if __name__ == "__main__":
    main()
