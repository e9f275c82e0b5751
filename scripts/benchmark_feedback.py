"""Measures how often the feedback loop acts, on which figures, and its effect on recovery and finished songs.

`bands` prints the 5th, 50th and 95th percentile of what is steered over excerpts of training songs.
`masters` masters excerpts of validation songs with the loop and without it: as they are, as they are by
settings drawn at random, and damaged by all five pathologies. Printed are the distance to the original, for
damaged songs the share of it that was undone, and every change.

    python scripts/benchmark_feedback.py bands [--corpus DIR] [--count 130]
    python scripts/benchmark_feedback.py masters [--corpus DIR] [--count 8] [--policy rules] [--target loud]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmark_recovery import aligned, damages, share_undone, write

from mixagent.envs.corpus import Corpus, Split
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.feedback import song_figures
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.artefacts import harshness_db
from mixagent.pipeline.types import Audio
from mixagent.policies.base import Recorded
from mixagent.report.model import FeedbackSection
from mixagent.reward.recovery import Original
from mixagent.session.master import master_song
from mixagent.session.request import Request
from mixagent.settings import MOST_RENDERS, load_config

SECONDS = 31.0
PERCENTILES = (5, 50, 95)
KINDS = ("finished", "careless", "all five")
"""Finished songs by the policy and by settings drawn at random, and damaged songs."""

CARELESS = 0.3
"""Standard deviation of the random settings' actions."""


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("bands", "masters"))
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--policy", default="learned")
    parser.add_argument("--target", default="streaming")
    parser.add_argument("--separator", default="auto")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--severity", type=float, default=0.6)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.what == "bands":
        _print_bands(options)
    else:
        _print_masters(options)


def excerpts(corpus: Path | None, split: Split, count: int) -> Iterator[tuple[str, Audio]]:
    """The middles of `count` stereo songs, spread evenly over a split."""
    whole = Corpus.open(corpus)
    songs = [s for s in whole.songs(split) if s.kind == "song" and s.channels == 2 and s.duration_s > SECONDS]
    for place in np.unique(np.linspace(0, len(songs) - 1, count).round().astype(int)):
        song = songs[place]
        yield song.id, whole.segment(song, (song.duration_s - SECONDS) / 2, SECONDS)


def _print_bands(options: argparse.Namespace) -> None:
    found: dict[str, list[float]] = defaultdict(list)
    for _, audio in excerpts(options.corpus, "train", options.count):
        for name, value in song_figures(analyse(audio), harshness_db(audio)).items():
            found[name].append(value)
    print("| figure | songs | " + " | ".join(f"{p}th" for p in PERCENTILES) + " |\n|---|--:|--:|--:|--:|")
    for name, values in found.items():
        cells = " | ".join(f"{value:.1f}" for value in np.percentile(values, PERCENTILES))
        print(f"| {name} | {len(values)} | {cells} |")


def _print_masters(options: argparse.Namespace) -> None:
    distances: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    renders: dict[str, list[int]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MIXAGENT_CACHE"] = str(Path(folder) / "cache")
        for seed, (name, audio) in enumerate(excerpts(options.corpus, "validation", options.count)):
            half = Audio(audio.samples * np.float32(0.5), audio.rate)
            original = Original(half)
            worst = damages(half, options.severity, seed, True)["all five"]
            for kind in options.kinds:
                song = worst if kind == "all five" else half
                policy = careless(seed) if kind == "careless" else None
                before = original.distance(song).total
                for system, most in (("without", 1), ("with", MOST_RENDERS)):
                    feedback, master = _mastered(song, Path(folder), options, most, policy)
                    after = original.distance(aligned(master, half)).total
                    distances[system, kind].append((before, after))
                renders[kind].append(len(feedback.renders))
                _tell(f"{name[:24]} {kind}", feedback, distances, kind)
    _print_table(distances, renders)


def careless(seed: int) -> Recorded:
    """A policy that sets the master at random."""
    random = np.random.default_rng(seed)
    space = ParameterSpace.for_stems(())
    drawn = {p.name: p.value(random.normal(0.0, CARELESS)) for p in space if p.where == "master"}
    return Recorded("careless", space.settings(drawn).without_idle().changed(), {})


def _mastered(
    song: Audio, folder: Path, options: argparse.Namespace, renders: int, policy: Recorded | None
) -> tuple[FeedbackSection, Path]:
    """The report's section on the loop and the master; the renders that both have are found in the cache."""
    write(song, folder / "song.wav")
    config = load_config([f"policy.name={options.policy}", f"pipeline.separator={options.separator}"])
    config.pipeline.renders = renders
    config.experience.remember = False
    output = folder / "master.wav"
    request = Request(
        folder / "song.wav",
        output,
        loudness_target(options.target),
        bit_depth="32f",
        config=config,
        policy=policy,
    )
    with master_song(request) as result:
        assert result.report.feedback is not None
        return result.report.feedback, output


def _tell(
    song: str,
    feedback: FeedbackSection,
    distances: dict[tuple[str, str], list[tuple[float, float]]],
    kind: str,
) -> None:
    first, last = (distances[system, kind][-1][1] for system in ("without", "with"))
    pumping = feedback.renders[0].figures["pumping"]
    print(f"# {song}: pumping {pumping:.2f} dB, distance {first:.3f} to {last:.3f}; {feedback.ended}")
    for render in feedback.renders[1:]:
        for change in render.changes:
            print(f"#   {render.render}: {change.words}", flush=True)


def _print_table(
    distances: dict[tuple[str, str], list[tuple[float, float]]], renders: dict[str, list[int]]
) -> None:
    print(
        "\n| songs | undone or harm without, % | with, % | acted on | renders, mean |\n|---|--:|--:|--:|--:|"
    )
    for kind in renders:
        cells = [_figure(distances[system, kind], kind) for system in ("without", "with")]
        acted = sum(count > 1 for count in renders[kind])
        mean = np.mean(renders[kind])
        print(f"| {kind} | {cells[0]} | {cells[1]} | {acted} of {len(renders[kind])} | {mean:.2f} |")


def _figure(pairs: list[tuple[float, float]], kind: str) -> str:
    """The share of the distance undone; of finished songs, which have none, the distance put in."""
    if kind != "all five":
        return f"{np.mean([after for _, after in pairs]):.3f} (distance)"
    return f"{100 * share_undone(pairs):+.1f}"


if __name__ == "__main__":
    main()
