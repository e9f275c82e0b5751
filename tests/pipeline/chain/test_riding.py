"""Level riding: sections move apart by what was asked for, slowly, and nothing within them moves."""

import numpy as np
import pytest

from mixagent.pipeline.chain.mastering import equalisers
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.chain.riding import (
    LEAST_KEPT,
    LEAST_SECTION_S,
    MOST_STRETCH,
    SLOPE_DB_S,
    WANTED_RANGE_LU,
    WIDE_RANGE_LU,
    Rider,
    measure_ride,
)
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.measure.meters import measure
from mixagent.pipeline.render import premaster
from mixagent.pipeline.types import Audio, FloatArray, Stems, collect, load

RATE = 16000
SPACE = ParameterSpace.for_stems([])


def passages(levels_db: list[float], each_s: float = 24.0, channels: int = 2, seed: int = 0) -> Audio:
    """Noise whose level changes from passage to passage."""
    noise = np.random.default_rng(seed).standard_normal((channels, round(each_s * RATE) * len(levels_db)))
    gains = np.repeat(10 ** (np.array(levels_db) / 20), round(each_s * RATE))
    return Audio((0.05 * noise * gains).astype(np.float32), RATE)


def ridden(source: Audio, ride_db: float) -> Audio:
    return load(premaster(Stems(source, {}), SPACE.settings({"master.ride_db": ride_db})))


def gain_db(before: FloatArray, after: FloatArray) -> FloatArray:
    """What each tenth of a second was changed by, (steps,)."""
    step = RATE // 10
    powers = [np.mean(x[0].reshape(-1, step).astype(np.float64) ** 2, axis=1) for x in (before, after)]
    return 10 * np.log10(powers[1] / powers[0])


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("ride_db", [0.5, 1.5])
def test_the_range_of_two_levels_grows_by_twice_what_was_asked_for(ride_db: float, channels: int) -> None:
    source = passages([0.0, 1.5, 0.0, 1.5], channels=channels)
    after = ridden(source, ride_db)
    grown_lu = measure(after).range_lu - measure(source).range_lu
    assert grown_lu == pytest.approx(2 * ride_db, abs=0.1)
    moved_db = gain_db(source.samples, after.samples)
    assert moved_db[60:160] == pytest.approx(-ride_db, abs=0.06)
    assert moved_db[300:420] == pytest.approx(ride_db, abs=0.06)


def test_a_loud_section_has_its_gain_whole_and_the_way_there_lies_in_the_quiet_ones() -> None:
    source = passages([0.0, 2.0, 0.0])
    moved_db = gain_db(source.samples, ridden(source, 1.2).samples)
    # The middle passage lasts from 24 to 48 s; a boundary is found to half a second.
    assert moved_db[245:475] == pytest.approx(1.2, abs=0.01)
    assert moved_db[:200] == pytest.approx(-1.2, abs=0.01)
    assert moved_db[520:] == pytest.approx(-1.2, abs=0.01)
    time_s, course_db = measure_ride(source, 1.2).course
    assert np.abs(np.diff(course_db) / np.diff(time_s)).max() <= SLOPE_DB_S + 1e-9


def test_what_lies_between_the_two_ends_moves_in_proportion() -> None:
    source = passages([0.0, 1.0, 2.0, 0.0, 1.0, 2.0])
    moved_db = gain_db(source.samples, ridden(source, 1.5).samples)
    assert moved_db[300:420] == pytest.approx(0.0, abs=0.1)


def test_a_range_that_is_wide_enough_is_left_bit_for_bit() -> None:
    source = passages([0.0, WANTED_RANGE_LU + 1.0, 0.0, WANTED_RANGE_LU + 1.0])
    assert ridden(source, 6.0).samples.tobytes() == source.samples.tobytes()


def test_no_range_is_stretched_beyond_the_wanted_one() -> None:
    source = passages([0.0, 2.0, 0.0, 2.0])
    assert measure(ridden(source, 6.0)).range_lu == pytest.approx(WANTED_RANGE_LU, abs=0.15)


