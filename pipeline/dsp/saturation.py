"""Soft curves over the signal, oversampled four times: the saturation of bands, and a soft clipper.

A curve leaves what is under its threshold alone and bends the rest towards its limit. What it adds to
the signal is worked out by antiderivative antialiasing of first order (Parker, Zavalishin and Le Bivic,
"Reducing the aliasing of nonlinear waveshaping using continuous-time convolution", DAFx-16), whose
quotient is in closed form for the curve at hand, so that it needs no division by a small difference.
The rest of the aliasing is left between four times the rate and the decimating filter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_amplitude, power_to_db
from mixagent.pipeline.dsp.oversampling import in_time, interpolators
from mixagent.pipeline.dsp.programme import Levelled
from mixagent.pipeline.dsp.streaming import Delay, in_pieces
from mixagent.pipeline.types import FloatArray

Real = TypeVar("Real", np.float32, np.float64)

FACTOR = 4
_REACH = 32
_NEAR_REACH = 8
_FURTHEST = _REACH + _NEAR_REACH // 2
"""Samples on each side of a point that the two interpolators, of these reaches, use in a row."""

_BETA = 9.0
_CHUNK_FRAMES = 1024
_QUADRATURE = 64


@dataclass(frozen=True)
class Curve:
    """x under `threshold`; over it, threshold + v/√(1 + (v/knee)²) of what is over, v. Both linear.

    So the slope is 1 at the threshold and the curvature 0, and the limit is threshold + knee.
    """

    threshold: float
    knee: float

    def scaled(self, gain: float) -> Curve:
        """The curve of the same sound times a gain."""
        return Curve(self.threshold * gain, self.knee * gain)

    def of(self, values: NDArray[Real]) -> NDArray[Real]:
        """The curve without memory, of values of any shape."""
        over = values - np.clip(values, -self.threshold, self.threshold)
        bent: NDArray[Real] = values + over * (1 / np.sqrt(1 + (over / self.knee) ** 2) - 1)
        return bent


@dataclass(frozen=True)
class _Bank:
    """Half-band interpolators in time, to twice the rate and on to four times.

    `half` (2·_REACH,) is long, because what it has to part is close together. `near` and `turned`
    (_NEAR_REACH,) are the second's taps on the samples and on the points amidst them, or the other
    way round. `most_gain` is the most that both can gain.
    """

    half: FloatArray
    near: FloatArray
    turned: FloatArray
    most_gain: float


@cache
def _bank() -> _Bank:
    half, near = (in_time(interpolators(2, reach, _BETA)[0]) for reach in (_REACH, _NEAR_REACH))
    return _Bank(
        half=half.astype(np.float32),
        near=near[1::2].astype(np.float32),
        turned=near[::2].astype(np.float32),
        most_gain=float(np.abs(half).sum() * np.abs(near).sum()),
    )


class Saturation:
    """The difference that one curve for each band makes to the bands' sum, `latency` frames late.

    Args:
        curves: of each band; None adds nothing.
        channels: of each band.
    """

    latency = 2 * _FURTHEST - 1

    def __init__(self, curves: Sequence[Curve | None], channels: int) -> None:
        chosen = [curve for curve in curves if curve is not None]
        self._bands = [band for band, curve in enumerate(curves) if curve is not None]
        self._curves = np.array([(curve.threshold, curve.knee) for curve in chosen], np.float32)
        self._waiting = np.zeros((len(chosen), channels, 2 * _FURTHEST), np.float32)
        self._added = np.zeros((channels, FACTOR, 2 * _FURTHEST - 1), np.float32)

    def process(self, bands: FloatArray) -> FloatArray:
        """The addition to the next blocks of the bands (bands, channels, frames): (channels, frames)."""
        bank, frames = _bank(), bands.shape[2]
        waiting = np.concatenate((self._waiting, bands[self._bands]), axis=2)
        added = np.zeros((*self._added.shape[:2], self._added.shape[2] + frames), np.float32)
        added[:, :, : self._added.shape[2]] = self._added
        _add_curves(waiting, bank.half, bank.near, bank.turned, bank.most_gain, self._curves, added)
        self._waiting, self._added = waiting[:, :, frames:].copy(), added[:, :, frames:].copy()
        return _decimated(added, bank.half, bank.near, bank.turned)


class SoftClipper:
    """A curve over the whole signal; a `Processor`. What stays under the threshold is left bit for bit."""

    latency = Saturation.latency

    def __init__(self, curve: Curve, channels: int) -> None:
        self._saturation = Saturation([curve], channels)
        self._dry = Delay(self.latency, channels)

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames), `latency` frames late."""
        return in_pieces(self._process, block)

    def _process(self, block: FloatArray) -> FloatArray:
        return self._dry.process(block) + self._saturation.process(block[None])


