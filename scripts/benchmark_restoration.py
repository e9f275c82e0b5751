"""Measures the gain of the restoration stages: declipping on clipped songs, denoising on voices.

    python scripts/benchmark_restoration.py SONG... [--voice VOICE...] [--seconds 20]

Prints a Markdown table each. Declipping: a song is scaled, clipped 3, 6 and 12 dB under its own peak
and declipped; SDR is against the unclipped song. Denoising: white noise is added to each clean voice.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from mixagent.pipeline.decibels import db_to_amplitude, powers_to_db
from mixagent.pipeline.io import decode
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration.base import Restored
from mixagent.pipeline.restoration.table import REPAIRS, repaired
from mixagent.pipeline.types import Audio, AudioSource, FloatArray, load


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", nargs="*", type=Path)
    parser.add_argument("--voice", nargs="*", type=Path, default=[])
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    print("| song | clipped by dB | SDR clipped dB | SDR declipped dB | share of length |")
    print("|---|---|---|---|---|")
    for path in arguments.songs:
        for over_db in (3, 6, 12):
            print(_declipped(path, over_db, arguments.seconds), flush=True)
    print("\n| voice | SNR dB | SDR out dB | voice lost dB | share of length |")
    print("|---|---|---|---|---|")
    for path in arguments.voice:
        for snr_db in (40, 30, 20, 10):
            print(_denoised(path, snr_db, arguments.seconds), flush=True)


def _declipped(path: Path, over_db: float, seconds: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        clean = _excerpt(path, seconds, Path(folder))
        level = np.float32(np.abs(clean.samples).max() / db_to_amplitude(over_db))
        clipped = Audio(clean.samples.clip(-level, level), clean.rate)
        start = time.perf_counter()
        restored = _restored("declip", clipped, Path(folder))
        share = (time.perf_counter() - start) * clean.rate / clean.frames
        before, after = _sdr_db(clean, clipped), _sdr_db(clean, restored.audio)
    return f"| {path.stem} | {over_db} | {before:.1f} | {after:.1f} | {share:.3f} |"


def _denoised(path: Path, snr_db: float, seconds: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        clean = _excerpt(path, seconds, Path(folder))
        noise = np.random.default_rng(0).normal(size=clean.samples.shape) * clean.samples.std()
        noisy = clean.samples + (noise * db_to_amplitude(-snr_db)).astype(np.float32)
        start = time.perf_counter()
        restored = _restored("denoise", Audio(noisy, clean.rate), Path(folder))
        share = (time.perf_counter() - start) * clean.rate / clean.frames
        after = _sdr_db(clean, restored.audio)
    lost = restored.values.get("voice_loss_db", 0.0)
    return f"| {path.stem} | {snr_db} | {after:.1f} | {lost:.2f} | {share:.3f} |"


def _restored(name: str, source: AudioSource, folder: Path) -> Restored:
    done = repaired(REPAIRS[name], source, analyse(source), folder, lambda share: None)
    return Restored(source, False, "") if done is None else done[1]


def _excerpt(path: Path, seconds: float, folder: Path) -> Audio:
    song = decode(path, folder / "song.f32").audio
    middle = max(int(song.frames / 2 - seconds * song.rate / 2), 0)
    return Audio(song.read(middle, middle + int(seconds * song.rate)), song.rate)


def _sdr_db(truth: Audio, estimate: AudioSource) -> float:
    error: FloatArray = truth.samples - load(estimate).samples
    return float(powers_to_db(np.square(truth.samples).sum() / np.square(error).sum()))


if __name__ == "__main__":
    main()
