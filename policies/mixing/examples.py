"""Examples for the mixing agent, drawn without end: excerpts in disorder, and more disorder on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixagent.pipeline.measure.stem_features import features, present
from mixagent.pipeline.measure.stem_measures import SCALARS, THERE_DB, THIRDS
from mixagent.pipeline.types import FloatArray
from mixagent.policies.mixing.gains import raised
from mixagent.policies.mixing.material import Pass

_BALANCE = 2 * THIRDS + SCALARS.index("balance_db")
_KNOTS = 7
_WIDER = 0.3
"""Share of the examples with more disorder whose sides get some too."""


@dataclass(frozen=True)
class Drawing:
    """The settings by which examples are drawn.

    Attributes:
        more: share of the examples whose stems are raised and filtered once more.
        gain_db, tone_db, side_db: spreads of that.
        colour_db: spread of a tone that a song and its original both get.
        clean: share of the examples that are songs as they are.
    """

    more: float = 0.7
    gain_db: float = 3.0
    tone_db: float = 2.0
    side_db: float = 2.0
    colour_db: float = 1.5
    clean: float = 0.2


@dataclass(frozen=True)
class Batch:
    """Examples: what the agent is shown, and what the true stems measure.

    Attributes:
        features: (B, roles, features).
        present: which stems sound, (B, roles).
        there: which of the true stems do.
        truth: measures of the song as it was, (B, 1 + roles, ROW).
        disordered: the same of the true stems in disorder.
    """

    features: Tensor
    present: Tensor
    there: Tensor
    truth: Tensor
    disordered: Tensor


class Examples:
    """Draws batches from passes."""

    def __init__(self, passes: Sequence[Pass], drawing: Drawing, random: np.random.Generator) -> None:
        self._shown = np.concatenate([one.shown for one in passes])
        self._truth = np.concatenate([one.truth for one in passes])
        self._drawing, self._random = drawing, random

    def batch(self, size: int) -> Batch:
        """A fresh batch."""
        random, drawing = self._random, self._drawing
        song = random.integers(len(self._shown), size=size)
        variant = random.integers(1, self._shown.shape[1], size=size)
        variant[random.random(size) < drawing.clean] = 0
        shown, truth, spoilt = self._shown[song, variant], self._truth[song, 0], self._truth[song, variant]
        moved = (random.random((size, 1, 1)) < drawing.more) & (variant > 0)[:, None, None]
        mid_db = moved * self._gains(size, drawing.gain_db, drawing.tone_db)
        wider = moved & (random.random((size, 1, 1)) < _WIDER)
        side_db = mid_db + wider * self._gains(size, drawing.side_db, 0.0)
        shown, spoilt = raised(shown, mid_db, side_db), raised(spoilt, mid_db, side_db)
        colour_db = self._curves(size, 1, drawing.colour_db)[:, 0]
        shown, truth, spoilt = (_coloured(rows, colour_db) for rows in (shown, truth, spoilt))
        turned = random.random(size) < 0.5
        for rows in (shown, truth, spoilt):
            rows[turned, :, _BALANCE] *= -1
        return batch_of(shown, truth, spoilt)

    def _gains(self, size: int, gain_db: float, tone_db: float) -> FloatArray:
        roles = self._shown.shape[2] - 1
        chosen = self._random.random((size, roles, 1)) < 0.7
        tones = chosen & (self._random.random((size, roles, 1)) < 0.3)
        gains = gain_db * chosen * self._random.standard_normal((size, roles, 1))
        return np.asarray(gains + tones * self._curves(size, roles, tone_db), np.float32)

    def _curves(self, size: int, rows: int, spread_db: float) -> FloatArray:
        """Smooth curves over the third octaves, (size, rows, THIRDS)."""
        knots = self._random.standard_normal((size, rows, _KNOTS)) * spread_db
        places = np.linspace(0, _KNOTS - 1, THIRDS)
        low = np.minimum(places.astype(int), _KNOTS - 2)
        share = places - low
        return np.asarray(knots[..., low] * (1 - share) + knots[..., low + 1] * share, np.float32)


def batch_of(shown: FloatArray, truth: FloatArray, disordered: FloatArray) -> Batch:
    """Measures as a batch."""
    lufs = disordered[..., 2 * THIRDS]
    there = (lufs[:, 1:] > lufs[:, :1] + THERE_DB).astype(np.float32)
    arrays = (features(shown), present(shown), there, truth, disordered)
    return Batch(*(torch.from_numpy(np.ascontiguousarray(array, np.float32)) for array in arrays))


def _coloured(measures: FloatArray, colour_db: FloatArray) -> FloatArray:
    result = measures.copy()
    result[..., : 2 * THIRDS] += np.concatenate((colour_db, colour_db), axis=-1)[:, None]
    return result
