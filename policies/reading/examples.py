"""Examples for the reading net, drawn without end: songs, mixtures of songs, and what is done to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixagent.envs.degradation.fields import draw_colour, draw_field
from mixagent.envs.degradation.powers import Powers, pathologies, under_field
from mixagent.pipeline.types import FloatArray
from mixagent.policies.reading.distance import LongTerm
from mixagent.policies.reading.ends import highest_bands
from mixagent.policies.reading.material import Songs
from mixagent.policies.reading.summary import shown

MOST_EXCERPTS = 5
_COUNTS, _PATHOLOGIES, _FIELDS = (1, 2, 4), (0.35, 0.2, 0.45), (0.5, 0.3, 0.2)
_AFTER_VARIANT = (0.6, 0.2, 0.2)
_FLOOR = 1e-10


@dataclass(frozen=True)
class Drawing:
    """The settings by which examples are drawn.

    Attributes:
        variants: share of the examples that take a kept variant of one excerpt: codecs, vocoders, dynamics.
        light: share of those that only take a part of it.
        mixed: share of the others that are two songs played at once, so that no song is learnt by heart.
        clean, ruined: share of those that are not damaged, and that have pathologies; the rest has fields.
        colour_db: most by which a song and its original are coloured alike.
    """

    variants: float = 0.3
    light: float = 0.4
    mixed: float = 0.5
    clean: float = 0.12
    ruined: float = 0.5
    colour_db: float = 2.5


@dataclass(frozen=True)
class Batch:
    """Examples: what the net is shown of them, what they are, what they were, and where their highs end."""

    rows: Tensor
    figures: Tensor
    before: LongTerm
    original: LongTerm
    end: Tensor


class Examples:
    """Draws batches from songs."""

    def __init__(self, songs: Songs, drawing: Drawing, random: np.random.Generator) -> None:
        self._songs, self._drawing, self._random = songs, drawing, random

    def batch(self, size: int) -> Batch:
        """A fresh batch."""
        drawn = [self._one() for _ in range(size)]
        return batch_of(*(np.stack(part).astype(np.float32) for part in zip(*drawn, strict=True)))

    def _one(self) -> tuple[Powers, Powers, FloatArray, FloatArray]:
        """Powers of the original and of what is damaged, then spreads and figures of what is damaged."""
        random, drawing = self._random, self._drawing
        if random.random() < drawing.variants:
            original, damaged, spreads, figures = self._variant()
            clean, ruined, _ = _AFTER_VARIANT
        else:
            original, spreads, figures = self._song()
            if random.random() < drawing.mixed:
                other, share = self._song(), float(random.uniform(0.15, 0.85))
                original = share * original + (1 - share) * other[0]
                spreads = (share * spreads + (1 - share) * other[1]).astype(np.float32)
                figures = (share * figures + (1 - share) * other[2]).astype(np.float32)
            damaged, clean, ruined = original, drawing.clean, drawing.ruined
        what = random.random() - clean
        if 0 <= what < ruined:
            damaged = pathologies(damaged, random, int(random.choice(_COUNTS, p=_PATHOLOGIES)))
        elif what >= ruined:
            field = draw_field(random, int(random.choice((1, 2, 3), p=_FIELDS)), still=True)
            damaged = under_field(damaged, field, float(random.uniform(0.2, 1.2)))
        if drawing.colour_db > 0:
            colour = draw_colour(random, drawing.colour_db)
            original, damaged = (under_field(powers, colour, 1.0) for powers in (original, damaged))
        if random.random() < 0.5:
            original, damaged = swapped(original), swapped(damaged)
        return _levelled(original), _levelled(damaged), spreads, figures

    def _song(self) -> tuple[Powers, FloatArray, FloatArray]:
        """A clean song by a few of its excerpts: powers, spreads, figures."""
        random, songs = self._random, self._songs
        song = int(random.integers(len(songs.powers)))
        there = np.flatnonzero(songs.there[song])
        chosen = random.choice(
            there, min(int(random.integers(1, MOST_EXCERPTS + 1)), there.size), replace=False
        )
        shares = random.dirichlet(np.full(chosen.size, 3.0))
        powers, spreads, figures = (
            np.tensordot(shares, part[song, chosen, 0], 1)
            for part in (songs.powers, songs.spreads, songs.figures)
        )
        return powers, spreads, figures

    def _variant(self) -> tuple[Powers, Powers, FloatArray, FloatArray]:
        """One excerpt and a variant of it, all of it or part of it."""
        random, songs = self._random, self._songs
        song = int(random.integers(len(songs.powers)))
        number = int(random.choice(np.flatnonzero(songs.there[song])))
        variant = int(random.integers(1, songs.powers.shape[2]))
        original, damaged = (songs.powers[song, number, k].astype(np.float64) for k in (0, variant))
        spreads = songs.spreads[song, number, variant]
        if random.random() < self._drawing.light:
            share = float(random.uniform(0.2, 0.8))
            damaged = _between(original, damaged, share)
            spreads = (1 - share) * songs.spreads[song, number, 0] + share * spreads
        return original, damaged, spreads, songs.figures[song, number, variant]


def _between(first: Powers, second: Powers, share: float) -> Powers:
    """Powers between two, in dB; their product stays one that they can have."""
    logs = (1 - share) * np.log(first[:2] + _FLOOR) + share * np.log(second[:2] + _FLOOR)
    mid, side = np.exp(logs)
    most = np.sqrt(mid * side)
    return np.stack((mid, side, np.clip((1 - share) * first[2] + share * second[2], -most, most)))


def _levelled(powers: Powers) -> Powers:
    return np.asarray(powers / powers[:2].sum())


def swapped(powers: Powers) -> Powers:
    """The same with left and right exchanged."""
    return np.asarray(powers * np.array([1.0, 1.0, -1.0])[:, None])


def batch_of(original: FloatArray, damaged: FloatArray, spreads: FloatArray, figures: FloatArray) -> Batch:
    """Examples as a batch; powers (N, 3, BANDS) at a power of one."""
    return Batch(
        torch.from_numpy(shown(damaged, spreads)),
        torch.from_numpy(figures),
        _long_term(damaged),
        _long_term(original),
        torch.from_numpy(highest_bands(damaged[:, 0] + damaged[:, 1])),
    )


def _long_term(powers: FloatArray) -> LongTerm:
    mid, side, cross = (torch.from_numpy(np.ascontiguousarray(powers[:, k])) for k in range(3))
    return LongTerm(mid.clamp(min=1e-12), side.clamp(min=1e-12), cross)
