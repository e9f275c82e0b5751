"""The distance undone as the critic hears it, from the render beside its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixagent.pipeline.types import Float64Array
from mixagent.reward.critic import Critic
from mixagent.reward.scene import Scene


@dataclass(frozen=True)
class Judgement:
    """Share of the distance to a finished record that the critic expects to be undone."""

    critic: Critic

    name: ClassVar[str] = "critic"
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 1.0
    blind: ClassVar[bool] = True

    def score(self, scenes: Sequence[Scene]) -> Float64Array:
        """One score a scene, all of them in one pass of the critic; an unchanged render scores 0."""
        before, after = (
            np.stack([getattr(scene, side).features for scene in scenes]) for side in ("before", "after")
        )
        scores = self.critic.undone(after, before)
        return np.array([_of_silence(scene, score) for scene, score in zip(scenes, scores, strict=True)])


def _of_silence(scene: Scene, score: float) -> float:
    if scene.before.silent:
        return 0.0
    return Judgement.low if scene.after.silent else float(score)
