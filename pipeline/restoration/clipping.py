"""Peaks that were cut off at a level, rebuilt.

The song's highest and lowest samples, channel by channel, are taken for a clipper's levels where they
are held again and again. What was cut off there is what the sparsest spectrum says that agrees with all
the other samples (`sparsity`), averaged with the linear prediction of what stands around (`prediction`),
whose errors are others; where hardly anything is cut off, prediction alone says it better and at once. It
never falls back under the level. All other samples keep their value.
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
from mixagent.pipeline.restoration.sparsity import ITERATIONS, beyond_level
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, Progress, blocks, spool

FEWEST_RUNS = 20
"""Runs that a song must have before any is touched: a limiter's ceiling leaves a few by chance."""

_FEWEST_OF_A_SIDE = 5
_FLATNESS = 2e-4
_SHORTEST = 3
_LONGEST_S = 0.02
_STEEPEST = 0.5
_MOSTLY = 0.5
_HIGHEST = db_to_amplitude(12)
_SIDES = (1.0, -1.0)
_PREDICTED = np.float32(0.3)
"""Share of the prediction in the mean: on validation songs best between 0.2 and 0.5 at any length of run."""

SELDOM_SHARE = 5e-4
"""Share of a passage's samples under which prediction rebuilds them alone: on training songs 11 to 13 dB were
won by it there and 4 to 8 by the mean, above it the mean wins."""

OFTEN_SHARE = 0.02
"""From here on the sparse spectrum is worth all its steps; below it half of them cost 0.1 dB."""

_ORDER = 128
_AROUND = 1024
_LONGEST_PREDICTED = 256
_BLOCK = 1 << 16
_CORE_S = 8.0
_CONTEXT_S = 0.2


