"""Figures as they are written to JSON."""

import math

import pytest

from mixagent.pipeline.figures import finite_or_none


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_json_cannot_hold_is_none(value: float) -> None:
    assert finite_or_none(value) is None
    assert finite_or_none(value, 2) is None


def test_a_finite_figure_is_rounded_only_where_asked() -> None:
    assert finite_or_none(-14.0625) == -14.0625
    assert finite_or_none(-14.0625, 1) == -14.1
