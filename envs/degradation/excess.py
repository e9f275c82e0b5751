"""Highs that a decoder put in: hiss that follows the voice, ringing, shifted copies, bands that flutter.

The mechanism `smear` of shimmer, magnitudes blurred over time under thrown-away phases, is left to validation
(`envs.pathologies`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

from mixagent.envs.degradation.fields import Field
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.types import Audio, FloatArray

PRESENCE_HZ = (2000.0, 6000.0)


def with_excess(audio: Audio, random: np.random.Generator) -> Audio:
    """The audio with one kind of excess in its highs, drawn from `EXCESSES`."""
    kinds = list(EXCESSES)
    return EXCESSES[kinds[int(random.integers(len(kinds)))]](audio, random)


def _hiss(audio: Audio, random: np.random.Generator) -> Audio:
    """Noise in a band, as loud as the presence lets it be, that follows the presence slowly or at once."""
    length = audio.samples.shape[1]
    rows = len(audio.samples) if random.random() < 0.4 else 1
    noise = random.standard_normal((rows, length)).astype(np.float32)
    presence = _band(audio.samples, audio.rate, *PRESENCE_HZ, 0.15)
    follow = max(int(audio.rate * np.exp(random.uniform(np.log(0.003), np.log(0.25)))), 3)
    envelope = ndimage.uniform_filter1d(np.abs(presence).max(axis=0), follow)
    envelope = envelope ** np.float32(random.uniform(0.5, 1.0))
    return _added(audio, noise * envelope, presence, random)


def _ringing(audio: Audio, random: np.random.Generator) -> Audio:
    """One to twelve narrow resonances, rung by the highs, by the presence rectified, or by noise."""
    drives: tuple[Callable[[], NDArray[np.floating]], ...] = (
        lambda: _band(audio.samples, audio.rate, 4000, 15000, 0.2),
        lambda: np.abs(_band(audio.samples, audio.rate, 1500, 8000, 0.2)),
        lambda: np.diff(np.abs(audio.samples), axis=1, prepend=0),
    )
    drive = drives[int(random.integers(3))]()
    wet = np.zeros_like(audio.samples)
    for _ in range(int(random.integers(1, 13))):
        centre_hz = random.uniform(4500, 15000)
        q = np.exp(random.uniform(np.log(15), np.log(200)))
        ring = signal.lfilter(*signal.iirpeak(centre_hz, q, fs=audio.rate), drive)
        ring = ring.astype(np.float32) * np.float32(db_to_amplitude(random.uniform(-9, 0)))
        wet += ring / max(float(np.sqrt(np.mean(ring**2))), 1e-9)
    presence = _band(audio.samples, audio.rate, *PRESENCE_HZ, 0.15)
    return _scaled(audio, wet, presence, random)


def _copied(audio: Audio, random: np.random.Generator) -> Audio:
    """A band of the middle, shifted up by a carrier: its partials no longer fit the song's."""
    low_hz = random.uniform(500, 5000)
    source = _band(audio.samples, audio.rate, low_hz, low_hz + random.uniform(2000, 7000), 0.15)
    times = np.arange(audio.samples.shape[1]) / audio.rate
    carrier = np.cos(2 * np.pi * random.uniform(3000, 9000) * times).astype(np.float32)
    presence = _band(audio.samples, audio.rate, *PRESENCE_HZ, 0.15)
    return _added(audio, source * carrier, presence, random)


def _flutter(audio: Audio, random: np.random.Generator) -> Audio:
    """The highs raised and broken up: each narrow band comes and goes by itself."""
    low_hz, high_hz = random.uniform(4000, 9000), random.uniform(10000, 18000)
    step_hz, step_s = random.uniform(150, 1500), np.exp(random.uniform(np.log(0.012), np.log(0.3)))
    raised_db, spread_db = random.uniform(2, 12), random.uniform(1, 8)
    grid = random.standard_normal((int(24000 / step_hz) + 2, int(60 / step_s) + 2))

    def gain(hz: NDArray[np.float64], times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        places = np.meshgrid(np.minimum(hz, 24000) / step_hz, times_s / step_s, indexing="ij")
        moved = ndimage.map_coordinates(grid, places, order=1, mode="nearest")
        inside = 1 / (1 + np.exp(-(hz - low_hz) / 150)) - 1 / (1 + np.exp(-(hz - high_hz) / 300))
        return np.asarray(inside[:, None] * (raised_db + spread_db * moved))

    return Field(mid=(gain,), side=(gain,)).on_audio(audio)


def _added(
    audio: Audio, wet: NDArray[np.floating], presence: FloatArray, random: np.random.Generator
) -> Audio:
    low_hz, high_hz = random.uniform(5000, 9500), random.uniform(10000, 17000)
    within = _band(np.asarray(wet, np.float32), audio.rate, low_hz, high_hz, random.uniform(0.02, 0.3))
    return _scaled(audio, np.broadcast_to(within, audio.samples.shape), presence, random)


def _scaled(audio: Audio, wet: FloatArray, presence: FloatArray, random: np.random.Generator) -> Audio:
    level = np.sqrt(np.mean(presence**2)) * db_to_amplitude(random.uniform(-20, -2))
    gain = np.float32(level / max(float(np.sqrt(np.mean(wet**2))), 1e-9))
    return Audio(audio.samples + gain * wet, audio.rate)


def _band(samples: FloatArray, rate: int, low_hz: float, high_hz: float, width: float) -> FloatArray:
    """A band with edges of about `width` octaves, without delay."""
    size = int(fft.next_fast_len(samples.shape[-1] + rate // 2, real=True))
    octaves = np.log2(np.maximum(np.arange(size // 2 + 1) * rate / size, 1.0))
    rise = np.tanh((octaves - np.log2(low_hz)) / width)
    fall = np.tanh((octaves - np.log2(high_hz)) / width)
    spectrum = fft.rfft(samples, size) * np.asarray(0.5 * (rise - fall), np.float32)
    return np.asarray(fft.irfft(spectrum, size)[..., : samples.shape[-1]], np.float32)


EXCESSES: dict[str, Callable[[Audio, np.random.Generator], Audio]] = {
    "hiss": _hiss,
    "ringing": _ringing,
    "copied": _copied,
    "flutter": _flutter,
}
"""By name: each draws its place, its strength and its character."""
