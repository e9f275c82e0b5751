"""A track that is the sum of others is found, and none that only resembles them."""

import numpy as np
import pytest
from tracks import RATE, bass, hats, keys, kick, stereo

from mixagent.pipeline.multitrack.bounces import bounces
from mixagent.pipeline.types import Audio


def audio(samples):
    return Audio(np.atleast_2d(samples.T).astype(np.float32), RATE)


@pytest.fixture(scope="module")
def band():
    return [kick(), hats(), bass(), keys()]


def found(samples, candidates=None, called_so=()):
    tracks = dict(enumerate(map(audio, samples)))
    return bounces(tracks, tracks if candidates is None else candidates, called_so)


def test_the_sum_of_all_is_found_at_any_gain(band):
    for gain in (1.0, 0.2, 3.0):
        mix = gain * sum(map(stereo, band))
        assert found([*band, mix]) == {4: [0, 1, 2, 3]}


def test_a_group_s_sum_is_found_beside_the_mix(band):
    drums, mix = band[0] + band[1], sum(map(stereo, band))
    assert set(found([*band, drums, mix])) == {4, 5}


def test_a_mix_among_tracks_of_which_one_is_missing_is_none(band):
    assert found([*band[:3], sum(map(stereo, band))]) == {}


def test_a_backing_that_its_name_gives_away_may_be_processed(band):
    rough = np.tanh(3 * sum(map(stereo, band))) / 2
    assert found([*band, rough]) == {}
    assert list(found([*band, rough], called_so=[4])) == [4]


def test_what_the_user_named_is_never_left_out(band):
    mix = sum(map(stereo, band))
    assert found([*band, mix], candidates=[0, 1, 2, 3]) == {}


def test_copies_and_doubles_are_no_sums(band):
    assert found([band[0], band[0], band[2]]) == {}
    assert found([band[0], 0.5 * band[0], -band[0], band[2]]) == {}


def test_a_difference_is_no_sum(band):
    assert found([band[0], band[2], band[0] - band[2]], candidates=[2]) == {}


def test_two_tracks_are_never_a_sum(band):
    assert found([band[0], band[0]]) == {}
    assert found([band[0]]) == {}


def test_silence_is_no_sum(band):
    assert found([*band, 0 * band[0]]) == {}


def test_lengths_may_differ(band):
    mix = np.concatenate([sum(map(stereo, band)), np.zeros((RATE, 2))])
    assert list(found([*band, mix])) == [4]
