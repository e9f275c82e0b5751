import subprocess
from pathlib import Path

import numpy as np
import pytest
from repairing import repair
from scipy.signal import lfilter

from mixagent.pipeline.restoration import clipping, denoising
from mixagent.pipeline.restoration.deepfilter import LIMIT_DB
from mixagent.pipeline.restoration.noise_floor import band_powers, noise_floor
from mixagent.pipeline.types import Audio, AudioSource, FloatArray, load

RATE = 44100


def sdr_db(truth: FloatArray, estimate: FloatArray) -> float:
    return float(10 * np.log10(np.sum(truth**2) / np.sum((truth - estimate) ** 2)))


def sung(seconds: float = 6, rate: int = RATE, channels: int = 2) -> FloatArray:
    """Notes with vibrato, formants and pauses between them."""
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(220 * (1 + 0.02 * np.sin(2 * np.pi * 5 * t))) / rate
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 30) if k * 230 < rate / 2)
    envelope = np.clip(np.sin(2 * np.pi * t / 1.5), 0, 1) ** 0.5
    voice = lfilter([1.0], [1, -1.2, 0.6], harmonics * envelope)
    return np.tile(0.2 * voice / np.abs(voice).max(), (channels, 1)).astype(np.float32)


def white(like: FloatArray, snr_db: float) -> FloatArray:
    noise = np.random.default_rng(3).normal(0, 1, like.shape)
    return (noise * np.sqrt(np.mean(like**2)) * 10 ** (-snr_db / 20)).astype(np.float32)


def music(seconds: float = 3, channels: int = 2) -> FloatArray:
    """Decaying partials over resonant noise: peaky, broadband, nothing periodic."""
    rng = np.random.default_rng(5)
    t = np.arange(round(seconds * RATE)) / RATE
    out = np.zeros((channels, len(t)))
    for _ in range(40):
        decay = np.exp(-6 * np.clip(t - rng.uniform(0, seconds), 0, None)) * (rng.uniform(0.2, 1))
        tone = np.sin(2 * np.pi * rng.uniform(60, 4000) ** 0.9 * t + rng.uniform(0, 6)) * decay
        out += tone * rng.uniform(0.3, 1, (channels, 1))
    return (out / np.abs(out).max()).astype(np.float32)


def clip_at(samples: FloatArray, over_db: float, full_scale: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """A song and its clipped copy, whose level is `full_scale`."""
    song = (samples / np.abs(samples).max() * full_scale * 10 ** (over_db / 20)).astype(np.float32)
    return song, song.clip(-full_scale, full_scale)


@pytest.fixture(scope="module")
def real_vocals() -> Audio:
    stempeg = pytest.importorskip("stempeg", reason="stempeg carries the clip with true stems")
    (path,) = (Path(stempeg.__file__).parent / "data").glob("*.stem.mp4")
    reader = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a:4", "-f", "f32le", "-"]
    raw = subprocess.run(reader, capture_output=True, check=True).stdout
    return Audio(np.ascontiguousarray(np.frombuffer(raw, np.float32).reshape(-1, 2).T), RATE)


class TestNoiseFloor:
    def test_a_clean_voice_has_none(self, real_vocals):
        assert not noise_floor(real_vocals).found

    def test_its_level_is_the_noises_own(self):
        voice = sung()
        noisy = Audio(voice + white(voice, 25), RATE)
        floor = noise_floor(noisy)
        noise_db = 10 * np.log10(np.mean(white(voice, 25) ** 2))
        powers = band_powers(noisy).sum(1)
        active_db = 10 * np.log10(powers[powers >= powers.max() / 100].mean())
        # The bands hold three quarters of white noise, and a floor is its quieter moments: 2 dB in all.
        assert floor.level_db == pytest.approx(noise_db - active_db, abs=3)

    def test_louder_noise_gives_a_higher_floor(self):
        voice = sung()
        levels = [noise_floor(Audio(voice + white(voice, snr), RATE)).level_db for snr in (40, 30, 20)]
        assert levels == sorted(levels)
        assert levels[2] - levels[0] == pytest.approx(20, abs=3)

    def test_silence_and_shortness_have_none(self):
        assert not noise_floor(Audio(np.zeros((2, RATE), np.float32), RATE)).found
        assert not noise_floor(Audio(sung(0.1), RATE)).found


class TestDenoise:
    def test_clean_vocals_come_back_untouched(self, real_vocals, tmp_path):
        restored = repair(denoising, real_vocals, tmp_path)
        assert not restored.applied
        assert restored.audio is real_vocals

    @pytest.mark.parametrize("snr_db", [30, 15])
    def test_noisy_vocals_come_out_cleaner_and_keep_every_band(self, real_vocals, tmp_path, snr_db):
        noise = white(real_vocals.samples, snr_db)
        noisy = Audio(real_vocals.samples + noise, RATE)
        restored = repair(denoising, noisy, tmp_path)
        assert restored.applied
        out = load(restored.audio).samples
        assert sdr_db(real_vocals.samples, out) > sdr_db(real_vocals.samples, noisy.samples) + 1.5
        clean, after = band_powers(real_vocals), band_powers(Audio(out, RATE))
        active = clean.sum(1) >= clean.sum(1).max() / 100
        heard = clean[active].mean(0) > band_powers(Audio(noise, RATE)).mean(0)
        change_db = 10 * np.log10(after[active].mean(0) / clean[active].mean(0))
        assert change_db[heard].min() > -1

    def test_pauses_are_turned_down_by_no_more_than_the_limit(self, tmp_path):
        voice = sung()
        noise = white(voice, 20)
        out = load(repair(denoising, Audio(voice + noise, RATE), tmp_path).audio).samples
        pause = slice(round(0.9 * RATE), round(1.4 * RATE))
        turned_db = 10 * np.log10(np.mean(out[:, pause] ** 2) / np.mean(noise[:, pause] ** 2))
        assert -LIMIT_DB - 0.5 < turned_db < -5

    @pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (48000, 2), (22050, 2)])
    def test_the_result_is_aligned_and_keeps_rate_length_and_channels(self, tmp_path, rate, channels):
        voice = sung(4, rate, channels)
        noisy = Audio(voice + white(voice, 20), rate)
        restored = repair(denoising, noisy, tmp_path)
        assert restored.applied
        audio = restored.audio
        assert (audio.rate, audio.channels, audio.frames) == (rate, channels, noisy.frames)
        out = load(audio).samples[0].astype(np.float64)
        spectrum = np.fft.rfft(out, 2 * len(out)) * np.conj(np.fft.rfft(voice[0], 2 * len(out)))
        assert np.fft.irfft(spectrum).argmax() == 0

    def test_silence_comes_back_untouched(self, tmp_path):
        silence = Audio(np.zeros((2, RATE), np.float32), RATE)
        assert repair(denoising, silence, tmp_path).audio is silence


