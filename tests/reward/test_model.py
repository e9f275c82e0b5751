"""The reward model: what it sums, what it leaves out, and what it refuses."""

import math

import numpy as np
import pytest
from omegaconf import OmegaConf

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.finaliser.loop import finalise
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.types import Audio, load
from mixagent.reward.adversarial_edits import edit_adversarially
from mixagent.reward.model import TERMS, RewardModel, load_reward
from mixagent.reward.recovery import Original
from mixagent.reward.render_pair import AnalysedAudio, RenderPair
from mixagent.reward.terms.prior import Prior
from mixagent.reward.terms.truth import Truth
from tests.reward.render_pairs import RATE, gained, make_song, render_pair

SONG = make_song()
GUARDS_ONLY = {"terms": {"lost_highs": {"weight": 0.5}, "lean": {"weight": 0.25}, "truth": {"weight": 2.0}}}


def test_the_total_is_the_weighted_sum_and_the_blind_total_leaves_the_truth_out():
    ruined = edit_adversarially(SONG, "low_pass_4k")
    score = load_reward(GUARDS_ONLY).score(render_pair(SONG, ruined, original=Original(SONG)))
    blind = 0.5 * score.terms["lost_highs"] + 0.25 * score.terms["lean"]
    assert score.blind == pytest.approx(blind)
    assert score.total == pytest.approx(blind + 2.0 * score.terms["truth"])
    assert score.terms["truth"] < 0 > score.terms["lost_highs"]


def test_a_term_without_an_opinion_is_left_out():
    score = load_reward(GUARDS_ONLY).score(render_pair(SONG, SONG))
    assert "truth" not in score.terms
    assert score.total == score.blind == 0.0


def test_a_batch_gives_what_single_pairs_give_in_their_order():
    model = load_reward("default")
    before = AnalysedAudio(SONG)
    pairs = [
        RenderPair(before, AnalysedAudio(edit_adversarially(SONG, name)))
        for name in ("mud", "reverb", "mono_fold")
    ]
    together = [score.total for score in model.score_batch(pairs)]
    assert together == pytest.approx([model.score(one).total for one in pairs], abs=1e-4)
    assert len(set(together)) == 3
    assert model.score_batch([]) == []


def test_the_default_reward_stays_in_its_range_and_knows_the_input_as_zero():
    model = load_reward("default")
    low, high = model.range()
    assert low < 0 < high
    for after in (SONG, edit_adversarially(SONG, "telephone"), Audio(np.zeros_like(SONG.samples), RATE)):
        assert low <= model.score(render_pair(SONG, after, original=Original(SONG))).total <= high
    settings = ParameterSpace.for_stems(()).settings()
    assert model.score(render_pair(SONG, SONG, settings=settings)).total == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("gain_db", [-20.0, 6.0])
def test_a_pure_gain_changes_the_default_reward_by_nothing_that_matters(gain_db):
    # At −23 LUFS nothing is limited, so the finaliser gives the input back at another level.
    model, target = load_reward("default"), loudness_target("-23")
    finish = finalise(gained(SONG, gain_db), target, None)
    judged = render_pair(SONG, load(finish.audio), finish=finish, target=target)
    assert model.score(judged).blind == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("name", ["default", "debug"])
def test_the_shipped_configurations_name_only_terms_that_exist(name):
    model = load_reward(name)
    assert {term.name for term in model.terms} <= set(TERMS)
    assert "truth" in model.weights


def test_a_composed_configuration_and_a_plain_mapping_mean_the_same():
    composed = OmegaConf.create(GUARDS_ONLY)
    assert load_reward(composed).weights == load_reward(GUARDS_ONLY).weights


def test_a_weight_of_zero_leaves_the_term_out_and_loads_nothing_for_it():
    missing = {"critic": {"weight": 0.0, "path": "/nowhere"}, "lean": {"weight": 1.0}}
    assert list(load_reward({"terms": missing}).weights) == ["lean"]


def test_the_limits_of_a_guard_can_be_set():
    strict = {"terms": {"lost_highs": {"weight": 1.0, "free": 0.0, "full": 1.0}}}
    ruined = edit_adversarially(SONG, "low_pass_8k")
    lenient = {"terms": {"lost_highs": {"weight": 1.0}}}
    assert (
        load_reward(strict).score(render_pair(SONG, ruined)).total
        < load_reward(lenient).score(render_pair(SONG, ruined)).total
    )


@pytest.mark.parametrize(
    "config",
    [
        "nothing_of_this_name",
        {"terms": {"lost_hihgs": {"weight": 1.0}}},
        {"terms": {"lean": {"weight": 1.0, "fre": 2.0}}},
        {"terms": {"lean": {"weight": 1.0, "free": 9.0}}},
        {"terms": {"lean": {"weight": -1.0}}},
        {"terms": {"lean": 1.0}},
        {"term": {}},
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line(config):
    with pytest.raises(UsageError) as refused:
        load_reward(config)
    assert "\n" not in str(refused.value)


def test_weights_and_terms_must_go_together():
    with pytest.raises(ValueError, match="prior"):
        RewardModel((Prior(),), {"truth": 1.0})
    assert not math.isnan(RewardModel((Truth(),), {"truth": 1.0}).score(render_pair(SONG, SONG)).total)
