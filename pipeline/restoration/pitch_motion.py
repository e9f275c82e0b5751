"""Moves a voice's pitch by a delay line: vibrato on held notes, glides at changes of pitch.

Read at t + D(t), a voice sounds higher by the factor 1 + dD/dt. Each move brings its delay back to zero where
it ends, so nothing of the song shifts, and outside the moves the voice is what it was, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mixagent.pipeline.dsp.delay_line import REACH, read_between
from mixagent.pipeline.types import BLOCK_FRAMES, AudioSource, Float64Array, FloatArray

TICK_S = 0.002
"""Between two values of a delay curve."""

MOST_CENTS = 30.0
"""The most that a held note is moved."""

NEUTRAL_RATE_HZ = 4.5

_DEPTH_CENTS, _DRIFT_CENTS, _FLUTTER_CENTS = 20.0, 18.0, 4.0
_SPREAD = 0.2
_RATE_SPREAD = 0.05
_ONSET_SHARE, _LATEST_ONSET_S = (0.15, 0.35), 0.25
_RISE_S = 0.2
_EDGE_S = 0.04
_FROM_BELOW = 0.7

# A slower drift would gather more delay than it is heard as pitch.
_SLOWEST_DRIFT_HZ = 1.2
_WANDER_HZ = np.array([2.0, 2.9, 3.8, 5.2, 6.1, 7.0])

_GLIDE_S = 0.022
"""Standard deviation of the low-pass that a step of pitch goes through; 0.037 s from 20 to 80 %."""

_STEP_S = 0.003
_GLIDE_REACH = 3.5
_MOST_GLIDE_CENTS = 150.0
_LEAST_TICKS = 8


@dataclass(frozen=True)
class Held:
    """A held note, from and to in seconds."""

    start_s: float
    stop_s: float


@dataclass(frozen=True)
class Step:
    """A jump of pitch: when, and by how many cents."""

    time_s: float
    cents: float


def delay_curve(
    seconds: float,
    held: Sequence[Held],
    steps: Sequence[Step],
    vibrato: float,
    glides: float,
    rate_hz: float = NEUTRAL_RATE_HZ,
) -> Float64Array:
    """D in seconds every `TICK_S`, for a voice of this length.

    Args:
        seconds: length of the voice.
        held: notes that get a vibrato of `rate_hz`, which sets in late and is nowhere quite regular.
        steps: jumps that become glides: what is left of one is its low-passed derivative, summed up.
        vibrato: share of the full depth, 0..1.
        glides: share of the full length of a glide, 0..1.
        rate_hz: of the vibrato.
    """
    curve = np.zeros(math.ceil(seconds / TICK_S) + 4)
    if vibrato > 0:
        for note in held:
            inside = _ticks(curve, note.start_s, note.stop_s)
            if inside.size:
                _add(curve, inside, vibrato * _vibrato(_times_s(inside), note, rate_hz))
    if glides > 0:
        reach = _GLIDE_REACH * _GLIDE_S * glides
        for step in steps:
            around = _ticks(curve, step.time_s - reach, step.time_s + reach)
            if around.size:
                _add(curve, around, _glide(_times_s(around), step, glides))
    # A read before the first sample or after the last one would be silence.
    curve[:2] = 0.0
    curve[-6:] = 0.0
    return curve


def moved(source: AudioSource, curve: Float64Array, size: int = BLOCK_FRAMES) -> Iterator[FloatArray]:
    """The source read at t + D(t), in blocks of its own frames."""
    margin = REACH + 1 + math.ceil(float(np.abs(curve).max(initial=0.0)) * source.rate)
    for start in range(0, source.frames, size):
        stop = min(start + size, source.frames)
        delays = _between(curve, np.arange(start, stop) / (source.rate * TICK_S)) * source.rate
        if not delays.any():
            yield source.read(start, stop)
            continue
        first = max(start - margin, 0)
        around = source.read(first, stop + margin)
        yield read_between(around, np.arange(start, stop) + delays - first)


def _ticks(curve: Float64Array, start_s: float, stop_s: float) -> NDArray[np.int64]:
    """The ticks from one time to another that may be moved; none where that is too short to be heard."""
    ticks = np.arange(max(math.ceil(start_s / TICK_S), 2), min(math.floor(stop_s / TICK_S), len(curve) - 6))
    return ticks if ticks.size >= _LEAST_TICKS else ticks[:0]


def _times_s(ticks: NDArray[np.int64]) -> Float64Array:
    return ticks.astype(np.float64) * TICK_S


def _add(curve: Float64Array, ticks: NDArray[np.int64], cents: Float64Array) -> None:
    """Add the delay of a move of pitch; what it would leave of delay is taken out evenly over it."""
    speed = 2 ** (cents / 1200) - 1
    window = np.sin(np.pi * (np.arange(ticks.size) + 0.5) / ticks.size) ** 2
    speed -= window * (speed.sum() / window.sum())
    curve[ticks] += np.cumsum(speed) * TICK_S


def _vibrato(times_s: Float64Array, note: Held, rate_hz: float) -> Float64Array:
    """Cents at these times: vibrato with its onset, slow drift and flutter, within ±`MOST_CENTS`."""
    chance = np.random.default_rng([round(note.start_s * 1e3), round(note.stop_s * 1e3)])
    inside, length = times_s - note.start_s, note.stop_s - note.start_s
    onset = min(chance.uniform(*_ONSET_SHARE) * length, _LATEST_ONSET_S)
    rise = np.clip((inside - onset) / min(_RISE_S, length / 3), 0, 1)
    depth = _DEPTH_CENTS * (1 + _SPREAD * _wander(chance, inside)) * _smooth(rise)
    rate = rate_hz * (1 + _RATE_SPREAD * _wander(chance, inside))
    cents = depth * np.sin(2 * np.pi * (np.cumsum(rate) * TICK_S + chance.uniform()))
    # A singer comes from below more often than from above.
    side = -1 if chance.uniform() < _FROM_BELOW else 1
    drift_hz = max(0.5 / length, _SLOWEST_DRIFT_HZ)
    cents += side * _DRIFT_CENTS * chance.uniform(0.8, 1.2) * np.cos(2 * np.pi * drift_hz * inside)
    cents += _FLUTTER_CENTS * _wander(chance, inside)
    edge = _smooth(np.clip(np.minimum(inside, length - inside) / _EDGE_S, 0, 1))
    limited: Float64Array = MOST_CENTS * np.tanh(cents / MOST_CENTS) * edge
    return limited


def _glide(times_s: Float64Array, step: Step, glides: float) -> Float64Array:
    """Cents at these times that turn a step into its low-passed one."""
    after = times_s - step.time_s
    whole = min(1.0, 2 * _MOST_GLIDE_CENTS / abs(step.cents)) * step.cents
    left: Float64Array = ndtr(after / (_GLIDE_S * glides)) - ndtr(after / _STEP_S)
    return whole * left


def _wander(chance: np.random.Generator, times_s: Float64Array) -> Float64Array:
    """Smooth noise of standard deviation 1, from 2 to 7 Hz: sines of random rates and phases."""
    rates = _WANDER_HZ * chance.uniform(0.9, 1.1, _WANDER_HZ.size)
    phases = chance.uniform(0, 2 * np.pi, _WANDER_HZ.size)
    return np.asarray(np.sin(2 * np.pi * rates[:, None] * times_s + phases[:, None]).sum(0) / math.sqrt(3))


def _smooth(share: Float64Array) -> Float64Array:
    return share * share * (3 - 2 * share)


def _between(curve: Float64Array, places: Float64Array) -> Float64Array:
    """The curve between its ticks, by Catmull and Rom's cubic: exactly zero where four ticks are."""
    whole = np.floor(places).astype(int)
    share = places - whole
    one, two, three, four = (curve[np.clip(whole + offset, 0, len(curve) - 1)] for offset in (-1, 0, 1, 2))
    bend = 3 * (two - three) + four - one
    return np.asarray(
        two + 0.5 * share * (three - one + share * (2 * one - 5 * two + 4 * three - four + share * bend))
    )
