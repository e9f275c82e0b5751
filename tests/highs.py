"""Music with a steady slope up to the top, and what cuts its highs off, for the tests of their repair."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from scipy import signal

from mixagent.pipeline.types import FloatArray

RATE = 44100


def bright_music(seconds: float = 6.0, slope_db: float = -9.0, rate: int = RATE, seed: int = 3) -> FloatArray:
    """Noise that falls by `slope_db` an octave from 500 Hz on, with four hits a second, in stereo."""
    frames = int(seconds * rate)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((2, frames)))
    hz = np.maximum(np.fft.rfftfreq(frames, 1 / rate), 500.0)
    sloped = np.fft.irfft(spectrum * hz ** (slope_db / 20 / np.log10(2)), frames)
    sloped = sloped + 0.5 * sloped[::-1]
    # Rounded, or the edges of the hits would spread the lows over all that lies above.
    hits = 0.4 + np.exp(-((np.arange(frames) % (rate // 4)) / (rate * 0.05)))
    fade = np.hanning(round(0.01 * rate))
    hits = np.convolve(hits, fade / fade.sum(), "same")
    return (0.5 * sloped * hits / np.abs(sloped * hits).max()).astype(np.float32)


def brick_wall(samples: FloatArray, end_hz: float, rate: int = RATE) -> FloatArray:
    hz = np.fft.rfftfreq(samples.shape[1], 1 / rate)
    gain = np.clip((1.02 * end_hz - hz) / (0.04 * end_hz), 0, 1)
    return np.fft.irfft(np.fft.rfft(samples) * gain, samples.shape[1]).astype(np.float32)


def butterworth(samples: FloatArray, end_hz: float, rate: int = RATE) -> FloatArray:
    return signal.sosfilt(signal.butter(10, end_hz, fs=rate, output="sos"), samples).astype(np.float32)


def equal_ripple(samples: FloatArray, end_hz: float, rate: int = RATE) -> FloatArray:
    return signal.sosfilt(signal.ellip(8, 0.2, 70, end_hz, fs=rate, output="sos"), samples).astype(np.float32)


def through_mp3(samples: FloatArray, level: float) -> FloatArray:
    file = io.BytesIO()
    soundfile.write(file, samples.T, RATE, format="MP3", compression_level=level, bitrate_mode="CONSTANT")
    file.seek(0)
    return np.ascontiguousarray(soundfile.read(file, always_2d=True, dtype="float32")[0].T)
