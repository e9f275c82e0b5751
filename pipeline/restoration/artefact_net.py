"""The network that hears artefacts: gains and added noise for each band of each frame of mid and side.

Two parts. One reads the passage as a whole, each band's mean, spread and mean level, by convolutions over
frequency: what stands still and sticks out of its neighbours. The other reads frame after frame, all bands at
once, by ConvNeXt blocks in time (Liu et al., "A ConvNet for the 2020s", CVPR 2022). Untrained it changes
nothing. `scripts/train_artefacts.py` trained it.

Apart from its caller, because it loads torch, which a song without artefacts need not wait for.
"""

from __future__ import annotations

import math
from typing import NamedTuple

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

_FLOOR = 1e-9
_REACHES = (1, 2, 4, 8, 1)


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
    """From the powers of a passage's bands to gains and noise."""

    def __init__(self, width: int = 128, bands: int = 48) -> None:
        super().__init__()
        hz = torch.tensor(CENTRES_HZ, dtype=torch.float32)
        octaves = torch.log2(hz.clamp(min=60) / 1000)
        places = [octaves / 4, hz / 11025 - 1, torch.sin(octaves * 3), torch.cos(octaves * 3)]
        self.places: Tensor
        self.register_buffer("places", torch.stack(places), persistent=False)
        self.profile_in = nn.Conv1d(6 + len(places), bands, 7, padding=3)
        self.profile = nn.ModuleList(_Profile(bands, reach) for reach in (1, 2, 4, 1))
        self.profile_out = nn.Conv1d(bands, 4, 1)
        self.profile_down = nn.Conv1d(bands, 4, 1)
        self.enter = nn.Conv1d(4 * BANDS, width, 1)
        self.condition = nn.Linear(4 * BANDS, width)
        self.blocks = nn.ModuleList(_Block(width, reach) for reach in _REACHES)
        self.normal = nn.LayerNorm(width)
        self.leave = nn.Conv1d(width, 4 * BANDS, 1)
        self.kinds = nn.Linear(2 * width + 2 * bands, len(KINDS))
        for last in (self.profile_out, self.leave):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(torch.as_tensor(last.bias))

    def forward(self, powers: Tensor, start: int = 0, stop: int | None = None) -> Heard:
        """Hear a passage.

        Args:
            powers: of the bands of mid and side, (batch, 2, BANDS, frames).
            start: first of the frames to be answered, where the passage is known further than that.
            stop: end of them.
        """
        total = powers.sum((1, 2)).mean(1).clamp(min=1e-12)[:, None, None, None]
        relative = powers / total
        level = 10 * torch.log10(relative + _FLOOR)  # (batch, 2, BANDS, frames)
        mean = 10 * torch.log10(relative.mean(3) + _FLOOR)
        usual = level.mean(3)
        spread = (level.square().mean(3) - usual**2).clamp(min=1e-4).sqrt()
        stats = torch.cat([mean / 20 + 2, usual / 20 + 2, spread / 8 - 1], 1)  # (batch, 6, BANDS)
        profile = self.profile_in(torch.cat([stats, self.places.expand(len(stats), -1, -1)], 1))
        for layer in self.profile:
            profile = layer(profile)
        part = level[..., start:stop]
        frames = torch.cat([part / 20 + 2, (part - mean[..., None]) / 10], 1).flatten(1, 2)
        x = self.enter(frames) + self.condition(self.profile_down(profile).flatten(1))[..., None]
        for block in self.blocks:
            x = block(x)
        x = self.normal(x.transpose(1, 2)).transpose(1, 2)
        raw = self.leave(x).unflatten(1, (4, BANDS)) + self.profile_out(profile)[..., None]
        gain_db = 8 * raw[:, :2]
        gain_db = torch.where(
            gain_db > 0,
            MOST_RAISED_DB * torch.tanh(gain_db / MOST_RAISED_DB),
            MOST_CUT_DB * torch.tanh(gain_db / MOST_CUT_DB),
        )
        added_db = LEAST_ADDED_DB * (1 - torch.sigmoid(4 * raw[:, 2:] - 3))
        added = powers.mean(3, keepdim=True) * torch.exp(added_db * (math.log(10) / 10))
        pooled = torch.cat([x.mean(2), x.amax(2), profile.mean(2), profile.amax(2)], 1)
        return Heard(gain_db, added, self.kinds(pooled))


class _Profile(nn.Module):
    """A residual convolution over frequency."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(width, width, 5, padding=2 * reach, dilation=reach)
        self.second = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, width, BANDS), as what it gives."""
        made: Tensor = self.second(F.gelu(self.first(x)))
        return x + made


class _Block(nn.Module):
    """A ConvNeXt block in time."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.spread = nn.Conv1d(width, width, 7, padding=3 * reach, dilation=reach, groups=width)
        self.normal = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, width, frames), as what it gives."""
        inner = self.normal(self.spread(x).transpose(1, 2))
        made: Tensor = self.narrow(F.gelu(self.wide(inner))) * self.scale
        return x + made.transpose(1, 2)