class TestDeclip:
    def test_unclipped_audio_comes_back_untouched(self, tmp_path):
        source: AudioSource = Audio(music(), RATE)
        restored = repair(clipping, source, tmp_path)
        assert not restored.applied
        assert restored.audio is source

    @pytest.mark.parametrize("over_db", [3, 6])
    def test_clipped_peaks_come_nearer_to_what_they_were(self, tmp_path, over_db):
        song, clipped = clip_at(music(), over_db)
        restored = repair(clipping, Audio(clipped, RATE), tmp_path)
        assert restored.applied
        assert sdr_db(song, load(restored.audio).samples) > sdr_db(song, clipped) + 6

    def test_a_clipped_song_that_was_turned_down_is_rebuilt_as_well(self, tmp_path):
        song, clipped = clip_at(music(), 6, full_scale=0.3)
        restored = repair(clipping, Audio(clipped, RATE), tmp_path)
        assert sdr_db(song, load(restored.audio).samples) > sdr_db(song, clipped) + 6

    def test_samples_that_were_not_clipped_keep_their_value_and_peaks_only_grow(self, tmp_path):
        _, clipped = clip_at(music(), 6)
        out = load(repair(clipping, Audio(clipped, RATE), tmp_path).audio).samples
        held = np.abs(clipped) >= 1 - 1e-3
        np.testing.assert_array_equal(out[~held], clipped[~held])
        assert (np.abs(out[held]) >= np.abs(clipped[held]) - 1e-3).all()

    def test_a_square_wave_is_not_taken_for_a_clipped_song(self, tmp_path):
        square = np.sign(np.sin(2 * np.pi * 441 * np.arange(RATE) / RATE + 0.01)).astype(np.float32)
        assert not repair(clipping, Audio(np.tile(square, (2, 1)), RATE), tmp_path).applied

    def test_silence_comes_back_untouched(self, tmp_path):
        silence = Audio(np.zeros((2, RATE), np.float32), RATE)
        assert repair(clipping, silence, tmp_path).audio is silence

    def test_only_the_clipped_channel_changes(self, tmp_path):
        song, clipped = clip_at(music(), 6)
        mixed = np.stack((clipped[0], 0.3 * song[1])).astype(np.float32)
        out = load(repair(clipping, Audio(mixed, RATE), tmp_path).audio).samples
        np.testing.assert_array_equal(out[1], mixed[1])
        assert np.abs(out[0]).max() > 1.1
