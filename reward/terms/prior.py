"""The prior: of two settings that sound alike, the smaller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.chain.parameters import ADVANCED_PLACES, Settings
from mixagent.pipeline.types import Float64Array
from mixagent.reward.render_pair import RenderPair


@dataclass(frozen=True)
class Prior:
    """Minus the mean square of the action, from −1 (everything at an end) to 0 (neutral).

    The mean is over the strips, the buses and the master: a finer tool more in the table changes no reward.
    """

    name: ClassVar[str] = "prior"
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 0.0
    blind: ClassVar[bool] = True
    hears_stems: ClassVar[bool] = False

    def score(self, pairs: Sequence[RenderPair]) -> Float64Array:
        """One score a pair; NaN where the settings are not known."""
        return np.array([_minus_mean_square(pair) for pair in pairs])


def _minus_mean_square(pair: RenderPair) -> float:
    if pair.settings is None:
        return float("nan")
    return -float(np.mean(np.square(_counted(pair.settings), dtype=np.float64)))


def _counted(settings: Settings) -> NDArray[np.float32]:
    pairs = zip(settings.space, settings.to_action(), strict=True)
    return np.array([action for p, action in pairs if p.where not in ADVANCED_PLACES], np.float32)
