"""The forward pass of `mixing.network.MixingNet` in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixagent.pipeline.types import FloatArray
from mixagent.policies.numpy_layers import layer_norm, linear, silu

LIMIT = 5.0
"""A standardised feature counts up to here, so that no odd song drives the net far out."""


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
        scale, shift = self.weights[f"{name}.1.weight"], self.weights[f"{name}.1.bias"]
        return silu(layer_norm(self._linear(f"{name}.0", signal), scale, shift))

    def _linear(self, name: str, signal: FloatArray) -> FloatArray:
        return linear(signal, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])


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
