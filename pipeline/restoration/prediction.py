"""Missing samples from the linear prediction of what stands around them.

Janssen, Veldhuis, Vries, "Adaptive interpolation of discrete-time signals that can be modeled as
autoregressive processes", IEEE Trans. ASSP 34(2), 1986: the samples that leave the least residual.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mixagent.pipeline.types import Float64Array


@njit(cache=True, nogil=True)
def residual_weights(around: Float64Array, most: int) -> Float64Array:
    """The weights that the prediction residual gives two samples by their distance 0..`most`."""
    filter_ = prediction_filter(around, most)
    weights = np.empty(most + 1)
    for lag in range(most + 1):
        weights[lag] = np.dot(filter_[: most + 1 - lag], filter_[lag:])
    return weights


@njit(cache=True, nogil=True)
def prediction_filter(around: Float64Array, most: int) -> Float64Array:
    """The filter of order `most` that leaves the least residual (Levinson-Durbin), shape (most + 1,)."""
    lags = np.empty(most + 1)
    for lag in range(most + 1):
        lags[lag] = np.dot(around[: len(around) - lag], around[lag:])
    error = lags[0] * (1 + 1e-9) + 1e-30
    filter_ = np.zeros(most + 1)
    filter_[0] = 1.0
    for order in range(1, most + 1):
        reflection = -np.dot(filter_[:order], np.ascontiguousarray(lags[order:0:-1])) / error
        filter_[1 : order + 1] = filter_[1 : order + 1] + reflection * filter_[order - 1 :: -1][:order]
        error *= 1 - reflection * reflection
    return filter_


@njit(cache=True, nogil=True)
def interpolated(x: Float64Array, start: int, stop: int, weights: Float64Array) -> Float64Array:
    """Samples `start` to `stop` of least residual, given what stands on both sides.

    `weights` are `residual_weights` of the surroundings; on either side of the stretch at least as many
    samples must stand as these have lags.
    """
    count, most = stop - start, len(weights) - 1
    system, known = np.empty((count, count)), np.zeros(count)
    for row in range(count):
        for column in range(count):
            lag = abs(row - column)
            system[row, column] = weights[lag] if lag <= most else 0.0
        for lag in range(-most, most + 1):
            if not 0 <= row + lag < count:
                known[row] -= weights[abs(lag)] * x[start + row + lag]
    return np.linalg.solve(system, known).astype(np.float64)
