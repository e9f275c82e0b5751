"""The forward pass of `mixing.network.MixingNet` in NumPy: importing torch takes longer than a decision.

The actions are torch's to within rounding, which the tests hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixagent.pipeline.types import FloatArray

LIMIT = 5.0
"""A standardised feature counts up to here, so that no odd song drives the net far out."""

_EPSILON = 1e-5
"""Layer normalisation adds this to the variance, torch's default."""


@dataclass(frozen=True)
class FrozenMixer:
    """A trained net that only decides; `weights` are named as in the state of `MixingNet`."""

    weights: Mapping[str, FloatArray]

    def actions(self, features: FloatArray, present: FloatArray) -> FloatArray:
        """Actions of the strips in (−1, 1), (B, roles, parameters).

        Args:
            features: (B, roles, F).
            present: 1 for the stems that are there, (B, roles).
        """
        there, weights = present[..., None], self.weights
        standard = np.clip((features - weights["mean"]) / weights["spread"], -LIMIT, LIMIT)
        roles = np.broadcast_to(weights["roles"], (len(features), *weights["roles"].shape))
        stems = self._layer("alone", np.concatenate((standard, roles), -1)) * there
        stems = self._layer("beside", _with_others(stems, there)) * there
        answer = np.tanh(self._linear("strip", _with_others(stems, there)))
        return np.asarray(answer * there, np.float32)

    def _layer(self, name: str, signal: FloatArray) -> FloatArray:
        hidden = self._linear(f"{name}.0", signal)
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        standard = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + _EPSILON)
        scaled = standard * self.weights[f"{name}.1.weight"] + self.weights[f"{name}.1.bias"]
        # x · sigmoid(x); the hyperbolic tangent cannot overflow.
        half = np.float32(0.5) * scaled
        return np.asarray(half + half * np.tanh(half), np.float32)

    def _linear(self, name: str, signal: FloatArray) -> FloatArray:
        weight = self.weights[f"{name}.weight"]
        return np.asarray(signal @ weight.T + self.weights[f"{name}.bias"], np.float32)


@dataclass(frozen=True)
class BoundMixer:
    """A net that went on learning from renders, held within a reach of the net that it began as.

    Attributes:
        net: what decides.
        start: what it began as; None for a net that did not go on.
        reach: the furthest that an action may be from the start's.
    """

    net: FrozenMixer
    start: FrozenMixer | None = None
    reach: float = 0.0

    def actions(self, features: FloatArray, present: FloatArray) -> FloatArray:
        """As `FrozenMixer.actions`."""
        decided = self.net.actions(features, present)
        if self.start is None:
            return decided
        begun = self.start.actions(features, present)
        return np.asarray(begun + np.clip(decided - begun, -self.reach, self.reach), np.float32)


def _with_others(stems: FloatArray, there: FloatArray) -> FloatArray:
    mean = stems.sum(1, keepdims=True) / np.maximum(there.sum(1, keepdims=True), 1.0)
    most = stems.max(1, keepdims=True)
    shape = stems.shape
    return np.concatenate((stems, np.broadcast_to(mean, shape), np.broadcast_to(most, shape)), -1)
