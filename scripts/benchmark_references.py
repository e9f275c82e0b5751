"""Which way of matching serves best, and what the dynamics' settings do.

    python scripts/benchmark_references.py methods --corpus CORPUS [--count 8]
    python scripts/benchmark_references.py dynamics --corpus CORPUS [--count 6]
    python scripts/benchmark_references.py memory SONG REFERENCE

`methods` takes songs of a split and a mate of the same package as the reference of each; every song also
comes damaged by all five pathologies. Each way is followed by the finaliser at the reference's loudness.
Printed are the distance to the reference in tone (RMS of third octaves) and width, the loudness error, the
true peak, and the share of the damage undone: how far the song was from its original, and is now.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from benchmark_recovery import excerpt, share_undone

from mixagent.envs.corpus import SPLITS, Corpus
from mixagent.envs.pathologies import damage_all
from mixagent.pipeline.analysis import analyse
from mixagent.pipeline.audio import Audio, Stems, collect, load
from mixagent.pipeline.decoding import decode
from mixagent.pipeline.finaliser import finalise
from mixagent.pipeline.meters import true_peak_dbtp
from mixagent.pipeline.parameters import ParameterSpace
from mixagent.pipeline.references.curve import match_curve, matching_processors
from mixagent.pipeline.references.matched import match
from mixagent.pipeline.references.profile import (
    Profile,
    profile_of,
    tone_distance_db,
    width_distance_db,
)
from mixagent.pipeline.render import premaster
from mixagent.pipeline.streaming import process_blocks
from mixagent.references import reference_target
from mixagent.reward.recovery import Original

Way = Callable[[Audio, Audio], Audio]
"""(song, reference) → the song matched."""

CHANGES = (
    {"comp_ratio": 1.5, "comp_threshold_db": -6.0},
    {"comp_ratio": 2.0, "comp_threshold_db": -6.0},
    {"expand_ratio": 1.15},
    {"expand_ratio": 1.4},
)


def by_profile(amount: float) -> Way:
    """The curve between the two profiles, as much of it as `amount` says."""

    def matched(song: Audio, reference: Audio) -> Audio:
        wanted = profile(reference)
        curve = match_curve(profile(song), wanted, wanted).scaled(amount, amount)
        processors = matching_processors(curve, song.rate, song.channels)
        return collect(process_blocks(song, processors), song.rate, song.channels)

    return matched


def by_matchering(song: Audio, reference: Audio) -> Audio:
    """matchering without its limiter."""
    with tempfile.TemporaryDirectory() as folder:
        return load(match(song, reference, Path(folder), lambda share: None))


WAYS: dict[str, Way] = {
    "finaliser alone": lambda song, reference: song,
    "profile, half": by_profile(0.5),
    "profile": by_profile(1.0),
    "matchering": by_matchering,
}


def profile(audio: Audio) -> Profile:
    """What an excerpt measures."""
    return profile_of("", {"": analyse(audio)})


def pairs(corpus: Path, split: str, count: int) -> Iterator[tuple[Path, Path]]:
    """Songs spread evenly over a split, and the next song of the same package for each."""
    folders = defaultdict(list)
    for song in Corpus.open(corpus).songs(split):  # type: ignore[arg-type]
        if song.kind == "song":
            folders[song.path.parent].append(song.path)
    songs = [
        (a, b)
        for files in folders.values()
        for a, b in zip(files, [*files[1:], files[0]], strict=True)
        if a != b
    ]
    yield from (songs[(2 * k + 1) * len(songs) // (2 * count)] for k in range(count))


def compare_ways(songs: Sequence[tuple[Path, Path]], seconds: float) -> None:
    """Print the table of `WAYS`."""
    figures = defaultdict(list)
    for number, (song, mate) in enumerate(songs):
        original, reference = excerpt(song, seconds), excerpt(mate, seconds)
        damaged = damage_all(original, 0.6, number, False)
        truth, wanted = Original(original), profile(reference)
        target = reference_target(wanted, -1.0)
        for name, way in WAYS.items():
            for kind, audio in (("clean", original), ("damaged", damaged)):
                master = load(finalise(way(audio, reference), target, None).audio)
                got = profile(master)
                figures[name, kind, "tone"].append(tone_distance_db(got, wanted))
                figures[name, kind, "width"].append(width_distance_db(got, wanted) or np.nan)
                figures[name, kind, "lufs"].append(abs(got.integrated_lufs.mean - target.integrated_lufs))
                figures[name, kind, "peak"].append(true_peak_dbtp(master))
                figures[name, kind, "distance"].append(truth.distance(master).total)
                if kind == "damaged":
                    figures[name, "undone"].append(
                        (truth.distance(audio).total, figures[name, kind, "distance"][-1])
                    )
        print(f"# {song.parent.name}/{song.name}", flush=True)
    _print_ways(figures)


def _print_ways(figures: dict[tuple[str, ...], list]) -> None:
    print(
        "| way | tone, clean | tone, damaged | width, damaged | loudness off by at most | true peak at most "
        "| undone | moved from clean |"
    )
    print("|---|" + "--:|" * 7)
    for name in WAYS:
        cells = [
            f"{np.mean(figures[name, 'clean', 'tone']):.2f}",
            f"{np.mean(figures[name, 'damaged', 'tone']):.2f}",
            f"{np.nanmean(figures[name, 'damaged', 'width']):.2f}",
            f"{max(figures[name, 'clean', 'lufs'] + figures[name, 'damaged', 'lufs']):.2f}",
            f"{max(figures[name, 'clean', 'peak'] + figures[name, 'damaged', 'peak']):.2f}",
            f"{100 * share_undone(figures[name, 'undone']):+.0f} %",
            f"{np.mean(figures[name, 'clean', 'distance']):.2f}",
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def calibrate_dynamics(songs: Sequence[Path], seconds: float) -> None:
    """Print by what each of `CHANGES` multiplies the loudness range, and what it adds to the PLR."""
    space = ParameterSpace.for_stems(())
    print(
        "| song | range, PLR | "
        + " | ".join(", ".join(f"{k} {v:g}" for k, v in c.items()) for c in CHANGES)
        + " |"
    )
    for song in songs:
        audio = excerpt(song, seconds)
        before = analyse(audio)
        cells = []
        for change in CHANGES:
            values = {f"master.{name}": value for name, value in change.items()}
            after = analyse(premaster(Stems(audio, {}), space.settings(values)))
            factor = after.loudness_range_lu / max(before.loudness_range_lu, 0.1)
            cells.append(f"×{factor:.2f}, {after.plr_db - before.plr_db:+.1f}")
        print(
            f"| {song.stem} | {before.loudness_range_lu:.1f}, {before.plr_db:.1f} | {' | '.join(cells)} |",
            flush=True,
        )


def measure_memory(song: Path, reference: Path) -> None:
    """Print what matchering takes."""
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder)
        both = [decode(path, inside / f"{number}.f32").audio for number, path in enumerate((song, reference))]
        begun = time.monotonic()
        match(*both, inside, lambda share: None)
        minutes = sum(audio.frames / audio.rate for audio in both) / 60
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{minutes:.1f} minutes of audio, {used.ru_maxrss / 1024:.0f} MB, {used.ru_utime:.0f} s of CPU time, "
        f"{time.monotonic() - begun:.0f} s"
    )


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("methods", "dynamics", "memory"))
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--split", choices=SPLITS, default="validation")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=25.0)
    arguments = parser.parse_args()
    if arguments.what == "memory":
        measure_memory(*arguments.files)
        return
    songs = list(pairs(arguments.corpus, arguments.split, arguments.count))
    if arguments.what == "methods":
        compare_ways(songs, arguments.seconds)
    else:
        calibrate_dynamics([song for song, _ in songs], arguments.seconds)


if __name__ == "__main__":
    main()
