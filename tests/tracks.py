"""Short tracks of a synthesised song, for the tests of stems."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 44100


def _time_s(seconds: float, rate: int) -> np.ndarray:
    return np.arange(round(seconds * rate)) / rate


def kick(seconds: float = 3.0, rate: int = RATE, at_s: float = 0.0) -> np.ndarray:
    """Eighths that fall from 150 to 50 Hz, with a click, shape (frames,), at an irregular pulse."""
    time_s, out = _time_s(seconds, rate), 0
    hits = np.arange(0.05, seconds, 0.25) + 0.03 * np.random.default_rng(1).standard_normal(int(seconds * 4))
    for hit in hits + at_s:
        since_s = np.maximum(time_s - hit, 0)
        sweep = 50 * since_s + 100 * 0.02 * (1 - np.exp(-since_s / 0.02))
        tone = np.sin(2 * np.pi * sweep) * np.exp(-since_s / 0.06)
        tick = np.sin(2 * np.pi * 3000 * since_s) * np.exp(-since_s / 0.002)
        out = out + np.where(time_s >= hit, tone + 0.3 * tick, 0)
    return 0.4 * out


def hats(seconds: float = 3.0, rate: int = RATE, seed: int = 2) -> np.ndarray:
    """Sixteenths of high-passed noise, shape (frames,)."""
    time_s = _time_s(seconds, rate)
    noise = np.diff(np.random.default_rng(seed).standard_normal(time_s.size + 1))
    return 0.1 * noise * np.exp(-60 * (time_s % 0.125))


def bass(seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    """A line of low notes with a few partials, shape (frames,)."""
    time_s = _time_s(seconds, rate)
    note_hz = np.choose((time_s / 0.5).astype(int) % 4, [55.0, 65.4, 49.0, 73.4])
    phase = 2 * np.pi * np.cumsum(note_hz) / rate
    return 0.25 * sum(np.sin(k * phase) / k**2 for k in (1, 2, 3)) * np.exp(-2 * (time_s % 0.5))


def keys(seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    """Struck chords in stereo, shape (frames, 2)."""
    time_s = _time_s(seconds, rate)
    sides = [
        sum(np.sin(2 * np.pi * (hz + side) * time_s) for hz in (262, 330, 392, 523)) for side in (0.0, 0.4)
    ]
    return 0.06 * np.stack(sides, axis=1) * np.exp(-2 * (time_s % 1.0))[:, None]


def stereo(samples: np.ndarray) -> np.ndarray:
    """Mono samples (frames,) in both channels, stereo ones as they are."""
    return samples if samples.ndim == 2 else np.stack([samples, samples], axis=1)


def write_track(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> Path:
    """A file with these samples, 32-bit float unless the format has none."""
    form = path.suffix[1:].upper()
    soundfile.write(path, samples.astype(np.float32), rate, None if form != "WAV" else subtype, format=form)
    return path


def write_band(folder: Path) -> dict[str, np.ndarray]:
    """Four tracks with plain names in a folder that is made; what each holds, by file name."""
    folder.mkdir(parents=True)
    band = {"01 Kick.wav": kick(), "02 HiHat.wav": hats(), "03 Bass DI.wav": bass(), "04 Rhodes.wav": keys()}
    for name, samples in band.items():
        write_track(folder / name, samples)
    return band
