"""The networks: what was measured of a song and its stems in, one action out.

The stems are a set. One network with the same weights reads every stem, their mean joins what is
known of the whole song, and one head with the same weights sets every strip; so any number of stems
can be served, and another order of stems gives the same strips in that order and the same master
(Zaheer et al., "Deep sets", 2017).

An action is `gate · advice + residual`: the adviser's action, taken over as far as the song bears it
out, and what the network adds by itself. Both heads start at zero, so an untrained actor is neutral.
Inputs are raw measures; their means and spreads are buffers of the network, saved with its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from mixagent.policies.forward import STANDARD_LIMIT, FrozenActor, order_of, placed

Observation = Mapping[str, Tensor]
"""Batched: `mix` (B, F), `stems` (B, S, F), `present` (B, S), `diagnosis` (B, D), `advice` (B, A),
`target` (B, T), `last` (B, F + A + 2) and, for the value network only, `truth` (B, P)."""


@dataclass(frozen=True)
class Layout:
    """The steered parameters: names without the stem on every strip, and full names elsewhere."""

    strip: tuple[str, ...]
    shared: tuple[str, ...]

    @classmethod
    def of(cls, parameters: Sequence[str], stems: Sequence[str]) -> Layout:
        """The layout of parameter names (`vocals.gain_db`, `master.width`) for a chain with these stems."""
        on_strips = [name.split(".", 1)[1] for name in parameters if name.split(".", 1)[0] in stems]
        shared = tuple(name for name in parameters if name.split(".", 1)[0] not in stems)
        return cls(tuple(dict.fromkeys(on_strips)), shared)

    def steered(self, parameters: Sequence[str], stems: Sequence[str]) -> list[str]:
        """Those of some parameters that are in it."""
        return placed(self.strip, self.shared, parameters, stems)

    def order(self, parameters: Sequence[str], stems: Sequence[str]) -> Tensor:
        """See `forward.order_of`; int64 (A,)."""
        return torch.from_numpy(order_of(self.strip, self.shared, parameters, stems))


@dataclass(frozen=True)
class Sizes:
    """The counts of measures (`features`, `findings`, `target`, `truth`) and the width of the network."""

    features: int
    findings: int
    target: int
    truth: int = 0
    hidden: int = 192
    stem_hidden: int = 64
    dropout: float = 0.1


@dataclass(frozen=True)
class Statistics:
    """Mean and spread of the measures over the training songs, by the observation's key.

    `stems` has one pair for all stems, shape (F,), whatever their number.
    """

    mean: Mapping[str, Tensor]
    spread: Mapping[str, Tensor]


NORMALISED = ("mix", "stems", "diagnosis", "target", "truth")


def measure_statistics(observations: Observation) -> Statistics:
    """Statistics over a batch of observations; stems that are absent do not count."""
    rows = {key: observations[key].reshape(-1, observations[key].shape[-1]) for key in NORMALISED}
    present = observations["present"].reshape(-1) > 0
    rows["stems"] = rows["stems"][present] if present.any() else rows["mix"]
    mean = {key: value.mean(dim=0) for key, value in rows.items()}
    spread = {key: value.std(dim=0, correction=0) for key, value in rows.items()}
    return Statistics(mean, spread)


class Encoder(nn.Module):
    """A song as vectors: one for each stem, shape (B, S, stem_hidden), one for the whole, (B, hidden).

    `privileged` lets it see `truth`, which is known in training only.
    """

    def __init__(self, layout: Layout, sizes: Sizes, privileged: bool = False) -> None:
        super().__init__()
        self.layout, self.sizes, self.privileged = layout, sizes, privileged
        strip, shared = len(layout.strip), len(layout.shared)
        for key, size in self._measures().items():
            self.register_buffer(f"{key}_mean", torch.zeros(size))
            self.register_buffer(f"{key}_spread", torch.ones(size))
        song = 2 * sizes.features + sizes.findings + sizes.target + 2 * shared + 2 + sizes.stem_hidden
        self.stem = _layers(sizes.features + 2 * strip, sizes.stem_hidden, sizes.stem_hidden, sizes.dropout)
        self.song = _layers(
            song + (sizes.truth if privileged else 0), sizes.hidden, sizes.hidden, sizes.dropout
        )

    def _measures(self) -> dict[str, int]:
        sizes = self.sizes
        measures = {"mix": sizes.features, "stems": sizes.features}
        measures |= {"diagnosis": sizes.findings, "target": sizes.target}
        return measures | ({"truth": sizes.truth} if self.privileged else {})

    def standardise(self, statistics: Statistics) -> None:
        """Take over the means and spreads; a measure that never varied counts for nothing."""
        for key in self._measures():
            spread = statistics.spread[key]
            self.get_buffer(f"{key}_mean").copy_(statistics.mean[key])
            self.get_buffer(f"{key}_spread").copy_(torch.where(spread > 1e-6, spread, torch.inf))

    def forward(self, observation: Observation, order: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of the stems and of the song; `order` as `Layout.order` gives it."""
        count = observation["present"].shape[1]
        present = observation["present"].unsqueeze(-1)  # (B, S, 1)
        features = self.sizes.features
        change, last, flags = observation["last"].tensor_split((features, -2), dim=-1)
        advice = self.split(observation["advice"], order, count)
        last_action = self.split(last, order, count)
        strips = torch.cat((self._standard("stems", observation["stems"]), advice[0], last_action[0]), -1)
        stems = self.stem(strips) * present
        pooled = stems.sum(dim=1) / present.sum(dim=1).clamp(min=1.0)
        parts = [self._standard(key, observation[key]) for key in self._measures() if key != "stems"]
        change = (change / self.get_buffer("mix_spread")).clamp(-STANDARD_LIMIT, STANDARD_LIMIT)
        song = self.song(torch.cat((*parts, change, flags, advice[1], last_action[1], pooled), -1))
        return stems, song

    def _standard(self, key: str, value: Tensor) -> Tensor:
        standard = (value - self.get_buffer(f"{key}_mean")) / self.get_buffer(f"{key}_spread")
        return standard.clamp(-STANDARD_LIMIT, STANDARD_LIMIT)

    def split(self, action: Tensor, order: Tensor, stems: int) -> tuple[Tensor, Tensor]:
        """An action (B, A) by place: strips (B, S, strip) and shared (B, shared); 0 where nothing steers."""
        strip, shared = len(self.layout.strip), len(self.layout.shared)
        placed = action.new_zeros(action.shape[0], stems * strip + shared)
        placed = placed.index_copy(1, order, action)
        return placed[:, : stems * strip].reshape(len(action), stems, strip), placed[:, stems * strip :]


