"""`mixagent train`: configurations are checked, and a debug run makes a policy and is taken up again."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixagent.learning.train_settings import load_train_config, sweep, sweep_name
from mixagent.learning.training import train
from mixagent.pipeline.errors import UsageError
from mixagent.policies import load_policy
from mixagent.policies.learned import Checkpoint

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
