"""Limiters of many kinds, drawn at random: what made a song loud, for the network that undoes it.

Ceilings are linear. None of it is one that is kept for validation: not this project's own limiter
(`pipeline.dsp.limiter`), no brick wall of pedalboard's, and no bands pressed towards their means from both
sides (`envs.pathologies`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft, ndimage

from mixagent.envs.degradation.dynamics import levelled
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.types import Audio, Float64Array, FloatArray

Random = np.random.Generator


@dataclass(frozen=True)
class LookAhead:
    """A look-ahead limiter.

    Attributes:
        attack_ms: over which the gain comes down before a peak.
        hold_ms: for which it stays down.
        release_ms: time constant with which it comes back, in dB.
        slow_ms: the same after long reductions; the deeper of both counts. 0: there is none.
        knee_db: width over which the ceiling is rounded.
        linked: all channels move together.
    """

    attack_ms: float = 5.0
    hold_ms: float = 0.0
    release_ms: float = 80.0
    slow_ms: float = 0.0
    knee_db: float = 0.0
    linked: bool = True

    def __call__(self, samples: FloatArray, rate: int, ceiling: float) -> FloatArray:
        """The limited samples (channels, frames)."""
        level = np.abs(samples)
        if self.linked:
            level = level.max(axis=0, keepdims=True)
        attack = max(round(self.attack_ms * rate / 1000), 1) | 1
        held = attack + round(self.hold_ms * rate / 1000)
        gain = np.empty_like(level)
        for channel, out in zip(level, gain, strict=True):
            over_db = _over_db(channel, ceiling, self.knee_db)
            # Centred on the attack's window, the hold behind it.
            held_db = ndimage.maximum_filter1d(over_db, attack + held, origin=(held - attack) // 2)
            fast, slow = (_pole(time_ms, rate) for time_ms in (self.release_ms, self.slow_ms))
            down_db = _released(held_db, fast, slow, _pole(3 * self.slow_ms, rate))
            out[:] = db_to_amplitude(-ndimage.uniform_filter1d(down_db, attack))
        return np.asarray(samples * gain, np.float32)


def draw_look_ahead(random: Random) -> LookAhead:
    """One of any speed."""
    return LookAhead(
        attack_ms=_between(random, 0.2, 15.0),
        hold_ms=float(random.choice((0.0, random.uniform(0, 10)))),
        release_ms=_between(random, 3.0, 600.0),
        slow_ms=_between(random, 100.0, 1500.0) if random.random() < 0.35 else 0.0,
        knee_db=float(random.choice((0.0, random.uniform(0, 8)))),
        linked=random.random() < 0.85,
    )


def box(samples: FloatArray, rate: int, ceiling: float, window_s: float) -> FloatArray:
    """The gain that each stretch of two windows needs, averaged over one: no release of its own."""
    window = max(int(window_s * rate), 8) | 1
    peaks = ndimage.maximum_filter1d(np.abs(samples).max(axis=0), 2 * window - 1)
    gain = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-12))
    return np.asarray(samples * ndimage.uniform_filter1d(gain, window), np.float32)


def soft_clip(samples: FloatArray, ceiling: float, softness: float) -> FloatArray:
    """Peaks cut off: hard at a softness of 0, by a tanh at 1."""
    soft = ceiling * np.tanh(samples / ceiling)
    hard = np.clip(samples, -ceiling, ceiling)
    return np.asarray((1 - softness) * hard + softness * soft, np.float32)


def pedalboard_limiter(samples: FloatArray, rate: int, ceiling: float, release_ms: float) -> FloatArray:
    """JUCE's limiter: two compressors and a clipper, with make-up gain."""
    from pedalboard import Limiter
    from pedalboard._pedalboard import Pedalboard

    board = Pedalboard([Limiter(threshold_db=0.0, release_ms=release_ms)])
    scale = np.float32(ceiling)
    return np.asarray(board(samples / scale, rate) * scale, np.float32)


