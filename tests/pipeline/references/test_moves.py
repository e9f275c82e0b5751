import dataclasses

import pytest

from mixagent.pipeline.analysis import THIRD_OCTAVES_HZ
from mixagent.pipeline.parameters import ParameterSpace
from mixagent.pipeline.references.dynamics import (
    HIGHEST_EXPANSION,
    HIGHEST_RATIO,
    THRESHOLD_DB,
    dynamics_moves,
)
from mixagent.pipeline.references.moves import Move, moved
from mixagent.pipeline.references.profile import Profile, Statistic

SPACE = ParameterSpace.for_stems(())
BANDS = (Statistic(-30.0, 0.0),) * len(THIRD_OCTAVES_HZ)


def profile(range_lu: float, plr_db: float, spread_lu: float = 0.0) -> Profile:
    ranges, peaks = Statistic(range_lu, spread_lu), Statistic(plr_db, 0.0)
    return Profile("", "", (), Statistic(-14.0, 0.0), ranges, peaks, peaks, BANDS, BANDS, BANDS)


def ratios(song: Profile, reference: Profile) -> dict[str, float]:
    return {move.name: move.by for move in dynamics_moves(song, reference)}


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


def test_a_wide_range_is_compressed_and_a_narrow_one_expanded() -> None:
    wide, narrow = profile(12.0, 16.0), profile(6.0, 10.0)
    compressed, expanded = ratios(wide, narrow), ratios(narrow, wide)
    assert compressed["master.comp_threshold_db"] == THRESHOLD_DB
    assert 1.0 < compressed["master.comp_ratio"] <= HIGHEST_RATIO
    assert 0.0 < expanded["master.expand_ratio"] <= HIGHEST_EXPANSION - 1.0


def test_alike_dynamics_are_left_alone() -> None:
    song = profile(8.0, 12.0)
    assert dynamics_moves(song, song) == ()
    assert dynamics_moves(song, profile(7.5, 8.0)) == (), "half a LU"
    assert dynamics_moves(song, profile(4.0, 8.0, spread_lu=9.0)) == (), (
        "as usual among the songs of a profile"
    )


def test_what_is_dense_already_gets_no_compressor() -> None:
    assert dynamics_moves(profile(12.0, 8.0), profile(4.0, 12.0)) == ()
    assert dynamics_moves(dataclasses.replace(profile(0.0, 14.0)), profile(0.0, 8.0)) == ()
