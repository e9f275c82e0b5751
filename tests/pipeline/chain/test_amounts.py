"""Strengths scale the actions of their own dimension, and every parameter has one."""

from dataclasses import fields

import numpy as np
import pytest

from mixagent.pipeline.chain.amounts import Strengths, dimension
from mixagent.pipeline.chain.parameters import STEM_NAMES, ParameterSpace, Settings, switch_of
from mixagent.pipeline.errors import UsageError

SPACE = ParameterSpace.for_stems(STEM_NAMES)
DIMENSIONS = [field.name for field in fields(Strengths)]


def decided() -> Settings:
    return SPACE.from_action(np.random.default_rng(3).uniform(-1, 1, len(SPACE))).without_idle()


@pytest.mark.parametrize("parameter", list(SPACE), ids=lambda parameter: parameter.name)
def test_every_parameter_belongs_to_a_dimension(parameter):
    assert dimension(parameter.name) in DIMENSIONS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vocals.comp_ratio", "dynamics"),
        ("master.transient_attack_db", "dynamics"),
        ("drum_bus.gain_db", "dynamics"),
        ("vocals.air_db", "eq"),
        ("master.bell_3_q", "eq"),
        ("master.low_mid_cut_db", "eq"),
        ("vocals.pan", "width"),
        ("master.mono_below_hz", "width"),
        ("reverb.size", "width"),
        ("master.gap_fill_db", "restore"),
        ("dynamic_3.threshold_db", "eq"),
        ("low_band.drive_db", "saturation"),
        ("clipper.over_db", "saturation"),
        ("high_band.comp_ratio", "dynamics"),
        ("side.eq_air_db", "eq"),
    ],
)
def test_a_parameter_is_of_the_dimension_that_its_name_says(name, expected):
    assert dimension(name) == expected


def test_full_strength_changes_nothing():
    settings = decided()
    assert Strengths().applied(settings, 1.0) is settings
    assert Strengths().applied(settings, 0.3) == settings.scaled(0.3)


@pytest.mark.parametrize("name", DIMENSIONS)
def test_strength_0_is_neutral_in_its_dimension_and_leaves_the_others(name):
    settings = decided()
    applied = Strengths(**{name: 0.0}).applied(settings, 1.0)
    for parameter in SPACE:
        own = dimension(parameter.name) == name
        expected = parameter.neutral if own else settings[parameter.name]
        assert applied[parameter.name] == expected


@pytest.mark.parametrize("name", DIMENSIONS)
def test_more_strength_moves_each_of_its_parameters_further_from_neutral(name):
    settings, last = decided(), np.zeros(len(SPACE))
    for strength in (0.0, 0.2, 0.5, 0.9, 1.0):
        actions = np.abs(Strengths(**{name: strength}).applied(settings, 1.0).to_action())
        own = np.array([dimension(p.name) == name for p in SPACE], bool)
        assert (actions[own] >= last[own] - 1e-6).all()
        last = actions


def test_the_amount_multiplies_every_strength():
    settings = decided()
    applied = Strengths(eq=0.5).applied(settings, 0.4).to_action()
    shaping = [switch_of(p.name) is not None for p in SPACE]
    factor = np.where(shaping, 1.0, np.where([dimension(p.name) == "eq" for p in SPACE], 0.2, 0.4))
    np.testing.assert_allclose(applied, settings.to_action() * factor, atol=1e-5)


def test_half_the_strength_or_the_amount_of_a_bell_is_half_its_gain_at_the_same_centre():
    bell = {"master.bell_1_hz": 500.0, "master.bell_1_db": -6.0, "master.bell_1_q": 4.0}
    for strengths, amount in ((Strengths(eq=0.5), 1.0), (Strengths(), 0.5)):
        halved = strengths.applied(SPACE.settings(bell), amount).changed()
        assert halved == {**bell, "master.bell_1_db": pytest.approx(-3.0)}


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused(value):
    with pytest.raises(UsageError, match="width"):
        Strengths(width=value)
