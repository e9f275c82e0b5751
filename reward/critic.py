"""The critic: how far a render is from a finished record, told by the render alone.

A small ensemble of networks reads `pipeline.features` and predicts what `reward.recovery` would
measure against an original that nobody has. `scripts/train_critic.py` made it; its card
(`checkpoints/critic`) says from what, and how well it agrees with the truth on songs it never heard.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.features import FEATURE_NAMES
from mixagent.reward.recovery import DIMENSIONS

Array = NDArray[np.float32]

OUTPUTS = ("total", *DIMENSIONS)
"""What is predicted: the distance's total in its units, and each dimension in dB."""

VERSION = 1


@dataclass(frozen=True)
class Critic:
    """An ensemble of networks with two hidden layers, over standardised features.

    Attributes:
        mean, spread: of each feature over the training examples, shape (features,).
        layers: weights (networks, in, out) and biases (networks, 1, out), in order.
        limit: a standardised feature counts at most this much, either way.
        scale: the distance at which an output's logarithm bends, shape (outputs,).
        doubt: how much of the networks' disagreement is added to the prediction, so that what is like
            nothing they were trained on is not taken for near.
    """

    mean: Array
    spread: Array
    layers: tuple[tuple[Array, Array], ...]
    limit: float
    scale: Array
    doubt: float

    @classmethod
    def load(cls, path: str | Path | None = None) -> Critic:
        """The critic in a folder, by default the one that the package ships.

        Raises:
            ModelMissingError: no critic is there, it is broken, or it was made for other features.
        """
        folder = Path(path) if path else Path(str(resources.files("mixagent.checkpoints"))) / "critic"
        return _load(folder)

    def distance(self, features: Array) -> Array:
        """Predicted distances of renders, shape (renders, 5), never negative.

        Args:
            features: `describe` of each render, shape (renders, features).
        """
        raw = self._raw(features)
        raised = raw.mean(axis=0) + self.doubt * raw.std(axis=0)
        # No distance is over 20 dB, and a unit is at least 1 dB.
        distance: Array = self.scale * np.expm1(np.clip(raised, 0.0, 5.0))
        return distance

    def _raw(self, features: Array) -> Array:
        """Each network's log1p(distance / scale), shape (networks, renders, 5)."""
        signal = np.clip((features - self.mean) / self.spread, -self.limit, self.limit)[None]
        *hidden, (weights, bias) = self.layers
        for inner, offset in hidden:
            signal = np.maximum(signal @ inner + offset, 0.0)
        return np.asarray(signal @ weights + bias)


@lru_cache(maxsize=4)
def _load(folder: Path) -> Critic:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        arrays = load_file(folder / "weights.safetensors")
        _check(config, folder)
        return Critic(
            mean=arrays["mean"],
            spread=arrays["spread"],
            layers=tuple(
                (arrays[f"layer_{k}.weight"], arrays[f"layer_{k}.bias"]) for k in range(config["layers"])
            ),
            limit=config["limit"],
            scale=np.array([config["scale"][output] for output in OUTPUTS], np.float32),
            doubt=config["doubt"],
        )
    except FileNotFoundError as error:
        raise ModelMissingError(
            f"{folder} holds no critic: make one with scripts/train_critic.py, or leave the critic term "
            f"out of the reward"
        ) from error
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ModelMissingError(f"the critic in {folder} cannot be read: {error!r}") from error


def _check(config: dict[str, Any], folder: Path) -> None:
    if config["version"] != VERSION or config["features"] != list(FEATURE_NAMES):
        raise ModelMissingError(
            f"the critic in {folder} was made for other features: train it again with scripts/train_critic.py"
        )
