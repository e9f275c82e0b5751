"""Fit what playbacks lose of finished music: checkpoints/playbacks/reference.json.

    python scripts/fit_playbacks.py CORPUS/train [--count 160]

Whole songs are measured, spread evenly over the list of all, and no chance is in it. For each playback and
measure the median and an edge are kept. The edges are one quantile of all measures, the lowest at which one
song in ten passes any edge of any playback, each song held against the edges of the other folds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from mixagent.pipeline.io import decode
from mixagent.pipeline.measure.playbacks import PLAYBACKS
from mixagent.pipeline.measure.translation import FOUND, PlaybackLoss, Reference, Usual, measure_losses

SUFFIXES = (".ogg", ".opus", ".flac", ".mp3", ".wav")
OUTPUT = Path(__file__).parents[1] / "checkpoints" / "playbacks" / "reference.json"
FOLDS = 5
CLEAN_SHARE = 0.9
QUANTILES = np.arange(0.9, 1.0001, 0.0025)
LEAST_OVER = {"loudness": 1.5, "bass": 0.3, "cancels": 1.5, "masked": 0.1}
"""The least distance of an edge over the median, however alike finished songs are."""

Losses = tuple[PlaybackLoss, ...]


def main() -> None:
    """Measure the songs and write the reference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=160, help="songs (default %(default)s)")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    found = sorted(p for folder in arguments.folders for p in folder.rglob("*") if p.suffix in SUFFIXES)
    count = min(arguments.count, len(found))
    songs = [found[(2 * k + 1) * len(found) // (2 * count)] for k in range(count)]
    losses = list(measured(songs))
    reference = fit(losses)
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(to_json(reference), indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(reference)))


def measured(songs: Sequence[Path]) -> Iterator[Losses]:
    """The losses of each song on playbacks."""
    for song in track(songs, "measuring songs", console=Console(stderr=True)):
        with tempfile.TemporaryDirectory() as scratch:
            losses = measure_losses(decode(song, Path(scratch) / "song.f32").audio)
        yield losses


def fit(songs: Sequence[Losses]) -> Reference:
    """The reference of these songs."""
    passed = np.array([passed_share(songs, float(quantile)) for quantile in QUANTILES])
    enough = np.flatnonzero(passed <= 1 - CLEAN_SHARE)
    quantile = float(QUANTILES[enough[0] if enough.size else -1])
    print(f"any edge is passed by {passed_share(songs, quantile):.1%} of songs held out")
    return Reference(len(songs), quantile, usual_of(songs, quantile))


def passed_share(songs: Sequence[Losses], quantile: float) -> float:
    """The share of songs with any loss found, each against the edges of the other folds."""
    found = list[bool]()
    for fold in range(FOLDS):
        usual = usual_of([song for k, song in enumerate(songs) if k % FOLDS != fold], quantile)
        others = Reference(0, quantile, usual)
        held = [song for k, song in enumerate(songs) if k % FOLDS == fold]
        found += [any(max(others.severities(loss).values()) >= FOUND for loss in song) for song in held]
    return float(np.mean(found))


def usual_of(songs: Sequence[Losses], quantile: float) -> dict[str, dict[str, Usual]]:
    """Median and edge of each measure, by playback."""
    usual = dict[str, dict[str, Usual]]()
    for place, playback in enumerate(PLAYBACKS):
        rows = [song[place].measures() for song in songs]
        usual[playback] = {name: _usual(name, [row[name] for row in rows], quantile) for name in rows[0]}
    return usual


def _usual(name: str, values: Sequence[float], quantile: float) -> Usual:
    median, edge = np.quantile(values, (0.5, quantile))
    return Usual(float(median), max(float(edge), float(median) + LEAST_OVER[name]))


def to_json(reference: Reference) -> dict[str, object]:
    """As `translation.reference_of` reads it."""
    return {
        "songs": reference.songs,
        "quantile": round(reference.quantile, 4),
        "usual": {
            playback: {name: [float(f"{x:.5g}") for x in astuple(usual)] for name, usual in rows.items()}
            for playback, rows in reference.usual.items()
        },
    }


def table(reference: Reference) -> Iterator[str]:
    """The median of each measure and the value at which it is told."""
    measures: Mapping[str, None] = dict.fromkeys(name for rows in reference.usual.values() for name in rows)
    yield f"{reference.songs} songs, edges at the quantile {reference.quantile:.4f}"
    yield "| playback | " + " | ".join(measures) + " |"
    yield "|---" + "|--:" * len(measures) + "|"
    for playback, rows in reference.usual.items():
        cells = [_cell(rows[name]) if name in rows else "" for name in measures]
        yield f"| {playback} | " + " | ".join(cells) + " |"


def _cell(usual: Usual) -> str:
    return f"{usual.median:.2f}, told from {usual.edge:.2f}"


if __name__ == "__main__":
    main()
