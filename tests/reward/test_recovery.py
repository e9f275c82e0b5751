"""The recovery distance: what it must be blind to, what it must see, and the share it gives."""

from __future__ import annotations

import numpy as np
import pytest

from mixagent.pipeline.types import Audio
from mixagent.reward.recovery import Original

RATE = 44100


def _song(seed: int = 1, seconds: float = 2.0) -> Audio:
    """Pink-like stereo noise with a beat: a spectrum, an image and a punch to lose."""
    random = np.random.default_rng(seed)
    frames = int(RATE * seconds)
    white = np.fft.rfft(random.standard_normal((2, frames)))
    pink = np.fft.irfft(white / np.sqrt(np.arange(1, white.shape[1] + 1)), frames)
    beat = 0.3 + np.exp(-((np.arange(frames) % (RATE // 4)) / (RATE * 0.03)))
    mixed = np.array([[1.0, 0.4], [0.4, 1.0]]) @ pink * beat
    return Audio((0.1 * mixed / np.abs(mixed).max()).astype(np.float32), RATE)


def _filtered(audio: Audio, gain_of_hz: np.ufunc) -> Audio:
    spectrum = np.fft.rfft(audio.samples)
    hz = np.fft.rfftfreq(audio.frames, 1 / audio.rate)
    return Audio(np.fft.irfft(spectrum * gain_of_hz(hz), audio.frames).astype(np.float32), audio.rate)


def _crushed(audio: Audio) -> Audio:
    return Audio(np.tanh(30 * audio.samples).astype(np.float32) / 30, audio.rate)


def test_identical_audio_is_at_distance_zero() -> None:
    song = _song()
    assert Original(song).distance(song).total == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("gain_db", [-30.0, 6.0])
def test_a_change_of_level_alone_costs_nothing(gain_db: float) -> None:
    song = _song()
    louder = Audio(song.samples * np.float32(10 ** (gain_db / 20)), RATE)
    assert Original(song).distance(louder).total < 0.01


def test_a_tilt_is_a_distance_of_tone_of_the_size_of_the_tilt() -> None:
    song = _song()
    tilted = _filtered(song, lambda hz: np.where((hz > 200) & (hz < 500), 2.0, 1.0))
    distance = Original(song).distance(tilted)
    assert distance.tone > 1.0
    assert distance.tone / 2 > distance.texture / 4
    assert distance.image < 0.5


def test_swapped_or_folded_channels_are_a_distance_of_image() -> None:
    song = _song()
    left_only = Audio(song.samples * np.array([[1.0], [0.5]], np.float32), RATE)
    folded = Audio(np.repeat(song.samples.mean(axis=0, keepdims=True), 2, axis=0), RATE)
    for damaged in (left_only, folded):
        distance = Original(song).distance(damaged)
        assert distance.image > 2.0
        assert distance.image > 2 * max(distance.punch, distance.texture)


def test_crushed_dynamics_are_a_distance_of_punch_and_texture() -> None:
    distance = Original(_song()).distance(_crushed(_song()))
    assert distance.punch > 0.5
    assert distance.image < 0.5


def test_stronger_damage_is_farther() -> None:
    song = _song()
    original = Original(song)
    distances = [
        original.distance(_filtered(song, lambda hz, g=gain: np.where(hz < 400, g, 1.0))).total
        for gain in (1.0, 1.5, 2.0, 3.0)
    ]
    assert distances == sorted(distances)


def test_recovery_is_one_for_the_original_zero_for_the_damaged_and_negative_for_worse() -> None:
    song, crushed = _song(), _crushed(_song())
    original = Original(song)
    assert original.recovery(crushed, song)["total"] == pytest.approx(1.0, abs=1e-4)
    assert original.recovery(crushed, crushed)["total"] == pytest.approx(0.0)
    worse = _filtered(crushed, lambda hz: np.where(hz > 3000, 0.05, 1.0))
    assert original.recovery(crushed, worse)["total"] < 0


def test_a_dimension_that_was_not_damaged_has_no_share() -> None:
    song = _song()
    louder_bass = _filtered(song, lambda hz: np.where(hz < 300, 2.0, 1.0))
    assert np.isnan(Original(song).recovery(louder_bass, song)["image"])


def test_mono_and_low_rates_are_accepted() -> None:
    song = _song()
    mono = Audio(np.ascontiguousarray(song.samples[:1, ::5]), RATE // 5)
    assert Original(mono).distance(_crushed(mono)).total > 0


def test_silence_and_a_wrong_shape_are_refused() -> None:
    song = _song()
    with pytest.raises(ValueError, match="silent"):
        Original(song).distance(Audio(np.zeros_like(song.samples), RATE))
    with pytest.raises(ValueError, match="shape"):
        Original(song).distance(Audio(song.samples[:, :-1], RATE))
