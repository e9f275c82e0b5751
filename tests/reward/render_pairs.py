"""A song with something to lose in every respect, and pairs of it, for the tests of the reward."""

import numpy as np
from scipy import signal

from mixagent.pipeline.types import Audio
from mixagent.reward.render_pair import AnalysedAudio, RenderPair

RATE = 44100


def make_song(seed: int = 1, seconds: float = 3.0) -> Audio:
    """Bass and drum hits over wide, decaying chords; highs to 16 kHz and a silent floor; peak 0.5."""
    random = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE)) / RATE
    hits = np.exp(-30 * (time_s % 0.25)) * random.standard_normal((2, time_s.size))
    kick = np.exp(-12 * (time_s % 0.5)) * np.sin(2 * np.pi * 60 * time_s)
    chords = np.zeros((2, time_s.size))
    for harmonic in range(1, 70):
        phase = random.uniform(0, 2 * np.pi, (2, 1))
        chords += np.sin(2 * np.pi * 221 * harmonic * time_s + phase) / harmonic
    chords *= np.exp(-6 * (time_s % 0.75))
    mixed = 0.8 * kick + 0.25 * hits + 0.3 * chords
    return Audio((0.5 * mixed / np.abs(mixed).max()).astype(np.float32), RATE)


def render_pair(before: Audio, after: Audio, **others) -> RenderPair:
    """A pair of two pieces of audio."""
    return RenderPair(AnalysedAudio(before), AnalysedAudio(after), **others)


def gained(audio: Audio, gain_db: float) -> Audio:
    """The audio at another level."""
    return Audio(audio.samples * np.float32(10 ** (gain_db / 20)), audio.rate)


def shelved(audio: Audio, hz: float, gain_db: float) -> Audio:
    """The audio with everything over a corner raised, by linear-phase FIR."""
    gain = 10 ** (gain_db / 20)
    taps = signal.firwin2(1023, (0, hz * 0.9, hz * 1.1, RATE / 2), (1, 1, gain, gain), fs=RATE)
    filtered = signal.oaconvolve(audio.samples, taps[None], mode="same", axes=1)
    return Audio(filtered.astype(np.float32), RATE)
