"""The gates: a reward that hears passes them, one that is deaf does not, and the tables say so."""

from argparse import Namespace

import numpy as np
import pytest
from script_modules import load_script

from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.reward.adversarial_edits import ADVERSARIAL_EDITS
from mixagent.reward.model import load_reward
from tests.reward.render_pairs import make_song

TARGET = loudness_target("streaming")


@pytest.fixture(scope="module")
def gates():
    return load_script("gates")


@pytest.fixture(scope="module")
def song(gates):
    return gates.Segment("song", make_song(seconds=1.5))


def test_the_shipped_reward_falls_under_every_ruin_and_is_deaf_to_gain(gates, song, capsys):
    ruins = gates.adversarial_gate(load_reward("default"), [song], TARGET, seed=0)
    assert len(ruins) == 2 * len(ADVERSARIAL_EDITS)
    assert all(ruin.fall >= gates.MATTERS for ruin in ruins if ruin.trace >= gates.TRACE)
    printed = capsys.readouterr().out
    assert "(100.0%); passed" in printed
    assert printed.strip().endswith("passed")


def test_a_deaf_reward_does_not_pass_and_what_did_not_fall_is_named(gates, song, capsys):
    ruins = gates.adversarial_gate(load_reward({"terms": {"lean": {"weight": 1.0}}}), [song], TARGET, seed=0)
    printed = capsys.readouterr().out
    assert "NOT PASSED" in printed
    assert "gating of the song, song" in printed
    assert next(r for r in ruins if r.edit == "one_sided" and r.base == "the song").fall > gates.MATTERS


def test_the_truth_agrees_with_itself(gates, song, capsys):
    options = Namespace(settings=5, seed=0, reach=None)
    rows = gates.agreement_gate(load_reward("debug"), [song], TARGET, options)
    assert len(rows) == 1
    assert len(rows[0].recovery) == len(rows[0].blind) == 5
    assert max(rows[0].recovery) <= 1.0
    assert "Gate 2" in capsys.readouterr().out


def test_random_settings_move_the_master_alone_within_their_reach(gates):
    random = np.random.default_rng(0)
    for reach in (0.1, 0.6):
        settings = gates.random_settings(random, reach)
        assert settings.changed()
        assert all(name.startswith("master.") for name in settings.changed())
        assert np.abs(settings.to_action()).max() <= reach + 1e-6
