"""Searches find what a known reward prefers, count every render, and are decided by their seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mixagent.envs.cases import Damage, make_case
from mixagent.envs.context import Context
from mixagent.envs.mixing import Material
from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.analysis import Analysis, analyse
from mixagent.pipeline.render import ChainError
from mixagent.pipeline.types import Audio, Stems
from mixagent.policies import RulePolicy
from mixagent.policies.base import Decision
from mixagent.policies.search import MOST, SearchPolicy, found
from mixagent.policies.trial import CaseTrial, segment_starts_s, song_cases
from mixagent.reward.model import RewardModel, load_reward
from tests.short_cases import music

LEAN = Damage({"panning": 0.8}, {"panning": "lean"}, None, 1)
SPACE = ParameterSpace.for_stems(())
GOAL = SPACE.settings({"master.eq_mid_db": 4.0, "master.width": 0.6, "master.eq_air_db": -3.0})


class Bowl:
    """A reward with one peak, at `GOAL`; it remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Settings] = []

    def __call__(self, settings: Sequence[Settings]) -> NDArray[np.float64]:
        self.asked += settings
        return np.array([self.worth(one) for one in settings])

    @staticmethod
    def worth(settings: Settings) -> float:
        return -float(np.sum((settings.to_action() - GOAL.to_action()) ** 2))


class Fixed:
    """Starts at given settings, with a reason for each."""

    name = "fixed"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def decide(self, context: Context) -> Decision:
        return Decision(self.settings, dict.fromkeys(self.settings.changed(), "because"))


@pytest.fixture(scope="module")
def bare() -> Context:
    case = make_case("lean", music(0.8, 1), LEAN, None, TARGETS["streaming"])
    return case.context(SPACE)


@pytest.fixture
def bowl() -> Bowl:
    return Bowl()


@pytest.fixture
def context(bare: Context, bowl: Bowl) -> Context:
    return replace(bare, trial=bowl)


@pytest.mark.parametrize("method", ["random", "cma", "amounts"])
@pytest.mark.parametrize("renders", [1, 2, 40])
def test_every_render_is_counted_the_start_first_and_the_best_kept(
    context: Context, bowl: Bowl, method: str, renders: int
) -> None:
    start = SPACE.settings({"master.eq_mid_db": 2.0})
    decision = SearchPolicy(method, renders, Fixed(start)).decide(context)
    assert len(bowl.asked) == renders
    assert bowl.asked[0] == start
    assert bowl.worth(decision.settings) == max(map(bowl.worth, bowl.asked))


@pytest.mark.parametrize("method", ["random", "cma"])
def test_the_seed_decides_everything_and_nothing_global_is_touched(context: Context, method: str) -> None:
    np.random.seed(5)  # noqa: NPY002 - the package cma knows only the global generator
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    tried = [SearchPolicy(method, 40, seed=seed).search(context, SPACE.settings()) for seed in (3, 3, 4)]
    assert tried[0].settings == tried[1].settings
    assert tried[0].settings != tried[2].settings
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


@pytest.mark.parametrize("method", ["random", "cma"])
def test_a_small_budget_is_the_beginning_of_a_large_one(context: Context, method: str) -> None:
    begun = SPACE.settings()
    short, long = (SearchPolicy(method, renders).search(context, begun) for renders in (23, 60))
    assert short.settings == long.settings[:23]
    assert long.best(23) == short.best()
    assert (np.diff(long.seconds) >= 0).all()


def test_cma_climbs_a_bowl_and_beats_random_search(context: Context) -> None:
    begun = SPACE.settings()
    random, cma = (max(SearchPolicy(m, 640).search(context, begun).rewards) for m in ("random", "cma"))
    assert cma > 0.1 * Bowl.worth(begun)
    assert cma > random > Bowl.worth(begun)


def test_a_better_start_ends_better_at_the_same_budget(context: Context) -> None:
    near = SPACE.settings({"master.eq_mid_db": 3.0, "master.width": 0.7})
    ends = [
        max(SearchPolicy("cma", 64, Fixed(start)).search(context, start).rewards)
        for start in (near, SPACE.settings())
    ]
    assert ends[0] > ends[1]


