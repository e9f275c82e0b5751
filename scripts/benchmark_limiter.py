"""The limiter beside `pedalboard.BrickwallLimiter(true_peak=True)` at equal loudness, as a Markdown table.

    python scripts/benchmark_limiter.py [--songs DIR] [--count 6] [--seconds 15]

Each signal is brought to 2, 4 and 6 dB over the ceiling in true peak and limited by both; "louder" says
by how much ours is then the louder one. For the rest each is driven just as far as gives the loudness
of the quieter one, so that both reach it. All other figures are at equal loudness, ours before pedalboard's:

- over: the highest true peak less the ceiling, by libebur128's filter and by an 8× meter;
- NMR: the noise-to-mask ratio in dB, the mean over time and bands of what the limiter added over what
  the music masks, after ITU-R BS.1387 (Bark bands, spread excitation, its mask offsets). What it added
  is the output less the unlimited input at its best gain in each 46 ms, so that slow gain counts as
  none; in "with pumping" at one gain for the whole signal;
- products: of a tone its harmonics, of 60 Hz + 7 kHz the sidebands, in dB re the tone;
- speed: how many times as fast as pedalboard, in processor time, the median of three.

The better figure is set in bold where they differ by more than 0.5 dB (over: by more than 0.01 dB).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pedalboard
import soundfile
from numpy.typing import NDArray
from scipy.signal import firwin, resample_poly

from mixagent.pipeline.decibels import amplitude_to_db, db_to_amplitude, db_to_power, power_to_db
from mixagent.pipeline.dsp.limiter import TruePeakLimiter
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.measure.meters import integrated_lufs, true_peak_dbtp
from mixagent.pipeline.types import Audio, Float64Array, FloatArray, collect

CEILING_DBTP = -1.0
DRIVES_DB = (2.0, 4.0, 6.0)
TOLERANCE_LU = 0.02
FRAME = 2048
HEARING = 1e-4
"""Power in a band at the threshold of hearing, for full scale at 100 dB SPL: −100 dBFS in `spectra`."""
Limit = Callable[[FloatArray, int], FloatArray]
Products = Callable[[FloatArray, int], float]


@dataclass(frozen=True)
class Signal:
    """Something to limit, and what its own distortion measure is, if it has one."""

    name: str
    samples: FloatArray
    rate: int
    products: Products | None = None


def ours(samples: FloatArray, rate: int) -> FloatArray:
    """Our limiter, latency compensated."""
    limiter = TruePeakLimiter(rate, samples.shape[0], CEILING_DBTP)
    return collect(process_blocks(Audio(samples, rate), [limiter]), rate, samples.shape[0]).samples


def theirs(samples: FloatArray, rate: int) -> FloatArray:
    """pedalboard's limiter; it compensates its own latency."""
    return np.asarray(pedalboard.BrickwallLimiter(ceiling_db=CEILING_DBTP, true_peak=True)(samples, rate))


LIMITERS = (ours, theirs)


def amplified(samples: FloatArray, gain_db: float) -> FloatArray:
    """Samples times a gain in dB."""
    return samples * np.float32(db_to_amplitude(gain_db))


def lufs(samples: FloatArray, rate: int) -> float:
    """Integrated loudness."""
    return integrated_lufs(Audio(samples, rate))


def equally_loud(dry: FloatArray, rate: int, drive_db: float) -> tuple[list[FloatArray], float, float]:
    """Both outputs at the loudness of the quieter one, that loudness, and how much louder ours was."""
    louds = [lufs(limit(amplified(dry, drive_db), rate), rate) for limit in LIMITERS]
    wets = [driven(limit, dry, rate, min(louds), drive_db) for limit in LIMITERS]
    return wets, min(louds), louds[0] - louds[1]


def driven(limit: Limit, dry: FloatArray, rate: int, goal_lufs: float, most_db: float) -> FloatArray:
    """The dry signal at the least drive, by bisection, that gives a loudness."""
    low, high = most_db - 12.0, most_db
    for _ in range(12):
        middle = (low + high) / 2
        wet = limit(amplified(dry, middle), rate)
        short_by = goal_lufs - lufs(wet, rate)
        if abs(short_by) <= TOLERANCE_LU:
            break
        low, high = (middle, high) if short_by > 0 else (low, middle)
    return wet


