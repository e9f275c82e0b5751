"""The critic of balance: what share of a mix's distance from finished music a move of its stems undoes.

A small ensemble reads the stems' measures (`pipeline.finished.stems`) before a move, what it changed of them,
and how far each stem's level lies from what finished music of such stems has. A render that moved no stem
scores 0. `scripts/train_stem_critic.py` made it; its card is `checkpoints/stem_critic`.
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
from mixagent.pipeline.finished.stems import STEM_MEASURES, finished_stem_band, stems_sounding
from mixagent.pipeline.types import Float64Array, FloatArray
from mixagent.reward.critic import Layers, through

VERSION = 1
LIMIT, CHANGE, DOUBT = 4.0, 2.0, 0.5


@dataclass(frozen=True)
class StemCritic:
    """An ensemble of networks with rectified hidden layers.

    Attributes:
        mean, spread: of each measure, (roles, measures).
        layers: weights (networks, in, out) and biases (networks, 1, out) by layer.
    """

    mean: FloatArray
    spread: FloatArray
    layers: Layers

    @classmethod
    def load(cls, path: str | Path | None = None) -> StemCritic:
        """That in a folder, by default the one that the package ships.

        Raises:
            ModelMissingError: none is there, it is broken, or it was made for other measures.
        """
        return _load(
            Path(path) if path else Path(str(resources.files("mixagent.checkpoints"))) / "stem_critic"
        )

    def undone(self, before: Float64Array, after: Float64Array) -> FloatArray:
        """The share undone, (renders,), within ±1: 0 where no stem was moved.

        Args:
            before, after: the stems' measures of input and render, (renders, roles, measures).
        """
        raw = through(self.layers, inputs_of(before, after, self.mean, self.spread))
        still = through(self.layers, inputs_of(before, before, self.mean, self.spread))
        said = (raw - still)[..., 0]
        return np.asarray(np.clip(said.mean(axis=0) - DOUBT * said.std(axis=0), -1.0, 1.0))


def inputs_of(
    before: Float64Array, after: Float64Array, mean: NDArray[np.floating], spread: NDArray[np.floating]
) -> FloatArray:
    """What a network reads of each render, (renders, inputs); stems that are not there read 0."""
    there = stems_sounding(before)
    here = there[..., None]
    band = finished_stem_band()
    left = np.clip(
        [(((side - band.expected(side, there)) / band.left)[..., 0] * there) for side in (before, after)],
        *(-LIMIT, LIMIT),
    )
    parts = [
        np.clip((before - mean) / spread, -LIMIT, LIMIT) * here,
        np.clip((after - before) / spread * CHANGE, -LIMIT, LIMIT) * here,
    ]
    flat = [part.reshape(len(before), -1) for part in parts]
    nearer = np.abs(left[0]) - np.abs(left[1])
    return np.concatenate([*flat, there, *left, nearer], axis=1).astype(np.float32)


@lru_cache(maxsize=4)
def _load(folder: Path) -> StemCritic:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        stored = load_file(folder / "weights.safetensors")
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise ModelMissingError(
            f"{folder} holds no critic of stems that can be read ({error}): make one with "
            f"scripts/train_stem_critic.py"
        ) from error
    if config.get("version") != VERSION or config.get("measures") != list(STEM_MEASURES):
        raise ModelMissingError(
            f"the critic in {folder} was made for other measures: train it again with "
            f"scripts/train_stem_critic.py"
        )
    arrays = {name: array.astype(np.float32) for name, array in stored.items()}
    layers = tuple((arrays[f"{k}.weight"], arrays[f"{k}.bias"]) for k in range(config["layers"]))
    return StemCritic(arrays["mean"], arrays["spread"], layers)
