"""The limiter beside `pedalboard.BrickwallLimiter(true_peak=True)` at equal loudness, as a Markdown table.

    python scripts/benchmark_limiter.py [--songs DIR] [--count 4] [--seconds 15]

An input is normalised to the ceiling in true peak. Pedalboard's ceiling is lowered until its true peak
by an 8× meter is under the same ceiling, then it is driven 3 and 6 dB: that gives a loudness that both
can reach, and our drive is searched for it. Songs also meet at −9 LUFS. Over is the highest true peak
less the ceiling, by libebur128's filter and by the 8× meter. Residual is what is left of the output,
in dB, after the input at its best gain in each 50 ms (local) or through its best linear filter (static).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pedalboard
import soundfile
from scipy.signal import csd, firwin, resample_poly

from mixagent.pipeline.audio import Audio, FloatArray, collect
from mixagent.pipeline.dsp.limiter import TruePeakLimiter
from mixagent.pipeline.meters import integrated_lufs, true_peak_dbtp
from mixagent.pipeline.streaming import process_blocks

CEILING_DBTP = -1.0
DRIVES_DB = (3.0, 6.0)
SONG_LUFS = -9.0
TOLERANCE_LU = 0.02
Limit = Callable[[FloatArray, int], FloatArray]


def ours(samples: FloatArray, rate: int) -> FloatArray:
    """Our limiter, latency compensated."""
    limiter = TruePeakLimiter(rate, samples.shape[0], CEILING_DBTP)
    return collect(process_blocks(Audio(samples, rate), [limiter]), rate, samples.shape[0]).samples


def theirs(samples: FloatArray, rate: int, ceiling_dbtp: float = CEILING_DBTP) -> FloatArray:
    """pedalboard's limiter; it compensates its own latency."""
    limiter = pedalboard.BrickwallLimiter(ceiling_db=ceiling_dbtp, true_peak=True)
    return np.asarray(limiter(samples, rate))


def theirs_under(samples: FloatArray, rate: int) -> FloatArray:
    """pedalboard's limiter with the margin that keeps the 8× meter under the ceiling."""
    over_db = eightfold_dbtp(theirs(samples, rate)) - CEILING_DBTP
    return theirs(samples, rate, CEILING_DBTP - max(over_db, 0.0))


def driven(limit: Limit, dry: FloatArray, rate: int, lufs: float) -> FloatArray:
    """The dry signal through a limiter at the gain that gives `lufs`, by bisection."""
    low, high = -3.0, 21.0
    for _ in range(12):
        middle = (low + high) / 2
        wet = limit(amplified(dry, middle), rate)
        short_by = lufs - integrated_lufs(Audio(wet, rate))
        if abs(short_by) <= TOLERANCE_LU:
            break
        low, high = (middle, high) if short_by > 0 else (low, middle)
    return wet


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


def filtered_residual_db(wet: FloatArray, dry: FloatArray) -> float:
    """Energy of wet that no fixed linear filter of dry explains, in dB re wet, from the coherence."""
    left = total = 0.0
    for x, y in zip(dry, wet, strict=True):
        cross, of_dry, of_wet = (csd(*pair, nperseg=1024)[1] for pair in ((x, y), (x, x), (y, y)))
        left += float((of_wet.real - np.abs(cross) ** 2 / np.maximum(of_dry.real, 1e-20)).sum())
        total += float(of_wet.real.sum())
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


def songs(folder: Path, seconds: float, count: int) -> Iterator[tuple[str, FloatArray, int]]:
    """The middle of the first songs of a folder."""
    for path in sorted(folder.glob("*.mp3"))[:count]:
        with soundfile.SoundFile(path) as file:
            frames = round(seconds * file.samplerate)
            file.seek(max((file.frames - frames) // 2, 0))
            yield path.stem, file.read(frames, dtype="float32", always_2d=True).T.copy(), file.samplerate


def rows(name: str, dry: FloatArray, rate: int, lufs: float | None = None) -> Iterator[str]:
    """One signal's lines of the table."""
    dry = amplified(dry, CEILING_DBTP - eightfold_dbtp(dry))
    for drive_db in DRIVES_DB:
        wet = theirs_under(amplified(dry, drive_db), rate)
        yield row(f"{name}, {drive_db:g} dB", dry, wet, rate)
    if lufs is not None:
        yield row(f"{name}, {lufs:g} LUFS", dry, driven(theirs_under, dry, rate, lufs), rate)


def row(name: str, dry: FloatArray, reference: FloatArray, rate: int) -> str:
    """One line: ours and theirs, as loud as each other, in each cell."""
    lufs = integrated_lufs(Audio(reference, rate))
    wets = (driven(ours, dry, rate, lufs), reference)
    # Before the first second a limiter's gain is still on its way.
    kept = slice(rate, -rate // 10)
    gained = lufs - integrated_lufs(Audio(dry, rate))
    cells = [name, f"{gained:+.2f}"]
    for measure in (
        lambda wet: true_peak_dbtp(Audio(wet, rate)) - CEILING_DBTP,
        lambda wet: eightfold_dbtp(wet) - CEILING_DBTP,
        lambda wet: residual_db(wet[:, kept], dry[:, kept], rate // 20),
        lambda wet: filtered_residual_db(wet[:, kept], dry[:, kept]),
    ):
        cells.append(" / ".join(f"{measure(wet):+.2f}" for wet in wets))
    cells.append(" / ".join(f"{figure:.0f}" for figure in speeds(amplified(dry, DRIVES_DB[-1]), rate)))
    return f"| {' | '.join(cells)} |"


def speeds(samples: FloatArray, rate: int) -> list[float]:
    """Seconds of audio a second of processor time, ours and theirs: medians of three, interleaved."""
    times: list[list[float]] = [[], []]
    for _ in range(3):
        for limit, taken in zip((ours, theirs), times, strict=True):
            start = time.process_time()
            limit(samples, rate)
            taken.append(time.process_time() - start)
    return [samples.shape[1] / rate / sorted(taken)[1] for taken in times]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=Path)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    columns = "loudness LU | over dB | over 8× dB | local residual dB | static residual dB | speed ×"
    print(f"| ours / pedalboard | {columns} |\n|---|---|---|---|---|---|---|")
    for name, samples in synthesised(44100, options.seconds):
        print("\n".join(rows(name, samples, 44100)), flush=True)
    if options.songs:
        for name, samples, rate in songs(options.songs, options.seconds, options.count):
            print("\n".join(rows(name, samples, rate, SONG_LUFS)), flush=True)


if __name__ == "__main__":
    main()
