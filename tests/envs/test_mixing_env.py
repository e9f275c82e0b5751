import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_gymnasium
from numpy.typing import NDArray
from stable_baselines3.common.env_checker import check_env as check_sb3
from stable_baselines3.common.vec_env import VecEnv

from mixagent.envs.cases import CaseStore, Damage, make_case
from mixagent.envs.context import Context
from mixagent.envs.mixing import ENV_ID, HeldCases, MixingEnv, StoredCases
from mixagent.envs.observation import TRUTH_NAMES
from mixagent.envs.vector import make_vector
from mixagent.pipeline.chain.parameters import MASTER, Settings
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.finaliser.targets import TARGETS, LoudnessTarget
from mixagent.pipeline.render import render
from mixagent.pipeline.types import load
from mixagent.reward.model import RewardModel, load_reward
from mixagent.reward.render_pair import RenderPair
from tests.short_cases import HalfSeparator, music

LEAN = Damage({"panning": 0.8}, {"panning": "lean"}, None, 1)
MUD = Damage({"mud": 0.7}, {"mud": "bell"}, None, 2)
STEMS = ("vocals", "accompaniment")


@pytest.fixture(scope="module")
def cases() -> HeldCases:
    target = TARGETS["streaming"]
    made = [
        make_case("lean", music(0.8, 1), LEAN, HalfSeparator(), target),
        make_case("mud", music(0.8, 2), MUD, None, target),
        make_case("clean", music(0.8, 3), Damage({}, {}, None, 0), None, target),
    ]
    return HeldCases({case.name: case for case in made})


@pytest.fixture(scope="module")
def reward() -> RewardModel:
    return load_reward("debug")


def neutral(env: MixingEnv) -> np.ndarray:
    return np.zeros(env.action_space.shape, np.float32)


def action(env: MixingEnv, **values: float) -> np.ndarray:
    named = {f"master.{name}": value for name, value in values.items()}
    return env.choice.action(env.choice.space.settings(named))


