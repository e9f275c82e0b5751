"""`mixagent train`: configurations are checked, and a debug run makes a policy and is taken up again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mixagent.envs.cases import CaseStore, measure_case
from mixagent.envs.synthetic import synthetic_song
from mixagent.learning.train_settings import load_train_config, sweep, sweep_name
from mixagent.learning.training import train
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.files import append_line
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.stem_measures import ROLES
from mixagent.pipeline.types import Audio, Stems
from mixagent.policies import load_policy
from mixagent.policies.learned import Checkpoint
from mixagent.policies.mixing.network import MixingNet, Shape
from mixagent.policies.mixing.policy import load_mixers

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("group", ["env", "trainer", "logging", "experiment", "reward"])
def test_every_choice_of_every_group_loads(group: str) -> None:
    for file in (CONF / group).glob("*.yaml"):
        load_train_config([f"{group}={file.stem}"])


@pytest.mark.parametrize(
    "override",
    [
        "trainer.sead=1",
        "trainer.seed=one",
        "trainer.seed=-1",
        "trainer.advice_share=1.5",
        "+trainer.x=1",
        "experiment=none",
        "trainer.ppo.stages=[single,triple]",
        "trainer.ppo.steps=0",
        "logging.wandb=perhaps",
        "=",
    ],
)
def test_a_mistake_is_one_line(override: str) -> None:
    with pytest.raises(UsageError) as error:
        load_train_config([override])
    assert len(str(error.value).splitlines()) == 1


def test_a_sweep_is_every_combination() -> None:
    given = ["experiment=debug", "trainer.seed=1,2", "trainer.ppo.clip=0.1,0.2"]
    runs = sweep(given)
    assert len(runs) == 4
    assert runs[0] == ["experiment=debug", "trainer.seed=1", "trainer.ppo.clip=0.1"]
    names = {sweep_name("debug", given, run) for run in runs}
    assert names == {
        f"debug/trainer.seed={seed},trainer.ppo.clip={clip}" for seed in (1, 2) for clip in (0.1, 0.2)
    }


def test_several_values_need_the_word_multirun(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="multirun"):
        train([f"folder={tmp_path}", "trainer.seed=1,2"])


def test_a_value_of_the_wrong_type_names_its_key() -> None:
    with pytest.raises(UsageError, match=r"trainer\.ppo\.steps.*'many'"):
        load_train_config(["trainer.ppo.steps=many"])


@pytest.mark.parametrize(
    "mistake", ["env.parameters=[master.none]", "env.adviser=nobody", "+reward.terms.none.weight=1"]
)
def test_a_mistake_claims_no_folder(tmp_path: Path, mistake: str) -> None:
    with pytest.raises(UsageError):
        train(["experiment=debug", f"folder={tmp_path}/runs", mistake])
    assert not (tmp_path / "runs").exists()


def test_a_store_without_cases_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mixagent corpus build"):
        train([f"folder={tmp_path}/runs", f"cases.store={tmp_path}/none"])


@pytest.mark.slow
def test_the_debug_run_makes_a_policy_and_is_taken_up_to_the_same_one(tmp_path: Path) -> None:
    quick = ["experiment=debug", f"folder={tmp_path}", "cases.synthetic=6", "cases.validation=2"]
    quick += ["trainer.warm_start.epochs=2", "trainer.ppo.steps=4", "trainer.ppo.iterations=2"]
    (folder,) = train(quick)
    assert load_policy(str(folder)).name == str(folder)
    card = (folder / "README.md").read_text()
    assert all(phase in card for phase in ("neutral", "warm start", "PPO"))
    weights = (folder / "actor.safetensors").read_bytes()
    assert train(quick) == [folder]
    assert (folder / "actor.safetensors").read_bytes() == weights
    run = folder.parent
    rows = (run / "evaluations.jsonl").read_bytes()
    (run / "evaluations.jsonl").write_bytes(b"\0" * 40 + rows[:-20])
    (run / "warm.safetensors").write_bytes(b"cut")
    assert train(quick) == [folder]
    assert (folder / "actor.safetensors").read_bytes() == weights
    assert "PPO" in (folder / "README.md").read_text()
    assert Checkpoint.load(folder).training["cases"]["synthetic"] == 6
    with pytest.raises(UsageError, match="another configuration"):
        train([*quick, "trainer.seed=5"])


@pytest.mark.slow
def test_a_net_that_mixes_is_taken_on_by_ppo_and_decides_as_a_policy(tmp_path: Path) -> None:
    store = CaseStore(tmp_path / "cases")
    for split, seed in (("train", 0), ("validation", 1)):
        parts = {name: synthetic_song(4 * seed + k, 2.0) for k, name in enumerate(ROLES)}
        mix = Audio(np.sum([part.samples for part in parts.values()], axis=0), 44100)
        store.save(measure_case(split, Stems(mix, parts), TARGETS["streaming"], mix))
        append_line(store.directory / "index.jsonl", {"name": split, "split": split, "severities": {}})
    start = tmp_path / "start"
    start.mkdir()
    net = MixingNet(Shape(hidden=8, role=2))
    torch.save({"average": net.state_dict()}, start / "best.pt")
    (start / "shape.json").write_text(json.dumps(vars(net.shape)))
    quick = ["experiment=mixing", f"folder={tmp_path}", f"cases.store={store.directory}", "trainer.workers=1"]
    quick += [f"trainer.start={start}", "trainer.ppo.steps=4", "trainer.ppo.iterations=2", "logging=debug"]
    (folder,) = train(quick)
    policy = load_policy(str(folder))
    case = store.load("validation")
    decision = policy.decide(case.context(ParameterSpace.for_stems(ROLES)))
    assert all(np.isfinite(value) for value in decision.settings.values.values())
    (mixer,) = load_mixers(folder)
    assert mixer.reach == 0.15
    assert train(quick) == [folder]
