"""The trained policy: an actor from a checkpoint decides a whole song in one forward pass.

A checkpoint is a folder of three files: `actor.safetensors` (weights, and the means and spreads of
the measures), `config.json` (what the actor reads and steers, how it was trained, the weights' hash)
and `README.md` (the model card). Nothing in it is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from mixagent.envs.observation import DIAGNOSIS_NAMES, TARGET_NAMES, observe
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import ModelMissingError, UsageError, option
from mixagent.pipeline.files import atomically, write_atomically
from mixagent.pipeline.measure.features import FEATURE_NAMES
from mixagent.pipeline.types import FloatArray
from mixagent.policies.base import Context, Decision, Policy
from mixagent.policies.forward import Decider, FrozenActor, Observation, Order
from mixagent.policies.promotion import CONFIG, LEARNED, find_checkpoint, shipped_folder
from mixagent.policies.reasons import explain

if TYPE_CHECKING:
    # Deciding needs no torch, whose import takes a second or more.
    from mixagent.policies.network import Actor

FORMAT = 1
"""Of a checkpoint; raised when older ones can no longer be read."""

SMALLEST_MOVE = 0.02
"""Actions nearer to neutral than this are neutral: nobody hears them, and a bypassed effect costs nothing."""

_WEIGHTS, _CARD = "actor.safetensors", "README.md"


@dataclass(frozen=True)
class Checkpoint:
    """An actor that can be trained further, and what has to be known to use it.

    Attributes:
        actor: the network, in evaluation mode.
        parameters: patterns of the parameters that it steers.
        stems: the stems that it was trained with, in order; any others are served too.
        adviser: name of the policy whose settings it takes over in part.
        training: the resolved configuration of the run that made it, for the record.
        results: what was measured of it, for the record.
    """

    actor: Actor
    parameters: tuple[str, ...]
    stems: tuple[str, ...]
    adviser: str
    training: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path, card: str) -> None:
        """Write the three files; the configuration, which names the weights' hash, goes last."""
        folder.mkdir(parents=True, exist_ok=True)
        encoder = self.actor.encoder
        with atomically(folder / _WEIGHTS) as place:
            save_file(_weights(self.actor), place)
        write_atomically(folder / _CARD, card)
        config = {
            "format": FORMAT,
            "weights_sha256": _digest((folder / _WEIGHTS).read_bytes()),
            "measures": measures(),
            "parameters": list(self.parameters),
            "stems": list(self.stems),
            "adviser": self.adviser,
            "layout": asdict(encoder.layout),
            "sizes": asdict(encoder.sizes),
            "training": dict(self.training),
            "results": dict(self.results),
        }
        text = json.dumps(config, indent=1, allow_nan=False) + "\n"
        write_atomically(folder / CONFIG, text)

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Read what `save` wrote.

        Raises:
            ModelMissingError: a file that is missing, damaged, of another version of this program,
                or not the one that the configuration belongs to.
        """
        import torch

        from mixagent.policies.network import Actor, Layout, Sizes

        config, weights, decider = _read(folder)
        try:
            sizes = Sizes(**config["sizes"])
        except TypeError as error:
            raise _unusable(folder, f"{CONFIG} gives sizes that no network has") from error
        actor = Actor(Layout(decider.strip, decider.shared), sizes)
        actor.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
        return cls(
            actor.eval(),
            tuple(config["parameters"]),
            tuple(config["stems"]),
            config["adviser"],
            config["training"],
            config["results"],
        )


def measures() -> dict[str, str]:
    """A hash of what the actor is shown: an actor that was shown something else cannot be used."""
    names = {"features": FEATURE_NAMES, "diagnosis": DIAGNOSIS_NAMES, "target": TARGET_NAMES}
    return {key: _digest("\n".join(value).encode())[:16] for key, value in names.items()}


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable(folder, f"{CONFIG} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _unusable(folder, f"{CONFIG} is damaged ({error})") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else None
        raise _unusable(folder, f"it has format {found}, this version of mixagent reads {FORMAT}")
    if config.get("measures") != measures():
        raise _unusable(folder, "it was trained on other measures than this version of mixagent takes")
    return config


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, FloatArray], FrozenActor]:
    """The configuration, the weights by name, and what decides with them."""
    config = _config(folder)
    try:
        data = (folder / _WEIGHTS).read_bytes()
        if _digest(data) != config["weights_sha256"]:
            raise _unusable(folder, f"{_WEIGHTS} is not the file that {CONFIG} was written for")
        weights, layout = load(data), config["layout"]
        return config, weights, FrozenActor.of(weights, layout["strip"], layout["shared"], config["sizes"])
    except OSError as error:
        raise _unusable(folder, f"{_WEIGHTS} cannot be read ({error.strerror})") from error
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise _unusable(folder, f"the weights and {CONFIG} do not go together") from error


def _weights(actor: Actor) -> dict[str, FloatArray]:
    return {name: np.ascontiguousarray(value.cpu().numpy()) for name, value in actor.state_dict().items()}


def _unusable(folder: Path, why: str) -> ModelMissingError:
    again = "`mixagent models rollback`, train it again with `mixagent train`"
    advice = f"{again}, or choose {option('policy', 'rules')}"
    return ModelMissingError(f"the policy in {folder} cannot be used: {why}; {advice}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- deciding --------------------------------------------------------------------------------------


class LearnedPolicy:
    """A policy from a checkpoint.

    Args:
        actor: what decides.
        parameters: patterns of the parameters that it steers.
        adviser: the policy whose settings it takes over in part.
        name: under which the report says who decided.
    """

    hears_stems = 2
    reads_features = True

    def __init__(
        self, actor: FrozenActor, parameters: Sequence[str], adviser: Policy, name: str = LEARNED
    ) -> None:
        self.name = name
        self._actor, self._parameters, self._adviser = actor, parameters, adviser

    def decide(self, context: Context) -> Decision:
        """Settings in one forward pass, and for each that moved the measure that moved it most.

        Raises:
            KeyError: the context holds no features of the mix.
        """
        if not math.isfinite(context.mix.integrated_lufs):
            return Decision(context.space.settings(), {})  # silence: nothing was measured
        stems = tuple(context.stems)
        names = self._actor.steered(steered(context.space, self._parameters), stems)
        order = self._actor.order(names, stems)
        advised = self._adviser.decide(context)
        observation = observe(context, stems, chosen_action(context.space, names, advised.settings.values))
        action = decided(self._actor, observation, order)
        pairs = zip(names, action, strict=True)
        values = {name: context.space[name].value(float(a)) for name, a in pairs}
        settings = context.space.settings(values).without_idle()
        changed = settings.changed()
        moved = [k for k, name in enumerate(names) if name in changed]
        why = explain(self._actor, observation, order, moved, stems, names, advised.reasons)
        return Decision(settings, why)


def steered(space: ParameterSpace, patterns: Sequence[str]) -> list[str]:
    """The parameters of a space that match any of the patterns, in the space's order."""
    return [p.name for p in space if any(fnmatch(p.name, pattern) for pattern in patterns)]


