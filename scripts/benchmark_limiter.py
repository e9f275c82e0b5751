"""The limiter beside `pedalboard.BrickwallLimiter(true_peak=True)` at equal loudness, as a Markdown table.

    python scripts/benchmark_limiter.py [--songs DIR] [--seconds 20]

Each limiter's drive is bisected until its output is as loud as the input driven 6 dB into the ceiling
by ours. Over is the highest true peak less the ceiling, by libebur128's filter and by an 8× meter of
512 taps a phase. Residual is what is left of the output after the input at its best-fitting gain is
taken away, over the whole (static) and in windows of 100 ms (local); for tones it is THD+N.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pedalboard
import soundfile
from scipy.signal import firwin, resample_poly

from mixagent.pipeline.audio import Audio, FloatArray, collect
from mixagent.pipeline.dsp.limiter import TruePeakLimiter
from mixagent.pipeline.meters import integrated_lufs, true_peak_dbtp
from mixagent.pipeline.streaming import process_blocks

CEILING_DBTP = -1.0
DRIVE_DB = 6.0
Limit = Callable[[FloatArray, int], FloatArray]


def ours(samples: FloatArray, rate: int) -> FloatArray:
    """Our limiter, latency compensated."""
    limiter = TruePeakLimiter(rate, samples.shape[0], CEILING_DBTP)
    return collect(process_blocks(Audio(samples, rate), [limiter]), rate, samples.shape[0]).samples


def theirs(samples: FloatArray, rate: int) -> FloatArray:
    """pedalboard's limiter as it comes, at the same ceiling; it compensates its own latency."""
    limiter = pedalboard.BrickwallLimiter(ceiling_db=CEILING_DBTP, true_peak=True)
    return np.asarray(limiter(samples, rate))


def driven(limit: Limit, dry: FloatArray, rate: int, lufs: float) -> FloatArray:
    """The dry signal through a limiter at the gain that gives `lufs`."""
    low, high = -12.0, 36.0
    while high - low > 0.005:
        middle = (low + high) / 2
        loudness = integrated_lufs(Audio(limit(amplified(dry, middle), rate), rate))
        low, high = (middle, high) if loudness < lufs else (low, middle)
    return limit(amplified(dry, low), rate)


def amplified(samples: FloatArray, gain_db: float) -> FloatArray:
    """Samples times a gain in dB."""
    return samples * np.float32(10 ** (gain_db / 20))


def residual_db(wet: FloatArray, dry: FloatArray, window: int) -> float:
    """Energy of wet that no gain of dry, fitted in each window, explains, in dB re wet."""
    left = total = 0.0
    for start in range(0, wet.shape[1], window):
        x = dry[:, start : start + window].astype(np.float64)
        y = wet[:, start : start + window].astype(np.float64)
        energy = float((x * x).sum())
        gain = float((x * y).sum()) / energy if energy else 0.0
        left, total = left + float(((y - gain * x) ** 2).sum()), total + float((y * y).sum())
    return 10 * np.log10(max(left, 1e-20) / max(total, 1e-20))


def eightfold_dbtp(samples: FloatArray) -> float:
    """True peak by 8× interpolation with 512 taps a phase."""
    taps = firwin(2 * 256 * 8 + 1, 1 / 8, window=("kaiser", 8.0))
    return max(
        20 * float(np.log10(np.abs(resample_poly(channel.astype(np.float64), 8, 1, window=taps)).max()))
        for channel in samples
    )


def synthesised(rate: int, seconds: float) -> Iterator[tuple[str, FloatArray]]:
    """Two tones, drums and full-scale noise, peaks at 0 dBFS or so."""
    t = np.arange(round(rate * seconds)) / rate
    rng = np.random.default_rng(0)
    low, high = np.sin(2 * np.pi * 50 * t), np.sin(2 * np.pi * 1000 * t)
    beat = t % 0.5
    drums = np.sin(2 * np.pi * 55 * beat) * np.exp(-beat * 12)
    drums += 0.7 * rng.standard_normal(t.size) * np.exp(-((t + 0.25) % 0.5) * 30)
    for name, mono in (
        ("50 Hz", low),
        ("50 Hz + 1 kHz", 0.7 * low + 0.3 * high),
        ("drums", drums / np.abs(drums).max()),
        ("white noise", rng.uniform(-1, 1, t.size)),
    ):
        yield name, np.stack([mono, mono]).astype(np.float32)


def songs(folder: Path, seconds: float) -> Iterator[tuple[str, FloatArray, int]]:
    """The middle of each song in a folder."""
    for path in sorted(folder.glob("*.mp3")):
        with soundfile.SoundFile(path) as file:
            frames = round(seconds * file.samplerate)
            file.seek(max((file.frames - frames) // 2, 0))
            yield path.stem, file.read(frames, dtype="float32", always_2d=True).T.copy(), file.samplerate


def row(name: str, dry: FloatArray, rate: int) -> str:
    """One signal's line of the table: ours and theirs in each cell."""
    dry = amplified(dry, CEILING_DBTP - true_peak_dbtp(Audio(dry, rate)))
    lufs = integrated_lufs(Audio(ours(amplified(dry, DRIVE_DB), rate), rate))
    cells = [name]
    wets = [driven(limit, dry, rate, lufs) for limit in (ours, theirs)]
    # A tone has settled after the first second; before that a limiter's gain is still on its way.
    kept = slice(rate, -rate // 10)
    for measure in (
        lambda wet: true_peak_dbtp(Audio(wet, rate)) - CEILING_DBTP,
        lambda wet: eightfold_dbtp(wet) - CEILING_DBTP,
        lambda wet: residual_db(wet[:, kept], dry[:, kept], wet.shape[1]),
        lambda wet: residual_db(wet[:, kept], dry[:, kept], rate // 10),
    ):
        cells.append(" / ".join(f"{measure(wet):+.2f}" for wet in wets))
    cells.append(
        " / ".join(f"{speed(limit, amplified(dry, DRIVE_DB), rate):.0f}" for limit in (ours, theirs))
    )
    return f"| {' | '.join(cells)} |"


def speed(limit: Limit, samples: FloatArray, rate: int) -> float:
    """Seconds of audio a second of processor time, the median of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        limit(samples, rate)
        times.append(time.process_time() - start)
    return samples.shape[1] / rate / sorted(times)[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    print(
        "| ours / pedalboard | over dB | over 8× dB | static residual dB | local residual dB | speed × |"
    )
    print("|---|---|---|---|---|---|")
    for name, samples in synthesised(44100, options.seconds):
        print(row(name, samples, 44100), flush=True)
    if options.songs:
        for name, samples, rate in songs(options.songs, options.seconds):
            print(row(name, samples, rate), flush=True)


if __name__ == "__main__":
    main()
