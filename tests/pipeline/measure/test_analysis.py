"""Synthesised signals whose measures are known in closed form."""

import json
import math

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

import mixagent.pipeline.types as audio_module
from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.measure.analysis import BANDS_HZ, Analysis, analyse, peaks_apart
from mixagent.pipeline.measure.meters import measure
from mixagent.pipeline.types import Audio

RATE = 44100


def audio(*channels, rate=RATE):
    return Audio(np.stack(channels).astype(np.float32), rate)


def sine(hz, seconds=4.0, amplitude=0.5, rate=RATE, phase=0.0):
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate + phase)


def white(seconds=10.0, seed=0, rate=RATE, rms=0.1):
    return rms * np.random.default_rng(seed).standard_normal(round(seconds * rate))


def shaped(gain, seconds=20.0, seed=0, rate=RATE):
    """White noise whose spectrum is multiplied by gain(frequency in Hz)."""
    noise = white(seconds, seed, rate)
    hz = np.fft.rfftfreq(noise.size, 1 / rate)
    return np.fft.irfft(np.fft.rfft(noise) * gain(np.maximum(hz, 1.0)), noise.size)


def pink(seconds=20.0, seed=0, rate=RATE):
    return shaped(lambda hz: 10 / np.sqrt(hz), seconds, seed, rate)


def song(seed=0, seconds=8.0):
    """Pink noise in stereo with a burst every half second."""
    t = np.arange(round(seconds * RATE)) / RATE
    gain = 0.1 + np.exp(-(t % 0.5) / 0.05)
    return audio(*(gain * pink(seconds, seed + channel) for channel in range(2)))


def test_levels_are_those_of_the_meters():
    source = song()
    analysis, loudness = analyse(source), measure(source)
    assert analysis.integrated_lufs == loudness.integrated_lufs
    assert analysis.loudness_range_lu == loudness.range_lu
    assert analysis.true_peak_dbtp == loudness.true_peak_dbtp
    assert analysis.plr_db == loudness.true_peak_dbtp - loudness.integrated_lufs
    assert len(analysis.short_term_lufs) == 6
    assert analysis.duration_s == 8.0


def test_crest_of_a_sine_is_3_db_and_of_a_square_wave_its_overshoot():
    assert analyse(audio(sine(997.0))).crest_db == pytest.approx(10 * math.log10(2), abs=0.05)
    assert analyse(audio(sine(997.0), sine(997.0))).crest_db == pytest.approx(10 * math.log10(2), abs=0.05)


def test_dc_is_the_mean_of_each_channel():
    analysis = analyse(audio(sine(441.0) + 0.01, sine(441.0) - 0.02))
    assert analysis.dc == pytest.approx((0.01, -0.02), abs=1e-6)


def test_white_noise_shares_go_by_width():
    shares = analyse(audio(white(30.0), white(30.0, seed=1))).bands_db
    for name, (low, high) in BANDS_HZ.items():
        expected = 10 * math.log10((high - low) / (RATE / 2 - 20))
        assert shares[name] == pytest.approx(expected, abs=0.6 if name in ("sub", "bass") else 0.2)


def test_pink_noise_has_equal_third_octaves():
    levels = np.array(analyse(audio(pink(60.0))).third_octave_mid_db)[:-1]
    np.testing.assert_allclose(levels[:10], levels.mean(), atol=1.2)
    np.testing.assert_allclose(levels[10:], levels.mean(), atol=0.3)


@pytest.mark.parametrize("hz", [25.0, 50.0, 100.0, 1000.0, 10000.0])
@pytest.mark.parametrize("rate", [32000, 44100, 48000, 96000])
def test_a_sine_has_its_power_in_its_own_third_octave(hz, rate):
    levels = analyse(audio(sine(hz, rate=rate), rate=rate)).third_octave_mid_db
    index = THIRD_OCTAVES_HZ.index(hz)
    assert levels[index] == pytest.approx(10 * math.log10(0.125), abs=0.1)
    assert max(levels[: max(index - 1, 0)] + levels[index + 2 :]) < levels[index] - 25


def test_power_of_all_third_octaves_is_that_of_the_signal():
    source = audio(sine(300.0), sine(2000.0, amplitude=0.25))
    analysis = analyse(source)
    total = sum(10 ** (db / 10) for db in analysis.third_octave_mid_db + analysis.third_octave_side_db)
    assert total == pytest.approx((0.125 + 0.03125) / 2, rel=0.01)


def test_bands_above_half_the_rate_are_at_the_floor():
    analysis = analyse(audio(white(3.0, rate=8000), rate=8000))
    assert analysis.bands_db["air"] == -120.0
    assert analysis.third_octave_mid_db[-1] == -120.0


