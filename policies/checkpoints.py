"""A net's checkpoint: a folder of `weights.safetensors`, `config.json` and `README.md`, the model card.

The configuration names the weights' hash and the version of their form. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mixagent.pipeline.errors import ModelMissingError, option
from mixagent.pipeline.files import write_atomically
from mixagent.pipeline.types import FloatArray

CONFIG, WEIGHTS, CARD = "config.json", "weights.safetensors", "README.md"


def save_checkpoint(
    folder: Path, tensors: Mapping[str, FloatArray], config: Mapping[str, Any], card: str
) -> None:
    """Write the three files; the configuration, which names the weights' hash, goes last."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    write_atomically(folder / WEIGHTS, weights)
    write_atomically(folder / CARD, card)
    told = {"weights_sha256": _digest(weights), **config}
    write_atomically(folder / CONFIG, json.dumps(told, indent=1, allow_nan=False) + "\n")


def load_checkpoint(
    folder: Path, expected: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """The configuration and the weights of the checkpoint in a folder.

    Args:
        folder: of the three files.
        expected: entries of the configuration that must be these, as its `format`.

    Raises:
        ModelMissingError: a file that is missing, damaged, or of another version of this program.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        data = (folder / WEIGHTS).read_bytes()
    except (OSError, ValueError) as error:
        raise _unusable(folder, f"it cannot be read ({error})") from error
    if not isinstance(config, dict) or any(config.get(key) != value for key, value in expected.items()):
        raise _unusable(folder, "it is of another version of mixagent")
    if _digest(data) != config.get("weights_sha256"):
        raise _unusable(folder, f"{WEIGHTS} is not the file that {CONFIG} was written for")
    try:
        return config, load(data)
    except SafetensorError as error:
        raise _unusable(folder, f"{WEIGHTS} is damaged") from error


def numbered(nets: Mapping[str, FloatArray]) -> tuple[dict[str, FloatArray], ...]:
    """Weights that are named `NUMBER.name`, by net."""
    found: dict[int, dict[str, FloatArray]] = {}
    for key, weight in nets.items():
        number, name = key.split(".", 1)
        found.setdefault(int(number), {})[name] = weight
    return tuple(weights for _, weights in sorted(found.items()))


def _unusable(folder: Path, why: str) -> ModelMissingError:
    advice = f"choose {option('policy', 'band')}, or train it again"
    return ModelMissingError(f"the net in {folder} cannot be used: {why}; {advice}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