class _Head(nn.Linear):
    """A linear layer that starts at zero; it may have no outputs."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class Actor(nn.Module):
    """The policy: observation in, the mean action (B, A) out, not yet clipped to [−1, 1]."""

    def __init__(self, layout: Layout, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = Encoder(layout, sizes)
        self.shared = _Head(sizes.hidden, 2 * len(layout.shared))
        self.strip = _Head(sizes.hidden + sizes.stem_hidden, 2 * len(layout.strip))

    def forward(self, observation: Observation, order: Tensor) -> Tensor:
        """`gate · advice + residual` for each steered parameter, in the order of `order`."""
        stems, song = self.encoder(observation, order)
        count = stems.shape[1]
        advice = self.encoder.split(observation["advice"], order, count)
        everywhere = song.unsqueeze(1).expand(-1, count, -1)
        gates, residuals = self.strip(torch.cat((stems, everywhere), -1)).chunk(2, dim=-1)
        gate, residual = self.shared(song).chunk(2, dim=-1)
        strips = (gates * advice[0] + residuals) * observation["present"].unsqueeze(-1)
        shared = gate * advice[1] + residual
        return torch.cat((strips.flatten(1), shared), -1).index_select(1, order)

    def frozen(self) -> FrozenActor:
        """The actor as it decides now, without torch."""
        weights = {name: value.detach().cpu().numpy().copy() for name, value in self.state_dict().items()}
        layout = self.encoder.layout
        return FrozenActor.of(weights, layout.strip, layout.shared, asdict(self.encoder.sizes))

    def lean(self, share: float) -> None:
        """From now on answer with `share` of the advice and the rest of what it would have answered."""
        with torch.no_grad():
            for head in (self.strip, self.shared):
                head.weight.mul_(1.0 - share)
                head.bias.mul_(1.0 - share)
                gates, _ = head.bias.chunk(2)
                gates.add_(share)


class Value(nn.Module):
    """The value network, which sees the true damage too: what a song's reward will be, shape (B,)."""

    def __init__(self, layout: Layout, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = Encoder(layout, sizes, privileged=True)
        self.head = nn.Linear(sizes.hidden, 1)

    def forward(self, observation: Observation, order: Tensor) -> Tensor:
        """The value of each observation of the batch."""
        _, song = self.encoder(observation, order)
        value: Tensor = self.head(song).squeeze(-1)
        return value


def _layers(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LayerNorm(hidden),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, outputs),
        nn.SiLU(),
        nn.Dropout(dropout),
    )
