"""The net that reads a song's summary, in torch: training only; `reading.forward` is the same in NumPy.

It looks along the bands from low to high, with what the whole song says laid beside each of them. It answers
with a move of mid, side and balance for each third octave; its last layer starts at zero, so an untrained
net moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixagent.pipeline.measure.song_bands import BANDS, THIRDS_HZ
from mixagent.policies.reading.summary import FIGURES, ROWS

THIRDS = len(THIRDS_HZ)

GAINS = 3
"""Moves of a third octave: mid, side, balance."""

MOST_DB = 18.0
"""Moves end here, softly."""

_STEP_DB = 10.0


@dataclass(frozen=True)
class Shape:
    """The width and depth of a net."""

    width: int = 32
    blocks: int = 4
    summary: int = 128
    beside: int = 8
    dropout: float = 0.3


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
    """A summary in, moves out."""

    def __init__(self, shape: Shape = Shape()) -> None:
        super().__init__()
        self.shape = shape
        self.summary = nn.Sequential(
            nn.Linear(ROWS * BANDS + FIGURES, 2 * shape.summary),
            nn.LayerNorm(2 * shape.summary),
            nn.SiLU(),
            nn.Dropout(shape.dropout),
            nn.Linear(2 * shape.summary, shape.summary),
            nn.SiLU(),
            nn.Dropout(shape.dropout),
        )
        self.spread = nn.Linear(shape.summary, BANDS * shape.beside)
        self.place = nn.Parameter(0.1 * torch.randn(shape.width, BANDS))
        self.enter = nn.Conv1d(ROWS + shape.beside, shape.width, 5, padding=2)
        self.bands = nn.ModuleList(_BandBlock(shape.width) for _ in range(shape.blocks))
        self.leave = nn.Conv1d(2 * shape.width, GAINS, 1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(self, rows: Tensor, figures: Tensor) -> Tensor:
        """Moves in dB, (B, GAINS, THIRDS).

        Args:
            rows: `summary.shown`, (B, ROWS, BANDS).
            figures: of the same summaries, (B, FIGURES).
        """
        summary = self.summary(torch.cat((rows.flatten(1), figures), 1))
        beside = self.spread(summary).unflatten(1, (-1, BANDS))
        bands = self.enter(torch.cat((rows, beside), 1)) + self.place
        for block in self.bands:
            bands = block(bands)
        # Two sixth octaves to each third; the two bands on top have no move of their own.
        pairs = bands[..., : 2 * THIRDS].unflatten(-1, (THIRDS, 2)).permute(0, 1, 3, 2).flatten(1, 2)
        return MOST_DB * torch.tanh(self.leave(pairs) * (_STEP_DB / MOST_DB))
