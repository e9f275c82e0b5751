"""Damage of every family."""

from __future__ import annotations

import numpy as np
import pytest

from mixagent.envs.degradation import FAMILIES, codecs, degrade, draw_families, vocoders
from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.types import Audio

SONG = synthetic_song(0, 3.0)
NAMES = [family.name for family in FAMILIES]


def _power(audio: Audio) -> float:
    return float(np.mean(np.square(audio.samples, dtype=np.float64)))


@pytest.mark.parametrize("name", NAMES)
def test_every_family_keeps_shape_and_power_and_changes_the_sound(name: str) -> None:
    done = degrade(SONG, (name,), np.random.default_rng(1))
    assert done.samples.shape == SONG.samples.shape
    assert done.samples.dtype == np.float32
    assert np.isfinite(done.samples).all()
    assert _power(done) == pytest.approx(_power(SONG), rel=1e-4)
    assert np.abs(done.samples - SONG.samples).max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_every_family_takes_mono(name: str) -> None:
    mono = Audio(SONG.samples[:1].copy(), SONG.rate)
    done = degrade(mono, (name,), np.random.default_rng(2))
    assert done.samples.shape == mono.samples.shape
    assert np.isfinite(done.samples).all()


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_one_sound(name: str) -> None:
    first, again = (degrade(SONG, (name,), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.samples, again.samples)


def test_no_severity_is_the_input_itself() -> None:
    assert degrade(SONG, NAMES, np.random.default_rng(0), severity=0.0) is SONG


def test_half_of_it_lies_between_the_input_and_the_whole() -> None:
    half, whole = (degrade(SONG, ("crush",), np.random.default_rng(3), severity) for severity in (0.5, 1.0))
    apart = [float(np.mean(np.abs(x.samples - SONG.samples))) for x in (half, whole)]
    assert 0 < apart[0] < apart[1]


def test_silence_stays_silence() -> None:
    silence = Audio(np.zeros((2, 44100), np.float32), 44100)
    assert not degrade(silence, NAMES, np.random.default_rng(0)).samples.any()


@pytest.mark.parametrize("severity", [-0.1, 1.1])
def test_a_severity_out_of_range_is_refused(severity: float) -> None:
    with pytest.raises(ValueError, match="severity"):
        degrade(SONG, ("crush",), np.random.default_rng(0), severity)


def test_drawn_families_are_different_ones_in_the_order_of_the_table() -> None:
    for seed in range(20):
        drawn = draw_families(np.random.default_rng(seed), 3)
        assert len(set(drawn)) == 3
        assert [NAMES.index(name) for name in drawn] == sorted(NAMES.index(name) for name in drawn)


@pytest.mark.parametrize("codec", codecs.installed())
def test_a_codec_at_a_high_rate_gives_the_sound_back_in_its_place(codec: str) -> None:
    done = codecs.through_codec(SONG, codec, 128)
    for ours, theirs in zip(done.samples, SONG.samples, strict=True):
        assert np.corrcoef(ours, theirs)[0, 1] > 0.95


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(ModelMissingError, match="speex"):
        codecs.through_codec(SONG, "speex", 64)


def test_a_round_trip_through_16_khz_leaves_nothing_over_8_khz() -> None:
    noise = Audio(np.random.default_rng(0).standard_normal((2, 44100)).astype(np.float32), 44100)
    power = np.abs(np.fft.rfft(codecs.through_rate(noise, 16000).samples[0])) ** 2
    hz = np.fft.rfftfreq(44100, 1 / 44100)
    assert power[hz > 8500].mean() < 1e-5 * power[hz < 7000].mean()


def test_a_ring_modulator_puts_a_tone_at_sum_and_difference() -> None:
    tone = np.sin(2 * np.pi * 3000 * np.arange(44100) / 44100).astype(np.float32)
    done = vocoders.ring_modulated(Audio(np.stack([tone, tone]), 44100), 5000, 2000, 4000, 0.0)
    spectrum = np.abs(np.fft.rfft(done.samples[0]))
    for hz in (2000, 3000, 8000):
        assert spectrum[hz] > 100 * np.median(spectrum)


def test_mel_inversion_with_the_phases_kept_keeps_the_spectrum_up_to_its_end() -> None:
    noise = Audio(np.random.default_rng(0).standard_normal((1, 88200)).astype(np.float32), 44100)
    done = vocoders.through_mel(noise, 128, 10000.0, 1.0)
    hz = np.fft.rfftfreq(88200, 1 / 44100)
    before, after = (np.abs(np.fft.rfft(x.samples[0])) ** 2 for x in (noise, done))
    inside, above = (hz > 500) & (hz < 9000), hz > 11000
    assert 10 * np.log10(after[inside].mean() / before[inside].mean()) == pytest.approx(0.0, abs=2.0)
    assert after[above].mean() < 1e-3 * before[above].mean()