@pytest.mark.parametrize("balance_db", [-6.0, 0.0, 3.0])
def test_balance_is_right_over_left(balance_db):
    noise = pink(4.0)
    analysis = analyse(audio(noise, noise * 10 ** (balance_db / 20)))
    assert analysis.balance_db == pytest.approx(balance_db, abs=1e-3)
    assert analysis.correlation == pytest.approx(1.0, abs=1e-6)
    gain = 10 ** (balance_db / 20)
    expected = 20 * math.log10(abs(1 - gain) / (1 + gain)) if balance_db else -120.0
    assert analysis.side_ratio_db["mid"] == pytest.approx(expected, abs=1e-3)


def test_anti_phase_is_all_side_and_is_lost_in_mono():
    noise = pink(4.0)
    analysis = analyse(audio(noise, -noise))
    assert analysis.correlation == pytest.approx(-1.0)
    assert set(analysis.side_ratio_db.values()) == {120.0}
    assert analysis.mono_fold_loss_db == 120.0
    assert max(analysis.third_octave_mid_db) == -120.0


def test_independent_channels_lose_3_db_in_mono():
    analysis = analyse(audio(white(), white(seed=1)))
    assert analysis.correlation == pytest.approx(0.0, abs=0.01)
    assert analysis.mono_fold_loss_db == pytest.approx(10 * math.log10(2), abs=0.05)
    assert analysis.side_ratio_db["air"] == pytest.approx(0.0, abs=0.1)


def test_mono_and_the_same_in_stereo_differ_only_in_loudness_and_channels():
    noise = pink(5.0)
    mono, stereo = analyse(audio(noise)), analyse(audio(noise, noise))
    assert mono.mono_fold_loss_db == stereo.mono_fold_loss_db == 0.0
    assert mono.correlation == 1.0
    assert mono.balance_db == 0.0
    assert mono.third_octave_mid_db == stereo.third_octave_mid_db
    assert set(mono.third_octave_side_db) == {-120.0}
    assert stereo.integrated_lufs - mono.integrated_lufs == pytest.approx(10 * math.log10(2), abs=1e-6)
    assert mono.transient_density_hz == stereo.transient_density_hz


def test_one_silent_channel_is_bounded():
    analysis = analyse(audio(pink(4.0), np.zeros(4 * RATE)))
    assert analysis.balance_db == -120.0
    assert analysis.correlation == 0.0


def test_clipped_sine_counts_each_top():
    clipped = np.clip(sine(101.0, seconds=2.0, amplitude=1.0), -0.7, 0.7)
    assert analyse(audio(clipped)).clipped_runs == 404
    quantised = np.round(clipped * 32767) / 32768
    assert analyse(audio(quantised)).clipped_runs == 404


@pytest.mark.parametrize("hz", [20.0, 50.0, 440.0])
def test_a_whole_sine_is_not_clipped(hz):
    assert analyse(audio(sine(hz, amplitude=1.0))).clipped_runs == 0
    assert analyse(audio(np.round(sine(hz) * 32767) / 32768)).clipped_runs == 0


def test_flat_parts_far_below_the_peak_are_not_clipping():
    samples = np.clip(sine(101.0, amplitude=0.4), -0.2, 0.2)
    samples[1000] = 0.9
    assert analyse(audio(samples)).clipped_runs == 0


@pytest.mark.parametrize("cut_hz", [4000.0, 11000.0, 16000.0, 19000.0])
@pytest.mark.parametrize("floor", [0.0, 1e-4])
def test_bandwidth_finds_a_codec_s_low_pass(cut_hz, floor):
    noise = shaped(lambda hz: np.where(hz < cut_hz, 10 / np.sqrt(hz), floor), seconds=6.0)
    assert analyse(audio(noise)).bandwidth_hz == pytest.approx(cut_hz, rel=0.02)


def test_bandwidth_finds_a_steep_filter_that_is_no_wall():
    noise = sosfilt(butter(30, 16000.0, fs=RATE, output="sos"), pink(6.0)) + white(6.0, rms=1e-5)
    assert analyse(audio(noise)).bandwidth_hz == pytest.approx(16000.0, rel=0.05)


@pytest.mark.parametrize("order", [1, 2, 4, 8])
def test_bandwidth_is_not_fooled_by_gentle_slopes(order):
    noise = shaped(lambda hz: 1 / np.sqrt(1 + (hz / 6000.0) ** (2 * order)), seconds=6.0)
    assert analyse(audio(noise)).bandwidth_hz == RATE / 2


