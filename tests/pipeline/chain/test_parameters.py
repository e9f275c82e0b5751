import numpy as np
import pytest

from mixagent.pipeline.chain.parameters import STEM_NAMES, ParameterSpace, switch_of

SPACE = ParameterSpace.for_stems(STEM_NAMES)


def test_action_zero_is_neutral() -> None:
    assert SPACE.from_action(np.zeros(len(SPACE))).changed() == {}


@pytest.mark.parametrize("parameter", list(SPACE), ids=lambda parameter: parameter.name)
def test_values_survive_the_round_trip_through_an_action(parameter) -> None:
    for action in np.linspace(-1, 1, 9):
        value = parameter.value(action)
        assert parameter.low <= value <= parameter.high
        assert parameter.value(parameter.action(value)) == pytest.approx(value)


def test_amount_zero_is_neutral_and_one_changes_nothing() -> None:
    settings = SPACE.from_action(np.random.default_rng(0).uniform(-1, 1, len(SPACE)))
    assert settings.scaled(0.0).changed() == {}
    assert settings.scaled(1.0) is settings


def test_what_shapes_an_effect_that_is_off_goes_to_neutral_with_it() -> None:
    space = ParameterSpace.for_stems(("vocals",))
    idle = {"master.bell_1_q": 2.0, "master.bell_1_hz": 300.0, "vocals.bell_q": 2.0, "master.extend_db": -3.0}
    heard = {"master.bell_2_db": 2.0, "master.bell_2_q": 2.0, "master.eq_air_db": 1.0}
    assert space.settings({**idle, **heard}).without_idle().changed() == heard
    settings = space.settings(heard)
    assert settings.without_idle() is settings


def test_every_switch_is_a_parameter() -> None:
    names = {parameter.name for parameter in ParameterSpace.for_stems(("vocals",))}
    switches = {switch_of(name) for name in names} - {None}
    assert switches <= names
    assert {"master.bell_1_db", "master.extend_from_hz", "vocals.bell_db"} <= switches