def kept_db(curve: Curve, programme: Levelled) -> float:
    """The power that a sound of normally distributed samples keeps behind the curve, in dB ≤ 0.

    Its level varies as the programme's does; the mean over the samples is by Gauss and Hermite.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_QUADRATURE)
    rms = db_to_amplitude(programme.level_db + np.array(programme.spread_db))
    values = rms[:, None] * nodes
    before, after = (float(np.sum((power**2) @ weights)) for power in (values, curve.of(values)))
    return power_to_db(after / before)


@njit(cache=True, nogil=True, inline="always")
def _add_filtered(
    x: NDArray[np.float32],
    taps: NDArray[np.float32],
    y: NDArray[np.float32],
    others: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Adds to each of `out` what the taps make of as many samples of `x` from there on, and of `y`."""
    for j in range(0, taps.size, 4):
        t0, t1, t2, t3 = taps[j], taps[j + 1], taps[j + 2], taps[j + 3]
        o0, o1, o2, o3 = others[j], others[j + 1], others[j + 2], others[j + 3]
        s, r = x[j : j + out.size + 3], y[j : j + out.size + 3]
        for i in range(out.size):
            value = out[i] + t0 * s[i] + t1 * s[i + 1] + t2 * s[i + 2] + t3 * s[i + 3]
            out[i] = value + o0 * r[i] + o1 * r[i + 1] + o2 * r[i + 2] + o3 * r[i + 3]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nnan", "nsz"})
def _add_curves(
    bands: NDArray[np.float32],
    half: NDArray[np.float32],
    near: NDArray[np.float32],
    turned: NDArray[np.float32],
    most_gain: float,
    curves: NDArray[np.float32],
    added: NDArray[np.float32],
) -> None:
    """Adds what each curve adds to its band to the last frames of `added` (channels, FACTOR, frames)."""
    reach, near_reach, history = half.size // 2, near.size // 2, half.size + near.size
    frames = bands.shape[2] - history
    behind = added.shape[2] - frames
    points = np.empty((FACTOR, _CHUNK_FRAMES + 1), np.float32)
    between = np.empty(_CHUNK_FRAMES + 1 + near.size, np.float32)
    for b in range(bands.shape[0]):
        threshold, inverse = curves[b, 0], np.float32(1.0) / curves[b, 1]
        for c in range(bands.shape[1]):
            for start in range(0, frames, _CHUNK_FRAMES):
                size = min(_CHUNK_FRAMES, frames - start) + 1
                x = bands[b, c, start : start + size + history - 1]
                loudest = np.float32(0.0)
                for i in range(x.size):
                    loudest = max(loudest, abs(x[i]))
                if loudest * most_gain <= threshold:
                    continue
                middle = between[: size + near.size]
                middle[:] = 0.0
                _add_filtered(x, half[:reach], x[reach:], half[reach:], middle)
                around = x[reach:]
                points[0, :size] = around[near_reach - 1 : near_reach - 1 + size]
                points[1:4:2, :size] = 0.0
                points[2, :size] = middle[near_reach : near_reach + size]
                _add_filtered(around, near, middle, turned, points[1, :size])
                _add_filtered(around, turned, middle[1:], near, points[3, :size])
                _bend_points(points, size, threshold, inverse, added[c], behind + start)


@njit(cache=True, nogil=True, inline="always")
def _bend_points(
    points: NDArray[np.float32],
    size: int,
    threshold: np.float32,
    inverse: np.float32,
    added: NDArray[np.float32],
    start: int,
) -> None:
    """Adds what the curve adds from each point to the next, from the second frame on, at `start`."""
    half, one = np.float32(0.5), np.float32(1.0)
    over, roots = np.empty_like(points), np.empty_like(points)
    for p in range(points.shape[0]):
        a, v, r = points[p, :size], over[p, :size], roots[p, :size]
        for i in range(size):
            v[i] = a[i] - min(max(a[i], -threshold), threshold)
            r[i] = math.sqrt(one + (v[i] * inverse) ** 2)
    for p in range(points.shape[0]):
        last, shift = (p - 1, 1) if p else (points.shape[0] - 1, 0)
        out = added[p, start : start + size - 1]
        a, va, ra = points[p, 1:size], over[p, 1:size], roots[p, 1:size]
        z, vz, rz = points[last, shift:], over[last, shift:], roots[last, shift:]
        if threshold == 0.0:
            for i in range(size - 1):
                out[i] += (va[i] + vz[i]) * (one / (ra[i] + rz[i]) - half)
        else:
            for i in range(size - 1):
                passed = one if va[i] * vz[i] > 0 or a[i] == z[i] else (va[i] - vz[i]) / (a[i] - z[i])
                out[i] += passed * (va[i] + vz[i]) * (one / (ra[i] + rz[i]) - half)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _decimated(
    added: NDArray[np.float32],
    half: NDArray[np.float32],
    near: NDArray[np.float32],
    turned: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(channels, FACTOR, frames + history − 1) at the oversampled rate to (channels, frames)."""
    channels, _, size = added.shape
    reach, near_reach, quarter = half.size // 2, near.size // 2, np.float32(1.0 / FACTOR)
    frames = size - half.size - near.size + 1
    out = np.empty((channels, frames), np.float32)
    between = np.empty(size - near.size, np.float32)
    for c in range(channels):
        first, third, row = added[c, 1], added[c, 3], out[c]
        between[:] = added[c, 2, near_reach : near_reach + between.size]
        _add_filtered(third, turned, first[1:], near, between)
        row[:] = added[c, 0, reach + near_reach : reach + near_reach + frames]
        _add_filtered(first[reach:], turned, third[reach:], near, row)
        _add_filtered(between, half[:reach], between[reach:], half[reach:], row)
        for i in range(frames):
            row[i] *= quarter
    return out
