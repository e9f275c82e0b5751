"""Measures the share of known damage that each system undoes, on the same excerpts in one run.

Finished songs are damaged by each pathology and by all five at once; every system masters the
damaged file, and the share of the distance to the original that it undid is printed by dimension.
Renders are aligned to the original before they are scored, so that latency costs nobody anything.

    python scripts/benchmark_recovery.py --songs DIR [DIR …] [--count 10] [--severity 0.6]
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from peers import PEERS
from scipy.signal import correlate

from mixagent.envs.pathologies import KINDS, damage, damage_all, validation_mechanism
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.types import Audio
from mixagent.reward.recovery import DIMENSIONS, Original
from mixagent.session.master import master_song
from mixagent.session.request import Request
from mixagent.settings import load_config

System = Callable[[Path, Path, Path], None]
Table = dict[tuple[str, str, str], list[tuple[float, float]]]
"""(system, damage, dimension) → distance before and after, song by song."""

SUFFIXES = (".mp3", ".ogg", ".flac", ".wav")


def mixagent(policy: str) -> System:
    """mixagent with one of its policies."""

    def run(song: Path, output: Path, _reference: Path) -> None:
        config = load_config([f"policy={policy}"])
        with master_song(Request(song, output, loudness_target("streaming"), config=config)):
            pass

    return run


def find_songs(folders: list[Path], count: int, seconds: float) -> list[Path]:
    """`count` songs long enough for an excerpt, spread evenly over the sorted list."""
    found = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix in SUFFIXES)
    usable = [p for p in found if _usable(p, seconds)]
    if len(usable) < count:
        raise SystemExit(f"{len(usable)} usable songs found, {count} wanted")
    return [usable[i] for i in np.linspace(0, len(usable) - 1, count).round().astype(int)]


def _usable(path: Path, seconds: float) -> bool:
    try:
        info = sf.info(path)
    except sf.LibsndfileError:
        return False
    return info.channels == 2 and info.samplerate >= 32000 and info.duration >= seconds + 20


def genre_near(song: Path, otherwise: Path, seconds: float) -> Path:
    """A finished song of the same collection for matchering to match, or `otherwise`."""
    beside = sorted(p for p in song.parent.iterdir() if p.suffix in SUFFIXES and p != song)
    return next((p for p in beside if _usable(p, seconds)), otherwise)


def excerpt(path: Path, seconds: float) -> Audio:
    """The middle of a song, at half scale so that damage has headroom in a file."""
    info = sf.info(path)
    start = int((info.duration - seconds) / 2 * info.samplerate)
    samples, rate = sf.read(path, int(seconds * info.samplerate), start, dtype="float32", always_2d=True)
    return Audio(np.ascontiguousarray(samples.T) * np.float32(0.5), rate)


def damages(original: Audio, severity: float, seed: int, validation: bool) -> dict[str, Audio]:
    """The excerpt damaged by each pathology and by all five."""
    each = {
        kind: damage(original, kind, severity, validation_mechanism(kind) if validation else None, seed)
        for kind in KINDS
    }
    return {**each, "all five": damage_all(original, severity, seed, validation)}


def write(audio: Audio, path: Path) -> None:
    """A float file, so that damage beyond full scale reaches every system alike."""
    sf.write(path, audio.samples.T, audio.rate, "FLOAT")


def aligned(path: Path, original: Audio) -> Audio:
    """A render at the original's length, shifted by the lag (up to 0.1 s) that fits it best."""
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    if rate != original.rate:
        raise ValueError(f"{path.name} came back at {rate} Hz")
    lag = _lag(samples.mean(axis=1), original.samples.mean(axis=0), rate)
    shifted = np.zeros_like(original.samples)
    part = samples.T[:, max(lag, 0) : max(lag, 0) + original.frames]
    start = max(-lag, 0)
    part = part[:, : original.frames - start]
    shifted[:, start : start + part.shape[1]] = part
    return Audio(shifted, rate)


def _lag(render: NDArray[np.float32], original: NDArray[np.float32], rate: int) -> int:
    frames = min(render.size, original.size, 10 * rate)
    product = correlate(render[:frames], original[:frames], mode="full", method="fft")
    middle, reach = frames - 1, rate // 10
    return int(np.argmax(np.abs(product[middle - reach : middle + reach + 1]))) - reach


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--severity", type=float, default=0.6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validation", action="store_true", help="mechanisms kept for validation")
    parser.add_argument("--systems", nargs="+", default=["rules", "neutral", *PEERS])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    systems = {name: PEERS.get(name) or mixagent(name) for name in options.systems}
    songs = find_songs(options.songs, options.count, options.seconds)
    table = _run(systems, songs, options)
    _print(table, list(systems), [*KINDS, "all five"])


def _run(systems: dict[str, System], songs: list[Path], options: argparse.Namespace) -> Table:
    table: Table = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, song in enumerate(songs):
            original = Original(excerpt(song, options.seconds))
            reference = folder / "reference.wav"
            write(excerpt(genre_near(song, songs[number - 1], options.seconds), options.seconds), reference)
            seed = options.seed + number
            for kind, audio in damages(original.audio, options.severity, seed, options.validation).items():
                write(audio, folder / "damaged.wav")
                before = original.distance(audio)
                for system, run in systems.items():
                    run(folder / "damaged.wav", folder / "master.wav", reference)
                    after = original.distance(aligned(folder / "master.wav", original.audio))
                    for what in (*DIMENSIONS, "total"):
                        table[system, kind, what].append((getattr(before, what), getattr(after, what)))
                    print(
                        f"# {song.name[:40]} {kind} {system} {before.total:.2f} {after.total:.2f}", flush=True
                    )
    return table


def share_undone(pairs: list[tuple[float, float]]) -> float:
    """Share of the distance undone, summed over songs so that a song hardly damaged weighs little."""
    before, after = np.sum(pairs, axis=0)
    return float(1.0 - after / before)


def _print(table: Table, systems: list[str], kinds: list[str]) -> None:
    print("\nShare of the distance to the original undone, over all songs (%; positive is better)\n")
    print("| system | " + " | ".join(kinds) + " | mean |")
    print("|---|" + "--:|" * (len(kinds) + 1))
    for system in systems:
        shares = [share_undone(table[system, kind, "total"]) for kind in kinds]
        cells = " | ".join(f"{100 * share:+.0f}" for share in [*shares, np.mean(shares)])
        print(f"| {system} | {cells} |")
    print("\nBy dimension, all five at once\n")
    print("| system | " + " | ".join(DIMENSIONS) + " |")
    print("|---|" + "--:|" * len(DIMENSIONS))
    for system in systems:
        cells = " | ".join(f"{100 * share_undone(table[system, kinds[-1], d]):+.0f}" for d in DIMENSIONS)
        print(f"| {system} | {cells} |")


if __name__ == "__main__":
    main()
