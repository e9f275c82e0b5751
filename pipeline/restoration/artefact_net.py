"""The network that hears artefacts: gains and added noise for each band of each frame of mid and side.

Three parts. One reads the passage as a whole by convolutions over frequency: each band's mean and spread, how
fast it moves and what it moves with; so it hears what stands still and sticks out of its neighbours. Another
reads frame after frame, all bands at once, by ConvNeXt blocks in time (Liu et al., "A ConvNet for the 2020s",
CVPR 2022). The third looks at one band of one frame, alike for all bands, with what the others made of the
passage and of the frame. Untrained it changes nothing. `scripts/train_artefacts.py` trained it.

Apart from its caller, because it loads torch, which a song without artefacts need not wait for.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixagent.pipeline.restoration.artefact_bands import BANDS, CENTRES_HZ

FRAMES = 512
"""Frames of a passage: what the bands' means are taken over, 6 s."""

MOST_CUT_DB, MOST_RAISED_DB = 24.0, 10.0
LEAST_ADDED_DB = -60.0
"""Of the noise, against the band's mean over the passage; the most is 0."""

KINDS = ("shimmer", "codec")
"""What the network says of the passage as a whole, whether it was damaged by it, as logits."""

STATS, DOWN, LOCAL = 11, 8, 12

_FLOOR = 1e-9
_DROPOUT = 0.15
_PRESENCE = slice(*(int(n) for n in np.searchsorted(CENTRES_HZ, (2000, 6000))))


class Heard(NamedTuple):
    """The network's answer to a passage.

    Attributes:
        gain_db: of each band of mid and side, (batch, 2, BANDS, frames).
        added: power of the noise to be added, of the same shape and as the powers that went in.
        logits: (batch, len(KINDS)).
    """

    gain_db: Tensor
    added: Tensor
    logits: Tensor


class ArtefactNet(nn.Module):
    """From the powers of a passage's bands to gains and noise.

    The profile alone says what stands still (`still`), and is trained first, since it sees a passage at once.
    """

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.profile = Profile()
        self.enter = nn.Conv1d(4 * BANDS, width, 1)
        self.condition = nn.Linear(DOWN * BANDS, width)
        self.blocks = nn.ModuleList(_Block(width, reach) for reach in (1, 2, 4, 8, 1))
        self.normal = nn.LayerNorm(width)
        self.leave = nn.Conv1d(width, 4 * BANDS, 1)
        self.local = nn.Conv2d(6, LOCAL, 1)
        self.local_profile = nn.Conv1d(self.profile.width, LOCAL, 1)
        self.local_frame = nn.Conv1d(width, LOCAL, 1)
        self.local_out = nn.Conv2d(LOCAL, 4, 1)
        for last in (self.leave, self.local_out):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(torch.as_tensor(last.bias))

    def forward(self, powers: Tensor, start: int = 0, stop: int | None = None) -> Heard:
        """Hear a passage.

        Args:
            powers: of the bands of mid and side, (batch, 2, BANDS, frames).
            start: first of the frames to be answered, where the passage is known further than that.
            stop: end of them.
        """
        level, mean = levels(powers)
        still = self.profile(stats(level, mean))
        part = level[..., start:stop]
        held_db = bounded(still.raw[:, :2])[..., None]
        frames = torch.cat([part / 20 + 2, (part - mean[..., None]) / 10], 1)
        x = self.enter(frames.flatten(1, 2)) + self.condition(still.down.flatten(1))[..., None]
        for block in self.blocks:
            x = block(x)
        x = self.normal(x.transpose(1, 2)).transpose(1, 2)
        placed = torch.cat([frames, held_db.expand_as(part) / 10], 1)
        near = self.local(placed) + self.local_profile(still.bands)[..., None]
        near = F.gelu(near + self.local_frame(x)[:, :, None])
        raw = self.leave(x).unflatten(1, (4, BANDS)) + self.local_out(near) + still.raw[..., None]
        added_db = LEAST_ADDED_DB * (1 - torch.sigmoid(4 * raw[:, 2:] - 3))
        added = powers.mean(3, keepdim=True) * torch.exp(added_db * (math.log(10) / 10))
        return Heard(bounded(raw[:, :2]), added, still.logits)


