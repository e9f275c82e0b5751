import numpy as np
import pytest
from scipy.special import ndtr

from mixagent.pipeline.restoration.pitch_motion import (
    MOST_CENTS,
    TICK_S,
    Held,
    Step,
    delay_curve,
    moved,
)
from mixagent.pipeline.types import Audio, collect

RATE = 44100
NOTES = (Held(0.1, 0.5), Held(0.5, 1.4), Held(1.6, 2.8))
STEPS = (Step(0.5, 300.0), Step(1.5, -200.0))


def cents_of(curve):
    return 1200 * np.log2(1 + np.diff(curve) / TICK_S)


def test_vibrato_moves_notes_by_30_cents_at_most_and_its_delay_by_3_ms():
    curve = delay_curve(3.0, NOTES, (), vibrato=1.0, glides=0.0)
    # What takes the left-over delay out again adds a little to it.
    assert 15 < np.abs(cents_of(curve)).max() < MOST_CENTS + 8
    assert np.abs(curve).max() < 3e-3


def test_half_of_the_vibrato_is_half_as_deep():
    whole, half = (delay_curve(3.0, NOTES, (), vibrato=share, glides=0.0) for share in (1.0, 0.5))
    np.testing.assert_allclose(half, whole / 2, atol=3e-5)


def test_between_the_moves_the_delay_is_zero():
    curve = delay_curve(3.0, NOTES, STEPS, vibrato=1.0, glides=1.0)
    times_s = np.arange(len(curve)) * TICK_S
    near = np.zeros(len(curve), bool)
    for note in NOTES:
        near |= (times_s >= note.start_s) & (times_s <= note.stop_s)
    for step in STEPS:
        near |= np.abs(times_s - step.time_s) < 0.08
    assert not curve[~near].any()
    assert curve[near].any()


def test_a_step_becomes_its_own_low_passed_one():
    curve = delay_curve(2.0, (), (Step(1.0, 200.0),), vibrato=0.0, glides=1.0)
    times_s = (np.arange(len(curve) - 1) + 0.5) * TICK_S
    glide = cents_of(curve) + 200.0 * (times_s > 1.0)
    settled = np.abs(times_s - 1.0) > 0.08
    np.testing.assert_allclose(glide[settled], 200.0 * (times_s[settled] > 1.0), atol=1e-6)
    # A sung step takes some milliseconds itself.
    beside = np.abs(times_s - 1.0) > 0.01
    np.testing.assert_allclose(glide[beside], 200.0 * ndtr((times_s[beside] - 1.0) / 0.022), atol=8)


def test_large_steps_move_by_150_cents_at_most():
    curve = delay_curve(2.0, (), (Step(1.0, 700.0),), vibrato=0.0, glides=1.0)
    assert np.abs(cents_of(curve)).max() < 160


def test_clicks_stay_within_3_ms_of_where_they_were():
    clicks = np.zeros((2, 3 * RATE), np.float32)
    places = np.arange(2000, 3 * RATE - 2000, 5000)
    clicks[:, places] = 1.0
    curve = delay_curve(3.0, NOTES, STEPS, vibrato=1.0, glides=1.0)
    out = collect(moved(Audio(clicks, RATE), curve), RATE, 2).samples
    assert out.shape == clicks.shape
    for place in places:
        nearby = np.abs(out[0, place - 1000 : place + 1000])
        assert abs(int(nearby.argmax()) - 1000) < 0.003 * RATE


def test_it_is_the_same_however_it_is_cut_into_blocks():
    source = Audio(np.random.default_rng(0).standard_normal((2, 3 * RATE)).astype(np.float32), RATE)
    curve = delay_curve(3.0, NOTES, STEPS, vibrato=1.0, glides=1.0)
    whole = collect(moved(source, curve), RATE, 2).samples
    pieces = collect(moved(source, curve, 7001), RATE, 2).samples
    np.testing.assert_allclose(pieces, whole, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.02])
def test_voices_too_short_for_a_move_are_left(seconds):
    source = Audio(np.ones((1, round(seconds * RATE)), np.float32), RATE)
    curve = delay_curve(seconds, (Held(0.0, seconds),), (Step(seconds / 2, 100.0),), 1.0, 1.0)
    np.testing.assert_array_equal(collect(moved(source, curve), RATE, 1).samples, source.samples)
