"""Sounds that are not what most finished songs are, synthesised: (channels, frames) each.

What a mastering program bends into pop shows here first: a drone, a chip tune, a voice that speaks, noise,
a tone. Beside them, how a song comes in broken.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.types import Audio, FloatArray

RATE = 44100
CLIPPED_LUFS = -6.0
SPOKEN = (
    "This is a song about nothing at all. Before it begins, somebody says a few words, as people do, "
    "and there is no music under them. One would not want the voice to be brought up to a band of drums."
)


def drone(seconds: float) -> FloatArray:
    """Six low partials a side, slightly apart, that swell over some seconds."""
    time, random = _time(seconds), np.random.default_rng(0)
    sides = np.zeros((2, time.size))
    for side in sides:
        for k in range(1, 7):
            hz = 55.0 * k * (1 + 0.002 * random.standard_normal())
            swell = 0.6 + 0.4 * np.sin(2 * np.pi * random.uniform(0.03, 0.12) * time + random.uniform(0, 6))
            side += swell * np.sin(2 * np.pi * hz * time + random.uniform(0, 6)) / k**1.2
    return _at(sides, 0.3)


def chip_tune(seconds: float) -> FloatArray:
    """Two square voices, a triangle bass and hits of noise, as a sound chip has them; mono."""
    time, random = _time(seconds), np.random.default_rng(1)
    step = (time / 0.125).astype(np.int64)
    scale = np.array([0, 3, 5, 7, 10, 12, 15, 17])
    lead = scale[random.integers(0, 8, step[-1] + 1)][step]
    pad = np.array([0, 3, 7, 12])[step % 4] - 12
    bass = np.array([0, 0, -4, -2])[(step // 16) % 4] - 24

    def phase(semitones: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.cumsum(440.0 * 2 ** (semitones / 12)) / RATE % 1.0

    square = 0.3 * np.sign(phase(lead) - 0.75) + 0.2 * np.sign(phase(pad) - 0.5)
    triangle = 0.5 * (4 * np.abs(phase(bass) - 0.5) - 1)
    hits = random.standard_normal(time.size) * np.exp(-(time % 0.25) / 0.03) * (step % 4 == 2)
    return _at((square + triangle + 0.3 * hits)[None], 0.25)


def white_noise(seconds: float) -> FloatArray:
    """Independent noise on both sides."""
    return _at(np.random.default_rng(2).standard_normal((2, _time(seconds).size)), 0.1)


def pink_noise(seconds: float) -> FloatArray:
    """Independent noise on both sides that falls by 3 dB an octave."""
    frames = _time(seconds).size
    spectrum = np.fft.rfft(np.random.default_rng(3).standard_normal((2, frames)))
    spectrum /= np.sqrt(np.maximum(np.arange(spectrum.shape[1]), 1))
    return _at(np.fft.irfft(spectrum, frames), 0.1)


def tone(seconds: float) -> FloatArray:
    """1 kHz at −12 dBFS on both sides."""
    one = 0.25 * np.sin(2 * np.pi * 1000 * _time(seconds))
    return np.stack([one, one]).astype(np.float32)


def silence(seconds: float) -> FloatArray:
    """Nothing."""
    return np.zeros((2, _time(seconds).size), np.float32)


def speech(seconds: float) -> FloatArray:
    """A voice that speaks, by espeak-ng; mono.

    Raises:
        FileNotFoundError: it is not installed.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise FileNotFoundError("espeak-ng is not installed")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "voice.wav"
        subprocess.run([program, "-s", "150", "-w", str(path), SPOKEN], check=True)
        samples, rate = sf.read(path, dtype="float32")
    voice = soxr.resample(samples, rate, RATE)
    return _at(np.resize(voice, (1, _time(seconds).size)).astype(np.float64), 0.1)


SOUNDS: Mapping[str, Callable[[float], FloatArray]] = {
    "speech": speech,
    "drone": drone,
    "chip tune": chip_tune,
    "white noise": white_noise,
    "pink noise": pink_noise,
    "tone of 1 kHz": tone,
    "silence": silence,
}


def half_silent(song: FloatArray) -> FloatArray:
    """Its first half, and nothing after it."""
    gone = song.copy()
    gone[:, song.shape[1] // 2 :] = 0.0
    return gone


def of_half_a_second(song: FloatArray) -> FloatArray:
    """Half a second out of its middle."""
    start = song.shape[1] // 2
    return song[:, start : start + RATE // 2]


def mono(song: FloatArray) -> FloatArray:
    """Both sides together, one channel."""
    return song.mean(axis=0, keepdims=True)


def one_sided(song: FloatArray) -> FloatArray:
    """All on the left."""
    return np.stack([song.mean(axis=0), np.zeros(song.shape[1], np.float32)])


def of_8_khz(song: FloatArray) -> FloatArray:
    """Through a rate of 8 kHz and back."""
    narrow = soxr.resample(soxr.resample(song.T, RATE, 8000), 8000, RATE).T
    return np.ascontiguousarray(narrow[:, : song.shape[1]], np.float32)


def clipped(song: FloatArray) -> FloatArray:
    """Driven into clipping at full scale until it has −6 LUFS, or by 36 dB."""
    low_db, high_db = -24.0, 36.0
    for _ in range(14):
        drive_db = (low_db + high_db) / 2
        driven = np.clip(song * np.float32(db_to_amplitude(drive_db)), -1.0, 1.0)
        if integrated_lufs(Audio(driven, RATE)) < CLIPPED_LUFS:
            low_db = drive_db
        else:
            high_db = drive_db
    return driven


BROKEN: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "half silence": half_silent,
    "0.5 s": of_half_a_second,
    "mono": mono,
    "one side": one_sided,
    "8 kHz": of_8_khz,
    "clipped": clipped,
}
"""The variants of a stereo song at `RATE`."""


def _time(seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * RATE)) / RATE


def _at(samples: NDArray[np.float64], rms: float) -> FloatArray:
    quiet = rms / np.sqrt(np.mean(samples**2))
    return (samples * min(quiet, 0.9 / np.abs(samples).max())).astype(np.float32)
