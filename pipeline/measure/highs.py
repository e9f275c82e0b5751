"""Finds the end of a song's highs, and how they would have gone on.

An end is a knee of the long-term spectrum: above it the level falls away from the line of the octave
below by far more than music's own slope, and does not come back. Two spectra are read: the mean of the
power, which gives levels, and the mean of the level in dB over time, on which leftovers of a codec
(isolated blips above its low-pass) leave no trace. A spectrum that dies out at its own slope has no end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.fft import rfft

from mixagent.pipeline.decibels import db_to_power, power_to_db, powers_to_db
from mixagent.pipeline.dsp.streaming import half_overlapping
from mixagent.pipeline.types import AudioSource, Float64Array, blocks

USUAL_END_HZ = 15400.0
"""Finished music's highs reach at least this far: a song that does is not called short."""

LEAST_MISSING_DB = 10.0
"""The dB under their continuation at which the highs count as ended."""

_PER_OCTAVE = 24
_LOW_HZ, _HIGH_HZ = 1500.0, 19500.0
_BELOW, _FALL, _SHORT_FALL = 18, 8, 4
_CLIFF_DB, _SHORT_CLIFF_DB = 16.0, 15.0
_LEAST_CLIFF_DB = 20.0
_JUDGED_OCTAVES = 0.4
# So much is short over that span only where something was cut off, however ragged the edge.
_SURE_DB = 30.0
# Highs are sparser than what lies below: their level in dB may lie so much further under the mean.
_SPARSER_DB = 12.0
_END_DB, _RETURN_DB, _STEEP_DB = 3.0, 10.0, 1.0
_FLOOR_DB = -130.0
# At a level under this against the whole song, highs cannot be heard, nor can their absence.
_INAUDIBLE_DB = -84.0
_SLOPES_DB = (-24.0, 0.0)
_OWN_SHARE = 0.2
_USUAL_DB, _STEEPER_DB, _STEEPER_FROM_HZ = -13.0, -13.0, 8000.0
_WINDOW_S = 0.0464


@dataclass(frozen=True)
class Highs:
    """The end of a song's highs and their continuation.

    Attributes:
        end_hz: where they end; half the rate where they do not.
        cliff: whether they end in a knee that music of its own does not have.
        slope_db: slope of the octave below the end, dB an octave, at most 0.
        over_reference_db: level of the continuation at the end over the mean density of `reference_hz`.
        missing_db: mean of what is short of the continuation above the end, at least up to the usual end; 0
            without.
    """

    end_hz: float
    cliff: bool
    slope_db: float
    over_reference_db: float
    missing_db: float

    @property
    def is_short(self) -> bool:
        """True if they end in a cliff before finished music's highs do."""
        return self.cliff and self.end_hz < USUAL_END_HZ


def reference_hz(end_hz: float) -> tuple[float, float]:
    """The band under an end from whose level the highs above it follow, in Hz."""
    return 0.66 * end_hz, 0.92 * end_hz


def continuation_db(hz: Float64Array, end_hz: float, slope_db: float) -> Float64Array:
    """Level above an end against the level at it: a falling curve, 0 at the end.

    Mostly finished music's usual slope, which falls off faster the higher it gets, and a little of the
    song's own: over finished songs the slope below says little of the one above
    (`scripts/benchmark_extension.py --fit`).

    Args:
        hz: at or above the end.
        end_hz: the end.
        slope_db: the song's slope below it, dB an octave.
    """
    octaves = np.log2(np.maximum(hz / end_hz, 1.0))
    own_db = _OWN_SHARE * (np.clip(slope_db, *_SLOPES_DB) - _USUAL_DB)
    above, at = (np.log2(np.maximum(f / _STEEPER_FROM_HZ, 1.0)) for f in (np.maximum(hz, end_hz), end_hz))
    level_db = (_USUAL_DB + own_db) * octaves + 0.5 * _STEEPER_DB * (above**2 - at**2)
    return np.asarray(np.minimum(level_db, 0.0))


