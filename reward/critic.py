"""The critic: how far a render is from a finished record, told by the render alone.

Small ensembles of networks read `pipeline.features` and predict what `reward.recovery` would measure
against an original that nobody has: one from the render alone, one from the render beside the input
that it was made from, which ranks renders of one song far better. The latter also says outright what
share of the input's distance the render undoes; fitted as a mean, it expects little of a change that
helped some songs and harmed others. `scripts/train_critic.py` made them; their card
(`checkpoints/critic`) says from what, and how well they agree with the truth on songs they never heard.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.measure.features import FEATURE_NAMES
from mixagent.pipeline.types import FloatArray
from mixagent.reward.recovery import DIMENSIONS

OUTPUTS = ("total", *DIMENSIONS)
"""The critic's outputs: the distance's total in its units, and each dimension in dB."""

VERSION = 2


Layers = tuple[tuple[FloatArray, FloatArray], ...]


@dataclass(frozen=True)
class Critic:
    """Two ensembles of networks with rectified hidden layers, over standardised features.

    Attributes:
        mean, spread: of each feature over the training examples, shape (features,).
        alone: weights (networks, in, out) and biases (networks, 1, out) by layer, of the networks that
            hear the render only.
        beside: the same of those that also hear what was changed; twice as many inputs, and one output
            more: the share undone.
        limit: a standardised feature counts at most this much, either way.
        change: by how much more a changed feature counts than one that differs from the mean.
        scale: the distance at which an output's logarithm bends, shape (outputs,).
        doubt: how much of the networks' disagreement is added to a distance, and taken off a share, so
            that what is like nothing they were trained on is not taken for near.
    """

    mean: FloatArray
    spread: FloatArray
    alone: Layers
    beside: Layers
    limit: float
    change: float
    scale: FloatArray
    doubt: float

    @classmethod
    def load(cls, path: str | Path | None = None) -> Critic:
        """The critic in a folder, by default the one that the package ships.

        Raises:
            ModelMissingError: no critic is there, it is broken, or it was made for other features.
        """
        folder = Path(path) if path else Path(str(resources.files("mixagent.checkpoints"))) / "critic"
        return _load(folder)

    def distance(self, features: FloatArray, inputs: FloatArray | None = None) -> FloatArray:
        """Predicted distances to a finished record, shape (renders, 5), never negative.

        Args:
            features: `describe` of each render, shape (renders, features).
            inputs: `describe` of what each was made from, of the same shape; None where that is not
                known. To compare a render with its input, hear the input beside itself.
        """
        if inputs is None:
            raw = through(self.alone, self._standard(features))  # (networks, renders, outputs)
        else:
            raw = self._beside(features, inputs)[..., : len(OUTPUTS)]
        raised = raw.mean(axis=0) + self.doubt * raw.std(axis=0)
        # Beyond any distance there is: none is over 20 dB, and a unit is at least 1 dB.
        distance: FloatArray = self.scale * np.expm1(np.clip(raised, 0.0, 5.0))
        return distance

    def undone(self, features: FloatArray, inputs: FloatArray) -> FloatArray:
        """Share of the input's distance that each render is expected to undo, (renders,), within ±1.

        1 is the finished record itself, 0 as far from it as the input, which scores 0 exactly.
        """
        # Against what is said of the input itself, network by network.
        raw = self._beside(features, inputs)[..., -1] - self._beside(inputs, inputs)[..., -1]
        lowered = raw.mean(axis=0) - self.doubt * raw.std(axis=0)
        return np.asarray(np.clip(lowered, -1.0, 1.0))

    def _beside(self, features: FloatArray, inputs: FloatArray) -> FloatArray:
        changed = self._limited((features - inputs) / self.spread * self.change)
        return through(self.beside, np.concatenate([self._standard(features), changed], axis=1))

    def _standard(self, features: FloatArray) -> FloatArray:
        return self._limited((features - self.mean) / self.spread)

    def _limited(self, standard: FloatArray) -> FloatArray:
        return np.asarray(np.clip(standard, -self.limit, self.limit), np.float32)


def through(layers: Layers, signal: FloatArray) -> FloatArray:
    """Each network's outputs for (renders, inputs), shape (networks, renders, outputs).

    They are log1p(distance / scale), and beside an input the share undone.
    """
    *hidden, (weights, bias) = layers
    signal = signal[None]
    for inner, offset in hidden:
        signal = np.maximum(signal @ inner + offset, 0.0)
    return np.asarray(signal @ weights + bias)


@lru_cache(maxsize=4)
def _load(folder: Path) -> Critic:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        stored = load_file(folder / "weights.safetensors")
    except FileNotFoundError as error:
        raise ModelMissingError(
            f"{folder} holds no critic: make one with scripts/train_critic.py, or leave the critic term "
            f"out of the reward"
        ) from error
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise ModelMissingError(f"the critic in {folder} cannot be read: {error}") from error
    if config.get("version") != VERSION or config.get("features") != list(FEATURE_NAMES):
        raise ModelMissingError(
            f"the critic in {folder} was made for other features: train it again with scripts/train_critic.py"
        )
    arrays = {name: array.astype(np.float32) for name, array in stored.items()}
    return Critic(
        mean=arrays["mean"],
        spread=arrays["spread"],
        alone=_layers(arrays, "alone", config["layers"]),
        beside=_layers(arrays, "beside", config["layers"]),
        limit=config["limit"],
        change=config["change"],
        scale=np.array([config["scale"][output] for output in OUTPUTS], np.float32),
        doubt=config["doubt"],
    )


def _layers(arrays: Mapping[str, FloatArray], which: str, count: int) -> Layers:
    return tuple((arrays[f"{which}.{k}.weight"], arrays[f"{which}.{k}.bias"]) for k in range(count))
