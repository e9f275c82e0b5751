"""Artefacts of processing: figures against closed forms, and what leaves them unchanged."""

import math

import numpy as np
import pytest
from scipy import signal

from mixagent.pipeline.measure.artefacts import (
    distortion_db,
    harshness_db,
    loudness_jump_lu,
    measure_artefacts,
    pumping_db,
    transient_loss_db,
)
from mixagent.pipeline.measure.meters import measure
from mixagent.pipeline.types import Audio, FloatArray

RATE = 44100


def noise(seconds: float = 4.0, seed: int = 0) -> FloatArray:
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal((2, round(seconds * RATE)))).astype(np.float32)


def beat(seconds: float = 4.0, every_s: float = 0.5, decay_s: float = 0.02) -> FloatArray:
    """One stroke of a drum each half second, of one height."""
    time = np.arange(round(seconds * RATE)) / RATE % every_s
    stroke = (np.sin(2 * np.pi * 80 * time) + 0.5 * np.cos(2 * np.pi * 2000 * time)) * np.exp(-time / decay_s)
    return np.stack([stroke, stroke]).astype(np.float32)


def audio(samples: FloatArray) -> Audio:
    return Audio(np.ascontiguousarray(samples, np.float32), RATE)


@pytest.mark.parametrize("added_db", [-20.0, -40.0])
def test_distortion_is_the_share_of_what_was_added(added_db: float) -> None:
    dry = noise()
    wet = dry + noise(seed=1) * np.float32(10 ** (added_db / 20))
    share_db = 10 * math.log10(10 ** (added_db / 10) / (1 + 10 ** (added_db / 10)))
    assert distortion_db(audio(dry), audio(wet)) == pytest.approx(share_db, abs=0.5)


def test_a_gain_and_a_short_filter_are_no_distortion() -> None:
    dry = noise()
    section = signal.butter(2, [300, 5000], "bandpass", fs=RATE)
    filtered = np.asarray(signal.lfilter(*section, dry), np.float32)
    assert distortion_db(audio(dry), audio(dry * np.float32(0.3))) < -60.0
    assert distortion_db(audio(dry), audio(filtered)) < -25.0
    assert distortion_db(audio(dry), audio(np.clip(dry, -0.1, 0.1))) > -20.0


def test_a_band_that_ducks_with_the_beat_pumps_and_one_that_wanders_by_itself_does_not() -> None:
    sustained = 0.3 * noise(8.0)
    dry = beat(8.0, decay_s=0.1) + sustained
    time = np.arange(dry.shape[1]) / RATE
    duck = 10 ** (-6.0 * np.exp(-(time % 0.5) / 0.1) / 20)
    wander = 10 ** (3.0 * np.sin(2 * np.pi * 3.7 * time) / 20)
    ducked, wandering = (audio(beat(8.0, decay_s=0.1) + sustained * gain) for gain in (duck, wander))
    assert pumping_db(audio(dry), ducked) > 0.8
    assert pumping_db(audio(dry), wandering) < 0.2
    assert pumping_db(audio(dry), audio(dry * np.float32(0.5))) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("taken_db", [3.0, 6.0, -2.0])
def test_the_loss_of_transients_is_what_was_taken_off_their_peaks(taken_db: float) -> None:
    bed = 0.05 * noise()
    time = np.arange(bed.shape[1]) / RATE % 0.5
    gain = np.where(time < 0.08, 10 ** (-taken_db / 20), 1.0)
    lost_db = transient_loss_db(audio(beat() + bed), audio((beat() + bed) * gain))
    # A tenth of the surroundings is stroke and was taken down as well.
    assert lost_db == pytest.approx(taken_db, abs=0.25 * abs(taken_db))


def test_what_a_gain_leaves_alone_has_no_artefacts() -> None:
    dry = beat() + noise()
    artefacts = measure_artefacts(audio(dry), audio(dry * np.float32(0.25)))
    assert artefacts.distortion_db < -60.0
    assert (artefacts.pumping_db, artefacts.transient_loss_db) == pytest.approx((0.0, 0.0), abs=1e-3)


def test_harshness_rises_by_the_gain_of_its_band_and_by_nothing_else() -> None:
    dry = noise()
    spectrum, hz = np.fft.rfft(dry), np.fft.rfftfreq(dry.shape[1], 1 / RATE)
    spectrum[:, (hz > 2000) & (hz < 5000)] *= 10 ** (6 / 20)
    harsher = np.fft.irfft(spectrum, dry.shape[1])
    assert harshness_db(audio(harsher)) - harshness_db(audio(dry)) == pytest.approx(6.0, abs=0.2)
    assert harshness_db(audio(dry * np.float32(4))) == pytest.approx(harshness_db(audio(dry)), abs=1e-4)
    assert harshness_db(audio(np.zeros((2, RATE)))) == -math.inf


def test_the_jump_is_the_step_between_two_passages() -> None:
    samples = noise(12.0)
    samples[:, : 6 * RATE] *= np.float32(0.5)
    assert loudness_jump_lu(measure(audio(samples))) == pytest.approx(20 * math.log10(2), abs=0.1)
    assert loudness_jump_lu(measure(audio(samples[:, :RATE]))) == 0.0


def test_sounds_of_two_lengths_are_refused_and_silence_and_shortness_are_taken() -> None:
    with pytest.raises(ValueError, match="frames"):
        distortion_db(audio(noise(1.0)), audio(noise(2.0)))
    for samples in (np.zeros((2, RATE)), np.zeros((1, 100)), np.ones((1, 10))):
        artefacts = measure_artefacts(audio(samples), audio(samples))
        assert (artefacts.pumping_db, artefacts.transient_loss_db) == (0.0, 0.0)
        assert artefacts.distortion_db == -math.inf
