"""Measures the repair of artefacts: shimmer, codecs and finished songs, beside the input.

    python scripts/restoration/artefacts.py --corpus CORPUS [--songs 8] [--seconds 20] [--tables shimmer]

The songs are of the split `test`. Shimmer is that of `envs/pathologies.py`; its mechanism `smear` was kept
out of training, and so was MP3 among the codecs. A song in which the repair finds nothing stays as it is;
`--always` repairs it all the same.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from scipy import signal

from mixagent.envs.corpus import Corpus
from mixagent.envs.degradation.codecs import KEPT_APART, installed, through_codec
from mixagent.envs.pathologies import MECHANISMS, damage
from mixagent.pipeline.decibels import powers_to_db
from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration import artefacts
from mixagent.pipeline.restoration.base import Found
from mixagent.pipeline.types import Audio, FloatArray, load
from mixagent.reward.recovery import Original

RATES_KBPS = (32, 48, 64, 96, 128)
TABLES = ("shimmer", "codecs", "clean")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this table."""
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--split", default="test", choices=("test", "validation"))
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--severity", type=float, default=0.6)
    parser.add_argument("--always", action="store_true")
    parser.add_argument("--tables", nargs="*", default=TABLES, choices=TABLES)


def main(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    songs = list(_excerpts(arguments))
    if "shimmer" in arguments.tables:
        _shimmer(songs, arguments.severity, arguments.always)
    if "codecs" in arguments.tables:
        _codecs(songs, arguments.always)
    if "clean" in arguments.tables:
        _clean(songs, arguments.always)


class _Result(NamedTuple):
    audio: Audio
    found: bool
    share: float


def _excerpts(arguments: argparse.Namespace) -> Iterator[Audio]:
    corpus = Corpus.open(arguments.corpus)
    rows = [
        song
        for song in corpus.songs(arguments.split, "rough input")
        if song.rate >= 44100 and song.bandwidth_hz > 14000 and song.duration_s > arguments.seconds + 10
    ]
    for index in np.linspace(0, len(rows) - 1, arguments.songs).astype(int):
        song = rows[index]
        yield corpus.segment(song, (song.duration_s - arguments.seconds) / 2, arguments.seconds)


def repaired(audio: Audio, always: bool) -> _Result:
    """A song repaired where anything was found in it, and the share of its length that it took."""
    analysis, begun = analyse(audio), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        found = artefacts.find(audio, analysis, lambda _: None)
        result = audio
        if found or always:
            restored = artefacts.run(audio, found or Found(""), Path(folder), lambda _: None)
            amount = np.float32(found.amount if found else 1.0)
            result = Audio(
                audio.samples + amount * (load(restored.audio).samples - audio.samples), audio.rate
            )
    return _Result(result, found is not None, (time.process_time() - begun) * audio.rate / audio.frames)


def _shimmer(songs: Sequence[Audio], severity: float, always: bool) -> None:
    print("| mechanism | found | undone | tone | texture | punch | excess dB | left dB | lost dB | time |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for mechanism in MECHANISMS["shimmer"]:
        rows = defaultdict[str, list[float]](list)
        for index, clean in enumerate(songs):
            damaged = damage(clean, "shimmer", severity, mechanism.name, seed=100 + index)
            result = repaired(damaged, always)
            undone = Original(clean).recovery(damaged, result.audio)
            for name, value in undone.items():
                rows[name].append(value)
            rows["found"].append(result.found)
            rows["time"].append(result.share)
            before, after = (_high_db(audio) - _high_db(clean) for audio in (damaged, result.audio))
            rows["excess"].append(float(np.max(before)))
            rows["left"].append(float(after[np.argmax(before)]))
            rows["lost"].append(float(np.min(after)))
        mean = {name: float(np.nanmean(values)) for name, values in rows.items()}
        print(
            f"| {mechanism.name} | {mean['found']:.2f} | {mean['total']:.2f} ({min(rows['total']):.2f}) | "
            f"{mean['tone']:.2f} | {mean['texture']:.2f} | {mean['punch']:.2f} | {mean['excess']:.1f} | "
            f"{mean['left']:.1f} | {min(rows['lost']):.1f} | {mean['time']:.3f} |",
            flush=True,
        )


def _high_db(audio: Audio) -> FloatArray:
    """Power between 5 and 14 kHz by third octaves, dB."""
    hz, power = signal.welch(audio.samples, audio.rate, nperseg=4096)
    edges = 5000 * 2 ** (np.arange(0, 5) / 3)
    sums = [power[:, (hz >= low) & (hz < high)].sum() for low, high in itertools.pairwise(edges)]
    return np.asarray(powers_to_db(np.array(sums) + 1e-12), np.float32)


def _codecs(songs: Sequence[Audio], always: bool) -> None:
    print("| codec | kb/s | found | SI-SDR dB | repaired | band error dB | repaired | ViSQOL | repaired |")
    print("|---|---|---|---|---|---|---|---|---|")
    for codec in (*installed(), *KEPT_APART):
        for kbps in RATES_KBPS:
            if codec == "vorbis" and kbps < 48:
                continue
            rows = []
            for clean in songs:
                damaged = through_codec(clean, codec, kbps)
                result = repaired(damaged, always)
                cut_hz = _end_hz(damaged)
                rows.append(
                    [
                        float(result.found),
                        *(_si_sdr_db(clean, audio, cut_hz) for audio in (damaged, result.audio)),
                        *(_band_error_db(clean, audio, cut_hz) for audio in (damaged, result.audio)),
                        *(_visqol(clean, audio) for audio in (damaged, result.audio)),
                    ]
                )
            mean = np.mean(rows, axis=0)
            print(
                f"| {codec} | {kbps} | {mean[0]:.2f} | " + " | ".join(f"{m:.2f}" for m in mean[1:]) + " |",
                flush=True,
            )


def _clean(songs: Sequence[Audio], always: bool) -> None:
    print("| found | band change dB, mean | most | time |")
    print("|---|---|---|---|")
    rows = []
    for clean in songs:
        result = repaired(clean, always)
        change = np.abs(_high_db(result.audio) - _high_db(clean))
        rows.append([float(result.found), float(change.mean()), float(change.max()), result.share])
    mean, most = np.mean(rows, axis=0), np.max(rows, axis=0)
    print(f"| {mean[0]:.2f} | {mean[1]:.2f} | {most[2]:.2f} | {mean[3]:.3f} |")


def _end_hz(audio: Audio) -> float:
    """The frequency under which all but a ten-millionth of the power lies, 60 dB under the loudest band."""
    hz, power = signal.welch(audio.samples.mean(axis=0), audio.rate, nperseg=2048)
    return float(hz[np.flatnonzero(power > 1e-7 * power.max())[-1]])


def _under(audio: Audio, hz: float) -> FloatArray:
    if hz > 0.45 * audio.rate:
        return audio.samples
    filtered = signal.sosfiltfilt(signal.butter(8, hz * 0.95, fs=audio.rate, output="sos"), audio.samples)
    return np.asarray(filtered, np.float32)


def _si_sdr_db(clean: Audio, audio: Audio, cut_hz: float) -> float:
    truth, estimate = _under(clean, cut_hz), _under(audio, cut_hz)
    target = truth * (np.vdot(truth, estimate) / np.vdot(truth, truth))
    return float(powers_to_db(np.vdot(target, target) / np.vdot(estimate - target, estimate - target)))


def _band_error_db(clean: Audio, audio: Audio, cut_hz: float) -> float:
    """Mean difference of a sixth octave's level in 23 ms, below the cut, floored 70 dB under the song."""
    from mixagent.pipeline.restoration import artefact_bands as bands

    powers = [bands.band_powers(bands.forward(one.samples)) for one in (clean, audio)]
    floor = 1e-7 * powers[0].sum((0, 1)).mean()
    below = np.arange(bands.BANDS) < np.searchsorted(bands.CENTRES_HZ, cut_hz)
    apart = powers_to_db((powers[1][:, below] + floor) / (powers[0][:, below] + floor))
    return float(np.abs(apart).mean())


def _visqol(clean: Audio, audio: Audio) -> float:
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, one in (("clean", clean), ("audio", audio)):
            samples = resample(one, 48000).read(0, 48000 * 3600).mean(axis=0)
            paths.append(str(Path(folder) / f"{name}.wav"))
            soundfile.write(paths[-1], samples, 48000)
        return float(_judge().measure(*paths).moslqo)


@lru_cache
def _judge() -> Any:
    from visqol import VisqolApi  # an evaluation tool, not a dependency

    judge = VisqolApi()
    judge.create(mode="audio")
    return judge


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_arguments(parser)
    main(parser.parse_args())
