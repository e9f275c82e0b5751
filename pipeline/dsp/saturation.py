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

from mixagent.pipeline.audio import FloatArray
from mixagent.pipeline.dsp.oversampling import in_time, interpolators
from mixagent.pipeline.dsp.programme import Levelled
from mixagent.pipeline.streaming import Delay

Real = TypeVar("Real", np.float32, np.float64)

FACTOR = 4
_REACH = 32
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


@cache
def _bank() -> tuple[FloatArray, float]:
    """The interpolators in time (FACTOR − 1, 2·_REACH), and the most that any of them can gain."""
    rows = np.stack([in_time(row) for row in interpolators(FACTOR, _REACH, _BETA)])
    return rows.astype(np.float32), float(np.abs(rows).sum(axis=1).max())


class Saturation:
    """What one curve for each band adds to the bands' sum, `latency` frames late.

    Args:
        curves: of each band; None adds nothing.
        channels: of each band.
    """

    latency = 2 * _REACH - 1

    def __init__(self, curves: Sequence[Curve | None], channels: int) -> None:
        chosen = [curve for curve in curves if curve is not None]
        self._bands = [band for band, curve in enumerate(curves) if curve is not None]
        self._curves = np.array([(curve.threshold, curve.knee) for curve in chosen], np.float32)
        count = len(chosen)
        self._waiting = np.zeros((count, channels, 2 * _REACH - 1), np.float32)
        self._last = np.zeros((count, channels), np.float32)
        self._added = np.zeros((channels, FACTOR, 2 * _REACH - 1), np.float32)

    def process(self, bands: FloatArray) -> FloatArray:
        """What is added to the next blocks of the bands (bands, channels, frames): (channels, frames)."""
        cuts = range(0, bands.shape[2], _CHUNK_FRAMES)
        parts = [self._process(bands[self._bands, :, cut : cut + _CHUNK_FRAMES]) for cut in cuts]
        return np.concatenate(parts, axis=1) if parts else np.zeros(bands.shape[1:], np.float32)

    def _process(self, bands: FloatArray) -> FloatArray:
        frames, (taps, most_gain) = bands.shape[2], _bank()
        waiting = np.concatenate((self._waiting, bands), axis=2)
        self._waiting = waiting[:, :, frames:].copy()
        added = np.zeros((*self._added.shape[:2], 2 * _REACH - 1 + frames), np.float32)
        added[:, :, : 2 * _REACH - 1] = self._added
        _add_curves(waiting, taps, self._curves, most_gain, self._last, added)
        self._added = added[:, :, frames:].copy()
        return _decimated(added, taps) if added.any() else np.zeros(bands.shape[1:], np.float32)


class SoftClipper:
    """A curve over the whole signal; a `Processor`. What stays under the threshold is left bit for bit."""

    latency = Saturation.latency

    def __init__(self, curve: Curve, channels: int) -> None:
        self._saturation = Saturation([curve], channels)
        self._dry = Delay(self.latency, channels)

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames), `latency` frames late."""
        return self._dry.process(block) + self._saturation.process(block[None])


def kept_db(curve: Curve, programme: Levelled) -> float:
    """The power that a sound of normally distributed samples keeps behind the curve, in dB ≤ 0.

    Its level varies as the programme's does; the mean over the samples is by Gauss and Hermite.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_QUADRATURE)
    rms = 10 ** ((programme.level_db + np.array(programme.spread_db)) / 20)
    values = rms[:, None] * nodes
    before, after = (float(np.sum((power**2) @ weights)) for power in (values, curve.of(values)))
    return 10 * math.log10(after / before)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nnan", "nsz"})
def _add_curves(
    bands: NDArray[np.float32],
    taps: NDArray[np.float32],
    curves: NDArray[np.float32],
    most_gain: float,
    last: NDArray[np.float32],
    added: NDArray[np.float32],
) -> None:
    """Adds what each curve adds to its band to the last frames of `added` (channels, FACTOR, frames)."""
    reach, frames = taps.shape[1] // 2, bands.shape[2] - taps.shape[1] + 1
    points = np.empty((taps.shape[0] + 1, frames + 1), np.float32)
    half, one = np.float32(0.5), np.float32(1.0)
    for b in range(bands.shape[0]):
        threshold, inverse = curves[b, 0], one / curves[b, 1]
        for c in range(bands.shape[1]):
            x = bands[b, c]
            loudest = np.float32(0.0)
            for i in range(x.size):
                loudest = max(loudest, abs(x[i]))
            if loudest * most_gain <= threshold:
                last[b, c] = np.dot(taps[-1], x[frames - 1 : frames - 1 + taps.shape[1]])
                continue
            points[:, 1:] = 0.0
            for i in range(frames):
                points[0, i + 1] = x[reach - 1 + i]
            for p in range(taps.shape[0]):
                row = points[p + 1, 1:]
                for j in range(0, taps.shape[1], 4):
                    t0, t1, t2, t3 = taps[p, j], taps[p, j + 1], taps[p, j + 2], taps[p, j + 3]
                    s = x[j : j + frames + 3]
                    for i in range(frames):
                        row[i] += (t0 * s[i] + t1 * s[i + 1]) + (t2 * s[i + 2] + t3 * s[i + 3])
            points[-1, 0] = last[b, c]
            last[b, c] = points[-1, frames]
            for p in range(points.shape[0]):
                now = points[p, 1:]
                before = points[p - 1, 1:] if p else points[-1, :-1]
                # Contiguous, because a loop over a strided array is not vectorised.
                into = added[c, p, added.shape[2] - frames :]
                for i in range(frames):
                    a, z = now[i], before[i]
                    va = a - min(max(a, -threshold), threshold)
                    vz = z - min(max(z, -threshold), threshold)
                    roots = math.sqrt(one + (va * inverse) ** 2) + math.sqrt(one + (vz * inverse) ** 2)
                    passed = one if va * vz > 0 or a == z else (va - vz) / (a - z)
                    into[i] += passed * (va + vz) * (one / roots - half)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _decimated(added: NDArray[np.float32], taps: NDArray[np.float32]) -> NDArray[np.float32]:
    """(channels, FACTOR, frames + taps − 1) at the oversampled rate to (channels, frames)."""
    channels, factor, size = added.shape
    width = taps.shape[1]
    frames, scale = size - width + 1, np.float32(1.0 / factor)
    out = np.empty((channels, frames), np.float32)
    for c in range(channels):
        row = out[c]
        row[:] = added[c, 0, width // 2 : width // 2 + frames]
        for p in range(1, factor):
            # Backwards, because what is a sample ahead of a point is behind it when it is taken in.
            turned = taps[p - 1, ::-1]
            for j in range(0, width, 4):
                t0, t1, t2, t3 = turned[j], turned[j + 1], turned[j + 2], turned[j + 3]
                s = added[c, p, j : j + frames + 3]
                for i in range(frames):
                    row[i] += (t0 * s[i] + t1 * s[i + 1]) + (t2 * s[i + 2] + t3 * s[i + 3])
        for i in range(frames):
            row[i] *= scale
    return out
