"""Figures of an evaluation: means by what a case was damaged with, and what undamaged songs suffered."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mixagent.envs.cases import Damage, make_case
from mixagent.envs.context import Context
from mixagent.envs.mixing import Choice, HeldCases
from mixagent.envs.observation import DIAGNOSIS_NAMES, TARGET_NAMES
from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.features import FEATURE_NAMES
from mixagent.policies.network import Actor, Layout, Sizes
from mixagent.policies.validation import Outcome, play, summary
from mixagent.reward.model import load_reward

NAMES = ("master.balance_db",)


def _outcome(damaged: tuple[str, ...], recovered: float, action: float) -> Outcome:
    info = {"total": recovered, "blind": 0.5, "terms": {"truth": recovered}}
    before = {"total": 2.0, "tone": 1.0, "image": 1.0}
    after = {"total": 2.0 * (1 - recovered), "tone": 0.5, "image": 0.25}
    return Outcome("song", damaged, np.array([action], np.float32), info, before, after)


def test_recovery_is_a_mean_for_each_kind_of_damage() -> None:
    figures = summary(
        [
            _outcome(("mud",), 0.2, 0.0),
            _outcome(("mud",), 0.4, 1.0),
            _outcome(("mud", "holes"), 0.1, 0.0),
            _outcome(("mud", "holes", "panning", "flatness", "shimmer"), 0.7, 1.0),
            _outcome((), 0.0, 0.0),
        ],
        NAMES,
    )
    assert figures["recovery/mud"] == pytest.approx(0.3)
    assert (figures["recovery/pair"], figures["recovery/all"]) == pytest.approx((0.1, 0.7))
    assert (figures["clean/tone"], figures["clean/image"]) == (0.5, 0.25)
    assert figures["spread/master.balance_db"] == pytest.approx(np.std([0, 1, 0, 1, 0]))
    assert figures["total"] == pytest.approx(np.mean([0.2, 0.4, 0.1, 0.7, 0.0]))


def test_a_lean_that_is_taken_back_counts_as_recovered() -> None:
    """An actor that always moves the balance by one amount, on a song that leans by as much."""
    damage = Damage({"panning": 0.6}, {"panning": "lean"}, None, 0)
    case = make_case("song", synthetic_song(0, 3.0), damage, None, TARGETS["streaming"])
    lean_db = (
        case.analysis.balance_db
        - make_case(
            "clean", synthetic_song(0, 3.0), Damage({}, {}, None, 0), None, TARGETS["streaming"]
        ).analysis.balance_db
    )
    choice = Choice.of(NAMES, ())
    layout = Layout.of(NAMES, ())
    sizes = Sizes(len(FEATURE_NAMES), len(DIAGNOSIS_NAMES), len(TARGET_NAMES), hidden=8, stem_hidden=4)
    actor = Actor(layout, sizes)
    with torch.no_grad():
        actor.shared.bias[1] = choice.space[NAMES[0]].action(-lean_db)
    heard: list[str] = []

    def advise(context: Context) -> Settings:
        return context.space.settings()

    cases = HeldCases({"song": case})
    outcomes = play(
        actor.frozen(),
        cases,
        ["song"],
        choice,
        advise,
        load_reward("debug"),
        lambda name, pair: heard.append(name),
    )
    assert heard == ["song"]
    assert summary(outcomes, NAMES)["recovery/panning"] > 0.8
