"""Amplitudes and powers in decibels, and back."""

import math

import numpy as np
import pytest

from mixagent.pipeline.decibels import (
    amplitude_to_db,
    amplitudes_to_db,
    db_to_amplitude,
    db_to_power,
    floored_powers_to_db,
    power_to_db,
    powers_to_db,
)


def test_twice_the_amplitude_is_6_02_db_and_twice_the_power_3_01() -> None:
    assert amplitude_to_db(2.0) == pytest.approx(6.0206, abs=1e-4)
    assert power_to_db(2.0) == pytest.approx(3.0103, abs=1e-4)


def test_twenty_decibels_are_ten_times_the_amplitude_and_a_hundred_times_the_power() -> None:
    assert db_to_amplitude(20.0) == 10.0
    assert db_to_power(20.0) == 100.0
    assert db_to_amplitude(0.0) == db_to_power(0.0) == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_keep_their_type_and_come_back(dtype: type) -> None:
    levels_db = np.linspace(-90.0, 24.0, 40, dtype=dtype).reshape(2, 20)
    for there, back in ((db_to_amplitude, amplitudes_to_db), (db_to_power, powers_to_db)):
        factors = there(levels_db)
        assert factors.dtype == back(factors).dtype == dtype
        np.testing.assert_allclose(back(factors), levels_db, atol=1e-4)


def test_one_figure_of_nothing_has_no_level() -> None:
    for level in (amplitude_to_db, power_to_db):
        with pytest.raises(ValueError, match=r"math domain error|positive input"):
            level(0.0)


def test_the_floor_is_the_level_of_silence() -> None:
    levels_db = floored_powers_to_db(np.array([0.0, 1.0]), 1e-10)
    assert levels_db.dtype == np.float32
    np.testing.assert_allclose(levels_db, [-100.0, 10 * math.log10(1.0 + 1e-10)], atol=1e-4)
