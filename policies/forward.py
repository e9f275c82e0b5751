"""The forward pass of `policies.network.Actor` in NumPy: what decides a song, without torch.

To import torch takes longer than the rest of a master from the cache, and the network is small. The
weights are the trained ones; dropout has no part, as in evaluation mode. The actions are torch's to
within rounding, which the tests hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.types import FloatArray
from mixagent.policies.numpy_layers import layer_norm, linear, silu

Order = NDArray[np.int64]

Observation = Mapping[str, FloatArray]
"""As `envs.observation.observe` gives it, or many of them, with any further axes in front."""

STANDARD_LIMIT = 5.0
"""A standardised measure counts up to here, so that no odd song drives the network far out."""

_MEASURES = ("mix", "diagnosis", "target")
"""The inputs that are standardised for the song, in the order in which the network reads them."""


@dataclass(frozen=True)
class _Linear:
    """Weight (out, in) and bias (out,)."""

    weight: FloatArray
    bias: FloatArray

    def __call__(self, signal: FloatArray) -> FloatArray:
        return linear(signal, self.weight, self.bias)


@dataclass(frozen=True)
class _Layers:
    """Linear, layer normalisation (Ba et al. 2016) with scale and shift, SiLU, linear, SiLU."""

    first: _Linear
    scale: FloatArray
    shift: FloatArray
    second: _Linear

    def __call__(self, signal: FloatArray) -> FloatArray:
        hidden = layer_norm(self.first(signal), self.scale, self.shift)
        return silu(self.second(silu(hidden)))


class Decider(Protocol):
    """An actor that only decides."""

    def order(self, parameters: Sequence[str], stems: Sequence[str]) -> Order:
        """The places of some parameters in its own answer, shape (A,)."""

    def action(self, observation: Observation, order: Order) -> FloatArray:
        """Its action for those parameters, shape (…, A), not yet clipped to [−1, 1]."""


@dataclass(frozen=True)
class FrozenActor:
    """A trained actor that only decides.

    Attributes:
        strip, shared: what it steers, as in `network.Layout`.
        mean, spread: of the measures over the training songs, by the observation's key; a measure whose
            spread is infinite counts for nothing.
    """

    strip: tuple[str, ...]
    shared: tuple[str, ...]
    mean: Mapping[str, FloatArray]
    spread: Mapping[str, FloatArray]
    stem_layers: _Layers
    song_layers: _Layers
    strip_head: _Linear
    shared_head: _Linear

    @classmethod
    def of(
        cls,
        weights: Mapping[str, FloatArray],
        strip: Sequence[str],
        shared: Sequence[str],
        sizes: Mapping[str, int],
    ) -> FrozenActor:
        """The actor of these weights, named as in the state of `network.Actor`.

        Args:
            weights: by name.
            strip, shared: what is steered.
            sizes: the fields of `network.Sizes`.

        Raises:
            ValueError: the weights are not those of a network of these sizes.
            KeyError: a size is missing.
        """
        expected = _shapes(len(strip), len(shared), sizes)
        if {name: value.shape for name, value in weights.items()} != expected:
            raise ValueError("the weights are of another network")
        kept = {name: np.asarray(value, np.float32) for name, value in weights.items()}
        keys = ("stems", *_MEASURES)
        return cls(
            strip=tuple(strip),
            shared=tuple(shared),
            mean={key: kept[f"encoder.{key}_mean"] for key in keys},
            spread={key: kept[f"encoder.{key}_spread"] for key in keys},
            stem_layers=_layers(kept, "encoder.stem"),
            song_layers=_layers(kept, "encoder.song"),
            strip_head=_linear(kept, "strip"),
            shared_head=_linear(kept, "shared"),
        )

    def steered(self, parameters: Sequence[str], stems: Sequence[str]) -> list[str]:
        """Those of some parameters that it knows: the table may have grown since it was trained."""
        return placed(self.strip, self.shared, parameters, stems)

    def order(self, parameters: Sequence[str], stems: Sequence[str]) -> Order:
        """See `order_of`."""
        return order_of(self.strip, self.shared, parameters, stems)

    def action(self, observation: Observation, order: Order) -> FloatArray:
        """`gate · advice + residual` for each parameter, shape (…, A), not yet clipped to [−1, 1].

        Args:
            observation: of one song or, with axes in front, of many.
            order: as `order` gives it.
        """
        stems, song = self._encoded(observation, order)
        count = stems.shape[-2]
        strip_advice, shared_advice = self._placed(observation["advice"], order, count)
        everywhere = np.broadcast_to(song[..., None, :], (*stems.shape[:-1], song.shape[-1]))
        gates, residuals = np.split(self.strip_head(np.concatenate((stems, everywhere), -1)), 2, axis=-1)
        gate, residual = np.split(self.shared_head(song), 2, axis=-1)
        strips = (gates * strip_advice + residuals) * observation["present"][..., None]
        flat = strips.reshape(*song.shape[:-1], count * len(self.strip))
        return np.concatenate((flat, gate * shared_advice + residual), -1)[..., order]

    def _encoded(self, observation: Observation, order: Order) -> tuple[FloatArray, FloatArray]:
        """Vectors of the stems, (…, S, stem_hidden), and of the whole song, (…, hidden)."""
        present = observation["present"][..., None]
        count, features = observation["stems"].shape[-2:]
        advice = self._placed(observation["advice"], order, count)
        change, last, flags = np.split(observation["last"], (features, -2), axis=-1)
        last_action = self._placed(last, order, count)
        strips = (self._standard("stems", observation["stems"]), advice[0], last_action[0])
        stems = self.stem_layers(np.concatenate(strips, -1)) * present
        pooled = stems.sum(axis=-2) / np.maximum(present.sum(axis=-2), 1.0)
        measures = [self._standard(key, observation[key]) for key in _MEASURES]
        parts = (*measures, _limited(change, self.spread["mix"]), flags, advice[1], last_action[1], pooled)
        return stems, self.song_layers(np.concatenate(parts, -1))

    def _standard(self, key: str, value: FloatArray) -> FloatArray:
        return _limited(value - self.mean[key], self.spread[key])

    def _placed(self, action: FloatArray, order: Order, stems: int) -> tuple[FloatArray, FloatArray]:
        """An action by place: strips (…, S, strip) and shared (…, shared); 0 where nothing steers."""
        strips = stems * len(self.strip)
        placed = np.zeros((*action.shape[:-1], strips + len(self.shared)), np.float32)
        placed[..., order] = action
        on_strips = placed[..., :strips].reshape(*action.shape[:-1], stems, len(self.strip))
        return on_strips, placed[..., strips:]


def placed(
    strip: Sequence[str], shared: Sequence[str], parameters: Sequence[str], stems: Sequence[str]
) -> list[str]:
    """Those of some parameters that are steered; arguments as in `order_of`."""
    places = {f"{stem}.{what}" for stem in stems for what in strip}.union(shared)
    return [name for name in parameters if name in places]


def order_of(
    strip: Sequence[str], shared: Sequence[str], parameters: Sequence[str], stems: Sequence[str]
) -> Order:
    """The index of each parameter in (first strip, second strip, …, shared), shape (A,).

    Args:
        strip, shared: what is steered, as in `network.Layout`.
        parameters: by full name, in the order of an action.
        stems: in the order of the strips.

    Raises:
        KeyError: a parameter that is not steered.
    """
    places = [f"{stem}.{what}" for stem in stems for what in strip] + list(shared)
    index = {name: place for place, name in enumerate(places)}
    return np.array([index[name] for name in parameters], np.int64)


def _limited(apart: FloatArray, spread: FloatArray) -> FloatArray:
    limited: FloatArray = np.clip(apart / spread, -STANDARD_LIMIT, STANDARD_LIMIT)
    return limited


def _linear(weights: Mapping[str, FloatArray], name: str) -> _Linear:
    return _Linear(weights[f"{name}.weight"], weights[f"{name}.bias"])


def _layers(weights: Mapping[str, FloatArray], name: str) -> _Layers:
    # Places in `network._layers`: 1 is the normalisation; SiLU and dropout have no weights.
    norm = _linear(weights, f"{name}.1")
    return _Layers(_linear(weights, f"{name}.0"), norm.weight, norm.bias, _linear(weights, f"{name}.4"))


def _shapes(strip: int, shared: int, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of a network of these sizes."""
    features, hidden, stem_hidden = sizes["features"], sizes["hidden"], sizes["stem_hidden"]
    measures = {"mix": features, "stems": features, "diagnosis": sizes["findings"], "target": sizes["target"]}
    song = 2 * features + sizes["findings"] + sizes["target"] + 2 * shared + 2 + stem_hidden
    linear = {
        "encoder.stem.0": (stem_hidden, features + 2 * strip),
        "encoder.stem.4": (stem_hidden, stem_hidden),
        "encoder.song.0": (hidden, song),
        "encoder.song.4": (hidden, hidden),
        "shared": (2 * shared, hidden),
        "strip": (2 * strip, hidden + stem_hidden),
    }
    norms = {"encoder.stem.1": stem_hidden, "encoder.song.1": hidden}
    shapes: dict[str, tuple[int, ...]] = {}
    for key, size in measures.items():
        shapes |= {f"encoder.{key}_mean": (size,), f"encoder.{key}_spread": (size,)}
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name, size in norms.items():
        shapes |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
    return shapes
