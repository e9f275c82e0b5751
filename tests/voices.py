"""Sung voices by closed forms: harmonics of a known pitch under two formants."""

import numpy as np
from scipy.signal import fftconvolve

from mixagent.pipeline.types import Audio

FORMANTS_HZ = ((700.0, 90.0), (1200.0, 110.0), (2600.0, 160.0))


def sing(cents, rate=44100, base_hz=220.0, channels=1, gain=0.2):
    """A voice whose pitch is `cents` (frames,) above `base_hz`; NaN is a rest."""
    resting = ~np.isfinite(cents)
    pitch_hz = base_hz * 2 ** (np.where(resting, 0.0, cents) / 1200)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate
    wave = np.zeros(len(cents))
    for harmonic in range(1, 40):
        hz = harmonic * base_hz
        if hz > 0.45 * rate:
            break
        level = sum(1 / np.hypot(1, (hz - centre) / width) for centre, width in FORMANTS_HZ)
        wave += level * np.sin(harmonic * phase) / np.sqrt(harmonic)
    fade = fftconvolve(~resting, np.hanning(rate // 50), "same")
    wave *= np.clip(fade / fade.max(), 0, 1) * gain / np.abs(wave).max()
    return Audio(np.tile(wave, (channels, 1)).astype(np.float32), rate)


def melody(steps=(0, 200, 400, 300, 500, 200, 0, 300), note_s=0.6, rest_s=0.0, rate=44100):
    """Cents of notes that stand and jump, each sample's."""
    note, rest = round(note_s * rate), round(rest_s * rate)
    return np.concatenate([np.r_[np.full(note, float(step)), np.full(rest, np.nan)] for step in steps])


def natural(cents, rate=44100, depth_cents=35.0, rate_hz=5.5):
    """The same with a singer's vibrato, drift and slides."""
    time_s = np.arange(len(cents)) / rate
    window = np.hanning(round(0.12 * rate))
    held = np.where(np.isfinite(cents), cents, np.nanmean(cents))
    slid = fftconvolve(np.pad(held, len(window) // 2, mode="edge"), window / window.sum(), "same")
    slid = slid[len(window) // 2 :][: len(cents)]
    moved = slid + depth_cents * np.sin(2 * np.pi * rate_hz * time_s) + 15 * np.sin(2 * np.pi * 1.3 * time_s)
    return np.where(np.isfinite(cents), moved, np.nan)
