"""The stems against each other: as finished music has them, and as the critic of balance hears a move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from mixagent.pipeline.finished.stems import StemBand, finished_stem_band, stems_there
from mixagent.pipeline.types import Float64Array
from mixagent.reward.render_pair import RenderPair
from mixagent.reward.stem_critic import StemCritic
from mixagent.reward.terms.base import Guard


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
        measured = _measured(pair)
        if measured is None or not (there := stems_there(measured[0])).any():
            return float("nan")
        before, after = measured
        fallen = self.band.outside(before, there) - self.band.outside(after, there)
        return float(np.tanh(fallen.sum() / there.sum()))


@dataclass(frozen=True)
class Cancellation(Guard):
    """Fall of a stem's correlation with the others, in percent: a stem whose polarity was turned.

    What two stems share of one sound, and all that a separator leaves of one in the other, adds up in the
    mix; turned round it cancels. A stem's own fader changes nothing of it, and an equaliser little.
    """

    free: float = 15.0
    full: float = 50.0
    name: ClassVar[str] = "cancellation"
    hears_stems: ClassVar[bool] = True

    def harm(self, pair: RenderPair) -> float:
        """The largest fall of any stem in any band; 0 where the stems are not known."""
        if pair.stems_before is None or pair.stems_after is None or not pair.stems_before.stems:
            return 0.0
        fallen = pair.stems_before.correlations - pair.stems_after.correlations
        return 100.0 * float(np.max(fallen, initial=0.0, where=~np.isnan(fallen)))


@dataclass(frozen=True)
class Balance:
    """Share of the distance to a finished record that the move of the stems is expected to undo."""

    critic: StemCritic

    name: ClassVar[str] = "balance"
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 1.0
    blind: ClassVar[bool] = True
    hears_stems: ClassVar[bool] = True

    def score(self, pairs: Sequence[RenderPair]) -> Float64Array:
        """One score a pair, all of them in one pass; NaN where the stems are not known."""
        measured = {k: sides for k, pair in enumerate(pairs) if (sides := _measured(pair)) is not None}
        scores = np.full(len(pairs), np.nan)
        if measured:
            before, after = (np.stack([sides[k] for sides in measured.values()]) for k in (0, 1))
            scores[list(measured)] = self.critic.undone(before, after)
        return scores


def _measured(pair: RenderPair) -> tuple[Float64Array, Float64Array] | None:
    """The stems' measures of input and render, where both are known."""
    if pair.stems_before is None or pair.stems_after is None:
        return None
    before, after = pair.stems_before.measures, pair.stems_after.measures
    return None if before is None or after is None else (before, after)
