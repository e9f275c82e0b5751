"""The configuration: Hydra's groups in `conf/`, checked against the dataclasses here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixagent.pipeline.errors import UsageError


@dataclass
class PipelineConfig:
    """Stages of a master; the keys are explained in `conf/pipeline/default.yaml`."""

    separator: str
    declip: bool
    denoise: bool
    cache_gb: float


@dataclass
class PolicyConfig:
    """Which policy decides."""

    name: str


@dataclass
class Config:
    """Everything that `conf/` sets."""

    pipeline: PipelineConfig
    policy: PolicyConfig


def load_config(overrides: Sequence[str] = ()) -> Config:
    """The configuration with overrides in Hydra's syntax (`pipeline=debug`, `pipeline.declip=false`).

    Raises:
        UsageError: a key that does not exist, or a value of the wrong type.
    """
    try:
        with initialize_config_module("mixagent.conf", version_base="1.3"):
            composed = compose("config", overrides=list(overrides))
        checked = OmegaConf.merge(OmegaConf.structured(Config), composed)
        return cast(Config, OmegaConf.to_object(checked))
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(f"configuration: {str(error).splitlines()[0]}") from error
