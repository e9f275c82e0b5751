"""The configuration of `mixagent train`: `conf/train.yaml` and its groups, checked against types."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixagent.envs.cases import STAGES
from mixagent.pipeline.errors import UsageError
from mixagent.policies.ppo import PpoSettings
from mixagent.policies.warm_start import WarmStart

WANDB_MODES = ("offline", "online", "disabled")


@dataclass(frozen=True)
class Cases:
    """What the policy learns on.

    Attributes:
        store: folder of the cases that `mixagent corpus build` made; empty for the one in the
            default corpus.
        responses: folder in which the warm start keeps what it measured; empty for one beside the cases.
        synthetic: so many cases are made of synthesised songs instead, for a run that only has to run.
        training: use at most so many cases; 0 for all.
        held_out: use at most so many validation cases; 0 for all.
        validation: render so many of them in an evaluation.
    """

    store: str = ""
    responses: str = ""
    synthetic: int = 0
    training: int = 0
    held_out: int = 0
    validation: int = 60


@dataclass(frozen=True)
class Environment:
    """What `mixagent/Mixing-v0` offers.

    Attributes:
        parameters: patterns of the parameters to choose.
        stems: which stems are shown and have strips.
        steps: renders in an episode.
        episodes_per_case: so many episodes in a row are about one case.
        adviser: the policy whose settings are given as advice.
    """

    parameters: tuple[str, ...] = ("master.*",)
    stems: tuple[str, ...] = ("vocals", "accompaniment")
    steps: int = 1
    episodes_per_case: int = 1
    adviser: str = "rules"


@dataclass(frozen=True)
class Network:
    """How wide the networks are."""

    hidden: int = 192
    stem_hidden: int = 32
    dropout: float = 0.2


@dataclass(frozen=True)
class Trainer:
    """How the policy is trained: a warm start, then PPO.

    Attributes:
        seed: decides everything random.
        workers: processes that render.
        advice_share: of the adviser's answer in what the trained policy answers, 0..1: the two err in
            different songs, and their mean errs less than either.
        start: folder of a net that mixes, as `scripts/train_mixing.py train` leaves it, which PPO takes on
            from there; empty for an actor of its own, warm-started here.
        reach: the furthest that PPO may move an action of such a net from where it began.
    """

    seed: int = 0
    workers: int = 2
    advice_share: float = 0.0
    start: str = ""
    reach: float = 0.15
    network: Network = field(default_factory=Network)
    warm_start: WarmStart = field(default_factory=WarmStart)
    ppo: PpoSettings = field(default_factory=PpoSettings)


@dataclass(frozen=True)
class Logging:
    """Where figures go beside the run's folder.

    Attributes:
        tensorboard: write event files.
        wandb: `offline`, `online` or `disabled`; without the package it is as disabled.
        project: of W&B.
        audio: so many validation cases are also logged as sound, before and after.
    """

    tensorboard: bool = True
    wandb: str = "offline"
    project: str = "mixagent"
    audio: int = 2


@dataclass(frozen=True)
class TrainConfig:
    """Everything that `conf/train.yaml` sets; `name` and `folder` say where the run is kept."""

    name: str = "default"
    folder: str = "runs"
    cases: Cases = field(default_factory=Cases)
    env: Environment = field(default_factory=Environment)
    trainer: Trainer = field(default_factory=Trainer)
    logging: Logging = field(default_factory=Logging)
    reward: Any = None

    def resolved(self) -> dict[str, Any]:
        """As plain values, for the record."""
        return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(self), resolve=True))


def load_train_config(overrides: Sequence[str] = ()) -> TrainConfig:
    """The configuration with overrides in Hydra's syntax (`experiment=debug`, `trainer.seed=3`).

    Raises:
        UsageError: a key that does not exist, or a value of the wrong type or out of range.
    """
    try:
        with initialize_config_module("mixagent.conf", version_base="1.3"):
            composed = compose("train", overrides=list(overrides))
        config = cast(TrainConfig, OmegaConf.to_object(OmegaConf.merge(_schema(), composed)))
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(f"configuration: {_one_line(error)}") from error
    _check(config)
    return config


def _one_line(error: Exception) -> str:
    """What is wrong, and with which key: OmegaConf names it in a line of its own."""
    line, key = str(error).splitlines()[0], getattr(error, "full_key", None)
    return f"{key}: {line}" if key and key not in line else line


def _schema() -> DictConfig:
    """The dataclasses' types; frozen ones would refuse to be filled in."""
    schema = OmegaConf.structured(TrainConfig)
    nodes = [schema, schema.cases, schema.env, schema.logging, schema.trainer]
    for node in (*nodes, *(schema.trainer[name] for name in ("network", "warm_start", "ppo"))):
        OmegaConf.set_readonly(node, False)
    return cast(DictConfig, schema)


def _check(config: TrainConfig) -> None:
    ppo = config.trainer.ppo
    wrong = [stage for stage in ppo.stages if stage not in STAGES]
    if wrong or not ppo.stages:
        raise UsageError(
            f"configuration: a stage of the curriculum is one of {', '.join(STAGES)}, not {wrong}"
        )
    if config.logging.wandb not in WANDB_MODES:
        modes = ", ".join(WANDB_MODES)
        raise UsageError(f"configuration: logging.wandb is one of {modes}, not {config.logging.wandb!r}")
    least = {"trainer.workers": (config.trainer.workers, 1), "cases.validation": (config.cases.validation, 1)}
    least |= {f"trainer.ppo.{name}": (getattr(ppo, name), 1) for name in ("steps", "batch", "epochs")}
    least |= {"trainer.ppo.evaluate_every": (ppo.evaluate_every, 1), "trainer.seed": (config.trainer.seed, 0)}
    for name, (value, lowest) in least.items():
        if value < lowest:
            raise UsageError(f"configuration: {name}={value} is less than {lowest}")
    if not 0.0 <= (share := config.trainer.advice_share) <= 1.0:
        raise UsageError(f"configuration: trainer.advice_share={share:g} is not between 0 and 1")


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Every combination of the values that overrides list (`trainer.seed=1,2,3`), in Hydra's syntax.

    Raises:
        UsageError: an override that cannot be read.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        choices = [
            [f"{each.get_key_element()}={value}" for value in each.sweep_string_iterator()]
            if each.is_sweep_override()
            else [cast(str, each.input_line)]
            for each in parsed
        ]
    except HydraException as error:
        raise UsageError(f"configuration: {str(error).splitlines()[0]}") from error
    return [list(combination) for combination in itertools.product(*choices)]


def sweep_name(base: str, overrides: Sequence[str], combination: Sequence[str]) -> str:
    """The name of one run of a sweep: what it has that the others have not."""
    own = [each for each in combination if each not in overrides]
    return f"{base}/{','.join(own)}" if own else base


def reward_rows(config: TrainConfig) -> Mapping[str, Any]:
    """The group `reward`, as `load_reward` takes it."""
    return cast(Mapping[str, Any], config.reward)
