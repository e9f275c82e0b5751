"""Loudness and limiting: what the finaliser could not do, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixagent.pipeline.finaliser.loop import Finish
from mixagent.pipeline.types import Float64Array
from mixagent.reward.render_pair import AnalysedAudio, RenderPair
from mixagent.reward.terms.base import Guard


@dataclass(frozen=True)
class TargetMissed(Guard):
    """LU by which the target is missed further than the input alone misses it (BS.1770-5)."""

    free: float = 0.1
    full: float = 3.0
    name: ClassVar[str] = "loudness"

    def harm(self, pair: RenderPair) -> float:
        """Distance from the target in LU, less the input's; 0 without a finaliser."""
        if pair.finish is None or pair.target is None or not math.isfinite(pair.finish.integrated_lufs):
            return 0.0
        missed_lu = abs(pair.finish.integrated_lufs - pair.target.integrated_lufs)
        return max(missed_lu - pair.neutral.missed_lu, 0.0)


@dataclass(frozen=True)
class OverLimiting(Guard):
    """Peak-to-loudness ratio lost, or limiting, beyond what the target asks of the input, in dB.

    What it asks is known from the input finished with nothing else done to it (PLR as in EBU Tech
    3343; the limiter's reduction is counted in the same dB).
    """

    free: float = 1.5
    full: float = 6.0
    name: ClassVar[str] = "over_limiting"

    def harm(self, pair: RenderPair) -> float:
        """Decibels of PLR lost, or of limiting, beyond the input's need: the larger."""
        finish = pair.finish
        lost_db = _plr_db(pair.base, pair.neutral.finish) - _plr_db(pair.after, finish)
        limited_db = finish.max_reduction_db if finish else 0.0
        return max(lost_db, limited_db - pair.neutral.reduction_db, 0.0)


@dataclass(frozen=True)
class Constraints:
    """−1 for a render that its target does not allow: over the ceiling, or off the loudness by its own doing.

    Weighted with more than all other terms can win, it cannot be bought back.

    Attributes:
        free_lu: how much further than the input alone a render may miss the loudness.
        free_db: by how much its true peak may pass the ceiling, what two meters may differ by.
    """

    free_lu: float = 0.5
    free_db: float = 0.1

    name: ClassVar[str] = "constraints"
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 0.0
    blind: ClassVar[bool] = True
    hears_stems: ClassVar[bool] = False

    def score(self, pairs: Sequence[RenderPair]) -> Float64Array:
        """0 where both hold, and without a finaliser."""
        return np.array([-1.0 if self._broken(pair) else 0.0 for pair in pairs])

    def _broken(self, pair: RenderPair) -> bool:
        finish, target = pair.finish, pair.target
        if finish is None or target is None or not math.isfinite(finish.integrated_lufs):
            return False
        missed_lu = abs(finish.integrated_lufs - target.integrated_lufs) - pair.neutral.missed_lu
        return missed_lu > self.free_lu or finish.true_peak_dbtp > target.ceiling_dbtp + self.free_db


def _plr_db(analysed: AnalysedAudio, finish: Finish | None) -> float:
    """As the finaliser metered its result, or else of the audio; the loudest 400 ms where all is gated."""
    if finish is not None and math.isfinite(finish.integrated_lufs):
        return finish.true_peak_dbtp - finish.integrated_lufs
    loudness = analysed.loudness
    level = next(filter(math.isfinite, (loudness.integrated_lufs, loudness.momentary_max_lufs)), None)
    return 0.0 if level is None else loudness.true_peak_dbtp - level
