import pytest

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.matching.moves import Move, moved

SPACE = ParameterSpace.for_stems(())


def test_a_move_adds_to_what_was_decided_and_multiplies_where_the_scale_is_logarithmic() -> None:
    decided = SPACE.settings({"master.width": 1.2, "master.comp_ratio": 2.0})
    moves = (Move("master.width", 0.3, "wide"), Move("master.comp_ratio", 1.5, "dense"))
    settings, reasons = moved(decided, {"master.width": "policy"}, moves)
    assert settings["master.width"] == pytest.approx(1.5)
    assert settings["master.comp_ratio"] == pytest.approx(3.0)
    assert reasons == {"master.width": "policy; wide", "master.comp_ratio": "dense"}


def test_a_move_stays_in_range_and_leaves_out_what_is_not_there() -> None:
    moves = (Move("master.width", 9.0, "wide"), Move("vocals.gain_db", 3.0, "up"))
    settings, reasons = moved(SPACE.settings(), {}, moves)
    assert settings["master.width"] == SPACE["master.width"].high
    assert reasons.keys() == {"master.width"}
