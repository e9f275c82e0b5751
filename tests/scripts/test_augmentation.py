"""Overdrive keeps a stem's level and adds partials; a leaked voice is bounded, in both sides, and drawn."""

import numpy as np
import pytest
from script_modules import load_script

RATE = 44100


@pytest.fixture(scope="module")
def augmentation():
    return load_script("augmentation")


def tone(hz: float) -> np.ndarray:
    wave = 0.1 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)
    return np.stack((wave, 0.5 * wave)).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_an_overdriven_tone_keeps_its_level_and_has_more_partials(augmentation, seed):
    clean = tone(200)
    driven = augmentation.driven(clean, np.random.default_rng(seed))
    assert np.sqrt(np.mean(driven**2)) == pytest.approx(np.sqrt(np.mean(clean**2)), rel=1e-3)
    spectrum = np.abs(np.fft.rfft(driven[0]))
    assert spectrum[600] > 100 * np.abs(np.fft.rfft(clean[0]))[600]


def test_silence_is_not_overdriven(augmentation):
    silence = np.zeros((2, 1000), np.float32)
    assert augmentation.driven(silence, np.random.default_rng(0)) is silence


@pytest.mark.parametrize("samples", [19456, RATE])
def test_a_leaked_voice_has_its_length_and_level_and_is_the_same_for_one_seed(augmentation, samples):
    voice, again = (augmentation.leaked_voice(samples, np.random.default_rng(5)) for _ in range(2))
    assert voice.shape == (2, samples)
    assert np.sqrt(np.mean(voice**2)) == pytest.approx(1, rel=1e-3)
    np.testing.assert_array_equal(voice, again)
