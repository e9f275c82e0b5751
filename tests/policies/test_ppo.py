"""PPO around our networks: it learns, resumes to the same result, and keeps the best actor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from mixagent.envs.cases import Curriculum
from mixagent.pipeline.errors import InputError
from mixagent.policies.network import Actor, Layout, Sizes, Value, measure_statistics
from mixagent.policies.ppo import Networks, PpoSettings, against_group, mean_figures, train

NAMES = ("master.width", "master.eq_air_db")
SIZES = Sizes(features=4, findings=2, target=1, truth=2, hidden=16, stem_hidden=4, dropout=0.0)
SETTINGS = PpoSettings(
    iterations=4,
    steps=16,
    batch=16,
    epochs=4,
    learning_rate=3e-3,
    value_iterations=1,
    deviation=0.2,
    evaluate_every=2,
)


class Guess(gymnasium.Env[dict[str, Any], np.ndarray]):
    """The right action is the first two features; the reward is what it is nearer than neutral."""

    def __init__(self) -> None:
        shapes = {"mix": (4,), "stems": (2, 4), "present": (2,), "diagnosis": (2,)}
        shapes |= {"advice": (2,), "target": (1,), "last": (8,), "truth": (2,)}
        self.observation_space = spaces.Dict(
            {key: spaces.Box(-np.inf, np.inf, shape, np.float32) for key, shape in shapes.items()}
        )
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        mix = self.np_random.uniform(-0.5, 0.5, 4).astype(np.float32)
        zeros = {
            key: np.zeros(space.shape or (), np.float32) for key, space in self.observation_space.items()
        }
        self._right = mix[:2]
        return {**zeros, "mix": mix, "present": np.ones(2, np.float32), "truth": self._right}, {}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        reward = float(np.square(self._right).sum() - np.square(self._right - action).sum())
        info = {"case": str(self._right), "total": reward, "terms": {"truth": reward}}
        info |= {"recovery": {"tone": float("nan")}}
        observation, _ = self.reset()
        return observation, reward, True, False, info


def _vector(stage: Curriculum) -> VecEnv:
    return DummyVecEnv([Guess, Guess])


def _networks() -> Networks:
    torch.manual_seed(0)
    layout = Layout.of(NAMES, ())
    networks = Networks(
        Actor(layout, SIZES), Value(layout, SIZES), NAMES, layout.order(NAMES, ()), torch.full((2,), 0.2)
    )
    env = Guess()
    rows = [env.reset(seed=seed)[0] for seed in range(64)]
    stacked = {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in rows[0]}
    statistics = measure_statistics(stacked)
    networks.actor.encoder.standardise(statistics)
    networks.value.encoder.standardise(statistics)
    return networks


def _logger() -> Logger:
    return Logger(None, [])


def _weights(networks: Networks) -> dict[str, torch.Tensor]:
    return {**networks.actor.state_dict(), **{f"v.{k}": v for k, v in networks.value.state_dict().items()}}


def test_it_learns_what_is_rewarded(tmp_path: Path) -> None:
    networks = _networks()
    settings = replace(SETTINGS, iterations=8, steps=64, learning_rate=1e-2)
    train(networks, _vector, settings, 0, tmp_path, _logger())
    env = Guess()
    gained = []
    for seed in range(1000, 1050):
        observation, _ = env.reset(seed=seed)
        batch = {key: torch.from_numpy(value)[None] for key, value in observation.items()}
        with torch.no_grad():
            gained.append(env.step(networks.actor(batch, networks.order)[0].numpy())[1])
    assert np.mean(gained) > 0.5 * (2 / 12)  # the most is the variance of two uniform numbers


def test_a_run_that_was_stopped_goes_on_to_the_same_result(tmp_path: Path) -> None:
    whole = _networks()
    train(whole, _vector, SETTINGS, 3, tmp_path / "whole", _logger())
    halves = tmp_path / "halves"
    first = _networks()

    class Killed(Exception):
        pass

    def kill(iteration: int) -> dict[str, float]:
        if iteration == 4:
            raise Killed
        return {"validation/total": float(iteration)}

    with pytest.raises(Killed):
        train(first, _vector, SETTINGS, 3, halves, _logger(), kill)
    second = _networks()
    train(second, _vector, SETTINGS, 3, halves, _logger())
    for name, value in _weights(whole).items():
        assert torch.equal(_weights(second)[name], value), name


def test_another_seed_gives_another_actor(tmp_path: Path) -> None:
    one, other = _networks(), _networks()
    train(one, _vector, SETTINGS, 1, tmp_path / "1", _logger())
    train(other, _vector, SETTINGS, 2, tmp_path / "2", _logger())
    assert not torch.equal(one.actor.shared.weight, other.actor.shared.weight)


def test_the_first_iterations_train_only_the_value_network(tmp_path: Path) -> None:
    networks = _networks()
    before = {name: value.clone() for name, value in _weights(networks).items()}
    train(networks, _vector, replace(SETTINGS, value_iterations=4), 0, tmp_path, _logger())
    after = _weights(networks)
    assert all(torch.equal(after[name], before[name]) for name in networks.actor.state_dict())
    assert not torch.equal(after["v.head.weight"], before["v.head.weight"])


def test_the_best_actor_is_kept_and_not_the_last(tmp_path: Path) -> None:
    networks, seen = _networks(), {}

    def evaluate(iteration: int) -> dict[str, float]:
        seen[iteration] = networks.actor.shared.weight.clone()
        return {"validation/total": -abs(iteration - 2.0)}

    best = train(networks, _vector, SETTINGS, 0, tmp_path, _logger(), evaluate)
    assert sorted(seen) == [0, 2, 4]
    assert torch.equal(load_file(best)["shared.weight"], seen[2])


def test_the_curriculum_goes_from_one_pathology_to_all() -> None:
    settings = replace(SETTINGS, iterations=6, stages=("single", "pair", "all"))
    assert [settings.stage(k) for k in range(6)] == ["single", "single", "pair", "pair", "all", "all"]


def test_each_stage_has_its_own_environments(tmp_path: Path) -> None:
    stages: list[Curriculum] = []

    def make(stage: Curriculum) -> VecEnv:
        stages.append(stage)
        return _vector(stage)

    train(_networks(), make, replace(SETTINGS, stages=("single", "all")), 0, tmp_path, _logger())
    assert stages == ["single", "all"]


@pytest.mark.parametrize("damage", [b"nonsense", b""])
def test_a_broken_state_is_one_clear_line(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(damage)
    with pytest.raises(InputError, match=r"state\.pt cannot be taken up") as error:
        train(_networks(), _vector, SETTINGS, 0, tmp_path, _logger())
    assert "\n" not in str(error.value)


def test_the_state_of_another_network_is_refused(tmp_path: Path) -> None:
    train(_networks(), _vector, replace(SETTINGS, iterations=1), 0, tmp_path, _logger())
    layout, sizes = Layout.of(NAMES, ()), replace(SIZES, hidden=24)
    wider = replace(_networks(), actor=Actor(layout, sizes), value=Value(layout, sizes))
    with pytest.raises(InputError, match="another configuration"):
        train(wider, _vector, SETTINGS, 0, tmp_path, _logger())


def test_figures_are_means_of_what_is_known() -> None:
    infos = [
        {"total": 1.0, "terms": {"truth": 0.5}, "recovery": {"tone": float("nan")}},
        {"total": 2.0, "terms": {"truth": 0.1}, "recovery": {"tone": 0.4}},
        {},
    ]
    assert mean_figures(infos) == pytest.approx(
        {"reward/total": 1.5, "terms/truth": 0.3, "recovery/tone": 0.4}
    )


def test_every_parameter_reports_its_mean_and_its_spread_over_songs(tmp_path: Path) -> None:
    figures: dict[str, Any] = {}

    class Keep(KVWriter):
        def write(self, values: dict[str, Any], excluded: Any, step: int = 0) -> None:
            figures.update(values)

        def close(self) -> None:
            pass

    train(_networks(), _vector, SETTINGS, 0, tmp_path, Logger(None, [Keep()]))
    for name in NAMES:
        assert {f"actions/mean/{name}", f"actions/spread/{name}", f"actions/deviation/{name}"} <= set(figures)
    assert "terms/truth" in figures


def test_a_render_is_held_against_the_other_renders_of_its_case() -> None:
    returns = np.array([[1.0, 5.0], [3.0, 0.0], [8.0, 2.0]], np.float32)
    cases = np.array([["a", "b"], ["a", "b"], ["a", "alone"]])
    expected = [[1.0 - 5.5, 5.0], [3.0 - 4.5, -5.0], [8.0 - 2.0, np.nan]]
    np.testing.assert_allclose(against_group(returns, cases), expected)


def test_a_baseline_of_the_group_learns_where_cases_differ_more_than_actions(tmp_path: Path) -> None:
    networks, settings = _networks(), replace(SETTINGS, iterations=8, steps=64, value_iterations=0)
    train(networks, lambda stage: DummyVecEnv([Offset, Offset]), settings, 0, tmp_path, _logger())
    observation = Offset().reset(seed=1)[0]
    batch = {key: torch.from_numpy(value[None]) for key, value in observation.items()}
    action = networks.actor(batch, networks.order)[0]
    assert action[0] > 0.2


class Offset(Guess):
    """More of the first action is better; each case adds ±100, and comes four times in a row."""

    _count = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        observation, info = super().reset(seed=seed)
        if self._count % 4 == 0 or seed is not None:
            self._offset = float(self.np_random.choice([-100.0, 100.0]))
        self._count += 1
        return observation, info

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        case, reward = f"{self._count // 4} {self._offset}", float(action[0]) + self._offset
        observation, _ = self.reset()
        info = {"case": case, "total": reward, "terms": {}, "recovery": {}}
        return observation, reward, True, False, info
