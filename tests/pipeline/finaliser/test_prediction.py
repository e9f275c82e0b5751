"""The prediction's promises: what a render would measure, from one pass over the source."""

import pickle

import numpy as np
import pytest

from mixagent.pipeline.dsp.limiter import TruePeakLimiter
from mixagent.pipeline.dsp.oversampling import PeakEnvelope
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.finaliser.prediction import measure_source, predict, reduction_db
from mixagent.pipeline.measure.meters import LoudnessMeter, integrated_lufs, true_peak_dbtp
from mixagent.pipeline.types import Audio, collect

CEILING_DBTP = -1.0


def song(rate, seconds=4.0):
    """Kicks over a chord and noise."""
    rng, time = np.random.default_rng(2), np.arange(round(rate * seconds)) / rate
    beat = time % 0.5
    mono = np.sin(2 * np.pi * 55 * beat) * np.exp(-beat * 10) + 0.05 * rng.standard_normal(time.size)
    mono += 0.15 * sum(np.sin(2 * np.pi * hz * time) for hz in (220, 277.2, 329.6))
    return Audio(np.stack([mono, 0.8 * mono]).astype(np.float32), rate)


def limited(source, gain_db):
    limiter = TruePeakLimiter(source.rate, source.channels, CEILING_DBTP)
    gained = Audio(source.samples * np.float32(10 ** (gain_db / 20)), source.rate)
    audio = collect(process_blocks(gained, [limiter]), source.rate, source.channels)
    return audio, limiter.reductions_db


@pytest.mark.parametrize("rate", [22050, 44100, 96000, 192000])
@pytest.mark.parametrize("gain_db", [-6.0, 3.0, 9.0])
def test_it_predicts_the_loudness_of_a_render(rate, gain_db):
    source = song(rate)
    audio, _ = limited(source, gain_db)
    predicted = predict(measure_source(source), gain_db, CEILING_DBTP)
    assert predicted.integrated_lufs == pytest.approx(integrated_lufs(audio), abs=0.03)


def test_it_predicts_the_reduction_of_a_render():
    source = song(44100)
    audio, reductions = limited(source, 6.0)
    meter = LoudnessMeter(source.rate, source.channels)
    meter.update(audio.samples)
    measured = reduction_db(reductions, meter.loudness().momentary_lufs, source.rate)
    predicted = predict(measure_source(source), 6.0, CEILING_DBTP)
    assert predicted.reduction_db == pytest.approx(measured, abs=0.1)


def test_no_rate_makes_the_measures_larger():
    sizes = [measure_source(song(rate, 1.0)).energies.size for rate in (44100, 96000, 192000)]
    assert max(sizes) < 1600


def test_the_measures_survive_pickling():
    measures = measure_source(song(44100))
    again = pickle.loads(pickle.dumps(measures))
    assert predict(again, 6.0, CEILING_DBTP) == predict(measures, 6.0, CEILING_DBTP)


def test_the_envelope_holds_the_true_peak_wherever_it_lies():
    source = song(44100, 1.0)
    envelope = PeakEnvelope(source.channels, 32)
    envelope.update(source.samples)
    assert 20 * np.log10(envelope.peaks().max()) == pytest.approx(true_peak_dbtp(source), abs=0.1)
    assert envelope.peaks().size * 32 >= source.frames


@pytest.mark.parametrize("size", [1, 97, 4096])
def test_the_envelope_does_not_depend_on_the_blocks(size):
    samples = song(44100, 0.1).samples
    whole, cut = PeakEnvelope(2, 32), PeakEnvelope(2, 32)
    whole.update(samples)
    for start in range(0, samples.shape[1], size):
        cut.update(samples[:, start : start + size])
    assert np.array_equal(whole.peaks(), cut.peaks())


@pytest.mark.parametrize("late_s", [0.0, 0.1, 0.2, 0.3])
def test_a_lone_click_is_left_out_wherever_its_window_begins(late_s):
    """A window is longer than the gain is away for a click, so that two windows hold all of it."""
    rate, at = 44100, round((2.0 + late_s) * 44100)
    samples = song(rate).samples * np.float32(0.02)
    samples[:, at] = 20.0
    audio, reductions = limited(Audio(samples, rate), 0.0)
    meter = LoudnessMeter(rate, 2)
    meter.update(audio.samples)
    assert reductions.max() > 20.0
    assert reduction_db(reductions, meter.loudness().momentary_lufs, rate) == 0.0


def test_a_drum_twice_a_second_counts_in_full():
    beat = np.arange(4 * 44100) % 22050 / 44100
    mono = np.sin(2 * np.pi * 55 * beat) * np.exp(-beat * 10) + 1e-3 * np.sin(2 * np.pi * 440 * beat)
    audio, reductions = limited(Audio(np.stack([mono, mono]).astype(np.float32), 44100), 6.0)
    meter = LoudnessMeter(44100, 2)
    meter.update(audio.samples)
    measured = reduction_db(reductions, meter.loudness().momentary_lufs, 44100)
    assert measured == pytest.approx(reductions.max(), abs=0.1)
