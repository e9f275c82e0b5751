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


def test_a_bell_that_works_already_is_left_where_it_is() -> None:
    space = ParameterSpace.for_stems(("other",))
    moves = (Move("other.bell_hz", 0.35, "boxy"), Move("other.bell_db", -2.5, "boxy"))
    settings, _ = moved(space.settings(), {}, moves)
    assert (settings["other.bell_hz"], settings["other.bell_db"]) == (350.0, -2.5)
    working = space.settings({"other.bell_hz": 3000.0, "other.bell_db": 2.0})
    settings, reasons = moved(working, {}, moves)
    assert settings.values == working.values
    assert reasons == {}
