"""Short songs for the tests of the program."""

import os
from pathlib import Path

import numpy as np
import soundfile

RATE = 44100


def song_samples(seconds: float = 3.0, rate: int = RATE, channels: int = 2) -> np.ndarray:
    """Plucked chords over a beat and a little noise, shape (frames, channels), peaks under −6 dBFS."""
    time_s = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(7).standard_normal((time_s.size, channels))
    pluck = np.exp(-3 * (time_s % 0.5))[:, None]
    hit = np.exp(-40 * (time_s % 0.25))[:, None]
    notes = np.stack(
        [
            sum(np.sin(2 * np.pi * (f + c) * time_s) / f**0.5 for f in (110, 220, 331, 550))
            for c in range(channels)
        ],
        axis=1,
    )
    return (0.9 * pluck * notes + 0.05 * hit * noise + 0.002 * noise).astype(np.float32)


def write_song(path: Path, subtype: str = "FLOAT", **options) -> Path:
    """A song file with the samples of `song_samples`."""
    form = path.suffix[1:].upper()
    soundfile.write(
        os.fsencode(path), song_samples(**options), options.get("rate", RATE), subtype, format=form
    )
    return path
