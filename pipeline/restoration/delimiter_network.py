"""The network that reads how far a limiter held each band down, hop by hop.

A U-Net in one dimension: convolutions at the hop's pace, which follow attacks, and at a quarter and a
sixteenth of it, which hear releases and the song. `scripts/train_delimiter.py` trained it.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mixagent.pipeline.restoration.gain_bands import BANDS, FEATURES

WIDTHS = (48, 72, 96)
STEP = 16
"""The network takes a multiple of this many hops."""

MOST_DB = 18.0
"""Of gain that it can give."""

_POOL = 4


class Block(nn.Module):
    """A residual dilated convolution."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.reach = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        # Begins as the identity: without it a deep stack of these does not learn at a high rate.
        nn.init.zeros_(self.mix.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, hops) to the same."""
        return x + self.mix(F.gelu(self.reach(x)))


class Surroundings(nn.Module):
    """Tells every hop of the mean of the whole stretch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, hops) to the same."""
        return x + self.mix(F.gelu(x.mean(dim=2)))[:, :, None]


class DelimiterNetwork(nn.Module):
    """Features (batch, FEATURES, hops) to gains in dB (batch, BANDS, hops) that undo the limiter."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, slow = WIDTHS
        self.enter = nn.Conv1d(FEATURES, fine, 5, padding=2)
        self.fine = nn.Sequential(*(Block(fine, d) for d in (1, 2, 4)))
        self.to_middle = nn.Conv1d(fine, middle, _POOL, stride=_POOL)
        self.middle = nn.Sequential(*(Block(middle, d) for d in (1, 2, 4, 8)))
        self.to_slow = nn.Conv1d(middle, slow, _POOL, stride=_POOL)
        self.slow = nn.Sequential(
            *(Block(slow, d) for d in (1, 2, 4)), Surroundings(slow), *(Block(slow, d) for d in (8, 16, 1))
        )
        self.from_slow = nn.Conv1d(slow, middle, 1)
        self.back = nn.Sequential(*(Block(middle, d) for d in (1, 2)))
        self.from_middle = nn.Conv1d(middle, fine, 1)
        self.late = nn.Sequential(*(Block(fine, d) for d in (1, 2, 4)))
        self.give = nn.Conv1d(fine, 1 + BANDS, 1)
        nn.init.zeros_(self.give.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Gains in dB, one course for all bands and what each departs from it by."""
        x = self.fine(self.enter(features + 1))
        y = self.middle(self.to_middle(x))
        z = self.slow(self.to_slow(y))
        y = self.back(y + _stretched(self.from_slow(z), y))
        x = self.late(x + _stretched(self.from_middle(y), x))
        given = self.give(F.gelu(x))
        return 3 * given[:, :1] + given[:, 1:]


def _stretched(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2], mode="linear", align_corners=False)
