"""How many made glitches are found, how many are seen in clean music, and how well gaps are filled.

python scripts/restoration/glitches.py --corpus CORPUS --store STORE [--only hits,alarms,gaps]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from music_store import RATE, Music
from restoration.masking import DISTURBED_DB, over_mask_db, seam_over_mask_db

from mixagent.envs.corpus import Corpus
from mixagent.pipeline.io import resample
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration import inpaint
from mixagent.pipeline.restoration.declick import find as find_clicks
from mixagent.pipeline.restoration.gap_filling import Neighbourhood, filled, neighbourhoods
from mixagent.pipeline.restoration.inpainting_network import (
    PASSAGES,
    InpaintingNetwork,
    continued,
    load_network,
)
from mixagent.pipeline.restoration.passages import Frames, Song, measure_levels
from mixagent.pipeline.types import Audio, FloatArray, load

_EXCERPT_S = 8.0
_GAP_MS = (20, 50, 100, 200, 500)
_AROUND_S = 0.046
_FLOOR = 1e-9

Random = np.random.Generator
Maker = Callable[[FloatArray, int, float, Random], tuple[FloatArray, int, int]]


def _click(x: FloatArray, at: int, frames: float, random: Random) -> tuple[FloatArray, int, int]:
    """A pulse, a hump or a burst of so many frames, 0 to 12 dB under the peak of the second around."""
    n = int(frames)
    shapes = (np.ones(n), np.hanning(n + 2)[1:-1], random.normal(size=n) * np.exp(-2 * np.arange(n) / n))
    shape = shapes[int(random.integers(3))]
    peak = np.abs(x[:, at - RATE // 2 : at + RATE // 2]).max() * 10 ** (random.uniform(-12, 0) / 20)
    y = x.copy()
    y[_channels(random), at : at + n] += (random.choice([-1, 1]) * peak * shape / np.abs(shape).max()).astype(
        "f4"
    )
    return np.clip(y, -1, 1), at, at + n


def _channels(random: Random) -> slice:
    """Both channels, or a third of the time one."""
    one = int(random.integers(2))
    return slice(one, one + 1) if random.random() < 1 / 3 else slice(None)


def _dropout(x: FloatArray, at: int, ms: float, random: Random) -> tuple[FloatArray, int, int]:
    """Silence, or 40 dB less, with hard ends or ends of half a millisecond."""
    n, fade = round(ms * RATE / 1000), RATE // 2000
    gain = np.full(n, random.choice([0, 0.01]))
    if random.random() < 0.5:
        gain[:fade] = np.linspace(1, gain[-1], fade)
        gain[-fade:] = gain[:fade][::-1]
    y = x.copy()
    y[_channels(random), at : at + n] *= gain.astype(np.float32)
    return y, at, at + n


def _burst(x: FloatArray, at: int, ms: float, random: Random) -> tuple[FloatArray, int, int]:
    """Noise, a square wave or a snatch of something else, in the music's stead or over it."""
    n = round(ms * RATE / 1000)
    time = np.arange(n) / RATE
    kinds = (
        random.normal(size=n),
        np.sign(np.sin(2 * np.pi * random.uniform(300, 3000) * time)),
        np.sin(2 * np.pi * random.uniform(200, 8000) * time * (1 + 4 * time)) + 0.3 * random.normal(size=n),
    )
    kind = kinds[int(random.integers(3))]
    rms = np.sqrt(np.mean(x[:, at - RATE // 10 : at + n + RATE // 10] ** 2))
    kind *= rms * 10 ** (random.uniform(0, 9) / 20) / np.sqrt(np.mean(kind**2))
    y = x.copy()
    if random.random() < 0.5:
        y[:, at : at + n] = 0
    y[:, at : at + n] += kind.astype(np.float32)
    return np.clip(y, -1, 1), at, at + n


def _repeat(x: FloatArray, at: int, ms: float, random: Random) -> tuple[FloatArray, int, int]:
    """A frame that comes twice, put in or in the next one's stead."""
    n = round(ms * RATE / 1000)
    behind = at + (n if random.random() < 0.5 else 0)
    y = np.concatenate([x[:, :at], x[:, at - n : at], x[:, behind:]], axis=1)
    return np.ascontiguousarray(y[:, : x.shape[1]]), at, at + (n if behind > at else 0)


def _skip(x: FloatArray, at: int, ms: float, random: Random) -> tuple[FloatArray, int, int]:
    del random
    n = round(ms * RATE / 1000)
    return np.ascontiguousarray(np.concatenate([x[:, :at], x[:, at + n :]], axis=1)), at, at


def _jump(x: FloatArray, at: int, level_db: float, random: Random) -> tuple[FloatArray, int, int]:
    n = int(random.uniform(0.3, 2) * RATE)
    y = x.copy()
    y[:, at : at + n] *= np.float32(10 ** (level_db / 20))
    return np.clip(y, -1, 1), at, at + n


@dataclass(frozen=True)
class Kind:
    """A kind of glitch: its sizes, what they are counted in, and what makes one."""

    name: str
    unit: str
    sizes: tuple[float, ...]
    make: Maker


KINDS = (
    Kind("click", "samples", (1, 3, 10, 25, 50), _click),
    Kind("dropout", "ms", (5, 20, 100, 500), _dropout),
    Kind("foreign burst", "ms", (5, 20, 100), _burst),
    Kind("repeated frame", "ms", (10, 23, 50), _repeat),
    Kind("skipped frame", "ms", (10, 23, 50), _skip),
    Kind("jump of level", "dB", (-12, -6, 6), _jump),
)
SEAMS = ("repeated frame", "skipped frame")


def audible(kind: Kind, x: FloatArray, hurt: FloatArray, start: int, stop: int) -> bool:
    """True if a glitch is over the masked threshold by what BS.1387 counts as a disturbance.

    What is heard of a frame put in or left out is what its seams add to the spectrum; of all else, whatever
    differs from the music as it was.
    """
    if kind.name in SEAMS:
        return any(seam_over_mask_db(hurt, at, RATE) > DISTURBED_DB for at in {start, stop})
    near = slice(start - RATE // 10, stop + RATE // 10)
    return over_mask_db(hurt[:, near], x[:, near], RATE) > DISTURBED_DB


def _excerpts(corpus: Corpus, count: int, seconds: float, random: Random) -> Iterator[FloatArray]:
    songs = list(corpus.songs("test", "clean truth"))
    for k in range(count):
        song = songs[k % len(songs)]
        start = random.uniform(0, max(song.duration_s - seconds, 0))
        samples = load(resample(corpus.segment(song, start, seconds), RATE)).samples
        yield np.ascontiguousarray(
            np.broadcast_to(samples, (2, samples.shape[1])) if len(samples) == 1 else samples
        )


def _nop(_: float) -> None:
    pass


def hits(corpus: Corpus, count: int) -> None:
    """Print how many made glitches are found."""
    random = np.random.default_rng(0)
    rows = defaultdict[tuple[str, float], list[tuple[bool, bool]]](list)
    for x in _excerpts(corpus, count, _EXCERPT_S, random):
        for kind in KINDS:
            for size in kind.sizes:
                at = int(random.integers(2 * RATE, x.shape[1] - 4 * RATE))
                if np.sqrt(np.mean(x[:, at - 882 : at + 882] ** 2)) < 0.01:
                    continue
                hurt, start, stop = kind.make(x, at, size, random)
                heard = audible(kind, x, hurt, start, stop)
                rows[kind.name, size].append((heard, _is_found(hurt, start, stop)))
    print("| glitch | size | made | audible | found of audible | found of all |\n|---|---|---|---|---|---|")
    for kind in KINDS:
        for size in kind.sizes:
            pairs = rows[kind.name, size]
            of_audible = [found for heard, found in pairs if heard]
            share = f"{100 * np.mean(of_audible):.0f} %" if of_audible else "–"
            everything = f"{100 * np.mean([found for _, found in pairs]):.0f} %"
            cells = (kind.name, f"{size:g} {kind.unit}", len(pairs), len(of_audible), share, everything)
            print(f"| {' | '.join(str(cell) for cell in cells)} |")


def _is_found(hurt: FloatArray, start: int, stop: int) -> bool:
    near = RATE // 100
    audio = Audio(hurt, RATE)
    analysis = analyse(audio)
    found, clicks = inpaint.find(audio, analysis, _nop), find_clicks(audio, analysis, _nop)
    told = found.details["glitches"] if found else []
    stretches = [(g["start"], g["stop"]) for g in told]
    stretches += [(n, n + 1) for _, n in clicks.details["clicks"]] if clicks else []
    return any(first < stop + near and last > start - near for first, last in stretches)


def alarms(store: Path, minutes: float) -> None:
    """Print what is found in clean music: the validation songs of a store."""
    music = Music.of(store, "validation")
    counts, frames = defaultdict[str, int](int), 0
    begun, analysis = time.process_time(), analyse(Audio(np.zeros((2, RATE), np.float32), RATE))
    for song in music.songs:
        if frames >= minutes * 60 * RATE:
            break
        samples = np.asarray(song, np.float32) / np.float32(32767)
        audio = Audio(samples, RATE)
        found = inpaint.find(audio, analysis, _nop)
        frames += samples.shape[1]
        for glitch in found.details["glitches"] if found else ():
            counts[glitch["kind"]] += 1
    spent, lasted = time.process_time() - begun, frames / RATE / 60
    print("| kind | false alarms in 10 minutes |\n|---|---|")
    for kind in sorted(counts):
        print(f"| {kind} | {10 * counts[kind] / lasted:.2f} |")
    print(f"| all | {10 * sum(counts.values()) / lasted:.2f} |\n")
    print(f"{lasted:.0f} minutes, read in {spent:.0f} s of a core.")


def gaps(corpus: Corpus, count: int) -> None:
    """Print how well gaps are filled, with what stands against it."""
    random = np.random.default_rng(0)
    rows = defaultdict[tuple[int, str], list[tuple[float, ...]]](list)
    net, frames = load_network(), Frames.at(RATE)
    for x in _excerpts(corpus, count, 45.0, random):
        for ms in _GAP_MS:
            n = round(ms * RATE / 1000)
            for _ in range(20):
                start = int(random.integers(3 * RATE, x.shape[1] - 4 * RATE))
                if np.sqrt(np.mean(x[:, start : start + n] ** 2)) > 3e-3:
                    break
            stop = start + n
            hurt = x.copy()
            hurt[:, start:stop] = 0
            source = Audio(hurt, RATE)
            song = Song(source, 0, source.frames, [(start, stop)])
            for name, fill in _ways(source, song, start, stop, net).items():
                begun = time.process_time()
                y = fill()
                spent = time.process_time() - begun
                made = x.copy()
                made[:, start:stop] = y
                rows[ms, name].append((*_judged(x, made, start, stop, frames), spent))
    print(
        "| gap | way | log-spectral distance | SDR, dB | spread against the original's, dB | seam, dB | s |"
    )
    print("|---|---|---|---|---|---|---|")
    for (ms, name), values in rows.items():
        distance, sdr, spread, seam, spent = np.mean(values, axis=0)
        moved = "–" if np.isnan(spread) else f"{spread:+.1f}"
        print(f"| {ms} ms | {name} | {distance:.2f} | {sdr:.1f} | {moved} | {seam:+.1f} | {spent:.2f} |")


def _ways(
    source: Audio, song: Song, start: int, stop: int, net: InpaintingNetwork
) -> dict[str, Callable[[], FloatArray]]:
    near = neighbourhoods(source, song, start, stop, PASSAGES)
    best = near[0]
    alone = Neighbourhood(best.samples, best.start, best.stop)
    ways: dict[str, Callable[[], FloatArray]] = {"Janssen": lambda: filled(alone, RATE)}
    if best.passage is None:
        return ways
    passage = best.passage
    ways["best passage"] = lambda: passage[:, best.start : best.stop]
    ways["best passage, seams predicted"] = lambda: filled(best, RATE)
    ways["network"] = lambda: filled(best, RATE, continued(net, near, RATE, start))
    return ways


def _judged(x: FloatArray, made: FloatArray, start: int, stop: int, frames: Frames) -> tuple[float, ...]:
    far = round(_AROUND_S * RATE)
    mid, guess = x.mean(axis=0), made.mean(axis=0)
    wide = slice(start - far, stop + far)
    error = np.sum((mid[start:stop] - guess[start:stop]) ** 2)
    sdr = 10 * np.log10((np.sum(mid[start:stop] ** 2) + 1e-9) / (error + 1e-9))
    spread = float("nan")
    if stop - start >= 4 * frames.hop:
        truth, levels = (measure_levels(a[:, start:stop], frames)[0].std(axis=1).mean() for a in (x, made))
        spread = float(levels - truth)
    ends = [slice(at - RATE // 1000, at + RATE // 1000) for at in (start, stop)]
    seams = [np.sum(np.diff(a[e], 3) ** 2) + 1e-9 for e in ends for a in (guess, mid)]
    seam = 5 * np.log10(seams[0] / seams[1]) + 5 * np.log10(seams[2] / seams[3])
    return log_spectral_distance(mid[wide], guess[wide]), float(sdr), spread, float(seam)


def log_spectral_distance(x: FloatArray, y: FloatArray) -> float:
    """Between two signals, in powers of ten: windows of 46 ms, a quarter apart, power floor 1e-9."""
    logs = []
    for signal in (x, y):
        windows = np.lib.stride_tricks.sliding_window_view(signal, 2048)[::512] * np.hanning(2049)[:-1]
        logs.append(np.log10(np.abs(np.fft.rfft(windows, axis=1)) ** 2 + _FLOOR))
    return float(np.sqrt(np.mean((logs[0] - logs[1]) ** 2, axis=1)).mean())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `main`."""
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--only", default="hits,alarms,gaps")
    parser.add_argument("--songs", type=int, default=24)
    parser.add_argument("--minutes", type=float, default=60.0)


def main(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    only = arguments.only.split(",")
    if "hits" in only:
        hits(Corpus.open(arguments.corpus), arguments.songs)
    if "alarms" in only:
        alarms(arguments.store, arguments.minutes)
    if "gaps" in only:
        gaps(Corpus.open(arguments.corpus), arguments.songs)


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_arguments(_parser)
    main(_parser.parse_args())
