"""Highs that end early, made anew."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from repairing import repair
from scipy import signal

from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration import bandwidth
from mixagent.pipeline.restoration.base import Found
from mixagent.pipeline.restoration.table import REPAIRS, repaired
from mixagent.pipeline.types import Audio, load

SECONDS = 6


def _music(rate: int = 44100, seconds: float = SECONDS, channels: int = 2) -> Audio:
    """Noise that falls by 6 dB an octave and beats four times a second."""
    random = np.random.default_rng(3)
    frames = int(seconds * rate)
    hz = np.fft.rfftfreq(frames, 1 / rate)
    spectrum = np.fft.rfft(random.standard_normal((channels, frames))) / np.maximum(hz, 50.0)
    beat = np.exp(-((np.arange(frames) / rate * 4) % 1.0) * 2)
    samples = np.fft.irfft(spectrum, frames) * beat
    return Audio((0.3 * samples / np.abs(samples).max()).astype(np.float32), rate)


def _cut(audio: Audio, hz: float) -> Audio:
    sections = signal.ellip(10, 0.05, 80, hz, output="sos", fs=audio.rate)
    return Audio(signal.sosfiltfilt(sections, audio.samples).astype(np.float32), audio.rate)


def _band_db(audio: Audio, low_hz: float, high_hz: float) -> float:
    hz, power = signal.welch(audio.samples, audio.rate, nperseg=4096)
    return float(10 * np.log10(power.mean(axis=0)[(hz >= low_hz) & (hz < high_hz)].mean() + 1e-20))


def _repaired(audio: Audio, folder) -> Audio:
    return load(repair(bandwidth, audio, folder).audio)


def test_the_highs_above_an_early_end_come_back_and_what_lies_below_stays(tmp_path):
    song = _music()
    damaged = _cut(song, 8000)
    found = bandwidth.find(damaged, analyse(damaged), lambda share: None)
    assert found is not None
    assert found.details["end_hz"] == pytest.approx(8000, rel=0.03)
    made = load(bandwidth.run(damaged, found, tmp_path, lambda share: None).audio)
    for low_hz in (8500, 10000, 12000):
        before, after, truth = (_band_db(one, low_hz, low_hz * 1.15) for one in (damaged, made, song))
        assert abs(after - truth) < 12 < truth - before
    change = Audio(made.samples - damaged.samples, song.rate)
    assert _band_db(change, 100, 7000) < _band_db(damaged, 100, 7000) - 60


def test_no_notch_and_no_step_are_left_at_the_end(tmp_path):
    song = _music()
    made = _repaired(_cut(song, 8000), tmp_path)
    edges = 8000 * 2 ** (np.arange(-4, 5) / 12)
    levels = [_band_db(made, low, high) for low, high in itertools.pairwise(edges)]
    assert np.abs(np.diff(levels)).max() < 6


def test_highs_that_go_on_are_left_alone():
    song = _music()
    assert bandwidth.find(song, analyse(song), lambda share: None) is None


def test_highs_that_end_where_finished_music_ends_are_left_alone():
    song = _cut(_music(), 16000)
    assert bandwidth.find(song, analyse(song), lambda share: None) is None


@pytest.mark.parametrize("order", [1, 2])
def test_a_dull_song_is_left_alone(order):
    song = _music()
    dull = signal.sosfilt(signal.butter(order, 3000, output="sos", fs=song.rate), song.samples)
    audio = Audio(dull.astype(np.float32), song.rate)
    assert bandwidth.find(audio, analyse(audio), lambda share: None) is None


@pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (48000, 2), (96000, 1)])
def test_other_rates_and_mono_are_extended_too(rate, channels, tmp_path):
    song = _music(rate, 4, channels)
    damaged = _cut(song, 7000)
    made = _repaired(damaged, tmp_path)
    assert made.samples.shape == song.samples.shape
    assert made.samples.dtype == np.float32
    assert _band_db(made, 9000, 11000) > _band_db(damaged, 9000, 11000) + 30
    assert _band_db(made, 9000, 11000) == pytest.approx(_band_db(song, 9000, 11000), abs=12)


@pytest.mark.parametrize("rate", [8000, 22050])
def test_a_song_that_its_rate_ends_is_left_alone(rate):
    song = _music(rate)
    assert bandwidth.find(song, analyse(song), lambda share: None) is None


def test_silence_and_a_moment_of_sound_are_left_alone():
    for frames in (0, 100, 44100):
        audio = Audio(np.zeros((2, frames), np.float32), 44100)
        if frames:
            assert bandwidth.find(audio, analyse(audio), lambda share: None) is None


def test_mono_in_two_channels_stays_mono(tmp_path):
    song = _cut(_music(channels=1), 8000)
    made = _repaired(Audio(np.repeat(song.samples, 2, axis=0), song.rate), tmp_path)
    assert np.array_equal(made.samples[0], made.samples[1])
    assert _band_db(made, 9000, 11000) > _band_db(song, 9000, 11000) + 30


def test_a_longer_song_is_the_same_at_its_start_and_has_no_seams(tmp_path):
    song = _cut(_music(seconds=24), 8000)
    made = _repaired(song, tmp_path)
    sections = signal.butter(6, 9000, "highpass", output="sos", fs=song.rate)
    added = signal.sosfilt(sections, made.samples)
    pieces = added[:, : 23 * 44100].reshape(2, -1, 44100 // 2)
    levels = 10 * np.log10((pieces**2).mean(axis=(0, 2)))
    assert np.ptp(levels) < 4


def test_a_network_that_gives_no_numbers_is_skipped_and_told(tmp_path, monkeypatch):
    def nothing(power, reference, mask):
        cells = np.full(mask.shape, np.nan, np.float32)
        return cells, cells

    monkeypatch.setattr(bandwidth, "envelope", nothing)
    song = _cut(_music(), 8000)
    _, restored = repaired(REPAIRS["extend"], song, analyse(song), tmp_path, lambda share: None)
    assert not restored.applied
    assert restored.audio is song
    assert "no numbers" in restored.why


def test_cancelling_reaches_the_caller(tmp_path):
    class Stopped(Exception):
        pass

    def stop(share):
        raise Stopped

    with pytest.raises(Stopped):
        bandwidth.run(_music(seconds=2), Found("", {}, {"end_hz": 8000.0, "density": 1e-3}), tmp_path, stop)


def test_the_mean_level_never_rises_towards_the_top(tmp_path):
    made = _repaired(_cut(_music(), 8000), tmp_path)
    levels = [_band_db(made, low_hz, low_hz + 500) for low_hz in range(14000, 19500, 500)]
    assert np.diff(levels).max() < 1.5
