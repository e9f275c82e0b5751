"""The net that reads a song, in torch: training only; `reading.forward` is the same in NumPy.

Two views are joined. One follows the excerpt through time (ConvNeXt blocks in one dimension, Liu et
al. 2022, bent by its long-term figures: FiLM, Perez et al. 2018), one looks along its long-term bands
from low to high, with what the first heard beside them. For each third octave the second gives a
residual and a gate on the adviser's answer: a move is `gate · advice + residual`. Heads start at
zero, so an untrained net moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixagent.pipeline.measure.song_bands import BANDS, FAST, FLOOR_DB, THIRDS_HZ

THIRDS = len(THIRDS_HZ)
FRAME_ROWS = 5 * BANDS + FAST
"""What a frame shows: mid, side, side against mid, what they share, right against left; fast figures."""

LONG_ROWS = 8
"""What a band shows in the long term: levels of mid and side, side against mid, what they share, right
against left, and how mid, side and balance move."""

GAINS = 3
"""Moves of a third octave: mid, side, balance."""

OTHERS = 4
"""Moves beside the equaliser: extension, gap filling, resonance cut, expansion; see `reading.moves`."""


@dataclass(frozen=True)
class Shape:
    """How wide and deep a net is."""

    width: int = 64
    blocks: int = 2
    summary: int = 96
    band_width: int = 32
    band_blocks: int = 3
    dropout: float = 0.3


def frame_rows(stacked: Tensor) -> Tensor:
    """`SongBands.stacked` (B, rows, T) as the net sees it, (B, FRAME_ROWS, T)."""
    mid_db, side_db, common, fast = torch.split(stacked, [BANDS, BANDS, BANDS, FAST], dim=1)
    balance = balance_db(10 ** (mid_db / 10), 10 ** (side_db / 10), common)
    return torch.cat(
        ((mid_db + 45) / 15, (side_db + 60) / 15, (side_db - mid_db) / 10, common, balance / 5, fast / 5), 1
    )


def balance_db(mid: Tensor, side: Tensor, common: Tensor) -> Tensor:
    """Right against left in dB, within ±20, where there is anything to tell it by."""
    cross, floor = common * (mid * side).sqrt(), 10 ** ((FLOOR_DB + 5) / 10)
    right, left = (mid + side - 2 * cross).clamp(min=0), (mid + side + 2 * cross).clamp(min=0)
    return (10 * ((right + floor) / (left + floor)).log10()).clamp(-20, 20)


def long_rows(stacked: Tensor) -> Tensor:
    """The long-term figures of each band, (B, LONG_ROWS, BANDS)."""
    mid_db, side_db, common, _ = torch.split(stacked, [BANDS, BANDS, BANDS, FAST], dim=1)
    mid, side = 10 ** (mid_db / 10), 10 ** (side_db / 10)
    cross = (common * (mid * side).sqrt()).mean(-1)
    mid_mean, side_mean = mid.mean(-1), side.mean(-1)
    shared = cross / (mid_mean * side_mean).sqrt()
    balance = balance_db(mid_mean, side_mean, shared.clamp(-1, 1))
    level, side_level = 10 * mid_mean.log10(), 10 * side_mean.log10()
    moving = balance_db(mid, side, common)
    rows = (
        *((level + 40) / 15, (side_level + 55) / 15, (side_level - level + 10) / 10, shared),
        *(balance / 5, (mid_db.std(-1) - 6) / 4, (side_db.std(-1) - 6) / 4, moving.std(-1) / 5),
    )
    return torch.stack(rows, 1)


class _FrameBlock(nn.Module):
    """ConvNeXt over time, bent by a summary."""

    def __init__(self, width: int, summary: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.bend = nn.Linear(summary, 2 * width)
        self.wide = nn.Linear(width, 3 * width)
        self.narrow = nn.Linear(3 * width, width)
        nn.init.zeros_(self.bend.weight)
        nn.init.zeros_(self.bend.bias)

    def forward(self, signal: Tensor, summary: Tensor) -> Tensor:
        """(B, width, T) to the same."""
        inner = self.norm(self.depthwise(signal).transpose(1, 2))
        scale, shift = self.bend(summary).unsqueeze(1).chunk(2, -1)
        inner = self.narrow(nn.functional.silu(self.wide(inner * (1 + scale) + shift)))
        bent: Tensor = signal + inner.transpose(1, 2)
        return bent


class _BandBlock(nn.Module):
    """A residual block along the bands."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.along = nn.Conv1d(width, 2 * width, 5, padding=2)
        self.narrow = nn.Conv1d(2 * width, width, 1)

    def forward(self, bands: Tensor) -> Tensor:
        """(B, width, BANDS) to the same."""
        inner = self.norm(bands.transpose(1, 2)).transpose(1, 2)
        done: Tensor = bands + self.narrow(nn.functional.silu(self.along(inner)))
        return done