def noise_to_mask_db(wet: FloatArray, dry: FloatArray, rate: int) -> tuple[float, float]:
    """Mean noise-to-mask ratio of what is in wet beside dry at its best gain: for each frame, and once."""
    x, y = spectra(dry), spectra(wet)
    cross, power = (x.conj() * y).real.sum(axis=(0, 2)), (np.abs(x) ** 2).sum(axis=(0, 2))
    once = np.full(power.size, cross.sum() / max(power.sum(), 1e-12))
    to_bands = bark_bands(rate)
    spread = spreading(to_bands.shape[1])
    heard = power > 1e-6 * power.max()

    def ratio_db(gains: Float64Array) -> float:
        fitted = x[:, heard] * gains[None, heard, None]
        masked = (np.abs(fitted) ** 2) @ to_bands @ spread + HEARING
        ratio = ((np.abs(y[:, heard] - fitted) ** 2) @ to_bands) / masked
        return power_to_db(max(float(ratio.mean()), 1e-9))

    return ratio_db(cross / np.maximum(power, 1e-12)), ratio_db(once)


def spectra(samples: FloatArray) -> NDArray[np.complex128]:
    """Spectra (channels, frames, bins) of half-overlapping Hann windows."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME, axis=1)[:, :: FRAME // 2]
    spectra_: NDArray[np.complex128] = np.fft.rfft(frames * np.hanning(FRAME))
    return spectra_


def bark_bands(rate: int) -> Float64Array:
    """The bins of each band of 1 Bark (BS.1387's 7 asinh(f/650)), 20 Hz to 18 kHz: (bins, bands)."""
    hz = np.fft.rfftfreq(FRAME, 1 / rate)
    bark = np.floor(7 * np.arcsinh(hz / 650)).astype(int)
    kept = (hz >= 20) & (hz <= 18000)
    in_band: Float64Array = np.where(kept[:, None], np.arange(bark[kept].max() + 1) == bark[:, None], 0.0)
    return in_band


def spreading(bands: int) -> Float64Array:
    """Excitation spread by Schroeder's function, less BS.1387's mask offset: (from, to)."""
    z = np.arange(bands)
    apart = z[None] - z[:, None] + 0.474
    spread_db = 15.81 + 7.5 * apart - 17.5 * np.sqrt(1 + apart**2)
    offset_db = np.where(z <= 12, 3.0, 0.25 * z)
    shares: Float64Array = db_to_power(spread_db - offset_db[None])
    return shares


def eightfold_dbtp(samples: FloatArray) -> float:
    """True peak by 8× interpolation with 128 taps a phase."""
    taps = firwin(2 * 64 * 8 + 1, 1 / 8, window=("kaiser", 10.0))
    between = resample_poly(samples.astype(np.float64), 8, 1, axis=1, window=taps)
    return amplitude_to_db(float(np.abs(between).max()))


def line_db(samples: FloatArray, rate: int, at_hz: float, others_hz: list[float]) -> float:
    """Power of some spectral lines over that of one."""
    window = np.blackman(samples.shape[1])
    power = np.abs(np.fft.rfft(samples[0] * window)) ** 2
    width = rate / samples.shape[1]

    def of(hz: float) -> float:
        near = round(hz / width)
        return float(power[near - 4 : near + 5].sum())

    return power_to_db(max(sum(map(of, others_hz)) / of(at_hz), 1e-15))


def harmonics_db(samples: FloatArray, rate: int) -> float:
    """Harmonics 2 to 20 of 1 kHz."""
    return line_db(samples, rate, 1000, [1000.0 * k for k in range(2, 21)])


def sidebands_db(samples: FloatArray, rate: int) -> float:
    """The sidebands that 60 Hz modulates onto 7 kHz."""
    return line_db(samples, rate, 7000, [7000 + 60.0 * k for k in range(-10, 11) if k])


def synthesised(rate: int, seconds: float) -> Iterator[Signal]:
    """Drums, kick and bass, pink noise and tones, in stereo."""
    t = np.arange(round(rate * seconds)) / rate
    rng = np.random.default_rng(0)
    beat = t % 0.5
    kick = np.sin(2 * np.pi * 55 * beat + 6 * (1 - np.exp(-beat * 40))) * np.exp(-beat * 12)
    snare = rng.standard_normal(t.size) * np.exp(-((t + 0.25) % 0.5) * 30)
    hats = rng.standard_normal(t.size) * np.exp(-(t % 0.125) * 120)
    bass = np.sin(2 * np.pi * 82.4 * t) + 0.3 * np.sin(2 * np.pi * 164.8 * t)
    shaped = np.fft.rfft(rng.standard_normal((2, t.size))) / np.sqrt(
        np.maximum(np.arange(t.size // 2 + 1), 1)
    )
    tones = {"1 kHz": (1.0 * np.sin(2 * np.pi * 1000 * t), harmonics_db)}
    tones["60 Hz + 7 kHz, 4:1"] = (
        0.8 * np.sin(2 * np.pi * 60 * t) + 0.2 * np.sin(2 * np.pi * 7000 * t),
        sidebands_db,
    )
    mono = {"drums": kick + 0.4 * snare + 0.15 * hats, "kick and bass": kick + 0.4 * bass}
    for name, samples in mono.items():
        yield Signal(name, np.stack([samples, samples]).astype(np.float32), rate)
    yield Signal("pink noise", np.fft.irfft(shaped, t.size).astype(np.float32), rate)
    for name, (samples, products) in tones.items():
        yield Signal(name, np.stack([samples, samples]).astype(np.float32), rate, products)


def songs(folder: Path, seconds: float, count: int) -> Iterator[Signal]:
    """The middle of the first songs of a folder."""
    for path in sorted(folder.glob("*.mp3"))[:count]:
        with soundfile.SoundFile(path) as file:
            frames = round(seconds * file.samplerate)
            file.seek(max((file.frames - frames) // 2, 0))
            samples = file.read(frames, dtype="float32", always_2d=True).T.copy()
            yield Signal(path.stem, samples, file.samplerate)


def row(signal: Signal, drive_db: float) -> str:
    """One line of the table."""
    rate = signal.rate
    dry = amplified(signal.samples, CEILING_DBTP - true_peak_dbtp(Audio(signal.samples, rate)))
    wets, loud, louder = equally_loud(dry, rate, drive_db)
    # Before the first second a limiter's gain is still on its way.
    kept = slice(rate, -rate // 10)
    settled = [(wet[:, kept], dry[:, kept]) for wet in wets]
    cells = [f"{signal.name}, {drive_db:g} dB", f"{loud:.1f}", f"{louder:+.2f}"]
    cells.append(pair([true_peak_dbtp(Audio(wet, rate)) - CEILING_DBTP for wet in wets], 0.01))
    cells.append(pair([eightfold_dbtp(wet) - CEILING_DBTP for wet in wets], 0.01))
    ratios = [noise_to_mask_db(wet, x, rate) for wet, x in settled]
    cells += [pair(list(figures)) for figures in zip(*ratios, strict=True)]
    cells.append(pair([signal.products(wet, rate) for wet, _ in settled]) if signal.products else "")
    cells.append(f"{speed_ratio(amplified(dry, drive_db), rate):.1f}")
    return f"| {' | '.join(cells)} |"


def pair(figures: list[float], apart: float = 0.5) -> str:
    """Two figures, the lower one in bold if they are far enough apart."""
    decimals = 2 if apart < 0.1 else 1
    texts = [f"{figure:+.{decimals}f}" for figure in figures]
    if abs(figures[0] - figures[1]) > apart:
        better = int(figures[1] < figures[0])
        texts[better] = f"**{texts[better]}**"
    return " / ".join(texts)


def speed_ratio(samples: FloatArray, rate: int) -> float:
    """Their processor time over ours: medians of three, interleaved."""
    times: list[list[float]] = [[], []]
    for _ in range(3):
        for limit, taken in zip(LIMITERS, times, strict=True):
            start = time.process_time()
            limit(samples, rate)
            taken.append(time.process_time() - start)
    return sorted(times[1])[1] / sorted(times[0])[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=Path)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    columns = "LUFS | louder, LU | over, dB | over at 8×, dB | NMR, dB | NMR with pumping, dB"
    columns += " | products, dB | speed"
    print(f"| ours / pedalboard | {columns} |\n|---|{'--:|' * 8}")
    for signal in synthesised(44100, options.seconds):
        for drive_db in DRIVES_DB:
            print(row(signal, drive_db), flush=True)
    if options.songs:
        for signal in songs(options.songs, options.seconds, options.count):
            for drive_db in DRIVES_DB:
                print(row(signal, drive_db), flush=True)


if __name__ == "__main__":
    main()
