"""The distance undone as the critic hears it, from the render beside its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixagent.pipeline.types import Float64Array
from mixagent.reward.critic import Critic
from mixagent.reward.render_pair import RenderPair


@dataclass(frozen=True)
class Judgement:
    """Share of the distance to a finished record that the critic expects to be undone."""

    critic: Critic

    name: ClassVar[str] = "critic"
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 1.0
    blind: ClassVar[bool] = True
    hears_stems: ClassVar[bool] = False

    def score(self, pairs: Sequence[RenderPair]) -> Float64Array:
        """One score a pair, all of them in one pass of the critic; an unchanged render scores 0."""
        before, after = (
            np.stack([getattr(pair, side).features for pair in pairs]) for side in ("before", "after")
        )
        scores = self.critic.undone(after, before)
        return np.array([_of_silence(pair, score) for pair, score in zip(pairs, scores, strict=True)])


def _of_silence(pair: RenderPair, score: float) -> float:
    if pair.before.silent:
        return 0.0
    return Judgement.low if pair.after.silent else float(score)
