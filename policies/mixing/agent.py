"""The net that mixes as an actor of the environment: what PPO trains, and its value network.

Actions are those of the strips alone, in the order of the chosen parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mixagent.pipeline.measure.stem_features import FEATURES
from mixagent.pipeline.measure.stem_measures import ROLES
from mixagent.pipeline.types import FloatArray
from mixagent.policies.forward import Order
from mixagent.policies.mixing.forward import BoundMixer, FrozenMixer
from mixagent.policies.mixing.network import MixingNet
from mixagent.policies.mixing.steering import STEERED

Observation = Mapping[str, Tensor]

PLACES = {
    f"{role}.{name}": place for place, (role, name) in enumerate((r, n) for r in ROLES for n in STEERED)
}
"""The place of each steered parameter among the answers of the net."""


def strip_order(parameters: Sequence[str]) -> Order:
    """The places of some parameters, shape (A,).

    Raises:
        KeyError: a parameter that the net does not steer.
    """
    return np.array([PLACES[name] for name in parameters], np.int64)


class MixingActor(nn.Module):
    """A net whose answers are taken as an action; `reach` is how far PPO may move it from where it began.

    The bound is on the action: the net as it was at the start, and what it has learnt since, no further than
    `reach` from it.
    """

    def __init__(self, net: MixingNet, start: MixingNet, reach: float) -> None:
        super().__init__()
        self.net, self.start, self.reach = net, start.requires_grad_(False).eval(), reach

    def forward(self, observation: Observation, order: Tensor) -> Tensor:
        """The mean action (B, A)."""
        shown, there = observation["strips"], observation["strips_present"]
        begun = self.start(shown, there)
        moved = (self.net(shown, there) - begun).clamp(-self.reach, self.reach)
        action: Tensor = (begun + moved).flatten(1).index_select(1, order)
        return action

    def started(self, observation: Observation, order: Tensor) -> Tensor:
        """The action of the net as it was at the start, (B, A)."""
        begun: Tensor = self.start(observation["strips"], observation["strips_present"])
        return begun.flatten(1).index_select(1, order)

    def frozen(self) -> MixingDecider:
        """The actor as it decides now, without torch."""
        return MixingDecider(BoundMixer(frozen_net(self.net), frozen_net(self.start), self.reach))


@dataclass(frozen=True)
class MixingDecider:
    """A net as a `forward.Decider`."""

    mixer: BoundMixer

    def order(self, parameters: Sequence[str], stems: Sequence[str]) -> Order:
        """See `strip_order`."""
        return strip_order(parameters)

    def action(self, observation: Mapping[str, FloatArray], order: Order) -> FloatArray:
        """The action of one song, (A,)."""
        answer = self.mixer.actions(observation["strips"][None], observation["strips_present"][None])
        return np.asarray(answer.reshape(-1)[order], np.float32)


class MixingValue(nn.Module):
    """The value network, which sees the true damage too."""

    def __init__(self, net: MixingNet, truth: int, hidden: int = 64) -> None:
        super().__init__()
        self.register_buffer("mean", net.get_buffer("mean").clone())
        self.register_buffer("spread", net.get_buffer("spread").clone())
        inputs = len(ROLES) * (len(FEATURES) + 1) + truth
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.SiLU(), nn.Linear(hidden, 1)
        )

    def forward(self, observation: Observation, order: Tensor) -> Tensor:
        """The value of each observation of the batch, (B,)."""
        shown, there = observation["strips"], observation["strips_present"]
        standard = ((shown - self.get_buffer("mean")) / self.get_buffer("spread")).clamp(-5.0, 5.0)
        known = torch.cat(((standard * there[..., None]).flatten(1), there, observation["truth"]), -1)
        value: Tensor = self.layers(known).squeeze(-1)
        return value


def frozen_net(net: MixingNet) -> FrozenMixer:
    """A net as it decides now, without torch."""
    return FrozenMixer({name: value.cpu().numpy().copy() for name, value in net.state_dict().items()})