class Still(NamedTuple):
    """The profile's answer.

    Attributes:
        raw: before bounds, gains and noise of mid and side, (batch, 4, BANDS).
        bands: features (batch, width, BANDS).
        down: fewer of them, (batch, DOWN, BANDS).
        logits: (batch, len(KINDS)).
    """

    raw: Tensor
    bands: Tensor
    down: Tensor
    logits: Tensor


class Profile(nn.Module):
    """From what is known of each band over a passage to gains that stand still."""

    def __init__(self, width: int = 80) -> None:
        super().__init__()
        self.width = width
        hz = torch.tensor(CENTRES_HZ, dtype=torch.float32)
        octaves = torch.log2(hz.clamp(min=60) / 1000)
        places = [octaves / 4, hz / 11025 - 1, torch.sin(octaves * 3), torch.cos(octaves * 3)]
        self.places: Tensor
        self.register_buffer("places", torch.stack(places), persistent=False)
        self.enter = nn.Conv1d(STATS + len(places), width, 7, padding=3)
        self.blocks = nn.ModuleList(_Block(width, reach, _DROPOUT) for reach in (1, 2, 4, 8, 2, 1))
        self.normal = nn.LayerNorm(width)
        self.leave = nn.Conv1d(width, 4, 1)
        self.down = nn.Conv1d(width, DOWN, 1)
        self.gather = nn.Linear(DOWN * BANDS, 64)
        self.kinds = nn.Linear(64, len(KINDS))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(torch.as_tensor(self.leave.bias))

    def forward(self, known: Tensor) -> Still:
        """Hear what `stats` gives, (batch, STATS, BANDS)."""
        x = self.enter(torch.cat([known, self.places.expand(len(known), -1, -1)], 1))
        for block in self.blocks:
            x = block(x)
        x = self.normal(x.transpose(1, 2)).transpose(1, 2)
        down = self.down(x)
        return Still(self.leave(x), x, down, self.kinds(F.gelu(self.gather(down.flatten(1)))))

    def train(self, mode: bool = True) -> Profile:
        """As of a module; once its weights are frozen it answers alike in training."""
        return super().train(mode and self.leave.weight.requires_grad)


def bounded(raw: Tensor) -> Tensor:
    """Gains in dB, within their bounds."""
    gain_db = 8 * raw
    raised = MOST_RAISED_DB * torch.tanh(gain_db / MOST_RAISED_DB)
    return torch.where(gain_db > 0, raised, MOST_CUT_DB * torch.tanh(gain_db / MOST_CUT_DB))


def levels(powers: Tensor) -> tuple[Tensor, Tensor]:
    """Levels in dB against the passage, as the powers, and of the means over its frames."""
    relative = powers / powers.sum((1, 2)).mean(1).clamp(min=1e-12)[:, None, None, None]
    return 10 * torch.log10(relative + _FLOOR), 10 * torch.log10(relative.mean(3) + _FLOOR)


def stats(level: Tensor, mean: Tensor) -> Tensor:
    """What is known of each band over the passage, (batch, STATS, BANDS)."""
    usual = level.mean(3)
    moved = level - usual[..., None]
    spread = (moved.square().mean(3) + 1e-2).sqrt()
    roughness = (level[..., 1:] - level[..., :-1]).square().mean(3).clamp(min=1e-4).sqrt()
    presence = moved[:, :1, _PRESENCE].mean(2, keepdim=True)
    apart = (presence.square().mean(3) + 1e-2).sqrt()
    with_presence = (moved * presence).mean(3) / (spread * apart)
    with_side = (moved[:, :1] * moved[:, 1:]).mean(3) / (spread[:, :1] * spread[:, 1:])
    sizes = [mean / 20 + 2, usual / 20 + 2, spread / 8 - 1, roughness / 6 - 1]
    return torch.cat([*sizes, 2 * with_presence, 2 * with_side], 1)


class _Block(nn.Module):
    """A ConvNeXt block, in time or over frequency."""

    def __init__(self, width: int, reach: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.spread = nn.Conv1d(width, width, 7, padding=3 * reach, dilation=reach, groups=width)
        self.normal = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, width, places), as what it gives."""
        inner = self.normal(self.spread(x).transpose(1, 2))
        made: Tensor = self.narrow(self._dropped(F.gelu(self.wide(inner)))) * self.scale
        return x + made.transpose(1, 2)

    def _dropped(self, inner: Tensor) -> Tensor:
        return F.dropout(inner, self.dropout, self.training) if self.dropout else inner
