"""Cues by which a glitch is told from music: what stands out at an instant, band by band, of both sides.

A song is split into bands by an undecimated wavelet of short, symmetric filters (the "à trous" algorithm with
a triangle; Shensa, "The discrete wavelet transform", IEEE Trans. Signal Processing 40(10), 1992), so an
instant stays one. Beside the bands stand the song itself and what linear prediction leaves of it. All of them
are read as powers of quarters of a millisecond.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.types import Float64Array, FloatArray

BANDS = 5
SIGNALS = BANDS + 4
"""The song, its two residuals, the bands from the highest down, and what is left below them."""

PER_MS = 4
"""Quarters of a millisecond."""

_RESIDUAL, _FOREIGN, _FIRST_BAND = 1, 2, 3
_CENTRE = 3
_SIDES_MS = (5, 25, 60)
_PEAK_OVER = 10.0 ** (11 / 10)
_STEP_OVER = 10.0 ** (3.0 / 10)
_FLOOR = 1e-11
_REPEATED_S, _LEAST_LAG_S, _MOST_LAG_S = 0.005, 0.006, 0.065

EDGE_CUES = 2 * SIGNALS + 3 * (SIGNALS + 2) + 17
RESIDUAL_CUES = slice(2, 4)
"""Of an edge, how far the residual stands out of what lies before and behind, in dB."""

LEVEL_CUE = 2 * SIGNALS + (SIGNALS + 2) + SIGNALS
"""Of an edge, by how much the bands are louder behind it than before, their median in dB."""

RARITY_CUES = slice(EDGE_CUES - 5, EDGE_CUES - 2)
"""Of an edge, what `rarity` gives."""


@dataclass(frozen=True)
class Quarters:
    """Powers of quarters of a millisecond.

    Attributes:
        size: frames in one.
        sums: running sums of the mean squares, (channels, SIGNALS, quarters + 1); differences of them are
            sums over a stretch.
        rms: of the piece, squared, what floors are taken from.
    """

    size: int
    sums: Float64Array
    power: float

    @property
    def count(self) -> int:
        """How many quarters there are."""
        return int(self.sums.shape[2]) - 1


def measure_quarters(samples: FloatArray, residual: FloatArray, foreign: FloatArray, hop: int) -> Quarters:
    """The quarters of a piece.

    Args:
        samples, residual, foreign: float32 (channels, frames), as `glitches.measure_cells` reads them.
        hop: frames of a millisecond.
    """
    size = max(hop // PER_MS, 2)
    count = samples.shape[1] // size
    sums = np.zeros((len(samples), SIGNALS, count + 1))
    for channel, x in enumerate(samples):
        for row, signal in enumerate((x, residual[channel], foreign[channel], *_bands(x))):
            squares = signal[: count * size].reshape(count, size)
            sums[channel, row, 1:] = np.cumsum(
                np.einsum("ij,ij->i", squares, squares) / size, dtype=np.float64
            )
    return Quarters(size, sums, float(np.mean(samples**2)) + 1e-12)


def _bands(x: FloatArray) -> list[FloatArray]:
    made, rest = list[FloatArray](), x
    for level in range(BANDS):
        smooth = _smoothed(rest, 1 << level)
        made.append(rest - smooth)
        rest = smooth
    return [*made, rest]


@njit(cache=True, nogil=True)
def _smoothed(x: FloatArray, reach: int) -> FloatArray:
    out = np.empty_like(x)
    last = len(x) - 1
    for n in range(len(x)):
        out[n] = np.float32(0.5) * x[n] + np.float32(0.25) * (x[max(n - reach, 0)] + x[min(n + reach, last)])
    return out


@njit(cache=True, nogil=True)
def find_edges(sums: Float64Array, power: float) -> NDArray[np.int64]:
    """Quarters of one channel, (SIGNALS, quarters + 1), at which something may have broken.

    In one of the signals a millisecond stands out of both sides, or the residual's level changes at once.
    """
    signals, count = sums.shape[0], sums.shape[1] - 1
    strength = np.zeros(count, np.float32)
    side, guard = 10 * PER_MS, _CENTRE
    for q in range(side + guard, count - side - guard):
        for s in range(1, signals):
            floor = _FLOOR * power * side
            here = (sums[s, q + 2] - sums[s, q - 2]) / 4
            before = (sums[s, q - guard] - sums[s, q - guard - side] + floor) / side
            behind = (sums[s, q + guard + side] - sums[s, q + guard] + floor) / side
            if here < 1e-7 * power:
                continue
            # Of a click the sides are alike; of an attack the side behind holds it.
            over = here / (_PEAK_OVER * math.sqrt(before * behind))
            strength[q] = max(strength[q], over)
            if s <= 2:
                short = 3 * PER_MS
                near = (sums[s, q - 1] - sums[s, q - 1 - short] + floor) / short
                far = (sums[s, q + 1 + short] - sums[s, q + 1] + floor) / short
                step = min(max(before / behind, behind / before), max(near / far, far / near))
                strength[q] = max(strength[q], step / _STEP_OVER)
    found = np.zeros(count, np.bool_)
    reach = PER_MS
    for q in range(reach, count - reach):
        if strength[q] < 1.0:
            continue
        best = True
        for k in range(q - reach, q + reach + 1):
            if strength[k] > strength[q] or (strength[k] == strength[q] and k < q):
                best = False
                break
        found[q] = best
    return np.nonzero(found)[0]


@njit(cache=True, nogil=True)
def _db(over: float, under: float, floor: float) -> float:
    return 10 * math.log10((over + floor) / (under + floor))


@njit(cache=True, nogil=True)
def _mean(sums: Float64Array, start: int, stop: int) -> float:
    start, stop = max(start, 0), min(stop, len(sums) - 1)
    return (sums[stop] - sums[start]) / (stop - start) if stop > start else 0.0


@njit(cache=True, nogil=True)
def _highest(sums: Float64Array, start: int, stop: int) -> float:
    most = 0.0
    for q in range(max(start, 0), min(stop, len(sums) - 1)):
        most = max(most, sums[q + 1] - sums[q])
    return most


@njit(cache=True, nogil=True)
def edge_cues(sums: Float64Array, other: Float64Array, power: float, edges: NDArray[np.int64]) -> FloatArray:
    """The cues of edges of a channel that are read from its quarters, float32 (edges, EDGE_CUES).

    Args:
        sums: of the channel, (SIGNALS, quarters + 1).
        other: of the other channel; the same where there is none.
        power: mean square of the piece.
        edges: quarters.
    """
    signals = sums.shape[0]
    out = np.zeros((len(edges), EDGE_CUES), np.float32)
    floor = 1e-8 * power
    salience = np.zeros(len(edges), np.float32)
    for k in range(len(edges)):
        q, column = edges[k], 0
        for s in range(signals):
            here = _mean(sums[s], q - _CENTRE, q + _CENTRE)
            before = _mean(sums[s], q - _CENTRE - 40, q - _CENTRE)
            behind = _mean(sums[s], q + _CENTRE, q + _CENTRE + 40)
            out[k, column] = _db(here, before, floor)
            out[k, column + 1] = _db(here, behind, floor)
            column += 2
        salience[k] = min(out[k, 2], out[k, 3])
        for ms in _SIDES_MS:
            size = ms * PER_MS
            ratios = np.zeros(signals)
            for s in range(signals):
                before = _mean(sums[s], q - _CENTRE - size, q - _CENTRE)
                behind = _mean(sums[s], q + _CENTRE, q + _CENTRE + size)
                ratios[s] = _db(behind, before, floor)
                out[k, column] = ratios[s]
                column += 1
            of_bands = ratios[_FIRST_BAND:]
            middle = np.median(of_bands)
            out[k, column] = middle
            out[k, column + 1] = np.median(np.abs(of_bands - middle))
            column += 2
        for s in (_RESIDUAL, _FOREIGN):
            here = _highest(sums[s], q - _CENTRE, q + _CENTRE)
            out[k, column] = _db(here, _highest(sums[s], q - 60, q - _CENTRE), floor)
            out[k, column + 1] = _db(here, _highest(sums[s], q + _CENTRE, q + 60), floor)
            out[k, column + 2] = _db(here, _mean(sums[s], q - 2 * _CENTRE, q + 2 * _CENTRE), floor)
            column += 3
        here = _mean(other[_RESIDUAL], q - _CENTRE, q + _CENTRE)
        out[k, column] = _db(here, _mean(other[_RESIDUAL], q - _CENTRE - 40, q - _CENTRE), floor)
        out[k, column + 1] = _db(here, _mean(other[_RESIDUAL], q + _CENTRE, q + _CENTRE + 40), floor)
        apart = 0.0
        for s in range(signals):
            there = _db(_mean(other[s], q + _CENTRE, q + 103), _mean(other[s], q - 103, q - _CENTRE), floor)
            here_db = _db(_mean(sums[s], q + _CENTRE, q + 103), _mean(sums[s], q - 103, q - _CENTRE), floor)
            apart += abs(there - here_db) / signals
        out[k, column + 2] = apart
        out[k, column + 3] = _db(_mean(sums[0], q - 100, q + 100), power, floor)
        out[k, column + 4] = _db(
            _mean(sums[1], q - 100, q - _CENTRE), _mean(sums[0], q - 100, q - _CENTRE), floor
        )
        out[k, column + 5] = _db(
            _mean(sums[1], q + _CENTRE, q + 100), _mean(sums[0], q + _CENTRE, q + 100), floor
        )
    out[:, RARITY_CUES] = rarity(edges, salience, edges, salience)
    return out


@njit(cache=True, nogil=True)
def rarity(
    edges: NDArray[np.int64], salience: FloatArray, others: NDArray[np.int64], of_others: FloatArray
) -> FloatArray:
    """How many others are about as salient within half a second and within three, and by how many dB an edge
    is more so than all of them, float32 (edges, 3); what lies within 12 ms is the same.
    """
    out = np.zeros((len(edges), 3), np.float32)
    for k in range(len(edges)):
        most = np.float32(-60.0)
        first = np.searchsorted(others, edges[k] - 3000 * PER_MS)
        for j in range(first, len(others)):
            apart = abs(others[j] - edges[k])
            if others[j] > edges[k] + 3000 * PER_MS:
                break
            if apart <= 12 * PER_MS:
                continue
            if of_others[j] > salience[k] - 3:
                out[k, 0] += apart < 500 * PER_MS
                out[k, 1] += 1
            most = max(most, of_others[j])
        out[k, 2] = salience[k] - most
    return out


@njit(cache=True, nogil=True)
def repetition(x: FloatArray, at: int, rate: int) -> tuple[float, float]:
    """How unlike what begins at a frame is to what stood there a while ago, in dB, and how long in ms; −10 dB
    and 0 where that is more.

    A frame that comes twice is the same to the last bit; music that repeats itself is not. `x` are second
    differences, whose neighbours are unlike.
    """
    size, least, most = int(_REPEATED_S * rate), int(_LEAST_LAG_S * rate), int(_MOST_LAG_S * rate)
    start = at + size // 10
    if start - most < 0 or start + size > len(x):
        return -10.0, 0.0
    power = 1e-12
    for n in range(start, start + size):
        power += x[n] * x[n]
    best, best_lag = 0.1 * power, 0
    for lag in range(least, most):
        error = 0.0
        for n in range(start, start + size):
            difference = x[n] - x[n - lag]
            error += difference * difference
            if error > best:
                break
        if error < best:
            best, best_lag = error, lag
    return 10 * math.log10(best / power + 1e-7), 1000.0 * best_lag / rate


def with_repetition(cues: FloatArray, x: FloatArray, at: NDArray[np.int64], rate: int) -> FloatArray:
    """The cues of edges at frames of a channel, with those of `repetition`."""
    bends = np.diff(x, 2)
    for row, frame in zip(cues, at, strict=True):
        row[-2:] = repetition(bends, int(frame), rate)
    return cues
