"""Damage of no particular kind."""

from __future__ import annotations

import numpy as np
import pytest

from mixagent.envs.cases import Damage, make_case
from mixagent.envs.random_degradation import RANDOM_DEGRADATIONS, RandomDegradation, degrade_randomly
from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.types import Audio

SONG = synthetic_song(0, 1.5)


@pytest.mark.parametrize("seed", range(8))
def test_it_keeps_shape_and_power_and_changes_the_sound(seed: int) -> None:
    rough = degrade_randomly(SONG, np.random.default_rng(seed))
    assert rough.samples.shape == SONG.samples.shape
    power, before = (float(np.mean(np.square(x.samples, dtype=np.float64))) for x in (rough, SONG))
    assert power == pytest.approx(before, rel=1e-4)
    assert np.abs(rough.samples - SONG.samples).max() > 1e-3


@pytest.mark.parametrize("damage", RANDOM_DEGRADATIONS, ids=lambda damage: damage.__name__.strip("_"))
@pytest.mark.parametrize("channels", [1, 2])
def test_every_kind_of_it_is_finite_on_mono_and_stereo(damage: RandomDegradation, channels: int) -> None:
    samples = SONG.samples[:channels].astype(np.float64)
    done = damage(samples.copy(), SONG.rate, np.random.default_rng(3))
    assert done.shape == samples.shape
    assert np.isfinite(done).all()


def test_silence_stays_silence() -> None:
    silence = Audio(np.zeros((2, 44100), np.float32), 44100)
    assert not degrade_randomly(silence, np.random.default_rng(0)).samples.any()


def test_a_rough_case_is_neither_untouched_nor_one_of_the_pathologies() -> None:
    case = make_case("rough", SONG, Damage({}, {}, None, 5, rough=True), None, TARGETS["streaming"])
    assert case.damage is not None
    assert case.damage.kinds == ("rough",)
    assert case.distance is not None
    assert case.distance.total > 0.05
