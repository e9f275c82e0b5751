"""Peaks that were cut off at a level, rebuilt.

A clipped run is bridged by a cubic (Hermite) first, and then by the linear prediction of what stands
around it (`prediction`). What is rebuilt never falls back under the level at which it was cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.restoration.prediction import interpolated, residual_weights
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, Progress, blocks, spool

FEWEST_RUNS = 20
"""Runs that a song must have before any is touched: a limiter's ceiling leaves a few by chance."""

_FLATNESS = 2e-4
_SHORTEST, _LONGEST = 3, 256
_STEEPEST = 0.5
_HIGHEST = db_to_amplitude(12)
_ORDER = 128
_CONTEXT = 1024
_BLOCK, _MARGIN = 1 << 16, 4096


def find(source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
    """Clipped peaks: a channel's highest (or lowest) level, whatever it is, held for three samples or more
    again and again.
    """
    runs, clipped = _count(source, _levels(source), progress)
    if runs < FEWEST_RUNS:
        return None
    values = {"clipped_runs": float(runs), "clipped_share": clipped / max(source.frames * source.channels, 1)}
    return Found(f"{runs} peaks are clipped.", values)


def run(source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
    """The source with its clipped peaks rebuilt; they may lie above full scale, and samples that were not
    clipped keep their value.
    """
    parts = _rebuilt(source, _levels(source), progress)
    audio = spool(parts, scratch / "declipped.f32", source.rate, source.channels)
    runs = int(found.values["clipped_runs"])
    return Restored(audio, True, f"{runs} clipped peaks were rebuilt.", found.values)


def _levels(source: AudioSource) -> Float64Array:
    """The highest and the lowest (turned over) sample of each channel, (channels, 2)."""
    levels = np.zeros((source.channels, 2))
    for block in blocks(source):
        levels = np.maximum(levels, np.stack((block.max(1), -block.min(1)), axis=1))
    return levels


def _count(source: AudioSource, levels: Float64Array, progress: Progress) -> tuple[int, int]:
    runs = samples = 0
    for start in range(0, source.frames, _BLOCK):
        block = source.read(start, start + _BLOCK)
        progress(min(start + _BLOCK, source.frames) / source.frames)
        for channel, level in zip(block, levels, strict=True):
            for sign, height in zip((1.0, -1.0), level, strict=True):
                found = _runs(channel, sign, height, _SHORTEST)
                runs, samples = runs + len(found), samples + int((found[:, 1] - found[:, 0]).sum())
    return runs, samples


def _rebuilt(source: AudioSource, levels: Float64Array, progress: Progress) -> Iterator[FloatArray]:
    for start in range(0, source.frames, _BLOCK):
        stop = min(start + _BLOCK, source.frames)
        first = max(start - _MARGIN, 0)
        padded = source.read(first, stop + _MARGIN).astype(np.float64)
        for channel, level in zip(padded, levels, strict=True):
            sides = tuple(zip((1.0, -1.0), level, strict=True))
            held = [_runs(channel, sign, height, 1) for sign, height in sides]
            for runs, (sign, height) in zip(held, sides, strict=True):
                _bridge(channel, runs, sign, height)
            for runs, (sign, height) in zip(held, sides, strict=True):
                _predict(channel, runs, sign, height)
        yield padded[:, start - first : stop - first].astype(np.float32)
        progress(stop / source.frames)


@njit(cache=True, nogil=True)
def _runs(x: NDArray[np.floating], sign: float, level: float, shortest: int) -> NDArray[np.int64]:
    """Start and stop of each run of `shortest` samples or more at `sign * level`, (runs, 2).

    Runs at the ends of `x`, too long ones, and those that are jumped to, as in a square wave, are left out.
    """
    floor = level * (1 - _FLATNESS)
    found = np.empty((len(x) // 2 + 1, 2), np.int64)
    count, begin = 0, -1
    for i in range(len(x) + 1):
        if i < len(x) and level > 1e-4 and sign * x[i] >= floor:
            if begin < 0:
                begin = i
            continue
        if begin >= 2 and i < len(x) - 1 and shortest <= i - begin <= _LONGEST:
            rise = abs(x[begin - 1] - x[begin - 2])
            fall = abs(x[i + 1] - x[i])
            near = min(sign * x[begin - 1], sign * x[i])
            if max(rise, fall) < _STEEPEST * level and near > (1 - _STEEPEST) * level:
                found[count, 0], found[count, 1] = begin, i
                count += 1
        begin = -1
    return found[:count]


@njit(cache=True, nogil=True)
def _bridge(x: Float64Array, runs: NDArray[np.int64], sign: float, level: float) -> None:
    """Fill each run with the cubic that meets its neighbours and their slopes."""
    for run in range(len(runs)):
        start, stop = runs[run]
        left, right = x[start - 1], x[stop]
        span = stop - start + 1
        rise, fall = (left - x[start - 2]) * span, (x[stop + 1] - right) * span
        for i in range(start, stop):
            t = (i - start + 1) / span
            value = (1 + 2 * t) * (1 - t) ** 2 * left + t * (1 - t) ** 2 * rise
            value += t * t * (3 - 2 * t) * right + t * t * (t - 1) * fall
            x[i] = sign * min(max(sign * value, level), _HIGHEST * level)


@njit(cache=True, nogil=True)
def _predict(x: Float64Array, runs: NDArray[np.int64], sign: float, level: float) -> None:
    """Refine each run by the linear prediction of its surroundings: least residual over the run."""
    for run in range(len(runs)):
        start, stop = runs[run]
        if start < _ORDER or stop + _ORDER > len(x):
            continue
        weights = residual_weights(x[max(start - _CONTEXT, 0) : stop + _CONTEXT], _ORDER)
        solved = interpolated(x, start, stop, weights)
        for i in range(stop - start):
            x[start + i] = sign * min(max(sign * solved[i], level), _HIGHEST * level)
