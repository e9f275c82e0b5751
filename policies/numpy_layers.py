"""Layers of trained nets in NumPy, for deciding without torch, whose import takes longer than a decision.

Each gives torch's answer to within rounding, which the tests of the nets hold.
"""

from __future__ import annotations

import numpy as np

from mixagent.pipeline.types import FloatArray

EPSILON = 1e-5
"""Layer normalisation adds this to the variance, torch's default."""


def linear(signal: FloatArray, weight: FloatArray, bias: FloatArray) -> FloatArray:
    """`signal`, (…, in), by `weight`, (out, in), and `bias`, (out,): (…, out)."""
    flat: FloatArray = signal.reshape(-1, signal.shape[-1]) @ weight.T + bias
    return flat.reshape(*signal.shape[:-1], len(bias))


def layer_norm(signal: FloatArray, scale: FloatArray, shift: FloatArray) -> FloatArray:
    """Layer normalisation along the last axis (Ba et al. 2016), with scale and shift, both (last,)."""
    centred = signal - signal.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + EPSILON) * scale + shift, np.float32)


def silu(signal: FloatArray) -> FloatArray:
    """The sigmoid linear unit, x · sigmoid(x)."""
    # By the hyperbolic tangent, which cannot overflow.
    half: FloatArray = np.float32(0.5) * signal
    return half + half * np.tanh(half)