def test_bandwidth_of_full_band_material_is_half_the_rate():
    assert analyse(song()).bandwidth_hz == RATE / 2
    assert analyse(audio(pink(4.0) + sine(5000.0))).bandwidth_hz == RATE / 2
    assert analyse(audio(white(4.0, rate=8000), rate=8000)).bandwidth_hz == 4000.0


def test_a_gap_that_closes_again_is_no_cut_off():
    noise = shaped(lambda hz: np.where((hz > 8000) & (hz < 12000), 0.0, 1.0), seconds=6.0)
    assert analyse(audio(noise)).bandwidth_hz == RATE / 2


@pytest.mark.parametrize("rate", [16000, 44100, 96000])
@pytest.mark.parametrize("per_second", [1, 4, 8])
def test_a_click_train_has_its_own_density(per_second, rate):
    samples = white(10.0, rate=rate, rms=1e-3)
    samples[rate // 20 :: rate // per_second] += 0.5
    analysis = analyse(audio(samples, rate=rate))
    assert analysis.transient_density_hz == pytest.approx(per_second, abs=0.1)
    assert analysis.transient_sharpness_db > 15.0


@pytest.mark.parametrize("rise_db", [8.0, 14.0, 20.0])
def test_sharpness_is_how_far_a_burst_rises(rise_db):
    t = np.arange(10 * RATE) / RATE
    gain = np.where((t % 0.5 > 0.25) & (t % 0.5 < 0.30), 10 ** (rise_db / 20), 1.0)
    analysis = analyse(audio(white(10.0, rms=0.01) * gain))
    assert analysis.transient_density_hz == pytest.approx(2.0, abs=0.2)
    assert analysis.transient_sharpness_db == pytest.approx(rise_db, abs=1.0)


def test_steady_sound_has_no_transients():
    assert analyse(audio(sine(60.0))).transient_density_hz == 0.0
    assert analyse(audio(white())).transient_density_hz < 0.3
    assert analyse(audio(pink())).transient_density_hz < 0.3


@pytest.mark.parametrize("size", [441, 50000])
def test_analysis_is_the_same_whatever_the_blocks(size, monkeypatch):
    source = song(seconds=3.3)
    whole = analyse(source)
    blocks = audio_module.blocks
    monkeypatch.setattr("mixagent.pipeline.measure.analysis.blocks", lambda source: blocks(source, size))
    assert analyse(source) == whole


def test_gain_moves_levels_and_nothing_else():
    source = song()
    before, after = analyse(source), analyse(Audio(source.samples * np.float32(0.25), RATE))
    assert before.true_peak_dbtp - after.true_peak_dbtp == pytest.approx(12.0412, abs=1e-3)
    for name in ("plr_db", "crest_db", "bandwidth_hz", "correlation", "balance_db", "mono_fold_loss_db"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), abs=1e-3)
    assert after.bands_db == pytest.approx(before.bands_db, abs=1e-3)
    assert after.transient_density_hz == before.transient_density_hz


@pytest.mark.parametrize("frames", [0, 1, 100, 5 * RATE])
@pytest.mark.parametrize("channels", [1, 2])
def test_silence_and_next_to_nothing_are_measured(frames, channels):
    analysis = analyse(Audio(np.zeros((channels, frames), np.float32), RATE))
    assert analysis.integrated_lufs == analysis.true_peak_dbtp == -math.inf
    assert analysis.plr_db == analysis.crest_db == analysis.bandwidth_hz == 0.0
    assert analysis.correlation == 1.0
    assert set(analysis.bands_db.values()) == {-120.0}
    assert Analysis.from_json(analysis.to_json()) == analysis


@pytest.mark.parametrize("source", [song(), audio(white(0.05)), audio(np.zeros(RATE))])
def test_json_holds_finite_numbers_and_reads_back_the_same(source):
    analysis = analyse(source)
    text = json.dumps(analysis.to_json(), allow_nan=False)
    assert Analysis.from_json(json.loads(text)) == analysis


def test_more_than_stereo_is_refused():
    with pytest.raises(ValueError, match="mono or stereo"):
        analyse(Audio(np.zeros((6, RATE), np.float32), RATE))


@pytest.mark.parametrize("gap", [1, 5, 20])
def test_onset_peaks_are_those_that_scipy_finds(gap: int) -> None:
    from scipy.signal import find_peaks

    values = np.random.default_rng(gap).standard_normal(4000)
    expected, _ = find_peaks(values, height=0.0, distance=gap)
    np.testing.assert_array_equal(peaks_apart(values, gap), expected)
