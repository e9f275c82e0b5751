"""Lone clicks, taken out before anything raises or smears them.

A click's frames are bridged by the linear prediction of what stands around it (`prediction`), fitted
anew to what it gave (Janssen et al. 1986).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.clicks import find_clicks
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.restoration.prediction import interpolated, prediction_filter, residual_weights
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, Progress, spool

REFERENCE_LUFS = -20.0

_BLOCK, _MARGIN = 1 << 17, 4096
_ORDER = 48
_CONTEXT = 1024
_LONGEST_S = 0.0015
_ITERATIONS = 4
_OUTLYING = 1.5


def find(source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
    """The clicks of a source; its loudness says from what size on a click is one."""
    lufs = analysis.integrated_lufs
    if not math.isfinite(lufs):
        return None
    clicks = _clicks(source, db_to_amplitude(REFERENCE_LUFS - lufs), progress)
    moments = len(np.unique(clicks[:, 1] // max(source.rate // 500, 1)))
    if not moments:
        return None
    values = {
        "clicks": float(moments),
        "clicks_per_minute": 60 * moments * source.rate / max(source.frames, 1),
    }
    named = "A click stands" if moments == 1 else f"{moments} clicks stand"
    first_s = int(clicks[:, 1].min()) / source.rate
    where = f"at {int(first_s // 60)}:{first_s % 60:04.1f}" + (" and later" if moments > 1 else "")
    return Found(f"{named} {where}.", values, {"clicks": clicks.tolist(), "where": where})


def run(source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
    """The source without its clicks."""
    clicks = np.array(found.details["clicks"], np.int64)
    audio = spool(
        _repaired(source, clicks, progress), scratch / "declicked.f32", source.rate, source.channels
    )
    moments = int(found.values["clicks"])
    named = "A click was" if moments == 1 else f"{moments} clicks were"
    return Restored(audio, True, f"{named} taken out, {found.details['where']}.", found.values)


def _clicks(source: AudioSource, gain: float, progress: Progress) -> NDArray[np.int64]:
    """Channel and frame of each click of the source, shape (clicks, 2)."""
    found = []
    for start in range(0, source.frames, _BLOCK):
        first = start - _MARGIN
        samples = source.read(max(first, 0), start + _BLOCK + _MARGIN)
        # Silence around the song: all but the 15 ms at its ends is searched.
        before = max(-first, 0)
        after = max(start + _BLOCK + _MARGIN - source.frames, 0)
        if before or after:
            samples = np.pad(samples, ((0, 0), (before, min(after, _BLOCK + _MARGIN))))
        clicks = find_clicks(samples, _MARGIN, source.rate, gain)
        clicks[:, 1] += first
        found.append(clicks)
        progress(min(start + _BLOCK, source.frames) / source.frames)
    return np.concatenate([np.zeros((0, 2), np.int64), *found])


def _repaired(source: AudioSource, clicks: NDArray[np.int64], progress: Progress) -> Iterator[FloatArray]:
    longest = max(round(_LONGEST_S * source.rate), 8)
    for start in range(0, source.frames, _BLOCK):
        stop = min(start + _BLOCK, source.frames)
        first = max(start - _MARGIN, 0)
        progress(stop / source.frames)
        # A click may reach over the edge of a block: whichever block it is read with repairs it alike.
        near = (clicks[:, 1] >= start - longest) & (clicks[:, 1] < stop + longest)
        if not near.any():
            yield source.read(start, stop)
            continue
        samples = source.read(first, stop + _MARGIN).astype(np.float64)
        for channel, frame in clicks[near]:
            bridge(samples[channel], int(frame) - first, longest)
        yield samples[:, start - first : stop - first].astype(np.float32)


@njit(cache=True, nogil=True)
def bridge(x: Float64Array, frame: int, longest: int) -> None:
    """Rebuild the click that ends or peaks near `frame` of one channel, in place.

    Its extent is where the prediction of its surroundings fails by far, at most `longest` frames either
    way; too near to an end of `x` nothing is done.
    """
    low, high = max(frame - _CONTEXT, 0), min(frame + _CONTEXT, len(x))
    start, stop = frame - 3, frame + 1
    if start - longest - _ORDER < low or stop + longest + _ORDER > high:
        return
    inner_start, inner_stop = start - longest, stop + longest
    around = x[low:high].copy()
    ramp_from, ramp_to = around[inner_start - low - 1], around[inner_stop - low]
    for n in range(inner_start, inner_stop):
        share = (n - inner_start + 1) / (inner_stop - inner_start + 1)
        around[n - low] = (1 - share) * ramp_from + share * ramp_to
    filter_ = prediction_filter(around, _ORDER)
    first, last = _extent(x, start, stop, inner_start, inner_stop, filter_)
    for _ in range(_ITERATIONS):
        weights = residual_weights(around, _ORDER)
        around[:] = x[low:high]
        around[first - low : last - low] = interpolated(x, first, last, weights)
    x[low:high] = around


@njit(cache=True, nogil=True)
def _extent(
    x: Float64Array, start: int, stop: int, low: int, high: int, filter_: Float64Array
) -> tuple[int, int]:
    """The click around `start` to `stop`: from the first sample that what precedes it does not predict to
    the last one that what follows it does not.
    """
    most = len(filter_) - 1
    forward, backward = np.zeros(high - low), np.zeros(high - low)
    for n in range(low, high):
        for lag in range(most + 1):
            forward[n - low] += filter_[lag] * x[n - lag]
            backward[n - low] += filter_[lag] * x[n + lag]
    # A third of the stretch lies ahead of the click in either direction, and is not disturbed by it.
    third = (high - low) // 3
    quiet = max(np.abs(forward[:third]).max(), np.abs(backward[-third:]).max())
    first, last = stop - 1, start + 1
    for n in range(stop - 1, low - 1, -1):
        if abs(forward[n - low]) > _OUTLYING * quiet:
            first = n
    for n in range(start, high):
        if abs(backward[n - low]) > _OUTLYING * quiet:
            last = n + 1
    return min(first, start + 1), max(last, stop - 1)