@pytest.mark.parametrize("levels_db", [[0.0, 14.0, 4.0, 14.0], [0.0, 3.0, 12.0, 6.0]])
def test_sections_moved_together_keep_their_order_and_half_of_their_contrast(levels_db: list[float]) -> None:
    source = passages(levels_db)
    moved_db = gain_db(source.samples, ridden(source, -6.0).samples)
    middles = 240 * np.arange(len(levels_db)) + 120
    after_db = np.array(levels_db) + moved_db[middles]
    before, after = (np.subtract.outer(x, x) for x in (np.array(levels_db), after_db))
    apart = np.abs(before) > 0
    assert np.abs(after_db).max() < np.abs(np.array(levels_db)).max()
    assert (after[apart] / before[apart]).min() >= LEAST_KEPT - 0.02


def test_a_range_is_not_narrowed_below_that_of_music_with_a_wide_one() -> None:
    source = passages([0.0, WIDE_RANGE_LU + 2.0, 0.0, WIDE_RANGE_LU + 2.0])
    assert measure(ridden(source, -6.0)).range_lu == pytest.approx(WIDE_RANGE_LU, abs=0.2)
    narrower = passages([0.0, WIDE_RANGE_LU - 1.0, 0.0, WIDE_RANGE_LU - 1.0])
    assert ridden(narrower, -6.0).samples.tobytes() == narrower.samples.tobytes()


def test_a_song_is_ridden_by_the_range_that_it_has_behind_the_equaliser() -> None:
    """Quiet passages of lows alone, which the equaliser brings up: nothing is left to be ridden."""
    random, frames = np.random.default_rng(0), 24 * RATE
    time = np.arange(frames) / RATE
    lows, highs = 0.04 * np.sin(2 * np.pi * 100 * time), 0.1 * random.standard_normal(frames)
    sound = np.concatenate([lows, highs, lows, highs])
    source = Audio(np.stack([sound, sound]).astype(np.float32), RATE)
    raised = SPACE.settings({"graphic.tone_100_db": 18.0})
    ride = measure_ride(source, -6.0, equalisers(raised, RATE, 2))
    assert measure_ride(source, -6.0).gains_db[0] - ride.gains_db[0] > 1.0


def test_a_faint_contrast_is_not_blown_up() -> None:
    source = passages([0.0, 0.8, 0.0, 0.8])
    after = ridden(source, 6.0)
    assert measure(after).range_lu - measure(source).range_lu == pytest.approx(MOST_STRETCH * 0.8, abs=0.3)


def test_steady_noise_and_beats_shorter_than_a_section_are_left_bit_for_bit() -> None:
    beats = passages([0.0, -30.0] * 40, each_s=0.5)
    bars = passages([0.0, 3.0] * 16, each_s=2.0)
    for source in (passages([0.0]), beats, bars, passages([0.0], each_s=1.0)):
        assert ridden(source, 6.0).samples.tobytes() == source.samples.tobytes()


def test_every_section_is_longer_than_a_bar_and_they_cover_the_song() -> None:
    sections = measure_ride(passages([0.0, 2.0, 0.5, 1.5], each_s=11.0), 2.0).sections
    assert [section.stop_s for section in sections[:-1]] == [section.start_s for section in sections[1:]]
    assert (sections[0].start_s, sections[-1].stop_s) == (0.0, pytest.approx(44.0))
    assert min(section.stop_s - section.start_s for section in sections) >= LEAST_SECTION_S


def test_output_is_the_same_however_the_input_is_cut() -> None:
    source = passages([0.0, 2.0])
    ride = measure_ride(source, 2.0)
    whole, cut = (
        collect(process_blocks(source, [Rider(ride, RATE)], size), RATE, 2).samples
        for size in (1 << 20, 3001)
    )
    assert whole.tobytes() == cut.tobytes()


def test_what_comes_before_may_be_late() -> None:
    source = passages([0.0, 2.0])
    ride, late = measure_ride(source, 2.0), 441
    plain = Rider(ride, RATE).process(source.samples)
    delayed = Rider(ride, RATE, late).process(np.pad(source.samples, ((0, 0), (late, 0))))
    np.testing.assert_array_equal(delayed[:, late:], plain)


def test_silence_has_no_section_to_move() -> None:
    silence = Audio(np.zeros((2, 20 * RATE), np.float32), RATE)
    assert not ridden(silence, 6.0).samples.any()
    assert not measure_ride(Audio(np.zeros((2, 0), np.float32), RATE), 6.0).moves
