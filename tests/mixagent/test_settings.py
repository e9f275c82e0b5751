"""The configuration: conf/ checked against its types, overrides, one line for each mistake."""

from pathlib import Path

import pytest

from mixagent.pipeline.errors import UsageError
from mixagent.policies import POLICIES
from mixagent.settings import load_config

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("group", ["pipeline", "policy"])
def test_every_choice_of_every_group_loads(group):
    for file in (CONF / group).glob("*.yaml"):
        load_config([f"{group}={file.stem}"])


def test_every_policy_has_its_configuration():
    assert {load_config([f"policy={name}"]).policy.name for name in POLICIES} == set(POLICIES)


def test_an_override_wins_over_the_group():
    config = load_config(["pipeline=debug", "pipeline.repairs=true"])
    assert (config.pipeline.separator, config.pipeline.repairs) == ("none", True)


def test_the_defaults_are_what_hydra_composes():
    assert load_config() == load_config(["policy=band"]) == load_config(["pipeline=default"])


def test_a_parameter_of_the_chain_is_set_by_its_name():
    config = load_config(["low_band.comp_ratio=2.5", "pipeline=debug", "vocals.pan=-0.5"])
    assert config.chain == {"low_band.comp_ratio": 2.5, "vocals.pan": -0.5}
    assert config.pipeline.separator == "none"
    assert load_config().chain == {}


@pytest.mark.parametrize(
    "override",
    [
        "low_band.comp_ratio=99",
        "low_band.comp_ratio=much",
        "low_band.comp_ratio",
        "no_band.comp_ratio=2",
        "pipeline.repairss=false",
        "pipeline.repairs=perhaps",
        "+pipeline.x=1",
        "pipeline=none",
        "policy.name=[1]",
        "pipeline.cache_gb=-1",
        "pipeline.cache_gb=nan",
        "pipeline.models_gb=-1",
        "=",
        "a b",
    ],
)
def test_a_mistake_is_one_line(override):
    with pytest.raises(UsageError) as error:
        load_config([override])
    assert len(str(error.value).splitlines()) == 1
