"""16 bit is dithered by triangular noise: no distortion, no bias, silence stays silent."""

import numpy as np
import pytest

from mixagent.pipeline.io.dither import quantise
from mixagent.pipeline.types import Audio, blocks

LSB = 2.0**-15


def quantised(samples, bits=16, seed=0, size=1 << 14):
    parts = list(quantise(blocks(Audio(samples.astype(np.float32), 44100), size), bits, seed))
    return np.concatenate(parts).T / 2.0**31


def test_the_error_is_white_unbiased_and_three_quarters_of_a_step_rms():
    """TPDF dither of ±1 LSB: total error variance LSB²/4 (1/12 rounding + 1/6 dither)."""
    x = np.random.default_rng(1).uniform(-0.9, 0.9, (2, 1 << 18))
    error = (quantised(x) - x.astype(np.float32)) / LSB
    assert np.var(error) == pytest.approx(0.25, rel=0.01)
    assert abs(error.mean()) < 0.005
    spectrum = np.mean(np.abs(np.fft.rfft(error.reshape(2, -1, 256)))[..., 1:-1] ** 2, axis=(0, 1))
    assert np.ptp(10 * np.log10(spectrum)) < 1.5
    assert abs(np.corrcoef(error[0], x[0])[0, 1]) < 0.01
    assert abs(np.corrcoef(error[0], error[1])[0, 1]) < 0.01


def test_a_tone_of_half_a_step_survives_without_harmonics():
    frames = 1 << 18
    x = np.tile(0.5 * LSB * np.sin(2 * np.pi * 1024 * np.arange(frames) / frames), (1, 1))
    spectrum = np.abs(np.fft.rfft(quantised(x)[0] / LSB)) * 2 / frames
    assert spectrum[1024] == pytest.approx(0.5, abs=0.01)
    assert spectrum[[2048, 3072, 4096, 5120]].max() < 0.01


def test_the_output_does_not_depend_on_blocks_but_on_the_seed():
    x = 0.1 * np.random.default_rng(2).standard_normal((2, 20_000))
    x[:, 3000:12_000] = 0.0
    whole = quantised(x, size=20_000)
    for size in (1, 777, 4096):
        np.testing.assert_array_equal(quantised(x, size=size), whole)
    assert (quantised(x, seed=1) != whole).any()


def test_silence_stays_silent_before_during_and_after_sound():
    x = np.zeros((2, 40_000))
    x[:, 10_000:20_000] = 0.1
    out = quantised(x)
    assert not out[:, :10_000].any()
    assert out[:, 10_000:20_000].all()
    assert not out[:, 25_000:].any()
    assert not quantised(np.zeros((1, 5000))).any()


def test_24_bit_is_plain_rounding():
    x = 0.5 * np.random.default_rng(3).standard_normal((2, 5000)).astype(np.float32).clip(-1, 1)
    np.testing.assert_array_equal(quantised(x, 24), np.rint(x.astype(float) * 2**23) / 2**23)


def test_a_song_of_16_bit_comes_back_bit_for_bit_but_where_it_was_changed():
    steps = np.random.default_rng(4).integers(-20_000, 20_000, (2, 40_000))
    x = steps * LSB
    np.testing.assert_array_equal(quantised(x), x)
    x[:, 10_000:10_100] *= 0.7
    out = quantised(x, size=3000)
    np.testing.assert_array_equal(out[:, :10_000], x[:, :10_000])
    assert (out[:, 10_100:14_000] != x[:, 10_100:14_000]).any()
    np.testing.assert_array_equal(out[:, 15_000:], x[:, 15_000:])