def chosen_action(
    space: ParameterSpace, names: Iterable[str], values: Mapping[str, float]
) -> NDArray[np.float32]:
    """The action of some parameters at these values."""
    return np.array([space[name].action(values[name]) for name in names], np.float32)


def decided(actor: Decider, observation: Observation, order: Order) -> FloatArray:
    """The decision for one song (A,), in [−1, 1] and exactly 0 where it would hardly move."""
    action = np.clip(actor.action(observation, order), -1.0, 1.0)
    return np.where(np.abs(action) < SMALLEST_MOVE, np.float32(0.0), action)


# --- finding ---------------------------------------------------------------------------------------


def load_learned(name: str, advisers: Mapping[str, Callable[[], Policy]]) -> LearnedPolicy:
    """The trained policy of this name, or in this folder.

    Args:
        name: `learned` for the user's own or else the shipped one, the name of a folder beside it, or
            the path of a folder.
        advisers: makers of the policies that an actor may take advice from, by name.

    Raises:
        UsageError: there is no such policy.
        ModelMissingError: its files cannot be used.
    """
    found = find_checkpoint(name)
    if found is None:
        there = sorted(folder.name for folder in shipped_folder().glob("*") if (folder / CONFIG).is_file())
        choices = ", ".join((*advisers, *there))
        raise UsageError(
            f"no policy is called {name!r}: choose one of {choices}, or a checkpoint's folder", field="policy"
        )
    config, _, actor = _read(found)
    if config["adviser"] not in advisers:
        raise _unusable(found, f"it takes advice from a policy called {config['adviser']!r}, which is gone")
    return LearnedPolicy(actor, config["parameters"], advisers[config["adviser"]](), name)