class ReadingNet(nn.Module):
    """Bands over time and an adviser's answer in, moves out."""

    def __init__(self, shape: Shape = Shape()) -> None:
        super().__init__()
        self.shape = shape
        long = LONG_ROWS * BANDS
        self.summary = nn.Sequential(
            nn.Linear(long + 2 * FAST, 2 * shape.summary),
            nn.LayerNorm(2 * shape.summary),
            nn.SiLU(),
            nn.Dropout(shape.dropout),
            nn.Linear(2 * shape.summary, shape.summary),
            nn.SiLU(),
        )
        self.enter = nn.Conv1d(FRAME_ROWS, shape.width, 4, stride=2, padding=1)
        self.frames = nn.ModuleList(_FrameBlock(shape.width, shape.summary) for _ in range(shape.blocks))
        self.heard = nn.Sequential(
            nn.Linear(2 * shape.width + shape.summary, 2 * shape.summary),
            nn.LayerNorm(2 * shape.summary),
            nn.SiLU(),
            nn.Dropout(shape.dropout),
        )
        self.spread = nn.Linear(2 * shape.summary, BANDS * (shape.band_width // 2))
        self.place = nn.Parameter(0.1 * torch.randn(shape.band_width, BANDS))
        self.enter_bands = nn.Conv1d(
            LONG_ROWS + GAINS + shape.band_width // 2, shape.band_width, 5, padding=2
        )
        self.bands = nn.ModuleList(_BandBlock(shape.band_width) for _ in range(shape.band_blocks))
        self.leave = nn.Conv1d(2 * shape.band_width, 2 * GAINS, 1)
        self.others = nn.Linear(2 * shape.summary, OTHERS)
        for weight in (*self.leave.parameters(), *self.others.parameters()):
            nn.init.zeros_(weight)

    def forward(self, stacked: Tensor, advice_db: Tensor) -> tuple[Tensor, Tensor]:
        """Moves of the third octaves in dB, (B, GAINS, THIRDS), and the others, (B, OTHERS).

        Args:
            stacked: `SongBands.stacked`, (B, rows, T).
            advice_db: the adviser's moves of mid, side and balance, (B, GAINS, THIRDS).
        """
        long, fast = long_rows(stacked), stacked[:, 3 * BANDS :] / 5
        summary = self.summary(torch.cat((long.flatten(1), fast.mean(-1), fast.std(-1)), 1))
        frames = self.enter(frame_rows(stacked))
        for block in self.frames:
            frames = block(frames, summary)
        heard = self.heard(torch.cat((frames.mean(-1), frames.std(-1), summary), 1))
        beside = self.spread(heard).unflatten(1, (-1, BANDS))
        advised = nn.functional.pad(
            advice_db.repeat_interleave(2, -1), (0, BANDS - 2 * THIRDS), mode="replicate"
        )
        bands = self.enter_bands(torch.cat((long, advised / 6, beside), 1)) + self.place
        for block in self.bands:
            bands = block(bands)
        # Two sixth octaves to each third; the two bands on top have no move of their own.
        pairs = bands[..., : 2 * THIRDS].unflatten(-1, (THIRDS, 2)).permute(0, 1, 3, 2).flatten(1, 2)
        residual, gate = self.leave(pairs).chunk(2, 1)
        return gate * advice_db + 10 * residual, self.others(heard)
