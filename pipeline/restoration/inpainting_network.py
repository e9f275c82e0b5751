"""The network that says how the bands of a song go on through a gap: a small diffusion model.

It sees the levels of mid and side in bands around the gap and those of the passages of the same song that
sound most alike there, and turns noise into levels in a few steps; what is known is kept. It predicts the
velocity (Salimans and Ho, "Progressive distillation for fast sampling of diffusion models", ICLR 2022)
with ConvNeXt blocks over time (Liu et al., CVPR 2022). `scripts/train_inpainting.py` trained it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.folders import checkpoint_folder
from mixagent.pipeline.restoration.gap_filling import Neighbourhood, in_gap
from mixagent.pipeline.restoration.passages import BANDS, Frames, measure_levels
from mixagent.pipeline.types import FloatArray

LEVELS = 2 * BANDS
"""Levels of a frame: mid's bands, then side's."""

PASSAGES = 3
"""Passages that it is shown, best first; with fewer the last is shown again."""

LEAST_SCALE_DB = 0.5
"""The least that a known frame's level counts as differing from the best passage's."""

STEPS = 6
"""From noise to levels."""

TEMPERATURE = 0.5
"""Deviation of the noise that is begun with: 1 for all that may be, less for what is likelier."""

_CLOCK = 32
_MOST = 5.0


class InpaintingNetwork(nn.Module):
    """Predicts the velocity of levels in a gap.

    Args:
        width: channels.
        dilations: of each block.
    """

    def __init__(self, width: int = 112, dilations: tuple[int, ...] = (1, 2, 4, 8, 2, 1)) -> None:
        super().__init__()
        self.enter = nn.Linear(LEVELS * (2 + PASSAGES) + 1, width)
        self.still = nn.Linear(2 * LEVELS, width)
        self.clock = nn.Sequential(nn.Linear(_CLOCK, width), nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(_Block(width, dilation) for dilation in dilations)
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, LEVELS)
        nn.init.zeros_(self.leave.weight)

    def forward(self, noisy: Tensor, time: Tensor, shown: Shown) -> Tensor:
        """Velocity of the levels.

        Args:
            noisy: levels in the gap at `time`, 0 elsewhere, (batch, LEVELS, frames).
            time: 0 for clean to 1 for noise, (batch,).
            shown: what else it sees.
        """
        moving = torch.cat([noisy, shown.moving], 1).transpose(1, 2)
        x = (self.enter(moving) + self.still(shown.still)[:, None]).transpose(1, 2)
        clock = self.clock(_waves(time))
        for block in self.blocks:
            x = block(x, clock)
        y: Tensor = self.leave(self.norm(x.transpose(1, 2))).transpose(1, 2)
        return y


class _Block(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.over_time = nn.Conv1d(width, width, 7, padding=3 * dilation, dilation=dilation, groups=width)
        self.norm = nn.LayerNorm(width)
        self.clock = nn.Linear(width, 2 * width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.gain = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x: Tensor, clock: Tensor) -> Tensor:
        y = self.norm(self.over_time(x).transpose(1, 2))
        scale, shift = self.clock(clock)[:, None].chunk(2, -1)
        y = self.down(F.gelu(self.up(y * (1 + scale) + shift)))
        added: Tensor = (self.gain * y).transpose(1, 2)
        return x + added


def _waves(time: Tensor) -> Tensor:
    octaves = torch.exp2(torch.linspace(-1, 6, _CLOCK // 2))
    phase = time[:, None] * octaves * math.pi
    return torch.cat([phase.sin(), phase.cos()], 1)


@dataclass(frozen=True)
class Shown:
    """What the network sees beside the noisy levels.

    Attributes:
        moving: known levels, the gap, and passages, (batch, LEVELS * (1 + PASSAGES) + 1, frames).
        still: the best passage's mean levels, and the scale, (batch, 2 * LEVELS).
        origin: levels in dB that 0 stands for, the best passage's, (batch, LEVELS, frames).
        scale_db: dB that 1 stands for: by how much the known frames differ from the best passage's,
            (batch, LEVELS, 1).
    """

    moving: Tensor
    still: Tensor
    origin: Tensor
    scale_db: Tensor


def conditions(levels: Tensor, gap: Tensor, passages: Tensor) -> Shown:
    """What the network is shown of a gap.

    Args:
        levels: in dB, (batch, LEVELS, frames); in the gap anything.
        gap: 1 in the gap, 0 elsewhere, (batch, 1, frames).
        passages: levels of each passage in dB, (batch, PASSAGES, LEVELS, frames), aligned to the gap.
    """
    known, best = 1 - gap, passages[:, 0]
    differs = (levels - best) * known
    square = (differs**2).sum(-1, keepdim=True) / known.sum(-1, keepdim=True).clamp(min=1)
    scale_db = (square + LEAST_SCALE_DB**2).sqrt()
    others = (passages[:, 1:] - best[:, None]) / scale_db[:, None]
    mean = best.mean(-1, keepdim=True)
    moving = [differs / scale_db, gap, ((best - mean) / 10).clamp(-4, 4), others.flatten(1, 2)]
    still = torch.cat([(mean + 50) / 20, scale_db.log()], 1)[..., 0]
    return Shown(torch.cat(moving, 1).clamp(-_MOST, _MOST), still, best, scale_db)


def scaled(levels: Tensor, shown: Shown) -> Tensor:
    """Levels in dB as the network counts them."""
    return ((levels - shown.origin) / shown.scale_db).clamp(-_MOST, _MOST)


def noised(clean: Tensor, noise: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Levels between clean and noise, and their velocity there."""
    angle = (time * math.pi / 2)[:, None, None]
    return (
        angle.cos() * clean + angle.sin() * noise,
        angle.cos() * noise - angle.sin() * clean,
    )


