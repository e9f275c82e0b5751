"""The band policy: finished music is left alone, what lies outside is brought in, silence is silence."""

import numpy as np

from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.diagnosis.diagnose import diagnose
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.finished.band import Band
from mixagent.pipeline.finished.measures import INDEX, MEASURES, measure_song
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Audio
from mixagent.policies.band import BandPolicy, towards
from mixagent.policies.base import Context, Decision

RATE = 44100
SPACE = ParameterSpace.for_stems(())


def heard(samples: np.ndarray) -> Context:
    audio = Audio(samples.astype(np.float32), RATE)
    analysis = analyse(audio)
    found = fingerprint(audio, analysis.integrated_lufs)
    measures = measure_song(analysis, found)
    return Context(
        analysis, {}, diagnose(audio, analysis, found), TARGETS["streaming"], SPACE, measures=measures
    )


def song() -> np.ndarray:
    random, frames = np.random.default_rng(1), 10 * RATE
    spectrum = np.fft.rfft(random.standard_normal((2, frames)))
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.shape[1]), 300)), frames)
    # A beat, for nothing is raised that moves no more than a steady noise.
    beat = 0.3 + np.exp(-(np.arange(frames) / RATE % 0.5) / 0.08)
    return 0.05 * pink * beat / (pink * beat).std()


def band_at(context: Context) -> Band:
    """A band whose mean is this very song."""
    assert context.measures is not None
    return Band("this song", 1, context.measures.values.copy(), np.full(len(MEASURES), 1.0))


def followed(context: Context, band: Band) -> Settings:
    """What the band policy decides, with references to follow."""
    assert context.measures is not None
    return towards(BandPolicy().decide(context), context.measures, band).settings


def decided(context: Context, references: Band) -> Decision:
    assert context.measures is not None
    return towards(BandPolicy().decide(context), context.measures, references)


def test_a_song_against_itself_is_left_alone() -> None:
    context = heard(song())
    moved = followed(context, band_at(context)).changed()
    assert not [name for name in moved if name.startswith(("graphic", "master.transient", "master.ride"))]


def test_a_dull_copy_gets_its_highs_back_from_the_band_of_the_song() -> None:
    samples = song()
    bright = heard(samples)
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(samples.shape[1], 1 / RATE)
    spectrum[:, hz > 3000] *= 10 ** (-6 / 20)
    dull = heard(np.fft.irfft(spectrum, samples.shape[1]))
    settings = followed(dull, band_at(bright))
    apart = dull.measures["tone_8000"] - bright.measures["tone_8000"]  # type: ignore[index]
    assert -0.8 * apart < settings["graphic.tone_8000_db"] < -1.1 * apart
    assert abs(settings["graphic.tone_500_db"]) < 3.0


def test_silence_is_answered_by_nothing() -> None:
    audio = Audio(np.zeros((2, RATE), np.float32), RATE)
    analysis = analyse(audio)
    context = Context(analysis, {}, diagnose(audio, analysis), TARGETS["streaming"], SPACE)
    assert BandPolicy().decide(context).settings.changed() == {}


def test_every_moved_parameter_has_a_reason() -> None:
    context = heard(song())
    far = band_at(context)
    values = far.mean.copy()
    values[INDEX["tone_250"]] += 8.0
    decision = decided(context, Band("far", 1, values, far.spread))
    moved = set(decision.settings.changed())
    assert moved
    assert moved <= set(decision.reasons)
