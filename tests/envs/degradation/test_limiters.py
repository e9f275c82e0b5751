import numpy as np
import pytest

from mixagent.envs.degradation.limiters import LookAhead, box, draw_limited, in_bands, soft_clip

RATE = 44100


def music(seconds=1.0):
    rng = np.random.default_rng(3)
    t = np.arange(round(seconds * RATE)) / RATE
    beat = np.exp(-12 * (t % 0.25))
    return (0.8 * np.stack([np.sin(2 * np.pi * 90 * t), np.sin(2 * np.pi * 93 * t)]) * beat).astype(
        np.float32
    ) + rng.normal(0, 0.01, (2, t.size)).astype(np.float32)


@pytest.mark.parametrize("attack_ms", [0.5, 5.0, 12.0])
@pytest.mark.parametrize("release_ms", [5.0, 300.0])
def test_a_look_ahead_limiter_keeps_its_ceiling(attack_ms, release_ms):
    out = LookAhead(attack_ms=attack_ms, release_ms=release_ms)(music(), RATE, 0.2)
    assert np.abs(out).max() <= 0.2 * 1.001


def test_it_leaves_what_lies_under_its_ceiling():
    song = music()
    np.testing.assert_array_equal(LookAhead()(song, RATE, 1.5), song)


def test_unlinked_channels_move_apart():
    song = music()
    song[1] *= 0.01
    out = LookAhead(linked=False)(song, RATE, 0.2)
    np.testing.assert_array_equal(out[1], song[1])


def test_a_box_and_a_clipper_keep_their_ceilings():
    assert np.abs(box(music(), RATE, 0.2, 0.005)).max() <= 0.2 * 1.001
    for softness in (0.0, 0.5, 1.0):
        assert np.abs(soft_clip(music(), 0.2, softness)).max() <= 0.2 * 1.001


def test_bands_sum_to_the_song_where_nothing_is_limited():
    song = music()
    out = in_bands(song, RATE, 3.0, np.random.default_rng(0), lambda band, rate, ceiling: band)
    np.testing.assert_allclose(out, song, atol=1e-5)


def test_what_is_drawn_comes_of_its_generator_alone():
    for seed in range(12):
        one, two = (draw_limited(music(), RATE, 9.0, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one, two)
        assert np.isfinite(one).all()
        assert np.abs(one).max() < np.abs(music()).max()
