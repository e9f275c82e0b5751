"""Loudness and limiting: what the finaliser could not do, and what it cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from mixagent.pipeline.meters import Loudness
from mixagent.reward.scene import Scene
from mixagent.reward.terms.base import Guard


@dataclass(frozen=True)
class TargetMissed(Guard):
    """LU between the finished loudness and the target (BS.1770-5); 0 without a finaliser."""

    free: float = 0.1
    full: float = 3.0
    name: ClassVar[str] = "loudness"

    def harm(self, scene: Scene) -> float:
        """Distance from the target in LU."""
        if scene.finish is None or scene.target is None or not math.isfinite(scene.finish.integrated_lufs):
            return 0.0
        return abs(scene.finish.integrated_lufs - scene.target.integrated_lufs)


@dataclass(frozen=True)
class OverLimiting(Guard):
    """Peak-to-loudness ratio lost beyond what the target asks of the input, in dB.

    What the target asks is known from the input alone: its peaks at the target's loudness, down to
    the ceiling (EBU Tech 3343 on PLR; the limiter's reduction is counted in the same dB).
    """

    free: float = 1.5
    full: float = 6.0
    name: ClassVar[str] = "over_limiting"

    def harm(self, scene: Scene) -> float:
        """Decibels of PLR lost, or of limiting, beyond the input's need: the larger."""
        before, after = _plr_db(scene.before.loudness), _plr_db(scene.after.loudness)
        need = _needed_db(scene, before)
        limited = scene.finish.max_reduction_db if scene.finish else 0.0
        return max(before - need - after, limited - need, 0.0)


def _plr_db(loudness: Loudness) -> float:
    heard = loudness.integrated_lufs
    if not math.isfinite(heard):
        heard = loudness.momentary_max_lufs
    return loudness.true_peak_dbtp - heard if math.isfinite(heard) else 0.0


def _needed_db(scene: Scene, plr_db: float) -> float:
    if scene.target is None:
        return 0.0
    room_db = scene.target.ceiling_dbtp - scene.target.integrated_lufs
    return min(max(plr_db - room_db, 0.0), scene.target.max_reduction_db)
