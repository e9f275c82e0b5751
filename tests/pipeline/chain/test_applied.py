"""What the repairs did, against what they were made to do."""

from __future__ import annotations

import numpy as np
import pytest

from mixagent.pipeline.chain.applied import applied_gains, repairs_applied
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.dsp.cascade import Cascade
from mixagent.pipeline.dsp.equaliser import Filter
from mixagent.pipeline.dsp.streaming import Delay
from mixagent.pipeline.types import Audio
from tests.highs import RATE, brick_wall, bright_music

SPACE = ParameterSpace.for_stems(())


def test_a_bell_is_told_where_and_how_much() -> None:
    bell = Filter("bell", 4000.0, -9.0, 4.0)
    told = applied_gains(Audio(bright_music(), RATE), Cascade(bell.section(RATE)[None], 2))
    most = min(told, key=lambda gain: gain.most_db)
    assert most.centre_hz == 4000.0
    assert most.most_db == pytest.approx(-9.0, abs=0.2)
    assert most.most_hz == pytest.approx(4000.0, rel=0.03)
    assert -9.0 < most.mean_db < -6.0
    assert most.share == 1.0
    assert all(gain.mean_db <= 0.05 for gain in told)


def test_what_changes_nothing_has_no_bands() -> None:
    assert applied_gains(Audio(bright_music(2.0), RATE), Delay(777, 2)) == ()
    assert applied_gains(Audio(np.zeros((2, RATE), np.float32), RATE), Delay(777, 2)) == ()


def test_a_repair_that_found_nothing_is_told_as_nothing_whatever_its_limit() -> None:
    limits = {"resonance_cut_db": 24.0, "gap_fill_db": 36.0, "blink_fill_db": 48.0, "extend_from_hz": 11000.0}
    settings = SPACE.settings({f"master.{name}": value for name, value in limits.items()})
    told = repairs_applied(Audio(bright_music(), RATE), settings)
    assert told == {f"master.{name}": () for name in limits}
    assert repairs_applied(Audio(bright_music(1.0), RATE), SPACE.settings()) == {}


def test_a_whistle_is_told_by_its_own_depth_and_not_by_the_limit() -> None:
    samples = bright_music(8.0)
    time = np.arange(samples.shape[1]) / RATE
    samples += (0.004 * np.sin(2 * np.pi * 9300 * time)).astype(np.float32)
    settings = SPACE.settings({"master.resonance_cut_db": 24.0})
    told = repairs_applied(Audio(samples, RATE), settings)["master.resonance_cut_db"]
    most = min(told, key=lambda gain: gain.most_db)
    assert most.most_hz == pytest.approx(9300.0, rel=0.01)
    assert -24.0 <= most.most_db < -6.0


def test_the_air_is_told_above_the_end_alone() -> None:
    settings = SPACE.settings({"master.extend_from_hz": 9000.0})
    told = repairs_applied(Audio(brick_wall(bright_music(), 9000.0), RATE), settings)["master.extend_from_hz"]
    assert min(gain.centre_hz for gain in told if gain.mean_db > 1.0) in (8000.0, 10000.0)
    assert all(gain.mean_db > 30 for gain in told if gain.centre_hz >= 12500)
    assert all(abs(gain.mean_db) < 0.2 for gain in told if gain.centre_hz < 8000)
