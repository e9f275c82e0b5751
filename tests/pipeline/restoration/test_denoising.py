import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
from repairing import repair
from scipy.signal import fftconvolve
from voices import melody, natural, sing

from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration import denoising
from mixagent.pipeline.restoration.noise_floor import BAND_EDGES_HZ, band_powers, noise_floor
from mixagent.pipeline.types import Audio, load

RATE = 44100


def with_noise(voice, snr_db, gated=True):
    """White noise at a level against the voice; gated, it is there where the voice is, as on a stem."""
    noise = np.random.default_rng(3).standard_normal(voice.samples.shape)
    if gated:
        window = np.hanning(4001)
        power = fftconvolve(np.square(voice.samples[0]), window / window.sum(), "same")
        noise *= np.clip(10 * np.log10(np.maximum(power / power.max(), 1e-9)) / 10 + 5, 0, 1)
    noise *= np.std(voice.samples) / np.std(noise) * 10 ** (-snr_db / 20)
    return Audio((voice.samples + noise).astype(np.float32), voice.rate), noise


@pytest.fixture(scope="module")
def voice():
    return sing(natural(melody(rest_s=0.15)), channels=2)


class TestFloorUnderTheVoice:
    @pytest.mark.parametrize("gated", [True, False])
    @pytest.mark.parametrize("snr_db", [10, 20, 30])
    def test_noise_is_found_without_a_pause_at_its_level(self, voice, snr_db, gated):
        noisy, noise = with_noise(voice, snr_db, gated)
        floor = noise_floor(noisy)
        assert floor.found
        assert set(floor.bands_hz) <= set(itertools.pairwise(BAND_EDGES_HZ))
        sounding = np.abs(noise).max(0) > 1e-6
        density = np.mean(noise[:, sounding] ** 2) / (RATE / 2)
        assert 10 * np.log10(np.median(floor.densities) / density) == pytest.approx(0, abs=3)

    def test_a_clean_voice_has_none(self, voice):
        assert not noise_floor(voice).found

    def test_breath_that_comes_and_goes_with_the_voice_is_none(self, voice):
        breath = np.random.default_rng(0).standard_normal(voice.samples.shape)
        swell = 1 + 0.98 * np.sin(2 * np.pi * 2.7 * np.arange(voice.frames) / RATE)
        breathy = voice.samples + 0.01 * breath * swell**2
        assert not noise_floor(Audio(breathy.astype(np.float32), RATE)).found

    def test_each_channel_has_its_own(self, voice):
        noisy, _ = with_noise(voice, 20, gated=False)
        noisy.samples[1] = voice.samples[1] + 0.5 * (noisy.samples[1] - voice.samples[1])
        left, right = np.array(noise_floor(noisy).densities).T
        assert np.median(10 * np.log10(left / right)) == pytest.approx(6.02, abs=0.7)

    @pytest.mark.parametrize("rate", [8000, 22050, 96000])
    def test_it_is_found_at_other_rates(self, rate):
        noisy, _ = with_noise(sing(natural(melody(rate=rate), rate), rate), 15)
        floor = noise_floor(noisy)
        assert floor.found
        assert max(high for _, high in floor.bands_hz) <= rate / 2

    @pytest.mark.parametrize("frames", [0, 1, 5000])
    def test_shortness_and_silence_have_none(self, frames):
        assert not noise_floor(Audio(np.zeros((2, frames), np.float32), RATE)).found
        assert not noise_floor(Audio(np.full((1, frames), 0.1, np.float32), RATE)).found


class TestDenoise:
    @pytest.mark.parametrize("snr_db", [12, 25])
    def test_noise_under_a_voice_goes_and_the_voice_stays(self, voice, tmp_path, snr_db):
        noisy, noise = with_noise(voice, snr_db)
        restored = repair(denoising, noisy, tmp_path)
        assert restored.applied
        out = load(restored.audio).samples
        left = 10 * np.log10(np.mean((out - voice.samples) ** 2) / np.mean(noise**2))
        assert left < -2
        audios = (voice, Audio(out, RATE), Audio(noise.astype(np.float32), RATE))
        clean, after, added = (band_powers(audio).mean(0) for audio in audios)
        loud = (clean > clean.max() * 1e-4) & (clean > 10 * added)
        np.testing.assert_allclose(10 * np.log10(after[loud] / clean[loud]), 0, atol=1.0)

    def test_what_is_found_survives_json(self, voice, tmp_path):
        noisy, _ = with_noise(voice, 20)
        found = denoising.find(noisy, analyse(noisy), lambda share: None)
        told = json.loads(json.dumps(dict(found.details)))
        assert denoising.NoiseFloor(**told).level_db == found.details["level_db"]
        again = denoising.run(noisy, type(found)(found.why, found.values, told), tmp_path, lambda share: None)
        assert again.applied

    def test_a_loss_of_the_voice_is_measured_in_its_bands(self, voice):
        noisy, _ = with_noise(voice, 20)
        floor = noise_floor(noisy)
        assert denoising.voice_loss_db(noisy, noisy, floor) == pytest.approx(0, abs=0.3)
        lost = Audio(noisy.samples * np.float32(10 ** (-3 / 20)), RATE)
        assert denoising.voice_loss_db(noisy, lost, floor) == pytest.approx(3, abs=0.3)
        assert asdict(floor)["bands_hz"] == floor.bands_hz
