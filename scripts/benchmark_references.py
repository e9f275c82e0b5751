"""Compares the ways of following a reference.

    python scripts/benchmark_references.py methods --corpus CORPUS [--count 8]
    python scripts/benchmark_references.py memory SONG REFERENCE

`methods` takes songs of a split and a mate of the same package as the reference of each; every song also
comes damaged by all five pathologies. Each way is followed by the finaliser at the reference's loudness.
Printed are the distance to the reference in tone and width (RMS of third octaves), loudness range and peak
to loudness ratio, the loudness error, the true peak, and the share of the damage undone: how far the song
was from its original, and is now.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from benchmark_recovery import excerpt, share_undone

from mixagent.envs.corpus import SPLITS, Corpus
from mixagent.envs.pathologies import damage_all
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.finaliser.loop import finalise
from mixagent.pipeline.finished.measures import measure_song
from mixagent.pipeline.io.decoding import decode
from mixagent.pipeline.matching.chosen import band_of
from mixagent.pipeline.matching.matchering import match
from mixagent.pipeline.matching.profiles import (
    AnalysedSong,
    profile_of,
    tone_distance_db,
    width_distance_db,
)
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.measure.meters import true_peak_dbtp
from mixagent.pipeline.render import premaster
from mixagent.pipeline.types import Audio, Stems, load
from mixagent.policies.band import towards
from mixagent.policies.base import Decision
from mixagent.reward.recovery import Original
from mixagent.session.references import reference_target

Way = Callable[[Audio, Audio], Audio]
"""(song, reference) → the song matched."""


def by_band(amount: float) -> Way:
    """The answer to the reference's band, as much of it as `amount` says."""

    def followed(song: Audio, reference: Audio) -> Audio:
        wanted = profile_of("the reference", {"": analysed_song(reference)})
        neutral = Decision(ParameterSpace.for_stems(()).settings(), {})
        band = band_of(wanted, wanted, wanted)
        assert band is not None
        decision = towards(neutral, analysed_song(song).measures, band)
        return load(premaster(Stems(song, {}), decision.settings.scaled(amount)))

    return followed


def by_matchering(song: Audio, reference: Audio) -> Audio:
    """matchering without its limiter."""
    with tempfile.TemporaryDirectory() as folder:
        return load(match(song, reference, Path(folder), lambda share: None))


WAYS: dict[str, Way] = {
    "finaliser alone": lambda song, reference: song,
    "band, half": by_band(0.5),
    "band": by_band(1.0),
    **({"matchering": by_matchering} if find_spec("matchering") else {}),
}
"""By name; matchering where its package is here."""


def analysed_song(audio: Audio) -> AnalysedSong:
    """The measures of an excerpt."""
    analysis = analyse(audio)
    return AnalysedSong(analysis, measure_song(analysis, fingerprint(audio, analysis.integrated_lufs)))


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
        truth, wanted = Original(original), profile_of("", {"": analysed_song(reference)})
        target = reference_target(wanted, -1.0)
        for name, way in WAYS.items():
            for kind, audio in (("clean", original), ("damaged", damaged)):
                master = load(finalise(way(audio, reference), target, None).audio)
                got = analysed_song(master)
                figures[name, kind, "tone"].append(tone_distance_db(got.measures, wanted))
                figures[name, kind, "width"].append(width_distance_db(got.measures, wanted) or np.nan)
                for figure in ("loudness_range", "plr"):
                    apart = got.measures[figure] - wanted.measures[figure].mean
                    figures[name, kind, figure].append(abs(apart))
                off_lu = abs(got.analysis.integrated_lufs - target.integrated_lufs)
                figures[name, kind, "lufs"].append(off_lu)
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
        "| way | tone, clean | tone, damaged | width, clean | width, damaged | range, clean | PLR, clean "
        "| loudness off by at most | true peak at most | undone | moved from clean |"
    )
    print("|---|" + "--:|" * 10)
    for name in WAYS:
        cells = [
            f"{np.mean(figures[name, 'clean', 'tone']):.2f}",
            f"{np.mean(figures[name, 'damaged', 'tone']):.2f}",
            f"{np.nanmean(figures[name, 'clean', 'width']):.2f}",
            f"{np.nanmean(figures[name, 'damaged', 'width']):.2f}",
            f"{np.mean(figures[name, 'clean', 'loudness_range']):.2f}",
            f"{np.mean(figures[name, 'clean', 'plr']):.2f}",
            f"{max(figures[name, 'clean', 'lufs'] + figures[name, 'damaged', 'lufs']):.2f}",
            f"{max(figures[name, 'clean', 'peak'] + figures[name, 'damaged', 'peak']):.2f}",
            f"{100 * share_undone(figures[name, 'undone']):+.0f} %",
            f"{np.mean(figures[name, 'clean', 'distance']):.2f}",
        ]
        print(f"| {name} | {' | '.join(cells)} |")


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
    parser.add_argument("what", choices=("methods", "memory"))
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--split", choices=SPLITS, default="validation")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=25.0)
    arguments = parser.parse_args()
    if arguments.what == "memory":
        measure_memory(*arguments.files)
        return
    compare_ways(list(pairs(arguments.corpus, arguments.split, arguments.count)), arguments.seconds)


if __name__ == "__main__":
    main()
