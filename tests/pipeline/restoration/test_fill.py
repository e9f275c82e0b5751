"""Holes and gaps, filled."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from repairing import repair
from scipy import signal

from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration import envelope, fill
from mixagent.pipeline.restoration.base import Found
from mixagent.pipeline.restoration.table import REPAIRS, repaired
from mixagent.pipeline.types import Audio, load

RATE = 44100
SECONDS = 5
DEFECT = {"holes": [[4000.0, 0.4, 30.0]], "missing_hz": [4000.0], "missing_db": [30.0], "gaps": False}
DETAILS = {**DEFECT, "end_hz": 16000.0, "density": 1e-3}


def _music(rate: int = RATE, channels: int = 2, seconds: float = SECONDS) -> Audio:
    random = np.random.default_rng(5)
    frames = int(seconds * rate)
    hz = np.fft.rfftfreq(frames, 1 / rate)
    spectrum = np.fft.rfft(random.standard_normal((channels, frames))) / np.maximum(hz, 50.0)
    beat = np.exp(-((np.arange(frames) / rate * 4) % 1.0) * 2)
    samples = np.fft.irfft(spectrum, frames) * beat
    return Audio((0.3 * samples / np.abs(samples).max()).astype(np.float32), rate)


def _hollow(audio: Audio, hz: float, depth_db: float, width_octaves: float = 0.4) -> Audio:
    bins_hz = np.fft.rfftfreq(audio.frames, 1 / audio.rate)
    octaves = np.abs(np.log2(np.maximum(bins_hz, 1.0) / hz))
    gain_db = -depth_db * np.clip((width_octaves / 2 - octaves) / 0.04 + 0.5, 0, 1)
    made = np.fft.irfft(np.fft.rfft(audio.samples) * 10 ** (gain_db / 20), audio.frames)
    return Audio(made.astype(np.float32), audio.rate)


def _band_db(audio: Audio, low_hz: float, high_hz: float) -> float:
    hz, power = signal.welch(audio.samples, audio.rate, nperseg=4096)
    return float(10 * np.log10(power.mean(axis=0)[(hz >= low_hz) & (hz < high_hz)].mean() + 1e-20))


def test_a_hole_in_which_the_song_is_only_too_soft_is_raised_to_what_it_was(tmp_path):
    song = _music()
    damaged = _hollow(song, 4000, 24)
    made = load(repair(fill, damaged, tmp_path).audio)
    assert _band_db(damaged, 3700, 4300) < _band_db(song, 3700, 4300) - 15
    assert _band_db(made, 3700, 4300) == pytest.approx(_band_db(song, 3700, 4300), abs=2)
    # It is the song itself that comes back.
    left, right = (np.fft.rfft(one.samples[0]) for one in (made, song))
    hz = np.fft.rfftfreq(song.frames, 1 / RATE)
    inside = (hz > 3700) & (hz < 4300)
    alike = np.abs(np.vdot(left[inside], right[inside]))
    assert alike > 0.95 * np.linalg.norm(left[inside]) * np.linalg.norm(right[inside])


def test_an_empty_hole_is_filled_from_below(tmp_path):
    song = _music()
    damaged = _hollow(song, 4000, 90)
    made = load(repair(fill, damaged, tmp_path).audio)
    assert _band_db(made, 3700, 4300) == pytest.approx(_band_db(song, 3700, 4300), abs=6)


def test_outside_of_a_hole_nothing_changes(tmp_path):
    damaged = _hollow(_music(), 4000, 24)
    made = load(repair(fill, damaged, tmp_path).audio)
    change = Audio(made.samples - damaged.samples, RATE)
    for low_hz, high_hz in ((100, 2500), (6500, 15000)):
        assert _band_db(change, low_hz, high_hz) < _band_db(damaged, low_hz, high_hz) - 50


def test_a_song_without_holes_is_left_alone():
    song = _music()
    assert fill.find(song, analyse(song), lambda share: None) is None


@pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (22050, 2)])
def test_other_rates_and_mono_are_filled_too(rate, channels, tmp_path):
    song = _music(rate, channels)
    made = load(repair(fill, _hollow(song, 4000, 24), tmp_path).audio)
    assert made.samples.shape == song.samples.shape
    assert _band_db(made, 3700, 4300) == pytest.approx(_band_db(song, 3700, 4300), abs=2.5)


def test_silence_is_left_alone():
    audio = Audio(np.zeros((2, RATE), np.float32), RATE)
    assert fill.find(audio, analyse(audio), lambda share: None) is None


def test_what_was_found_is_told_in_a_sentence_and_can_be_kept_as_json():
    import json

    song = _hollow(_hollow(_music(), 2500, 24), 7000, 24)
    found = fill.find(song, analyse(song), lambda share: None)
    assert found is not None
    assert json.loads(json.dumps(dict(found.details))) == dict(found.details)
    assert found.why.startswith("There are holes at 2.5 and 7.0 kHz") or found.why.startswith(
        "There are holes at 7.0 and 2.5 kHz"
    )


def test_a_network_that_gives_no_numbers_is_skipped_and_told(tmp_path, monkeypatch):
    network = envelope.network()
    monkeypatch.setattr(envelope, "network", lambda: lambda *parts: _no_numbers(network(*parts)))
    song = _music()
    found, restored = repaired(REPAIRS["fill"], song, analyse(song), tmp_path, lambda share: None)
    assert found.why == "It could not be looked for."
    assert not restored.applied
    assert restored.audio is song
    assert "no numbers" in restored.why


def _no_numbers(said):
    return replace(said, lacking=said.lacking * float("nan"))


def test_noise_in_gaps_has_the_level_that_is_told(tmp_path, monkeypatch):
    """White noise that is away in one band for a quarter of the time."""
    random = np.random.default_rng(1)
    frames = 4 * RATE
    noise = 0.05 * random.standard_normal((1, frames))
    hz = np.fft.rfftfreq(frames, 1 / RATE)
    away = ((np.arange(frames) // (RATE // 5)) % 4 == 3).astype(np.float64)
    band = np.fft.irfft(np.fft.rfft(noise) * ((hz > 6000) & (hz < 9000)), frames)
    song, damaged = (
        Audio(x.astype(np.float32), RATE) for x in (noise.repeat(2, 0), (noise - band * away).repeat(2, 0))
    )
    from mixagent.pipeline.restoration.band_levels import BANDS, CENTRES_HZ

    def lacking(power, reference):
        inside = (CENTRES_HZ > 6200) & (CENTRES_HZ < 8800)
        centres = np.arange(power.shape[1]) * 1024 / RATE - 1.0 + 1024 / RATE
        gone = (np.floor(centres / 0.2) % 4 == 3) & (centres > 0)
        return (inside[None, :, None] & gone[None, None]).repeat(2, 0).astype(np.float32)

    def told(power, reference, mask):
        # Noise of 0.05: power a bin of half the window's energy.
        level = np.float32(10 * np.log10(0.05**2 * 1024 / reference))
        cells = np.full((2, BANDS, power.shape[1]), level, np.float32)
        cells[1] = -90.0
        return cells, np.full_like(cells, -2.5)

    monkeypatch.setattr(fill, "lacking", lacking)
    monkeypatch.setattr(fill, "envelope", told)
    details = {
        "holes": [],
        "missing_hz": [],
        "missing_db": [],
        "gaps": True,
        "end_hz": 16000.0,
        "density": 2.56,
    }
    made = load(fill.run(damaged, Found("x", {}, details), tmp_path, lambda share: None).audio)
    sections = signal.butter(6, (6300, 8700), "bandpass", output="sos", fs=RATE)
    edges = np.flatnonzero(np.diff(away))
    for start, stop in itertools.pairwise(edges):
        middle = slice(start + 2000, stop - 2000)
        there, truth = (signal.sosfilt(sections, one.samples[0])[middle] for one in (made, song))
        assert 10 * np.log10(np.mean(there**2) / np.mean(truth**2)) == pytest.approx(0, abs=2)
