"""The net that mixes, in torch: training only; `mixing.forward` is the same in NumPy.

Each stem is encoded by the same layers, knows its role, and hears the others by their mean and their maximum,
twice; so a song may lack any of them (Zaheer et al., "Deep sets", 2017). The last layer starts at zero, so an
untrained net moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mixagent.pipeline.measure.stem_features import FEATURES
from mixagent.pipeline.measure.stem_measures import ROLES
from mixagent.policies.mixing.forward import LIMIT
from mixagent.policies.mixing.steering import STEERED
from mixagent.policies.supervised import load_best


@dataclass(frozen=True)
class Shape:
    """The sizes of a net."""

    hidden: int = 32
    role: int = 4
    dropout: float = 0.3


class MixingNet(nn.Module):
    """Features of the stems in, actions of their strips out."""

    def __init__(self, shape: Shape = Shape()) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("spread", torch.ones(len(FEATURES)))
        self.roles = nn.Parameter(0.1 * torch.randn(len(ROLES), shape.role))
        self.alone = _layer(len(FEATURES) + shape.role, shape.hidden, shape.dropout)
        self.beside = _layer(3 * shape.hidden, shape.hidden, shape.dropout)
        self.strip = nn.Linear(3 * shape.hidden, len(STEERED))
        for parameter in self.strip.parameters():
            nn.init.zeros_(parameter)

    def standardise(self, features: Tensor, present: Tensor) -> None:
        """Take over mean and spread of the features of those stems that are there."""
        rows = features[present > 0]
        self.get_buffer("mean").copy_(rows.mean(0))
        self.get_buffer("spread").copy_(rows.std(0).clamp(min=0.5))

    def forward(self, features: Tensor, present: Tensor) -> Tensor:
        """Actions of the strips in (−1, 1), (B, roles, len(STEERED)); 0 for a stem that is not there.

        Args:
            features: `features.features`, (B, roles, F).
            present: 1 for the stems that are there, (B, roles).
        """
        there = present[..., None]
        standard = ((features - self.get_buffer("mean")) / self.get_buffer("spread")).clamp(-LIMIT, LIMIT)
        stems = self.alone(torch.cat((standard, self.roles.expand(len(features), -1, -1)), -1)) * there
        stems = self.beside(_with_others(stems, there)) * there
        actions: Tensor = torch.tanh(self.strip(_with_others(stems, there))) * there
        return actions


def load_net(run: Path) -> MixingNet:
    """The best net of a run of `mixing.training.train`, in evaluation mode.

    Raises:
        InputError: the run's files are missing or broken.
    """
    return load_best(lambda shape: MixingNet(Shape(**shape)), run)


def _with_others(stems: Tensor, there: Tensor) -> Tensor:
    mean = stems.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1.0)
    most = stems.max(1, keepdim=True).values
    return torch.cat((stems, mean.expand_as(stems), most.expand_as(stems)), -1)


def _layer(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.SiLU(), nn.Dropout(dropout))