@pytest.mark.parametrize("method", ["random", "cma"])
def test_only_the_chosen_parameters_move(context: Context, bowl: Bowl, method: str) -> None:
    start = SPACE.settings({"master.eq_bass_db": 1.0, "master.width": 0.9})
    SearchPolicy(method, 30, Fixed(start), parameters=("master.eq_mid_db", "master.w*")).decide(context)
    moved = {name for one in bowl.asked for name in one.values if one[name] != start[name]}
    assert moved == {"master.eq_mid_db", "master.width"}


def test_a_search_of_amounts_tries_only_more_or_less_of_the_moves(context: Context, bowl: Bowl) -> None:
    moves = {"master.eq_mid_db": 3.2, "master.width": 0.9, "master.bell_1_db": 2.0, "master.bell_1_hz": 500.0}
    begun = SPACE.settings(moves)
    best = SearchPolicy("amounts", 120, Fixed(begun)).decide(context).settings
    started = begun.to_action()
    for tried in bowl.asked:
        action = tried.to_action()
        assert set(tried.changed()) <= set(begun.changed())
        assert (np.abs(action) <= MOST * np.abs(started) + 1e-6).all()
        assert (action * started >= 0).all()
        assert tried["master.bell_1_hz"] == 500.0
    assert best["master.eq_mid_db"] == pytest.approx(4.0, abs=0.3)
    assert best["master.width"] < 0.88
    assert best["master.bell_1_db"] == pytest.approx(0.0, abs=0.3)


def test_a_search_of_amounts_leaves_moves_that_are_not_its_own(context: Context, bowl: Bowl) -> None:
    begun = SPACE.settings({"master.eq_mid_db": 3.2, "side.eq_air_db": 2.0})
    SearchPolicy("amounts", 20, Fixed(begun), parameters=("side.*",)).decide(context)
    assert {one["master.eq_mid_db"] for one in bowl.asked} == {3.2}
    assert len({one["side.eq_air_db"] for one in bowl.asked}) > 1


def test_where_nothing_was_moved_a_search_of_amounts_has_nothing_to_try(context: Context, bowl: Bowl) -> None:
    assert SearchPolicy("amounts", 40).decide(context).settings == SPACE.settings()
    assert len(bowl.asked) == 1


def test_what_cannot_be_judged_is_never_the_best(bare: Context) -> None:
    def broken(settings: Sequence[Settings]) -> NDArray[np.float64]:
        return np.array([np.nan if one["master.eq_mid_db"] > 0 else Bowl.worth(one) for one in settings])

    trace = SearchPolicy("cma", 60).search(replace(bare, trial=broken), SPACE.settings())
    assert not np.isnan(trace.rewards).any()
    assert trace.settings[trace.best()]["master.eq_mid_db"] <= 0

    def all_broken(settings: Sequence[Settings]) -> NDArray[np.float64]:
        return np.full(len(settings), np.nan)

    with pytest.raises(UsageError, match="could be judged"):
        SearchPolicy("cma", 20).decide(replace(bare, trial=all_broken))


def test_what_the_search_left_alone_keeps_its_reason(context: Context) -> None:
    begun = Fixed(SPACE.settings({"master.eq_mid_db": 2.0, "master.width": 0.8})).decide(context)
    policy = SearchPolicy("random", 200, parameters=("master.eq_mid_db",))
    decision = found(begun, policy.search(context, begun.settings))
    assert decision.reasons["master.width"] == "because"
    assert decision.reasons["master.eq_mid_db"] == "because; how far: the best of 200 renders tried"