@torch.inference_mode()
def sample(
    net: InpaintingNetwork, levels: Tensor, gap: Tensor, passages: Tensor, noise: Tensor, steps: int = 6
) -> Tensor:
    """Levels in dB with the gap filled, the known frames as they were; arguments as of `conditions`.

    `noise` is normal, of the shape of `levels`; less of it gives likelier levels that move less.
    """
    shown = conditions(levels, gap, passages)
    x = noise * gap
    for step in range(steps):
        angle, next_angle = (math.pi / 2 * (1 - (step + k) / steps) for k in (0, 1))
        velocity = net(x, torch.full((len(x),), 1 - step / steps), shown) * gap
        clean = math.cos(angle) * x - math.sin(angle) * velocity
        rest = math.sin(angle) * x + math.cos(angle) * velocity
        x = math.cos(next_angle) * clean + math.sin(next_angle) * rest
    return torch.where(gap > 0, x * shown.scale_db + shown.origin, levels)


@functools.cache
def load_network() -> InpaintingNetwork:
    """The shipped network, `checkpoints/inpainting`.

    Raises:
        ModelMissingError: its weights are not there or are not what they should be.
    """
    folder = checkpoint_folder("inpainting")
    try:
        data = (folder / "weights.safetensors").read_bytes()
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelMissingError(f"weights are missing in {folder}: reinstall mixagent") from error
    if hashlib.sha256(data).hexdigest() != config["weights_sha256"]:
        raise ModelMissingError(
            f"the weights in {folder} are not those of its config.json: reinstall mixagent"
        )
    net = InpaintingNetwork()
    net.load_state_dict(load(data))
    return net.eval()


def continued(
    net: InpaintingNetwork, near: Sequence[Neighbourhood], rate: int, seed: int = 0
) -> FloatArray | None:
    """Levels of mid and side around and in a gap, in dB, (2, BANDS, windows); None if they are no numbers.

    Args:
        net: the network.
        near: the gap with each of its passages, best first.
        rate: in Hz.
        seed: of the noise that the levels are made from.
    """
    frames = Frames.at(rate)
    known = near[0]
    gap = torch.from_numpy(in_gap(known, frames).astype(np.float32))[None, None]
    levels = measure_levels(known.samples, frames)
    shown = [measure_levels(one.passage, frames) for one in near[:PASSAGES] if one.passage is not None]
    shown += shown[-1:] * (PASSAGES - len(shown))
    as_tensors = [torch.from_numpy(a).flatten(-3, -2)[None] for a in (levels, np.stack(shown))]
    noise = torch.randn(as_tensors[0].shape, generator=torch.Generator().manual_seed(seed))
    filled = sample(net, as_tensors[0], gap, as_tensors[1], noise * TEMPERATURE, STEPS)
    result = filled[0].numpy().reshape(levels.shape)
    return result if np.isfinite(result).all() else None
