"""The configuration of `mixagent corpus build`: the files of `conf/corpus`, checked against types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import cast

from mixagent.pipeline.errors import UsageError


@dataclass
class CorpusConfig:
    """What is made of a corpus; the keys are explained in `conf/corpus/default.yaml`."""

    cases: dict[str, int]
    seconds: float
    stems_share: float
    separator: str
    rough_share: float
    disorder_share: float
    heard_s: float
    seed: int
    workers: int
    disk_gb: float


def load_corpus_config(name: str = "default", overrides: Sequence[str] = ()) -> CorpusConfig:
    """The configuration `conf/corpus/<name>.yaml` with overrides such as `seconds=3` or `cases.test=40`.

    Raises:
        UsageError: a key that does not exist, a value of the wrong type or out of range.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    text = (resources.files("mixagent.conf") / "corpus" / f"{name}.yaml").read_text(encoding="utf-8")
    try:
        checked = OmegaConf.merge(
            OmegaConf.structured(CorpusConfig),
            OmegaConf.create(text),
            OmegaConf.from_dotlist(list(overrides)),
        )
        config = cast(CorpusConfig, OmegaConf.to_object(checked))
    except (OmegaConfBaseException, ValueError) as error:
        raise UsageError(f"configuration: {str(error).splitlines()[0]}") from error
    _check(config)
    return config


def _check(config: CorpusConfig) -> None:
    wrong = {
        "cases": not all(count > 0 for count in config.cases.values()),
        "cases: train, validation and test": set(config.cases) != {"train", "validation", "test"},
        "seconds": not config.seconds >= 0.4,
        "stems_share": not 0 <= config.stems_share <= 1,
        "rough_share": not 0 <= config.rough_share <= 1,
        "disorder_share": not 0 <= config.disorder_share <= 1,
        "heard_s": not config.heard_s >= 0,
        "seed": config.seed < 0,
        "workers": config.workers < 1,
        "disk_gb": not config.disk_gb > 0,
    }
    for key in (key for key, is_wrong in wrong.items() if is_wrong):
        raise UsageError(f"configuration: {key} is out of range: see conf/corpus/default.yaml")