def test_mistakes_are_named(bare: Context, context: Context) -> None:
    with pytest.raises(UsageError, match="nothing can be tried"):
        SearchPolicy("cma", 8).decide(bare)
    with pytest.raises(UsageError, match="no parameter"):
        SearchPolicy("cma", 8, parameters=("nowhere.*",)).decide(context)
    with pytest.raises(UsageError, match="random, cma, amounts"):
        SearchPolicy("grid", 8)
    with pytest.raises(UsageError, match="1 render"):
        SearchPolicy("cma", 0)
    assert SearchPolicy("cma", 64, RulePolicy()).name == "cma:rules@64"


# --- trials ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reward() -> RewardModel:
    return load_reward("debug")


def test_a_trial_is_worth_the_mean_blind_total_of_its_cases(reward: RewardModel) -> None:
    cases = [make_case("a", music(0.8, n), LEAN, None, TARGETS["streaming"]) for n in (1, 2)]
    settings = [SPACE.settings(), SPACE.settings({"master.eq_air_db": -9.0})]
    calls: list[None] = []
    worth = CaseTrial.of(cases, SPACE, reward, lambda: calls.append(None))(settings)
    for case_settings, value in zip(settings, worth, strict=True):
        alone = [reward.score(Material(case, SPACE).render_pair(case_settings)).blind for case in cases]
        assert value == pytest.approx(np.mean(alone))
    assert len(calls) == 2
    assert worth[1] < worth[0]


def test_settings_that_break_the_chain_are_worth_nothing(
    reward: RewardModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(self: Material, settings: Settings, vocals: bool = False) -> None:
        raise ChainError("samples are not numbers")

    trial = CaseTrial.of([make_case("a", music(0.8), LEAN, None, TARGETS["streaming"])], SPACE, reward)
    monkeypatch.setattr(Material, "render_pair", breaks)
    assert trial([SPACE.settings()]) == [-np.inf]


def quiet_loud_silent(quiet_s: float, loud_s: float, silent_s: float) -> Audio:
    """A song that begins 12 dB down, comes up, and ends in silence."""
    audio = synthetic_song(1, quiet_s + loud_s + silent_s)
    counts = [round(seconds * audio.rate) for seconds in (quiet_s, loud_s)]
    gains = np.repeat([0.25, 1.0, 0.0], [*counts, audio.frames - sum(counts)])
    return Audio((audio.samples * gains).astype(np.float32), audio.rate)


def test_a_song_is_tried_where_it_is_loudest_and_not_where_it_is_silent() -> None:
    analysis = analyse(quiet_loud_silent(3.0, 3.0, 12.0))
    assert segment_starts_s(analysis, 3, 2.0) == [3.0]
    silent = replace(analysis, integrated_lufs=-np.inf)
    assert segment_starts_s(silent, 3, 2.0) == []


def test_a_song_has_no_more_segments_than_fit_into_it() -> None:
    analysis = analyse(quiet_loud_silent(3.0, 3.0, 0.0))
    assert len(segment_starts_s(analysis, 3, 4.0)) == 1
    shorter = replace(analysis, duration_s=1.0, short_term_lufs=())
    assert segment_starts_s(shorter, 3, 4.0) == [0.0]


def test_segments_are_rendered_as_in_the_whole_song() -> None:
    audio = quiet_loud_silent(4.0, 4.0, 0.0)
    analysis, target = analyse(audio), TARGETS["streaming"]
    cases = song_cases(Stems(audio, {}), analysis, target, 2, 2.0)
    assert [float(case.name) < 4.0 for case in cases] == [True, False]
    for case in cases:
        start = round(float(case.name) * audio.rate)
        np.testing.assert_array_equal(case.stems.mix.read(0, 10), audio.read(start, start + 10))
        above_lu = case.analysis.integrated_lufs - analysis.integrated_lufs
        assert case.target.integrated_lufs == pytest.approx(-14.0 + above_lu)
        assert case.target.ceiling_dbtp == target.ceiling_dbtp
    assert cases[0].levels == cases[1].levels


def test_a_silent_song_gives_no_segment() -> None:
    audio = Audio(np.zeros((2, 44100), np.float32), 44100)
    silent: Analysis = analyse(audio)
    assert song_cases(Stems(audio, {}), silent, TARGETS["streaming"]) == []
