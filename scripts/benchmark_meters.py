"""Our meter beside libebur128 and pyloudnorm: CPU time and difference, as a markdown table.

    python scripts/benchmark_meters.py [--minutes 4] [--rate 44100] [--rounds 5]

The signal is stereo noise bursts over a chord, clipped here and there. Times are the median CPU
seconds of one thread; libebur128 is the reference of the differences.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyebur128
import pyloudnorm

from mixagent.pipeline.decibels import amplitude_to_db
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.meters import integrated_lufs, measure
from mixagent.pipeline.types import Audio

Reading = tuple[float, float, float]


def signal(minutes: float, rate: int) -> Audio:
    """Stereo bursts over a chord with a slow swell, float32 (2, frames)."""
    rng = np.random.default_rng(1)
    t = np.arange(round(minutes * 60 * rate)) / rate
    chord = sum(np.sin(2 * np.pi * hz * t) for hz in (110.0, 277.2, 659.3)) * 0.1
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * t / 30)
    burst = rng.standard_normal((2, t.size)) * 0.7 * np.exp(-(t % 0.5) / 0.05)
    return Audio(np.clip(swell * (chord + burst), -0.98, 0.98).astype(np.float32), rate)


def by_ours(audio: Audio) -> Reading:
    """Integrated loudness, range and true peak by this project."""
    loudness = measure(audio)
    return loudness.integrated_lufs, loudness.range_lu, loudness.true_peak_dbtp


def by_libebur128(audio: Audio) -> Reading:
    """The same by libebur128."""
    mode = pyebur128.MeasurementMode
    state = pyebur128.R128State(audio.channels, audio.rate, mode.MODE_I | mode.MODE_LRA | mode.MODE_TRUE_PEAK)
    state.add_frames(np.ascontiguousarray(audio.samples.T).ravel(), audio.frames)
    peak = max(pyebur128.get_true_peak(state, channel) for channel in range(audio.channels))
    return (
        pyebur128.get_loudness_global(state),
        pyebur128.get_loudness_range(state),
        amplitude_to_db(peak),
    )


def integrated_by_libebur128(audio: Audio) -> Reading:
    """Integrated loudness alone by libebur128."""
    state = pyebur128.R128State(audio.channels, audio.rate, pyebur128.MeasurementMode.MODE_I)
    state.add_frames(np.ascontiguousarray(audio.samples.T).ravel(), audio.frames)
    return pyebur128.get_loudness_global(state), math.nan, math.nan


def integrated_by_pyloudnorm(audio: Audio) -> Reading:
    """Integrated loudness alone by pyloudnorm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pyloudnorm.Meter(audio.rate).integrated_loudness(audio.samples.T), math.nan, math.nan


def analysed(audio: Audio) -> Reading:
    """The whole analysis of this project."""
    analysis = analyse(audio)
    return analysis.integrated_lufs, analysis.loudness_range_lu, analysis.true_peak_dbtp


METERS: dict[str, Callable[[Audio], Reading]] = {
    "libebur128, I + LRA + TP": by_libebur128,
    "mixagent `measure`, I + LRA + TP": by_ours,
    "libebur128, I": integrated_by_libebur128,
    "pyloudnorm, I": integrated_by_pyloudnorm,
    "mixagent `integrated_lufs`, I": lambda audio: (integrated_lufs(audio), math.nan, math.nan),
    "mixagent `analyse`, everything": analysed,
}


def timed(meter: Callable[[Audio], Reading], audio: Audio, rounds: int) -> tuple[float, Reading]:
    """Median CPU seconds over the rounds, after one that compiles, and the reading."""
    meter(Audio(audio.samples[:, : 4 * audio.rate], audio.rate))
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        reading = meter(audio)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), reading


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=44100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON of how far ours is from libebur128")
    options = parser.parse_args()
    audio = signal(options.minutes, options.rate)
    results = {name: timed(meter, audio, options.rounds) for name, meter in METERS.items()}
    base_seconds, truth = results["libebur128, I + LRA + TP"]
    print(f"{options.minutes:g} minutes of stereo at {options.rate} Hz\n")
    print("| meter | CPU s | of libebur128's | ΔI, LU | ΔLRA, LU | ΔTP, dB |\n|---|---|---|---|---|---|")
    for name, (seconds, reading) in results.items():
        gaps = (f"{a - b:+.4f}" if math.isfinite(a) else "–" for a, b in zip(reading, truth, strict=True))
        print(f"| {name} | {seconds:.2f} | {seconds / base_seconds:.2f} | {' | '.join(gaps)} |")
    if options.output:
        _, reading = results["mixagent `measure`, I + LRA + TP"]
        apart = (abs(a - b) for a, b in zip(reading, truth, strict=True))
        ours = dict(zip(("integrated_lu", "range_lu", "true_peak_db"), apart, strict=True))
        options.output.write_text(json.dumps({"ours": ours}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