def test_gymnasium_and_stable_baselines3_accept_it(cases: HeldCases, reward: RewardModel) -> None:
    env = gymnasium.make(f"mixagent.envs.mixing:{ENV_ID}", cases=cases, reward=reward, steps=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(infinity|render_mode|unconventional shape).*")
        check_gymnasium(env.unwrapped, skip_render_check=True)
        check_sb3(env.unwrapped)


def test_the_same_seed_gives_the_same_episodes(cases: HeldCases, reward: RewardModel) -> None:
    def played(seed: int) -> list[tuple[str, float, bytes]]:
        env = MixingEnv(cases, reward)
        random = np.random.default_rng(0)
        told = []
        for number in range(4):
            env.reset(seed=seed if number == 0 else None)
            observation, gained, *_, info = env.step(random.uniform(-0.3, 0.3, neutral(env).shape))
            told.append((info["case"], gained, observation["last"].tobytes()))
        return told

    assert played(3) == played(3)
    assert [name for name, *_ in played(3)] != [name for name, *_ in played(4)]


def test_neutral_scores_as_the_input_and_the_inverse_of_the_damage_scores_more(
    cases: HeldCases, reward: RewardModel
) -> None:
    env = MixingEnv(cases, reward)
    env.reset(seed=0, options={"case": "lean"})
    *_, untouched = env.step(neutral(env))
    assert untouched["recovery"]["total"] == pytest.approx(0.0, abs=0.02)
    damage = cases.load("lean").diagnosis.finding("panning")
    assert damage is not None
    env.reset(options={"case": "lean"})
    *_, mended = env.step(action(env, balance_db=-damage.values["balance_db"]))
    assert mended["total"] > untouched["total"] + 0.1
    assert mended["recovery"]["image"] > 0.3
    assert set(mended["parameters"]) == {"master.balance_db"}


def test_info_names_every_term_and_the_total_is_their_weighted_sum(
    cases: HeldCases, reward: RewardModel
) -> None:
    env = MixingEnv(cases, reward)
    env.reset(seed=1)
    _, gained, terminated, truncated, info = env.step(action(env, eq_mid_db=3.0))
    assert set(info["terms"]) == {term.name for term in reward.terms}
    total = sum(reward.weights[name] * score for name, score in info["terms"].items())
    assert info["total"] == pytest.approx(total)
    assert gained == pytest.approx(total)
    assert terminated
    assert not truncated


def test_rewards_of_refining_steps_add_up_to_the_last_total(cases: HeldCases, reward: RewardModel) -> None:
    env = MixingEnv(cases, reward, steps=3)
    first, _ = env.reset(seed=1)
    assert not first["last"].any()
    rewards = []
    for number, gain in enumerate((6.0, 2.0, -3.0), 1):
        chosen = action(env, eq_mid_db=gain)
        observation, gained, terminated, _, info = env.step(chosen)
        rewards.append(gained)
        assert terminated == (number == 3)
        assert observation["last"][-2:] == pytest.approx([number / 3, 1.0])
        np.testing.assert_allclose(observation["last"][-2 - chosen.size : -2], chosen, atol=1e-6)
    assert sum(rewards) == pytest.approx(info["total"])


@pytest.mark.parametrize("finer", [(), ("side.*", "dynamic_2.*", "*_band.*", "clipper.*")])
def test_what_is_rendered_is_what_the_product_renders(
    cases: HeldCases, reward: RewardModel, finer: tuple[str, ...]
) -> None:
    env = MixingEnv(cases, reward, parameters=("master.*", "vocals.*", *finer))
    env.reset(seed=1, options={"case": "lean"})
    chosen = np.random.default_rng(2).uniform(-0.5, 0.5, env.action_space.shape).astype(np.float32)
    env.step(chosen)
    case = cases.load("lean")
    done = render(case.stems, env.choice.settings(chosen), case.target, levels=case.levels)
    assert env.pair is not None
    assert env.pair.after.audio.samples.tobytes() == load(done.audio).samples.tobytes()


def test_parameters_that_were_not_chosen_stay_neutral(cases: HeldCases, reward: RewardModel) -> None:
    env = MixingEnv(cases, reward, parameters=("master.eq_*", "vocals.gain_db"))
    assert env.choice.names[0] == "vocals.gain_db"
    assert len(env.choice.names) == 8
    changed = env.choice.settings(np.ones(8, np.float32)).changed()
    assert set(changed) == set(env.choice.names)
    whole = MixingEnv(cases, reward)
    assert whole.action_space.shape == (len(MASTER),)


def test_the_observation_shows_stems_as_far_as_there_are_any(cases: HeldCases, reward: RewardModel) -> None:
    env = MixingEnv(cases, reward, stems=("drums", *STEMS))
    shown, _ = env.reset(seed=0, options={"case": "lean"})
    assert list(shown["present"]) == [0, 1, 1]
    assert not shown["stems"][0].any()
    assert shown["stems"][1].any()
    without, _ = env.reset(options={"case": "mud"})
    assert not without["present"].any()
    assert not without["stems"].any()


def test_the_truth_holds_severities_and_distances(cases: HeldCases, reward: RewardModel) -> None:
    shown, _ = MixingEnv(cases, reward).reset(seed=0, options={"case": "mud"})
    truth = dict(zip(TRUTH_NAMES, shown["truth"], strict=True))
    distance = cases.load("mud").distance
    assert distance is not None
    assert truth["severity.mud"] == pytest.approx(0.7)
    assert truth["severity.holes"] == 0.0
    assert truth["distance.tone"] == pytest.approx(distance.tone)


def test_without_an_original_nothing_is_known_and_the_blind_terms_still_score(
    cases: HeldCases, reward: RewardModel
) -> None:
    case = replace(cases.load("mud"), original=None, damage=None, distance=None)
    env = MixingEnv(HeldCases({"own": case}), reward)
    shown, _ = env.reset(seed=0)
    assert not shown["truth"].any()
    *_, info = env.step(action(env, eq_air_db=-9.0))
    assert "recovery" not in info
    assert "truth" not in info["terms"]
    assert info["total"] == pytest.approx(info["blind"])


def test_advice_is_the_advisers_action(cases: HeldCases, reward: RewardModel) -> None:
    def adviser(context: Context) -> Settings:
        return context.space.settings({"master.width": 0.5, "vocals.gain_db": 3.0})

    env = MixingEnv(cases, reward, adviser=adviser)
    shown, _ = env.reset(seed=0)
    assert dict(zip(env.choice.names, shown["advice"], strict=True))["master.width"] == pytest.approx(-0.5)
    assert np.count_nonzero(shown["advice"]) == 1


def test_a_target_of_its_own_replaces_the_cases(cases: HeldCases, reward: RewardModel) -> None:
    env = MixingEnv(cases, reward, target=LoudnessTarget("quiet", -24.0, -3.0))
    shown, _ = env.reset(seed=0)
    assert list(shown["target"][:2]) == [-24.0, -3.0]
    *_, info = env.step(neutral(env))
    assert info["finish"]["integrated_lufs"] == pytest.approx(-24.0, abs=0.1)


def test_a_case_can_be_kept_for_some_episodes(cases: HeldCases, reward: RewardModel) -> None:
    env = MixingEnv(cases, reward, episodes_per_case=3)
    names = [env.reset(seed=5 if number == 0 else None)[1]["case"] for number in range(9)]
    assert names[0] == names[1] == names[2]
    assert names[3] == names[4] == names[5]


def test_stems_are_rendered_alone_for_who_judges_them(cases: HeldCases, reward: RewardModel) -> None:
    env = MixingEnv(cases, reward, parameters=("vocals.gain_db",), hears_stems=True)
    env.reset(seed=0, options={"case": "lean"})
    env.step(np.ones(1, np.float32))
    assert env.pair is not None
    before, after = env.pair.stems_before, env.pair.stems_after
    assert before is not None
    assert after is not None
    assert before.voice is not None
    assert after.voice is not None
    raised = after.voice.samples / 10 ** (12 / 20)
    np.testing.assert_allclose(raised, before.voice.samples, atol=1e-6)
    np.testing.assert_array_equal(after.stems["accompaniment"].samples, before.stems["accompaniment"].samples)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parameters": ("mastr.*",)}, "mastr"),
        ({"steps": 9}, "1 to 8"),
        ({"cases": HeldCases({})}, "no case"),
    ],
)
def test_a_wrong_option_is_said(
    cases: HeldCases, reward: RewardModel, options: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        MixingEnv(**{"cases": cases, "reward": reward, **options})


def test_an_action_that_is_no_number_is_refused(cases: HeldCases, reward: RewardModel) -> None:
    env = MixingEnv(cases, reward)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="numbers"):
        env.step(np.full(env.action_space.shape, np.nan, np.float32))
    with pytest.raises(gymnasium.error.ResetNeeded):
        MixingEnv(cases, reward).step(neutral(env))


