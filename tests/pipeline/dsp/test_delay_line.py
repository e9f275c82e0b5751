import numpy as np
import pytest

from mixagent.pipeline.dsp.delay_line import REACH, read_between

RATE = 44100


def test_a_whole_position_is_the_sample_itself():
    samples = np.random.default_rng(0).standard_normal((2, 500)).astype(np.float32)
    places = np.arange(100, 400)
    np.testing.assert_array_equal(read_between(samples, places.astype(float)), samples[:, places])


@pytest.mark.parametrize("hz", [50.0, 1000.0, 12000.0, 18700.0])
def test_between_samples_it_is_the_wave_of_which_they_are(hz):
    frames = np.arange(6000)
    samples = np.sin(2 * np.pi * hz / RATE * frames)[None].astype(np.float32)
    places = np.linspace(1000, 5000, 3777)
    error = read_between(samples, places)[0] - np.sin(2 * np.pi * hz / RATE * places)
    assert 10 * np.log10(2 * np.mean(error**2)) < -80


def test_outside_the_samples_is_silence():
    samples = np.ones((1, 100), np.float32)
    places = np.array([-REACH - 5.5, 100.0 + REACH + 5.5, 300.0, -1.0])
    np.testing.assert_array_equal(read_between(samples, places), np.zeros((1, 4), np.float32))


def test_a_read_that_moves_by_a_percent_raises_a_tone_by_a_percent():
    samples = np.sin(2 * np.pi * 1000 / RATE * np.arange(RATE))[None].astype(np.float32)
    out = read_between(samples, np.arange(40000) * 1.01)[0]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out)), 1 << 18))
    assert spectrum.argmax() * RATE / (1 << 18) == pytest.approx(1010, abs=0.5)
