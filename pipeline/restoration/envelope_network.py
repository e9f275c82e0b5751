"""The envelope network: how loud and how noise-like bands would be that a song has lost.

A frame network: ConvNeXt blocks in one dimension (Liu et al., "A ConvNet for the 2020s", CVPR 2022) over all
bands of mid and side, in the middle of which each channel hears what the whole excerpt is like. It starts
from the plain continuation of what is there, window by window, and gives the difference to it. Where a song
ends early, the mean of each band is set apart: the one that goes best with the bands that are there, by how
the long-term spectra of finished songs vary (a Gaussian's conditional mean), and the network's difference to
that. `scripts/train_bandwidth.py` trained it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_UNIT_DB = 10.0
_NEAR = 0.4
_FAR = 1e3
_DROPPED = 0.2
_STILL = 0.99
_FAINT_DB = -72.0
# How highs move apart from what lies under them is guessed badly: less of it measured better (validation).
_OVER_END = 0.4
# So much may one song as a whole be louder than another, and a band stray from how songs vary.
_LEVEL_DB, _STRAY_DB = 10.0, 4.0


@dataclass(frozen=True)
class Envelope:
    """What the network says, each (batch, 2, bands, windows).

    Attributes:
        levels_db: of all bands: those given, and in masked cells those that would be there.
        flatness_db: as `band_levels.flatness_db`.
        lacking: logit of the chance that something was taken away here; only where nothing was masked.
    """

    levels_db: Tensor
    flatness_db: Tensor
    lacking: Tensor


class EnvelopeNetwork(nn.Module):
    """See the module.

    Args:
        bands: how many; of mid and of side.
        width: channels.
        depth: blocks.
        kernel: windows that a block sees.
    """

    usual_db: Tensor
    mean_db: Tensor
    spread_db2: Tensor

    def __init__(self, bands: int, width: int = 160, depth: int = 5, kernel: int = 9) -> None:
        super().__init__()
        self.bands = bands
        self.register_buffer("usual_db", torch.zeros(2, bands))
        self.register_buffer("mean_db", torch.zeros(2, bands))
        self.register_buffer("spread_db2", torch.zeros(2 * bands, 2 * bands))
        self.stem = nn.Conv1d(8 * bands, width, 1)
        self.blocks = nn.ModuleList(_Block(width, kernel) for _ in range(depth))
        self.context = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 2 * width))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 6 * bands)
        self.still = nn.Sequential(
            nn.Dropout(_DROPPED), nn.Linear(2 * width, 256), nn.GELU(), nn.Linear(256, 4 * bands)
        )
        for last in (self.head, self.still[-1], self.context[-1]):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, levels_db: Tensor, flatness_db: Tensor, mask: Tensor) -> Envelope:
        """The envelope of excerpts, each argument (batch, 2, bands, windows); `mask` is 1 where to fill."""
        plain = continued(levels_db, mask, self.usual_db)
        usual = self.usual_db[..., None]
        read = (levels_db - usual) / _UNIT_DB, (plain - usual) / _UNIT_DB, mask, flatness_db / _UNIT_DB
        hidden = self.stem(torch.cat([part.flatten(1, 2) for part in read], dim=1))
        for number, block in enumerate(self.blocks):
            hidden = block(hidden)
            if number == len(self.blocks) // 2 - 1:
                scale, shift = self.context(_statistics(hidden)).chunk(2, dim=-1)
                hidden = hidden * (1 + scale[..., None]) + shift[..., None]
        hidden = self.norm(hidden.transpose(1, 2))  # (batch, windows, width)
        statistics = _statistics(hidden.transpose(1, 2))
        moved, flat, lacking = (
            part.transpose(1, 2).unflatten(1, (2, self.bands)) for part in self.head(hidden).chunk(3, dim=-1)
        )
        still, ended = self.still(statistics).unflatten(1, (4, self.bands)).chunk(2, dim=1)
        gone = mask.mean(dim=-1) > _STILL
        over_end = gone.flip(-1).cumprod(dim=-1).flip(-1).bool()
        moved = torch.where(over_end[..., None], _OVER_END * moved, moved)
        told = torch.where(mask > 0, plain + _UNIT_DB * (moved + still[..., None]), levels_db)
        mean = self._expected(levels_db, gone) + _UNIT_DB * ended
        told = told + torch.where(over_end, mean - long_term(told), torch.zeros_like(mean))[..., None]
        return Envelope(
            levels_db=told,
            flatness_db=torch.where(mask > 0, -2.5 - _UNIT_DB * flat, flatness_db),
            lacking=lacking,
        )

    def _expected(self, levels_db: Tensor, gone: Tensor) -> Tensor:
        """The long-term levels of bands (batch, 2, bands) that are gone, by those of the others."""
        there = (~gone).flatten(1).float()
        over = (long_term(levels_db).clamp(min=_FAINT_DB) - self.mean_db).flatten(1) * there
        spread = self.spread_db2 + _LEVEL_DB**2
        seen = spread * there[:, :, None] * there[:, None, :]
        solved = torch.linalg.solve(
            seen + torch.diag_embed(torch.where(there > 0, _STRAY_DB**2, 1.0)), over[..., None]
        )
        over_mean: Tensor = (spread @ solved)[..., 0].unflatten(1, (2, self.bands))
        return self.mean_db + over_mean


def long_term(levels_db: Tensor) -> Tensor:
    """Levels of the mean power over time, the last axis."""
    return 10 * torch.log10((10 ** (levels_db.clamp(max=40) / 10)).mean(dim=-1) + 1e-9)


class _Block(nn.Module):
    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.along = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.along(x).transpose(1, 2))
        y = self.down(nn.functional.gelu(self.up(y))) * self.scale
        return x + y.transpose(1, 2)


def continued(levels_db: Tensor, mask: Tensor, usual_db: Tensor) -> Tensor:
    """Levels with the masked cells continued from their neighbours, along music's usual spectrum.

    Above an end the last bands under it go on; a hole is filled by what lies on both of its sides, the
    nearer counting more.
    """
    over = (levels_db - usual_db[..., None]).unbind(2)
    gone = (mask > 0).unbind(2)
    below, distance_below = _carried(over, gone)
    above, distance_above = _carried(over[::-1], gone[::-1])
    above, distance_above = above[::-1], distance_above[::-1]
    filled = []
    for here, missing, low, high, to_low, to_high in zip(
        over, gone, below, above, distance_below, distance_above, strict=True
    ):
        # Where nothing lies on one side, only the other counts.
        weight = torch.where(to_low > _FAR, torch.ones_like(low), to_low / (to_low + to_high))
        weight = torch.where(to_high > _FAR, torch.zeros_like(low), weight)
        filled.append(torch.where(missing, low * (1 - weight) + high * weight, here))
    return torch.stack(filled, dim=2) + usual_db[..., None]


def _carried(over: tuple[Tensor, ...], gone: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
    """The mean of the nearest bands that are there, coming from one end, and how far they are."""
    mean = torch.zeros_like(over[0])
    distance = torch.full_like(mean, 10 * _FAR)
    means, distances = [], []
    for here, missing in zip(over, gone, strict=True):
        distance = distance + 1
        means.append(mean)
        distances.append(distance)
        nearer = torch.where(distance > _FAR, here, mean + _NEAR * (here - mean))
        mean = torch.where(missing, mean, nearer)
        distance = torch.where(missing, distance, torch.zeros_like(distance))
    return means, distances


def _statistics(hidden: Tensor) -> Tensor:
    """Mean and deviation over time of (batch, width, windows), (batch, 2 · width)."""
    mean = hidden.mean(dim=-1)
    deviation = (hidden - mean[..., None]).square().mean(dim=-1).add(1e-6).sqrt()
    return torch.cat([mean, deviation], dim=-1)
