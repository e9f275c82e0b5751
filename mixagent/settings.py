"""The configuration: Hydra's groups in `conf/`, checked against the dataclasses here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, cast

import yaml  # type: ignore[import-untyped]

from mixagent.pipeline.chain.parameters import STEM_NAMES, Parameter, ParameterSpace
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.restoration.table import EMBEDDED, EXTENDERS
from mixagent.pipeline.warm import BUDGET_BYTES

MOST_RENDERS = 4
"""How often the feedback loop may render a song."""

RUNNERS = ("own", "langgraph")
"""What may walk the conductor's graph."""


@dataclass
class PipelineConfig:
    """Stages of a master; the keys are explained in `conf/pipeline/default.yaml`.

    A report from before there was a feedback loop has no `renders`: it replays with one.
    """

    separator: str
    cache_gb: float
    repairs: bool = True
    renders: int = 1
    models_gb: float = BUDGET_BYTES / 1e9
    extender: str = EMBEDDED


@dataclass
class PolicyConfig:
    """Which policy decides."""

    name: str


@dataclass
class ExperienceConfig:
    """What is remembered of a master; see `conf/experience/default.yaml`."""

    remember: bool
    keep_audio: bool
    file: str = ""


@dataclass
class ConductorConfig:
    """How the conductor runs; the keys are explained in `conf/conductor/default.yaml`."""

    runner: str = "own"
    checkpoints: str = ""
    model_url: str = ""
    model: str = ""
    renders: int = 4
    requests: int = 6
    tokens: int = 60_000
    seconds: float = 60.0
    total_seconds: float = 180.0


@dataclass
class Config:
    """Everything that `conf/` sets, the chain's parameters that were set by hand, and plug-ins by slot."""

    pipeline: PipelineConfig
    policy: PolicyConfig
    experience: ExperienceConfig
    chain: dict[str, float] = field(default_factory=dict)
    conductor: ConductorConfig = field(default_factory=ConductorConfig)
    plugins: dict[str, str] = field(default_factory=dict)


_PLUGINS = "plugins."


def load_config(overrides: Sequence[str] = ()) -> Config:
    """The configuration with overrides in Hydra's syntax (`pipeline=debug`, `pipeline.repairs=false`).

    An override may also name a parameter of the chain (`low_band.comp_ratio=2`), in its unit, or the slot of
    a plug-in (`plugins.comp=ZamCompX2`).

    Raises:
        UsageError: a key that does not exist, or a value of the wrong type or out of range.
    """
    table = ParameterSpace.for_stems(STEM_NAMES)
    of_chain = [override for override in overrides if override.partition("=")[0] in table]
    of_plugins = [override for override in overrides if override.startswith(_PLUGINS)]
    others = [override for override in overrides if override not in (*of_chain, *of_plugins)]
    config = _composed(others) if others else _defaults()
    for override in of_chain:
        name, _, text = override.partition("=")
        config.chain[name] = _value(table[name], text)
    for override in of_plugins:
        slot, _, text = override.removeprefix(_PLUGINS).partition("=")
        config.plugins[slot] = text
    return config


def _value(parameter: Parameter, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not parameter.low <= value <= parameter.high:
        unit = f" {parameter.unit}" if parameter.unit else ""
        span = f"{parameter.low:g} to {parameter.high:g}{unit}"
        raise UsageError(f"configuration: {parameter.name}={text} is not a number from {span}")
    return value


def _composed(overrides: Sequence[str]) -> Config:
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_module("mixagent.conf", version_base="1.3"):
            composed = compose("config", overrides=list(overrides))
        checked = OmegaConf.merge(OmegaConf.structured(Config), composed)
        config = cast(Config, OmegaConf.to_object(checked))
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(f"configuration: {str(error).splitlines()[0]}") from error
    check_pipeline(config.pipeline)
    _check_conductor(config.conductor)
    return config


def check_pipeline(pipeline: PipelineConfig) -> PipelineConfig:
    """The stages' settings, if a master can have them; a report's are checked as the user's own.

    Raises:
        UsageError: a number out of its range, or no such extender.
    """
    for name, size_gb in (("cache_gb", pipeline.cache_gb), ("models_gb", pipeline.models_gb)):
        if not size_gb >= 0:
            raise UsageError(f"configuration: pipeline.{name}={size_gb:g} is not a size")
    if pipeline.extender not in EXTENDERS:
        names = ", ".join(EXTENDERS)
        raise UsageError(f"configuration: pipeline.extender={pipeline.extender} is none of {names}")
    check_renders(pipeline.renders)
    return pipeline


def _check_conductor(conductor: ConductorConfig) -> None:
    if conductor.runner not in RUNNERS:
        raise UsageError(
            f"configuration: conductor.runner={conductor.runner} is none of {', '.join(RUNNERS)}"
        )
    for name in ("renders", "requests", "tokens", "seconds", "total_seconds"):
        value = getattr(conductor, name)
        if not 0 <= value < math.inf:
            raise UsageError(f"configuration: conductor.{name}={value:g} is no limit: give 0 or more")


def check_renders(renders: int) -> int:
    """How often the feedback loop may render.

    Raises:
        UsageError: not 1 to `MOST_RENDERS`.
    """
    if not 1 <= renders <= MOST_RENDERS:
        raise UsageError(f"{renders} renders: give 1, which leaves the feedback loop out, to {MOST_RENDERS}")
    return renders


def _defaults() -> Config:
    """The groups that `config.yaml` names, read without Hydra: loading it is a fifth of a short run."""
    groups = {group: name for entry in _read("config")["defaults"] for group, name in _named(entry)}
    return Config(
        pipeline=PipelineConfig(**_read(f"pipeline/{groups['pipeline']}")),
        policy=PolicyConfig(**_read(f"policy/{groups['policy']}")),
        experience=ExperienceConfig(**_read(f"experience/{groups['experience']}")),
        conductor=ConductorConfig(**_read(f"conductor/{groups['conductor']}")),
    )


def _named(entry: str | dict[str, str]) -> list[tuple[str, str]]:
    return [] if isinstance(entry, str) else list(entry.items())


def _read(name: str) -> dict[str, Any]:
    text = (resources.files("mixagent.conf") / f"{name}.yaml").read_text(encoding="utf-8")
    return cast(dict[str, Any], yaml.safe_load(text))
