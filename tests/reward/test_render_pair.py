"""What is measured of input and render, once, and independent of level."""

import pickle

import numpy as np
import pytest

from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.types import Audio
from mixagent.reward.recovery import Original
from mixagent.reward.render_pair import AnalysedAudio, RenderPair
from tests.reward.render_pairs import RATE, gained, make_song, shelved

SONG = make_song()


def test_the_powers_are_those_of_the_signal_whatever_its_level():
    loud, quiet = AnalysedAudio(SONG).spectra, AnalysedAudio(gained(SONG, -30.0)).spectra
    np.testing.assert_allclose(loud.power, quiet.power, rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(loud.power, (loud.left + loud.right) / 2, rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(loud.power, loud.mid + loud.side, rtol=1e-3, atol=1e-9)


def test_a_tone_lies_in_the_band_that_holds_it():
    time_s = np.arange(RATE) / RATE
    tone = np.tile(np.sin(2 * np.pi * 2500 * time_s).astype(np.float32), (2, 1))
    spectra = AnalysedAudio(Audio(tone, RATE)).spectra
    band = int(np.argmax(spectra.power.mean(axis=1)))
    assert spectra.edges_hz[band] == 2000.0
    assert spectra.power[band].mean() == pytest.approx(1.0, abs=0.05)
    assert spectra.side.max() < 1e-9


def test_the_tilt_is_the_equalisers_gain_against_the_median_band():
    tilt_db = RenderPair(AnalysedAudio(SONG), AnalysedAudio(shelved(SONG, 4000.0, 6.0))).tilt_db
    edges_hz = np.array(AnalysedAudio(SONG).spectra.edges_hz)
    assert tilt_db[edges_hz[:-1] >= 5000] == pytest.approx(6.0, abs=0.3)
    assert tilt_db[edges_hz[1:] <= 2000] == pytest.approx(0.0, abs=0.3)


def test_the_distance_to_one_original_is_measured_once():
    original, other = Original(SONG), Original(gained(SONG, -3.0))
    heard = AnalysedAudio(shelved(SONG, 4000.0, 6.0))
    first = heard.distance(original)
    assert heard.distance(original) is first
    assert heard.distance(other) is not first


def test_known_features_are_taken_and_not_measured_again():
    known = np.arange(3, dtype=np.float32)
    assert AnalysedAudio(SONG, known).features is known


@pytest.mark.parametrize("frames", [0, 1, 100])
def test_what_is_too_short_to_hear_is_silent(frames):
    assert AnalysedAudio(Audio(np.ones((2, frames), np.float32), RATE)).silent


def test_a_render_that_does_not_fit_its_input_is_refused():
    with pytest.raises(ValueError, match="differ"):
        RenderPair(AnalysedAudio(SONG), AnalysedAudio(Audio(SONG.samples[:, :-1], RATE)))


def test_an_input_that_needs_no_limiting_is_held_against_itself_and_a_peaky_one_finished_once():
    heard = AnalysedAudio(SONG)
    assert heard.finished(loudness_target("-24")).analysed is heard
    limited = heard.finished(loudness_target("club"))
    assert limited.analysed is not heard
    assert limited.reduction_db > 3.0
    assert heard.finished(loudness_target("club")) is limited


@pytest.mark.parametrize(
    ("audio", "silent"), [(SONG, False), (Audio(np.zeros_like(SONG.samples), RATE), True)]
)
def test_what_is_sent_without_audio_is_small_and_heard_the_same(audio: Audio, silent: bool):
    heard = AnalysedAudio(audio)
    sent = pickle.loads(pickle.dumps(heard.without_audio()))
    assert len(pickle.dumps(sent)) < 10_000
    assert sent.silent is silent
    np.testing.assert_array_equal(sent.features, heard.features)