def in_bands(
    samples: FloatArray, rate: int, over_db: float, random: Random, limit: Callable[..., FloatArray]
) -> FloatArray:
    """Each of two to four bands limited by itself, `over_db` and a little either way under its own peak."""
    edges_hz = np.sort(np.exp(random.uniform(np.log(80), np.log(8000), int(random.integers(1, 4)))))
    out = np.zeros_like(samples)
    for band in _bands(samples, rate, edges_hz):
        deep_db = max(over_db + random.uniform(-4, 3), 0.0)
        out += limit(band, rate, max(float(np.abs(band).max()), 1e-9) * db_to_amplitude(-deep_db))
    return out


def _bands(samples: FloatArray, rate: int, edges_hz: Float64Array) -> list[FloatArray]:
    """Bands by gentle zero-phase filters, which sum to the samples."""
    frames = samples.shape[1]
    size = int(fft.next_fast_len(frames + rate // 10, real=True))
    spectrum = fft.rfft(samples, size)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / rate), 1.0))
    below = [np.zeros_like(octaves)]
    below += [0.5 - 0.5 * np.tanh((octaves - np.log2(edge)) / 0.3) for edge in edges_hz]
    gains = np.diff(np.stack([*below, np.ones_like(octaves)]), axis=0).astype(np.float32)
    return [np.asarray(fft.irfft(spectrum * gain, size)[:, :frames]) for gain in gains]


def draw_limited(samples: FloatArray, rate: int, over_db: float, random: Random) -> FloatArray:
    """Samples whose peaks stood `over_db` over the ceiling of some limiter, clipper or chain of them.

    Nothing is made up for: the peaks are `over_db` lower than they were, or a little more.
    """
    peak = max(float(np.abs(samples).max()), 1e-9)
    ceiling = peak * db_to_amplitude(-over_db)
    kind = random.random()
    if kind < 0.45:
        return draw_look_ahead(random)(samples, rate, ceiling)
    if kind < 0.63:
        return box(samples, rate, ceiling, _between(random, 0.001, 0.015))
    if kind < 0.70:
        return pedalboard_limiter(samples, rate, ceiling, _between(random, 10.0, 400.0))
    if kind < 0.80:
        return soft_clip(samples, ceiling, float(random.choice((0.0, 1.0, random.random()))))
    if kind < 0.90:
        banded = in_bands(samples, rate, 0.7 * over_db, random, draw_look_ahead(random))
        return draw_look_ahead(random)(banded, rate, ceiling)
    pressed = levelled(
        Audio(samples, rate),
        slope=-random.uniform(0.3, 0.9),
        threshold_db=random.uniform(-10, 3),
        attack_s=_between(random, 0.0005, 0.03),
        release_s=_between(random, 0.02, 0.4),
        most_db=random.uniform(3, 9),
    ).samples
    left = max(float(np.abs(pressed).max()) / ceiling, 1.0)
    return draw_look_ahead(random)(pressed, rate, ceiling * math.sqrt(left))


def _between(random: Random, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _pole(time_ms: float, rate: int) -> float:
    return math.exp(-1000.0 / (time_ms * rate)) if time_ms else 0.0


@njit(cache=True, nogil=True)
def _over_db(level: NDArray[np.float32], ceiling: float, knee_db: float) -> NDArray[np.float32]:
    out = np.empty(level.size, np.float32)
    for n in range(level.size):
        over = 20 * math.log10(max(level[n], 1e-9) / ceiling)
        if knee_db > 0.0 and abs(over) < knee_db / 2:
            out[n] = (over + knee_db / 2) ** 2 / (2 * knee_db)
        else:
            out[n] = max(over, 0.0)
    return out


@njit(cache=True, nogil=True)
def _released(held: NDArray[np.float32], fast: float, slow: float, rise: float) -> NDArray[np.float32]:
    """The reduction behind its release; `slow` follows its mean with `rise`."""
    out = np.empty(held.size, np.float32)
    last = mean = 0.0
    for n in range(held.size):
        last = max(held[n], last * fast)
        if slow > 0.0:
            mean = mean * slow if mean > last else last + (mean - last) * rise
            out[n] = max(last, mean)
        else:
            out[n] = last
    return out
