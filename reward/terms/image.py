"""The stereo image: what folding to mono loses, sides that collapsed, a lean to one side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixagent.pipeline.decibels import power_to_db, powers_to_db
from mixagent.reward.render_pair import AnalysedAudio, RenderPair
from mixagent.reward.terms.base import Guard

_FLOOR = 1e-4
_FROM_HZ, _TO_HZ = 220.0, 16000.0


@dataclass(frozen=True)
class MonoFoldLoss(Guard):
    """Decibels lost when the render is played in mono, beyond what the input loses."""

    free: float = 1.0
    full: float = 4.0
    name: ClassVar[str] = "mono_fold"

    def harm(self, pair: RenderPair) -> float:
        """The larger of two losses: of the power as a whole, and of the mean over the bands."""
        before, after = (_fold_losses_db(audio) for audio in (pair.base, pair.after))
        return max(after[0] - before[0], after[1] - before[1], 0.0)


@dataclass(frozen=True)
class LostSides(Guard):
    """Decibels by which the sides fell against the mid: stereo folded to mono."""

    free: float = 10.0
    full: float = 18.0
    name: ClassVar[str] = "lost_sides"

    def harm(self, pair: RenderPair) -> float:
        """Mean fall of side against mid over the bands; sides under −40 dB were not there."""
        before, after = (_width_db(audio) for audio in (pair.base, pair.after))
        return float(np.maximum(before - after, 0.0).mean())


@dataclass(frozen=True)
class Lean(Guard):
    """Decibels by which the render leans further to one side than the input."""

    free: float = 1.5
    full: float = 6.0
    name: ClassVar[str] = "lean"

    def harm(self, pair: RenderPair) -> float:
        """The rise in dB of the louder channel's lead."""
        return max(abs(_lean_db(pair.after)) - abs(_lean_db(pair.base)), 0.0)


def _fold_losses_db(audio: AnalysedAudio) -> tuple[float, float]:
    spectra = audio.spectra
    mid, both = spectra.mid.mean(axis=1) + 1e-9, spectra.power.mean(axis=1) + 1e-9
    return power_to_db(float(both.sum() / mid.sum())), float(np.mean(powers_to_db(both / mid)))


def _width_db(audio: AnalysedAudio) -> np.ndarray:
    spectra = audio.spectra
    inside = spectra.bands(_FROM_HZ, _TO_HZ)
    mid, side = spectra.mid[inside].mean(axis=1) + 1e-9, spectra.side[inside].mean(axis=1)
    return np.asarray(powers_to_db(side / mid + _FLOOR))


def _lean_db(audio: AnalysedAudio) -> float:
    left, right = float(audio.spectra.left.mean()), float(audio.spectra.right.mean())
    floor = _FLOOR * (left + right)
    return power_to_db((right + floor) / (left + floor))
