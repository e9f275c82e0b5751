"""Random degradation: damage of no particular kind, beside the mechanisms of `envs.pathologies`.

None of it is a mechanism that is kept for validation: long-term tone and image bent along random curves
or by bells, quiet parts of the spectrum left out, levels of random bands pressed together or driven
apart, grain added to a band, and a short room. Every result has the input's power.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

# scipy.signal is loaded where it is used: a master loads this too, and it takes a second of CPU time.
from scipy import ndimage

from mixagent.pipeline.decibels import amplitudes_to_db, db_to_amplitude
from mixagent.pipeline.types import Audio, Float64Array

RandomDegradation = Callable[[Float64Array, int, np.random.Generator], Float64Array]

_EDGES_HZ = (40.0, 16000.0)


def degrade_randomly(audio: Audio, random: np.random.Generator) -> Audio:
    """The audio, of the same shape, after one or two kinds of damage of random strength."""
    samples = audio.samples.astype(np.float64)
    for index in random.permutation(len(RANDOM_DEGRADATIONS))[: random.integers(1, 3)]:
        samples = RANDOM_DEGRADATIONS[index](samples, audio.rate, random)
    before, after = (float(np.mean(np.square(x, dtype=np.float64))) for x in (audio.samples, samples))
    samples *= np.sqrt(before / max(after, 1e-24))
    return Audio(samples.astype(np.float32), audio.rate)


def _tone(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    return _filtered(samples, rate, _curve_db(random))


def _bells(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    """A few bells, broad or narrow, alone in an otherwise untouched spectrum."""
    count = int(random.integers(1, 4))
    centres = random.uniform(np.log2(_EDGES_HZ[0]), np.log2(_EDGES_HZ[1]), count)
    gains_db, octaves = (
        random.uniform(-14.0, 14.0, count),
        np.exp(random.uniform(np.log(0.1), np.log(1.5), count)),
    )

    def gain_db(hz: Float64Array) -> Float64Array:
        away = (np.log2(np.maximum(hz, 1.0))[:, None] - centres) / octaves
        return np.asarray((gains_db * np.exp(-np.square(away))).sum(axis=1))

    return _filtered(samples, rate, gain_db)


def _grain(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    """Noise that follows the level of one band is added to another, or takes its place."""
    source, target = (_random_band_db(random) for _ in range(2))
    level = np.sqrt(ndimage.uniform_filter1d(np.square(_filtered(samples, rate, source)), int(0.02 * rate)))
    noise = _filtered(random.standard_normal(samples.shape) * level, rate, target)
    band = _filtered(samples, rate, target)
    strength = np.sqrt(np.mean(band**2) / max(float(np.mean(noise**2)), 1e-24))
    added = db_to_amplitude(random.uniform(-12.0, 12.0)) * strength * noise
    return np.asarray(samples + added - random.uniform(0, 1) * band)


def _image(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    """Each band of mid and side, or of left and right, raised against the other."""
    curve = _curve_db(random)
    if samples.shape[0] < 2:
        return samples
    if random.random() < 0.5:
        return np.stack([_filtered(samples[0], rate, curve), samples[1]])
    mid, side = samples.mean(axis=0), (samples[0] - samples[1]) / 2
    side = _filtered(side, rate, curve)
    return np.stack([mid + side, mid - side])


def _thinned(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    """Leave out bins far under the loudest of their frame, more of them the higher they are."""
    from scipy import signal

    _, _, spectrum = signal.stft(samples, rate, nperseg=1024)
    hz = np.fft.rfftfreq(1024, 1 / rate)[:, None]
    level_db = amplitudes_to_db(np.abs(spectrum) + 1e-9)
    smooth_db = ndimage.uniform_filter1d(level_db, 31, axis=1)
    depth_db = random.uniform(-6.0, 12.0) - 4.0 * random.random() * np.log2(np.maximum(hz, 500.0) / 4000.0)
    spectrum[level_db < smooth_db - np.maximum(depth_db, -12.0)] = 0.0
    return np.asarray(signal.istft(spectrum, rate, nperseg=1024)[1][:, : samples.shape[1]])


def _levelled(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    """Bands whose level is raised to a power, over 15 to 200 ms."""
    edges_hz = np.sort(np.exp(random.uniform(np.log(80.0), np.log(8000.0), random.integers(0, 4))))
    power = random.uniform(-0.7, 0.3)
    span = int(rate * np.exp(random.uniform(np.log(0.015), np.log(0.2))))
    done = np.zeros_like(samples)
    for low_hz, high_hz in itertools.pairwise([0.0, *edges_hz, rate]):
        band = _filtered(samples, rate, _band_db(low_hz, high_hz))
        level = ndimage.uniform_filter1d(np.square(band).mean(axis=0), span)
        over = np.maximum(level, 1e-14) / max(float(level.mean()), 1e-14)
        done += band * np.clip(over ** (power / 2), 0.05, 8.0)
    return done


def _room(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    from scipy import signal

    length_s, level_db = random.uniform(0.05, 0.6), random.uniform(-24.0, -6.0)
    time_s = np.arange(int(length_s * rate)) / rate
    tail = random.standard_normal((samples.shape[0], time_s.size)) * 10 ** (-3.0 * time_s / length_s)
    tail /= np.sqrt(np.square(tail).sum(axis=1, keepdims=True))
    wet = signal.oaconvolve(samples, tail, axes=1)[:, : samples.shape[1]]
    return np.asarray(samples + db_to_amplitude(level_db) * wet)


RANDOM_DEGRADATIONS: tuple[RandomDegradation, ...] = (
    _tone,
    _bells,
    _image,
    _thinned,
    _levelled,
    _grain,
    _room,
)

Gain = Callable[[Float64Array], Float64Array]


def _curve_db(random: np.random.Generator) -> Gain:
    """A random walk over the octaves, within about ±12 dB, as smooth or as rough as it happens to be."""
    knots = int(random.integers(4, 40))
    octaves = np.linspace(np.log2(_EDGES_HZ[0]), np.log2(_EDGES_HZ[1]), knots)
    levels_db = random.standard_normal(knots) * random.uniform(1.0, 7.0)
    return lambda hz: np.interp(np.log2(np.maximum(hz, 1.0)), octaves, np.clip(levels_db, -15.0, 15.0))


def _random_band_db(random: np.random.Generator) -> Gain:
    low_hz = float(np.exp(random.uniform(np.log(80.0), np.log(8000.0))))
    return _band_db(low_hz, low_hz * 2 ** float(random.uniform(0.5, 2.5)))


def _band_db(low_hz: float, high_hz: float) -> Gain:
    return lambda hz: np.where((hz >= low_hz) & (hz < high_hz), 0.0, -120.0)


def _filtered(samples: Float64Array, rate: int, gain_db: Gain) -> Float64Array:
    frames = samples.shape[-1]
    size = int(2 ** np.ceil(np.log2(frames + rate // 10)))
    hz = np.asarray(np.fft.rfftfreq(size, 1 / rate), np.float64)
    return np.asarray(
        np.fft.irfft(np.fft.rfft(samples, size) * db_to_amplitude(gain_db(hz)), size)[..., :frames]
    )
