"""The ways to ruin a song: each is what its name says, seeded, and of the input's shape."""

import numpy as np
import pytest

from mixagent.pipeline.types import Audio
from mixagent.reward.adversarial_edits import (
    ADVERSARIAL_EDITS,
    CLIP_DRIVE_DB,
    NOISE_SNR_DB,
    edit_adversarially,
)
from tests.songs import RATE, song_samples

SONG = Audio(np.ascontiguousarray(song_samples(2.0).T), RATE)


def _power_db(samples: np.ndarray, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(samples.shape[-1], 1 / RATE)
    return 10 * np.log10(power[..., (hz >= low_hz) & (hz < high_hz)].sum() + 1e-20)


@pytest.mark.parametrize("name", ADVERSARIAL_EDITS)
def test_a_ruin_keeps_shape_and_type_and_repeats_under_its_seed(name):
    first, again = edit_adversarially(SONG, name, 3), edit_adversarially(SONG, name, 3)
    assert first.samples.shape == SONG.samples.shape
    assert np.isfinite(first.samples).all()
    np.testing.assert_array_equal(first.samples, again.samples)
    assert np.abs(first.samples - SONG.samples).max() > 1e-3


@pytest.mark.parametrize("name", ADVERSARIAL_EDITS)
def test_silence_and_mono_come_through(name):
    silence = Audio(np.zeros((2, RATE // 2), np.float32), RATE)
    assert not edit_adversarially(silence, name).samples.any()
    mono = Audio(SONG.samples[:1], RATE)
    assert edit_adversarially(mono, name).samples.shape == mono.samples.shape


@pytest.mark.parametrize(
    ("name", "edge_hz"), [("low_pass_2k", 2e3), ("low_pass_4k", 4e3), ("low_pass_8k", 8e3)]
)
def test_a_low_pass_leaves_what_lies_an_octave_under_its_edge_and_takes_what_lies_one_over(name, edge_hz):
    ruined = edit_adversarially(SONG, name).samples
    assert _power_db(ruined, 50, edge_hz / 2) == pytest.approx(
        _power_db(SONG.samples, 50, edge_hz / 2), abs=0.1
    )
    lost_db = _power_db(SONG.samples, 2 * edge_hz, 20e3) - _power_db(ruined, 2 * edge_hz, 20e3)
    assert lost_db > 40


def test_noise_lies_20_db_under_the_song():
    added = edit_adversarially(SONG, "white_noise").samples - SONG.samples
    snr_db = 10 * np.log10(np.mean(SONG.samples**2) / np.mean(added**2))
    assert snr_db == pytest.approx(NOISE_SNR_DB, abs=0.1)


def test_clipping_takes_12_db_off_the_peak():
    ruined = edit_adversarially(SONG, "hard_clip").samples
    off_db = 20 * np.log10(np.abs(SONG.samples).max() / np.abs(ruined).max())
    assert off_db == pytest.approx(CLIP_DRIVE_DB, abs=0.01)


def test_compression_holds_two_levels_20_db_apart_to_one_db():
    time_s = np.arange(2 * RATE) / RATE
    level = np.where(time_s < 1.0, 1.0, 0.1)
    tone = (0.5 * level * np.sin(2 * np.pi * 1000 * time_s)).astype(np.float32)
    ruined = edit_adversarially(Audio(np.stack([tone, tone]), RATE), "compression").samples[0]
    apart_db = 20 * np.log10(ruined[RATE // 4 : RATE // 2].std() / ruined[-RATE // 4 :].std())
    assert apart_db == pytest.approx(20 / 20, abs=0.3)


def test_a_fold_is_mono_and_one_side_is_30_db_down():
    folded = edit_adversarially(SONG, "mono_fold").samples
    np.testing.assert_array_equal(folded[0], folded[1])
    powers = np.sort(np.mean(edit_adversarially(SONG, "one_sided").samples.astype(float) ** 2, axis=1))
    assert 10 * np.log10(powers[1] / powers[0]) == pytest.approx(30.0, abs=0.01)


def test_mud_is_a_bell_of_12_db_at_316_hz():
    impulse = np.zeros((1, 1 << 15), np.float32)
    impulse[0, 0] = 1.0
    gain_db = 20 * np.log10(np.abs(np.fft.rfft(edit_adversarially(Audio(impulse, RATE), "mud").samples[0])))
    hz = np.fft.rfftfreq(1 << 15, 1 / RATE)
    assert gain_db[np.argmin(np.abs(hz - 316))] == pytest.approx(12.0, abs=0.05)
    assert abs(gain_db[np.argmin(np.abs(hz - 8000))]) < 0.1


def test_dropouts_are_digital_silence_and_gating_shuts_half_of_the_time():
    quiet = np.abs(edit_adversarially(SONG, "dropouts").samples).max(axis=0) == 0.0
    assert 0.05 < quiet.mean() < 0.45
    gain = np.abs(edit_adversarially(SONG, "gating").samples).sum(axis=0) / (
        np.abs(SONG.samples).sum(axis=0) + 1e-9
    )
    assert (gain < 0.01).mean() == pytest.approx(0.5, abs=0.1)


def test_reverb_carries_as_much_power_as_the_song():
    wet = edit_adversarially(SONG, "reverb").samples - SONG.samples
    assert np.mean(wet**2) == pytest.approx(np.mean(SONG.samples**2), rel=1e-3)
