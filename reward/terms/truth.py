"""The true distance undone, where the original is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixagent.pipeline.types import Float64Array
from mixagent.reward.render_pair import RenderPair

LEAST_DISTANCE = 0.25
"""An input nearer than this to a finished record is judged as if it were this far, in units of the
distance's total, so that a clean song is not punished beyond measure for what nobody hears."""


@dataclass(frozen=True)
class Truth:
    """Share of the distance to the original that was undone (`reward.recovery`), within ±1."""

    name: ClassVar[str] = "truth"
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 1.0
    blind: ClassVar[bool] = False
    hears_stems: ClassVar[bool] = False

    def score(self, pairs: Sequence[RenderPair]) -> Float64Array:
        """1 the original itself, 0 as far from it as the input; NaN where it is not known."""
        return np.array([_undone(pair) for pair in pairs])


def _undone(pair: RenderPair) -> float:
    if pair.original is None:
        return float("nan")
    if pair.after.silent:
        return -1.0
    before = pair.before.distance(pair.original).total
    after = pair.after.distance(pair.original).total
    return float(undone(np.array(before), np.array(after)))


def undone(before: Float64Array, after: Float64Array) -> Float64Array:
    """(before − after) / before, with `before` at least `LEAST_DISTANCE`; what is negative through tanh.

    So the worst is −1, and of two renders far worse than the input the less bad one still scores more.
    """
    share = (before - after) / np.maximum(before, LEAST_DISTANCE)
    return np.asarray(np.where(share < 0.0, np.tanh(share), share))