def find(source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
    """Clipped peaks: a channel's highest (or lowest) level, whatever it is, held for three samples or more
    again and again.
    """
    levels = _levels(source)
    runs, held, smooth = _count(source, levels, progress)
    if runs.sum() < FEWEST_RUNS:
        return None
    clipped = runs >= _FEWEST_OF_A_SIDE
    values = {
        "clipped_runs": float(runs.sum()),
        "clipped_share": float(held[clipped].sum()) / max(source.frames * source.channels, 1),
    }
    details = {
        "levels": np.where(clipped, levels, 0.0).tolist(),
        # Elsewhere plateaus that are jumped to, as in a square wave, are none of a clipper.
        "every_run": bool(smooth[clipped].sum() >= _MOSTLY * held[clipped].sum()),
    }
    return Found(f"{runs.sum()} peaks are clipped.", values, details)


def run(source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
    """The source with its clipped peaks rebuilt; they may lie above full scale, and samples that were not
    clipped keep their value.
    """
    parts = _rebuilt(source, np.array(found.details["levels"]), found.details["every_run"], progress)
    audio = spool(parts, scratch / "declipped.f32", source.rate, source.channels)
    runs = int(found.values["clipped_runs"])
    return Restored(audio, True, f"{runs} clipped peaks were rebuilt.", found.values)


def _levels(source: AudioSource) -> Float64Array:
    """The highest and the lowest (turned over) sample of each channel, (channels, 2)."""
    levels = np.zeros((source.channels, 2))
    for block in blocks(source):
        levels = np.maximum(levels, np.stack((block.max(1), -block.min(1)), axis=1))
    return levels


def _count(
    source: AudioSource, levels: Float64Array, progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of each side of each channel: runs of a crest cut off, samples at the level, those of them in runs."""
    runs, held, smooth = (np.zeros(levels.shape, np.int64) for _ in range(3))
    longest = round(_LONGEST_S * source.rate)
    for start in range(0, source.frames, _BLOCK):
        block = source.read(start, start + _BLOCK)
        progress(min(start + _BLOCK, source.frames) / source.frames)
        for (channel, side), level in np.ndenumerate(levels):
            found = _runs(block[channel], _SIDES[side], level, longest, True)
            lengths = found[:, 1] - found[:, 0]
            runs[channel, side] += (lengths >= _SHORTEST).sum()
            smooth[channel, side] += lengths.sum()
            every = _runs(block[channel], _SIDES[side], level, longest, False)
            held[channel, side] += (every[:, 1] - every[:, 0]).sum()
    return runs, held, smooth


def _rebuilt(
    source: AudioSource, levels: Float64Array, every_run: bool, progress: Progress
) -> Iterator[FloatArray]:
    core, context = round(_CORE_S * source.rate), round(_CONTEXT_S * source.rate)
    for start in range(0, source.frames, core):
        stop = min(start + core, source.frames)
        first = max(start - context, 0)
        samples = source.read(first, stop + context).copy()
        cut = _cut_to(samples, levels, round(_LONGEST_S * source.rate), not every_run)
        inside = np.flatnonzero(cut[:, start - first : stop - first].any(axis=0)) + start - first
        stretches = _stretches(inside, context, samples.shape[1])
        length = sum(end - begin for begin, end in stretches)
        done = 0
        for begin, end in stretches:
            part = slice(begin, end)
            shares = start + done * (stop - start) / length, (end - begin) * (stop - start) / length
            step = _within(progress, source, *shares)
            samples[:, part] = _passage(samples[:, part], cut[:, part], source.rate, step)
            done += end - begin
        yield samples[:, start - first : stop - first]
        progress(stop / source.frames)


def _within(progress: Progress, source: AudioSource, before: float, frames: float) -> Progress:
    """Progress of a part of the source's frames."""
    return lambda share: progress((before + share * frames) / source.frames)


def _cut_to(samples: FloatArray, levels: Float64Array, longest: int, smooth_only: bool) -> FloatArray:
    """The level, negative for the lower side, that each sample was clipped to; 0 where it was not."""
    cut = np.zeros_like(samples)
    for (channel, side), level in np.ndenumerate(levels):
        for begin, end in _runs(samples[channel], _SIDES[side], level, longest, smooth_only):
            cut[channel, begin:end] = _SIDES[side] * level
    return cut


def _passage(samples: FloatArray, cut: FloatArray, rate: int, step: Progress) -> FloatArray:
    """The samples (channels, frames) with those rebuilt that were cut, within `_HIGHEST` times the level."""
    predicted = samples.astype(np.float64)
    for channel, level in zip(predicted, cut, strict=True):
        _bridge(channel, level)
        _predict(channel, level)
    made = predicted.astype(np.float32)
    share = np.count_nonzero(cut) / cut.size
    if share > SELDOM_SHARE:
        rebuilt = beyond_level(samples, cut, rate, step, ITERATIONS // (1 if share > OFTEN_SHARE else 2))
        made = rebuilt + _PREDICTED * (made - rebuilt)
    most = np.abs(cut) * np.float32(_HIGHEST)
    return np.where(cut != 0, np.clip(made, -most, most), samples)


def _stretches(at: NDArray[np.int64], context: int, frames: int) -> list[tuple[int, int]]:
    """From and to of each group of places with its context, which groups do not share."""
    if not at.size:
        return []
    cuts = np.flatnonzero(np.diff(at) > 2 * context)
    firsts, lasts = np.append(at[0], at[cuts + 1]), np.append(at[cuts], at[-1])
    begins, ends = np.maximum(firsts - context, 0), np.minimum(lasts + context + 1, frames)
    return [(int(begin), int(end)) for begin, end in zip(begins, ends, strict=True)]


@njit(cache=True, nogil=True)
def _runs(
    x: NDArray[np.floating], sign: float, level: float, longest: int, smooth_only: bool
) -> NDArray[np.int64]:
    """Start and stop of each run of samples at `sign * level`, (runs, 2).

    Runs longer than `longest` are left out; with `smooth_only` also those at the ends of `x`, and those
    that are jumped to, as in a square wave.
    """
    floor = level * (1 - _FLATNESS)
    found = np.empty((len(x) // 2 + 1, 2), np.int64)
    count, begin = 0, -1
    for i in range(len(x) + 1):
        if i < len(x) and level > 1e-4 and sign * x[i] >= floor:
            if begin < 0:
                begin = i
            continue
        if begin >= 0 and i - begin <= longest:
            taken = not smooth_only
            if smooth_only and begin >= 2 and i < len(x) - 1:
                rise = abs(x[begin - 1] - x[begin - 2])
                fall = abs(x[i + 1] - x[i])
                near = min(sign * x[begin - 1], sign * x[i])
                taken = max(rise, fall) < _STEEPEST * level and near > (1 - _STEEPEST) * level
            if taken:
                found[count, 0], found[count, 1] = begin, i
                count += 1
        begin = -1
    return found[:count]


@njit(cache=True, nogil=True)
def _bridge(x: Float64Array, level: FloatArray) -> None:
    """Fill each run with the cubic that meets its neighbours and their slopes."""
    stop = 0
    while stop < len(x):
        start, stop = _next_run(level, stop)
        if start < 2 or stop > len(x) - 2:
            continue
        left, right, span = x[start - 1], x[stop], stop - start + 1
        rise, fall = (left - x[start - 2]) * span, (x[stop + 1] - right) * span
        for i in range(start, stop):
            t = (i - start + 1) / span
            value = (1 + 2 * t) * (1 - t) ** 2 * left + t * (1 - t) ** 2 * rise
            value += t * t * (3 - 2 * t) * right + t * t * (t - 1) * fall
            x[i] = _beyond(value, level[i])


@njit(cache=True, nogil=True)
def _predict(x: Float64Array, level: FloatArray) -> None:
    """Refine each run by the linear prediction of its surroundings: least residual over the run."""
    stop = 0
    while stop < len(x):
        start, stop = _next_run(level, stop)
        if start < _ORDER or stop + _ORDER > len(x) or stop - start > _LONGEST_PREDICTED:
            continue
        weights = residual_weights(x[max(start - _AROUND, 0) : stop + _AROUND], _ORDER)
        solved = interpolated(x, start, stop, weights)
        for i in range(start, stop):
            x[i] = _beyond(solved[i - start], level[i])


@njit(cache=True, nogil=True)
def _next_run(level: FloatArray, at: int) -> tuple[int, int]:
    """Start and stop of the next run of one level; both the length where there is none."""
    start = at
    while start < len(level) and level[start] == 0:
        start += 1
    stop = start
    while stop < len(level) and level[stop] == level[start]:
        stop += 1
    return start, stop


@njit(cache=True, nogil=True)
def _beyond(value: float, level: float) -> float:
    sign = 1.0 if level > 0 else -1.0
    return float(sign * min(max(sign * value, sign * level), sign * level * _HIGHEST))
