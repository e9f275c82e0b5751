"""The stems against each other, as finished music has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from mixagent.pipeline.finished.stems import StemBand, finished_stem_band, stems_there
from mixagent.pipeline.types import Float64Array
from mixagent.reward.render_pair import RenderPair


@dataclass(frozen=True)
class StemBalance:
    """By how much nearer the stems that sound came to the band of finished music (`StemBand.outside`).

    Loudness, tone, width and dynamics count alike, and all stems that sound in the input; one that a render
    mutes lies outside. Where all of them lie inside, nothing is to be won.
    """

    band: StemBand = field(default_factory=finished_stem_band)

    name: ClassVar[str] = "stems"
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 1.0
    blind: ClassVar[bool] = True
    hears_stems: ClassVar[bool] = True

    def score(self, pairs: Sequence[RenderPair]) -> Float64Array:
        """tanh of the fall of the mean distance; NaN where the stems are not known."""
        return np.array([self._score(pair) for pair in pairs])

    def _score(self, pair: RenderPair) -> float:
        if pair.stems_before is None or pair.stems_after is None:
            return float("nan")
        before, after = pair.stems_before.measures, pair.stems_after.measures
        there = stems_there(before)
        if not there.any():
            return float("nan")
        fallen = self.band.outside(before, there) - self.band.outside(after, there)
        return float(np.tanh(fallen.sum() / there.sum()))