def measure_highs(source: AudioSource) -> Highs:
    """The end of the highs of a source, in one pass; silence has none."""
    size = 1 << max(round(math.log2(_WINDOW_S * source.rate)), 8)
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    power, level_db, count = np.zeros(size // 2 + 1), np.zeros(size // 2 + 1), 0
    for frames in half_overlapping(blocks(source), source.channels, size):
        spectra = rfft(frames * window, axis=-1)
        both = spectra.real**2 + spectra.imag**2
        found: Float64Array = np.asarray(np.sum(both, axis=0, dtype=np.float64))
        loud = found.sum(axis=1) > 1e-6 * size
        found = found[loud]
        power += found.sum(axis=0)
        level_db += 10 * np.log10(found + db_to_power(_FLOOR_DB) * found.mean(axis=1, keepdims=True)).sum(0)
        count += len(found)
    return find_highs(power / max(count, 1), level_db / max(count, 1), source.rate / size)


def find_highs(power: Float64Array, level_db: Float64Array, bin_hz: float) -> Highs:
    """The end of the highs in a long-term spectrum.

    Args:
        power: mean power of each bin from 0 Hz to half the rate, shape (bins,).
        level_db: mean over time of each bin's power in dB, at the same scale.
        bin_hz: width of a bin.
    """
    nyquist_hz = bin_hz * (power.size - 1)
    top_hz = min(_HIGH_HZ, 0.97 * nyquist_hz)
    without = Highs(nyquist_hz, False, 0.0, 0.0, 0.0)
    if power.sum() <= 0.0 or top_hz < _LOW_HZ * 2 ** ((_BELOW + 2 * _SHORT_FALL) / _PER_OCTAVE):
        return without
    hz: Float64Array = _LOW_HZ * 2 ** (
        np.arange(int(_PER_OCTAVE * math.log2(top_hz / _LOW_HZ)) + 1) / _PER_OCTAVE
    )
    mean_db = _curve(powers_to_db(power / power.sum() + 1e-15), power / power.sum(), hz, bin_hz)
    usual_db = _curve(level_db - power_to_db(power.sum()), None, hz, bin_hz)
    knee = _knee(hz, mean_db, usual_db)
    start = knee if knee is not None else _soft_end(hz, mean_db)
    if start is None:
        return without
    # The line that ends at the end itself says best how the highs would have gone on.
    for _ in range(3):
        at_db, slope_db = _line(hz, mean_db, start)
        expected_db = _expected_db(hz, hz[start], at_db, slope_db)
        usually_db = _expected_db(hz, hz[start], *_line(hz, usual_db, start))
        short_db = np.maximum(expected_db - mean_db, usually_db - usual_db - _SPARSER_DB)
        end_hz = _end_hz(hz, short_db, start)
        start = max(int(np.searchsorted(hz, end_hz)) - 1, 1)
    if at_db < _INAUDIBLE_DB:
        return without
    at_end_db = float(np.interp(math.log2(end_hz), np.log2(hz), expected_db))
    low_hz, high_hz = reference_hz(end_hz)
    reference = power[math.ceil(low_hz / bin_hz) : max(int(high_hz / bin_hz), math.ceil(low_hz / bin_hz)) + 1]
    above = (hz > end_hz) & (hz <= max(USUAL_END_HZ, end_hz * 2**_JUDGED_OCTAVES))
    missing_db = float(np.mean(short_db[above])) if above.any() else 0.0
    if missing_db < (_LEAST_CLIFF_DB if knee is not None else LEAST_MISSING_DB):
        return without
    return Highs(
        end_hz=end_hz,
        cliff=knee is not None or missing_db > _SURE_DB,
        slope_db=slope_db,
        over_reference_db=at_end_db - power_to_db(float(reference.mean()) / power.sum() + 1e-15),
        missing_db=max(missing_db, 0.0),
    )


def _curve(
    values_db: Float64Array, power: Float64Array | None, hz: Float64Array, bin_hz: float
) -> Float64Array:
    """A spectrum's density a bin at `hz`, smoothed over a twelfth of an octave."""
    sums = np.concatenate([[0.0], np.cumsum(values_db if power is None else power)])
    reach = 2 ** (1 / _PER_OCTAVE)
    low = np.clip(np.round(hz / reach / bin_hz).astype(int), 0, values_db.size - 1)
    high = np.clip(np.round(hz * reach / bin_hz).astype(int) + 1, low + 1, values_db.size)
    means = (sums[high] - sums[low]) / (high - low)
    return np.asarray(means if power is None else powers_to_db(np.maximum(means, db_to_power(_FLOOR_DB))))


def _line(hz: Float64Array, level_db: Float64Array, at: int) -> tuple[float, float]:
    """Level at a point and slope an octave of what lies below it, the nearest weighted most."""
    below = np.arange(max(at - _BELOW, 0), max(at - 1, 1))
    octaves = (below - at) / _PER_OCTAVE
    slope_db, _ = np.polyfit(octaves, level_db[below], 1)
    slope_db = float(np.clip(slope_db, *_SLOPES_DB))
    weights = np.exp(4 * octaves)
    return float(np.average(level_db[below] - slope_db * octaves, weights=weights)), slope_db


def _expected_db(hz: Float64Array, at_hz: float, at_db: float, slope_db: float) -> Float64Array:
    """The line below a point and the continuation above it."""
    below_db = slope_db * np.log2(np.minimum(hz / at_hz, 1.0))
    return np.asarray(at_db + below_db + continuation_db(np.maximum(hz, at_hz), at_hz, slope_db))


def _knee(hz: Float64Array, mean_db: Float64Array, usual_db: Float64Array) -> int | None:
    """The first point from which both spectra fall away from the line below, and stay away."""
    # Blips that stand above the end hold the mean up, so its median must do; the level in dB must stay.
    highest = np.maximum.accumulate(usual_db[::-1])[::-1]
    for k in range(_BELOW, hz.size - _SHORT_FALL):
        usual_at, usual_slope = _line(hz, usual_db, k)
        mean_at, mean_slope = _line(hz, mean_db, k)
        for fall, least_db in ((_SHORT_FALL, _SHORT_CLIFF_DB), (_FALL, _CLIFF_DB)):
            if k + fall >= hz.size:
                continue
            if usual_at + usual_slope * fall / _PER_OCTAVE - float(highest[k + fall]) < least_db:
                continue
            after = np.arange(k + fall, min(k + 3 * fall, hz.size))
            expected = mean_at + mean_slope * (after - k) / _PER_OCTAVE
            if float(np.median(expected - mean_db[after])) >= 0.8 * least_db:
                return k
    return None


def _soft_end(hz: Float64Array, mean_db: Float64Array) -> int | None:
    """The frequency from which the level stays under its continuation, without a knee; None for none."""
    for k in range(_BELOW, hz.size - _FALL):
        at_db, slope_db = _line(hz, mean_db, k)
        short_db = (_expected_db(hz, hz[k], at_db, slope_db) - mean_db)[k + _FALL :]
        if short_db.min() > LEAST_MISSING_DB:
            return k
    return None


def _end_hz(hz: Float64Array, short_db: Float64Array, start: int) -> float:
    """The start of the fall from which the level does not come back: `_END_DB` under, between the points."""
    back = np.flatnonzero(short_db < _RETURN_DB)
    first = min(int(back[-1]) + 1 if back.size else start, hz.size - 1)
    # A plateau a little under the line is no part of the fall.
    while first > 1 and short_db[first - 1] > _END_DB and short_db[first] - short_db[first - 1] > _STEEP_DB:
        first -= 1
    before_db, after_db = short_db[first - 1], short_db[first]
    share = float(np.clip((_END_DB - before_db) / max(after_db - before_db, 1e-9), 0.0, 1.0))
    return float(hz[first - 1] * (hz[first] / hz[first - 1]) ** share)
