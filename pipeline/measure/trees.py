"""Boosted regression trees, evaluated.

Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29(5), 2001.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.types import FloatArray


@dataclass(frozen=True)
class Trees:
    """Trees whose values are summed.

    Attributes:
        base: what is added to the sum.
        roots: the first node of each tree.
        column: that a node asks for; −1: a leaf.
        threshold: a figure no higher than this goes left; of a leaf, its value.
        left, right: the nodes below.
    """

    base: float
    roots: NDArray[np.int32]
    column: NDArray[np.int32]
    threshold: FloatArray
    left: NDArray[np.int32]
    right: NDArray[np.int32]

    def __call__(self, rows: FloatArray) -> FloatArray:
        """The values of float32 rows (rows, columns)."""
        summed = _summed(rows, self.roots, self.column, self.threshold, self.left, self.right)
        return summed + np.float32(self.base)

    @classmethod
    def read(cls, folder: Path) -> Trees:
        """The trees of a checkpoint.

        Raises:
            ModelMissingError: its files are missing or are not those that its configuration names.
        """
        import hashlib

        from safetensors.numpy import load

        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            weights = (folder / "weights.safetensors").read_bytes()
        except (OSError, ValueError) as error:
            raise ModelMissingError(f"{folder} is missing or broken: reinstall mixagent") from error
        if hashlib.sha256(weights).hexdigest() != config.get("weights_sha256"):
            raise ModelMissingError(f"{folder} is not what its config.json names: reinstall mixagent")
        return cls(float(config["base"]), **load(weights))


@njit(cache=True, nogil=True)
def _summed(
    rows: FloatArray,
    roots: NDArray[np.int32],
    column: NDArray[np.int32],
    threshold: FloatArray,
    left: NDArray[np.int32],
    right: NDArray[np.int32],
) -> FloatArray:
    out = np.zeros(rows.shape[0], np.float32)
    for row in range(rows.shape[0]):
        for root in roots:
            node = root
            while column[node] >= 0:
                node = left[node] if rows[row, column[node]] <= threshold[node] else right[node]
            out[row] += threshold[node]
    return out
