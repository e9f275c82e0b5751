import numpy as np
import pytest

from mixagent.pipeline.parameters import STEM_NAMES, ParameterSpace

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