def test_one_vectorised_environment_gives_what_the_environment_gives(
    cases: HeldCases, reward: RewardModel
) -> None:
    env, vector = MixingEnv(cases, reward, steps=2), make_vector(1, cases, reward, seed=7, steps=2)
    shown, _ = env.reset(seed=7)
    np.testing.assert_array_equal(vector.reset()["mix"][0], shown["mix"])
    random = np.random.default_rng(1)
    for _ in range(2):
        chosen = random.uniform(-0.3, 0.3, neutral(env).shape).astype(np.float32)
        _, gained, terminated, _, info = env.step(chosen)
        _, rewards, dones, infos = vector.step(chosen[None])
        assert rewards[0] == pytest.approx(gained)
        assert dones[0] == terminated
        assert infos[0]["terms"] == pytest.approx(info["terms"])
    vector.close()


@dataclass(frozen=True)
class Brightness:
    """Stands where the critic stands: a network that is asked about all renders at once."""

    asked: list[int]
    name: str = "critic"
    low: float = -1.0
    high: float = 1.0
    blind: bool = True
    hears_stems: bool = False

    def score(self, pairs: Sequence[RenderPair]) -> NDArray[np.float64]:
        self.asked.append(len(pairs))
        return np.array([np.tanh(s.after.features[9] - s.before.features[9]) for s in pairs])


def with_network(reward: RewardModel) -> tuple[RewardModel, list[int]]:
    network = Brightness([])
    return RewardModel((*reward.terms, network), {**reward.weights, "critic": 0.5}), network.asked


def played(vector: VecEnv, actions: NDArray[np.float32]) -> list[tuple[float, dict[str, float]]]:
    vector.reset()
    told = []
    for chosen in actions:
        _, rewards, _, infos = vector.step(chosen)
        told += [(float(gain), info["terms"]) for gain, info in zip(rewards, infos, strict=True)]
    vector.close()
    return told


def test_networks_are_asked_in_the_parent_and_add_to_the_same_reward(
    cases: HeldCases, reward: RewardModel
) -> None:
    whole, _ = with_network(reward)
    env = MixingEnv(cases, whole, steps=2)
    actions = np.random.default_rng(3).uniform(-0.3, 0.3, (4, 1, *neutral(env).shape)).astype(np.float32)
    expected = []
    for number, chosen in enumerate(actions):
        if number % 2 == 0:
            env.reset(seed=11 if number == 0 else None)
        _, gained, *_, info = env.step(chosen[0])
        expected.append((gained, info["terms"]))
    told = played(make_vector(1, cases, whole, seed=11, steps=2), actions)
    for (gained, terms), (other_gained, other_terms) in zip(expected, told, strict=True):
        assert other_gained == pytest.approx(gained, abs=1e-5)
        assert other_terms == pytest.approx(terms)


@pytest.mark.slow
def test_two_processes_render_and_one_scores(tmp_path: Path, cases: HeldCases, reward: RewardModel) -> None:
    store = CaseStore(tmp_path)
    for name in cases.names:
        store.save(cases.load(name))
    whole, asked = with_network(reward)
    vector = make_vector(2, StoredCases(store, tuple(cases.names)), whole, seed=0, episodes_per_case=2)
    shape = vector.action_space.shape
    assert shape is not None
    told = played(vector, np.zeros((3, 2, *shape), np.float32))
    assert asked == [2, 2, 2]
    assert len(told) == 6
    assert all(set(terms) >= {"critic", "prior"} for _, terms in told)
