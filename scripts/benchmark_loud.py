"""Compares the ways to take peaks for loud targets, at equal loudness, as a Markdown table.

    python scripts/benchmark_loud.py --songs DIR [DIR …] [--count 12] [--seconds 15] [--lufs -8 -9.5]
    python scripts/benchmark_loud.py --songs DIR --over 1 2 3 --knee 2 4 --release 20 500 --punch 0 1

The middle of each finished song is brought to each loudness in every way, also in those that the
loudness would not ask for by itself: the clipper (`--over`, `--knee`; 24 is none), the release of the
limiter behind it (`--release`, in ms) and how much punch is kept (`--punch`). What came out is held
against what went in (`measure_artefacts`), and its distance to it is taken in all that recovery is measured
in. Medians over songs, without those that any of the ways left short of the loudness.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from benchmark_recovery import excerpt, find_songs

from mixagent.pipeline.dsp.limiter import Ballistics
from mixagent.pipeline.finaliser import loop as finaliser
from mixagent.pipeline.finaliser.settings import Clipper, FinaliserSettings
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.measure.artefacts import measure_artefacts
from mixagent.pipeline.types import Audio, load
from mixagent.reward.recovery import Original

MAX_REDUCTION_DB = 24.0
"""So much that what a way does is seen, and not what it is allowed."""


@dataclass(frozen=True)
class Way:
    """One way to take peaks."""

    over_db: float
    knee_db: float
    release_ms: float
    punch: float

    def finished(self, song: Audio, lufs: float) -> finaliser.Finish:
        """The song at a loudness."""
        target = LoudnessTarget("benchmark", lufs, max_reduction_db=MAX_REDUCTION_DB)
        asked = FinaliserSettings(Clipper(self.over_db, self.knee_db), self.punch)
        moves = Ballistics(release_ms=self.release_ms)
        with mock.patch.multiple(finaliser, LOUD_BALLISTICS=moves, LOUD_LUFS=-np.inf):
            return finaliser.finalise(song, target, None, by_hand=asked)


@dataclass(frozen=True)
class Found:
    """The result of a way for a song."""

    reduction_db: float
    distortion_db: float
    pumping_db: float
    transient_loss_db: float
    moved: float


def main() -> None:
    """Print a table for each loudness."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--songs", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--lufs", type=float, nargs="+", default=[-8.0, -9.5])
    parser.add_argument("--over", type=float, nargs="+", default=[finaliser.LOUD_CLIPPER.over_db])
    parser.add_argument("--knee", type=float, nargs="+", default=[finaliser.LOUD_CLIPPER.knee_db])
    parser.add_argument("--release", type=float, nargs="+", default=[20.0, 500.0])
    parser.add_argument("--punch", type=float, nargs="+", default=[0.0, 1.0])
    options = parser.parse_args()
    songs = find_songs(options.songs, options.count, options.seconds)
    ways = [
        Way(*values)
        for values in itertools.product(options.over, options.knee, options.release, options.punch)
    ]
    for lufs in options.lufs:
        rows = list(tried((excerpt(song, options.seconds) for song in songs), ways, lufs))
        print(f"\n**{lufs:g} LUFS**, {len(rows)} of {len(songs)} songs\n")
        print("| over, dB | knee, dB | release, ms | punch | reduction, dB | distortion, dB ", end="")
        print("| pumping, dB | transients lost, dB | moved |\n|" + "--:|" * 9)
        for number, way in enumerate(ways):
            found = np.median([astuple(row[number]) for row in rows], axis=0)
            digits = (1, 1, 3, 2, 3)
            cells = [f"{value:.{count}f}" for value, count in zip(found, digits, strict=True)]
            named = [f"{value:g}" for value in astuple(way)]
            print("| " + " | ".join([*named, *cells]).replace("-", "−") + " |")


def tried(songs: Iterator[Audio], ways: Sequence[Way], lufs: float) -> Iterator[list[Found]]:
    """The result of every way, for each song that all of them brought to the loudness."""
    for song in songs:
        original, row = Original(song), []
        for way in ways:
            finish = way.finished(song, lufs)
            if not finish.met:
                break
            after = load(finish.audio)
            artefacts = measure_artefacts(song, after)
            row.append(Found(finish.max_reduction_db, *astuple(artefacts), original.distance(after).total))
        else:
            yield row


if __name__ == "__main__":
    main()
