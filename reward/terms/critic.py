"""The distance undone as the critic hears it, from the render beside its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixagent.reward.critic import Critic
from mixagent.reward.scene import Scene
from mixagent.reward.terms.base import Scores
from mixagent.reward.terms.truth import undone


@dataclass(frozen=True)
class Judgement:
    """Share undone of the distance to a finished record, both distances predicted by the critic."""

    critic: Critic

    name: ClassVar[str] = "critic"
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 1.0
    blind: ClassVar[bool] = True

    def score(self, scenes: Sequence[Scene]) -> Scores:
        """One score a scene, all of them in one pass of the critic.

        Render and input are both heard beside the input, so that an unchanged one scores 0.
        """
        heard = np.stack([side.features for scene in scenes for side in (scene.before, scene.after)])
        inputs = np.repeat(heard[0::2], 2, axis=0)
        totals = self.critic.distance(heard, inputs)[:, 0].astype(np.float64).reshape(-1, 2)
        scores = undone(totals[:, 0], totals[:, 1])
        return np.array([_of_silence(scene, score) for scene, score in zip(scenes, scores, strict=True)])


def _of_silence(scene: Scene, score: float) -> float:
    if scene.before.silent:
        return 0.0
    return Judgement.low if scene.after.silent else float(score)
