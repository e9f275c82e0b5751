"""The end of the highs: found where it was put, whatever put it there, and not where nothing ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import signal

from mixagent.pipeline.measure.highs import USUAL_END_HZ, continuation_db, measure_highs
from mixagent.pipeline.types import Audio, FloatArray
from tests.highs import RATE, brick_wall, bright_music, butterworth, equal_ripple, through_mp3


@pytest.mark.parametrize("end_hz", [4000.0, 5600.0, 8000.0, 11000.0, 13000.0, 14900.0, 16500.0])
@pytest.mark.parametrize("cut", [brick_wall, butterworth, equal_ripple])
def test_the_end_is_found_where_the_filter_ends(
    cut: Callable[[FloatArray, float], FloatArray], end_hz: float
) -> None:
    highs = measure_highs(Audio(cut(bright_music(), end_hz), RATE))
    assert highs.cliff
    assert highs.end_hz == pytest.approx(end_hz, rel=0.06)
    assert highs.is_short == (end_hz < USUAL_END_HZ)


def test_the_slope_below_the_end_is_the_songs_own() -> None:
    for slope_db in (-6.0, -12.0):
        highs = measure_highs(Audio(brick_wall(bright_music(slope_db=slope_db), 9000.0), RATE))
        assert highs.slope_db == pytest.approx(slope_db, abs=3.0)


def test_a_real_codec_ends_where_its_low_pass_does() -> None:
    decoded = through_mp3(bright_music(), 0.85)
    highs = measure_highs(Audio(decoded, RATE))
    assert highs.cliff
    hz, power = signal.welch(decoded, RATE, nperseg=4096)
    level_db = 10 * np.log10(power.mean(axis=0) + 1e-20)
    inside = level_db[(hz > 0.8 * highs.end_hz) & (hz < 0.95 * highs.end_hz)].mean()
    outside = level_db[(hz > 1.1 * highs.end_hz) & (hz < 20000)].mean()
    assert inside - outside > 20


def test_blips_above_the_end_do_not_hide_it() -> None:
    samples = brick_wall(bright_music(), 11000.0)
    time = np.arange(samples.shape[1]) / RATE
    random = np.random.default_rng(1)
    for start in random.uniform(0, 5.5, 30):
        inside = (time >= start) & (time < start + 0.025)
        hz = random.uniform(13000, 18000)
        samples[:, inside] += (0.004 * np.sin(2 * np.pi * hz * time[inside])).astype(np.float32)
    highs = measure_highs(Audio(samples, RATE))
    assert highs.cliff
    assert highs.end_hz == pytest.approx(11000.0, rel=0.06)
    assert highs.missing_db > 20


@pytest.mark.parametrize("slope_db", [-3.0, -9.0, -18.0, -24.0])
def test_what_falls_at_its_own_slope_has_no_end(slope_db: float) -> None:
    highs = measure_highs(Audio(bright_music(slope_db=slope_db), RATE))
    assert not highs.cliff
    assert highs.end_hz == RATE / 2


def test_a_bowed_string_and_a_chip_tune_die_out_without_an_end() -> None:
    time = np.arange(6 * RATE) / RATE
    random = np.random.default_rng(5)
    bow = np.zeros_like(time)
    for k in range(1, 120):
        hz = 130.8 * k * (1 + 0.004 * np.sin(2 * np.pi * 5 * time + random.uniform(0, 6)))
        if 130.8 * k < 20000:
            bow += np.sin(2 * np.pi * np.cumsum(hz) / RATE) / k / (1 + (130.8 * k / 2500) ** 2)
    # A pulse through the one-pole filter of a console's output, at 8 kHz.
    pitch = np.repeat([220.0, 330.0, 262.0, 440.0] * 3, RATE // 2)
    pulse = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / RATE) - 0.3)
    chip = signal.lfilter(*signal.butter(1, 8000, fs=RATE), pulse)
    for sound in (bow, chip):
        samples = (0.3 * sound / np.abs(sound).max())[None] + 1e-5 * random.standard_normal(time.size)
        assert not measure_highs(Audio(samples.astype(np.float32), RATE)).is_short


def test_a_shelf_is_no_end() -> None:
    samples = bright_music()
    low = brick_wall(samples, 4000.0)
    shelved = low + 10 ** (-17 / 20) * (samples - low)
    assert not measure_highs(Audio(shelved.astype(np.float32), RATE)).cliff


def test_silence_and_low_rates_have_none() -> None:
    for samples, rate in ((np.zeros((2, RATE)), RATE), (bright_music(2.0, rate=4000), 4000)):
        highs = measure_highs(Audio(samples.astype(np.float32), rate))
        assert (highs.end_hz, highs.cliff, highs.missing_db) == (rate / 2, False, 0.0)


def test_the_level_of_the_song_does_not_matter() -> None:
    samples = brick_wall(bright_music(), 9000.0)
    loud, soft = (measure_highs(Audio(gain * samples, RATE)) for gain in (1.0, 0.01))
    assert soft.end_hz == pytest.approx(loud.end_hz, rel=1e-3)
    assert soft.missing_db == pytest.approx(loud.missing_db, abs=1.0)


@pytest.mark.parametrize("end_hz", [4000.0, 9000.0, 15000.0])
@pytest.mark.parametrize("slope_db", [-40.0, -12.0, 0.0])
def test_the_continuation_starts_at_the_end_and_only_falls(end_hz: float, slope_db: float) -> None:
    hz = np.geomspace(end_hz, 20000, 200)
    level_db = continuation_db(hz, end_hz, slope_db)
    assert level_db[0] == pytest.approx(0.0, abs=1e-9)
    assert (np.diff(level_db) < 0).all()
