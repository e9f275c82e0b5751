"""Augments stems before they are mixed: overdriven amplifiers, and voices that leak into the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, iirpeak, sosfilt, tf2sos

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.types import FloatArray

RATE = 44100

Random = np.random.Generator

SILENT_RMS = 1e-4


def driven(stem: FloatArray, random: Random) -> FloatArray:
    """A stem, float32 (2, samples), with some of it overdriven and through a loudspeaker, at its own RMS."""
    level = _rms(stem)
    if level < SILENT_RMS:
        return stem
    gain, bias = db_to_amplitude(random.uniform(-6, 26)) / level, random.uniform(0, 0.4)
    saturated = np.tanh(gain * stem + bias) - np.tanh(bias)
    band = (random.uniform(25, 120), random.uniform(3000, 9000))
    heard = sosfilt(butter(2, band, "bandpass", fs=RATE, output="sos"), saturated)
    share = random.uniform(0.3, 1.0)
    both = share * heard / max(_rms(heard), 1e-6) + (1 - share) * stem / level
    return np.asarray(both * (level / max(_rms(both), 1e-6)), np.float32)


def leaked_voice(samples: int, random: Random) -> FloatArray:
    """The residue of a synthetic voice after a separator, float32 (2, samples), its RMS 1."""
    starts = np.cumsum(random.uniform(0.08, 0.6, samples // round(0.08 * RATE) + 2)) * RATE
    note = np.searchsorted(starts, np.arange(samples))
    vowel = _sung(note, len(starts), random)
    sounding = _smooth((random.random(len(starts)) < 0.6)[note].astype(float), 0.02)
    hissing = _smooth((random.random(len(starts)) < 0.15)[note].astype(float), 0.01)
    sibilants = butter(2, random.uniform(3500, 7000), "highpass", fs=RATE, output="sos")
    hiss = sosfilt(sibilants, random.normal(size=samples)) * random.uniform(0, 0.5)
    holes = _smooth(random.random(samples // 2000 + 1).repeat(2000)[:samples] ** 2, 0.03)
    left_over = (vowel * sounding + hiss * hissing) * holes
    stereo = np.stack((left_over, left_over * random.uniform(0.7, 1.3)))
    return np.asarray(stereo / max(_rms(stereo), 1e-6), np.float32)


def _sung(note: NDArray[np.int64], count: int, random: Random) -> NDArray[np.float64]:
    """Vowels of RMS 1 on a melody with vibrato; `note` says which of the notes each sample is in."""
    melody_hz = random.uniform(110, 380) * 2 ** (random.integers(-5, 6, count)[note] / 12)
    vibrato = np.sin(2 * np.pi * random.uniform(4, 6.5) * np.arange(len(note)) / RATE)
    glottis = 2 * (np.cumsum(_smooth(melody_hz * (1 + 0.02 * vibrato), 0.03)) / RATE % 1) - 1
    heard = [
        db_to_amplitude(random.uniform(-14, 0)) * sosfilt(_formant(low, high, random), glottis)
        for low, high in _FORMANTS
    ]
    vowel = np.sum(heard, axis=0)
    return np.asarray(vowel / max(_rms(vowel), 1e-6))


_FORMANTS = ((280, 900), (900, 2400), (2300, 3400))
"""The ranges of the three lowest formants of vowels, in Hz."""


def _formant(low_hz: float, high_hz: float, random: Random) -> NDArray[np.float64]:
    return np.asarray(tf2sos(*iirpeak(random.uniform(low_hz, high_hz), random.uniform(4, 10), RATE)))


def _smooth(values: NDArray[np.float64], width_s: float) -> NDArray[np.float64]:
    """A moving average."""
    width = round(width_s * RATE)
    total = np.cumsum(np.pad(values, (width // 2 + 1, width - width // 2 - 1), mode="edge"))
    return np.asarray((total[width:] - total[:-width])[: len(values)] / width)


def _rms(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))
