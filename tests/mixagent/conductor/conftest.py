"""A few seconds of a dull song in four stems, its bass turned round and late, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from mixagent.conductor.graph import Means
from mixagent.conductor.studio import Studio
from mixagent.envs.cases import measure_case
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.finished.measures import measure_song
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Audio, Stems
from mixagent.reward.model import RewardModel, load_reward

RATE, SECONDS = 44100, 4.0
TERMS = ("critic", "constraints", "loudness", "clipping", "lean", "mono_fold", "prior")
"""Of the blind reward: those that take no network over seconds."""


def four_stems(seconds: float = SECONDS) -> Stems:
    """A sung line, a kick and a snare, a bass against the kick, and a chord; dull above 2 kHz."""
    random = np.random.default_rng(3)
    time = np.arange(round(seconds * RATE)) / RATE
    beat, off_beat = time % 0.5, (time + 0.25) % 0.5
    kick = np.exp(-beat / 0.08) * np.sin(2 * np.pi * 55 * beat)
    noise = random.standard_normal((2, time.size))
    vibrato = 2 * np.pi * 330 * time + 1.5 * np.sin(2 * np.pi * 5.5 * time)
    sung = sum(np.sin(k * vibrato) / k**1.5 for k in range(1, 12)) * (0.6 + 0.4 * np.sin(np.pi * time))
    notes = (np.sin(2 * np.pi * hz * time + np.array([[0], [hz]])) for hz in (220, 277, 440, 880, 1320, 2640))
    chord = sum(notes, np.zeros((2, 1)))
    stems = {
        "vocals": 0.08 * np.stack([sung, sung]) + 0.001 * noise,
        "drums": 0.5 * np.stack([kick, kick]) + 0.1 * np.exp(-off_beat / 0.04) * noise,
        "bass": -0.3 * np.stack([kick, kick]) + 0.05 * np.sin(2 * np.pi * 110 * time),
        "other": 0.03 * chord + 0.01 * noise,
    }
    dull = partial(sosfilt, butter(1, 2000, fs=RATE, output="sos"))
    parts = {name: Audio(dull(samples).astype(np.float32), RATE) for name, samples in stems.items()}
    mix = Audio(np.sum([part.samples for part in parts.values()], axis=0), RATE)
    return Stems(mix, parts)


@pytest.fixture(scope="session")
def studio() -> Studio:
    """The song behind the chain, judged by the light terms of the reward."""
    stems = four_stems()
    analysis = analyse(stems.mix)
    measured = measure_song(analysis, fingerprint(stems.mix, analysis.integrated_lufs))
    # A song of a few seconds is left alone: this is the loudest part of a longer one.
    song = replace(measured, duration_s=60.0)
    whole = load_reward()
    light = tuple(term for term in whole.terms if term.name in TERMS)
    reward = RewardModel(light, {term.name: whole.weights[term.name] for term in light})
    case = measure_case("0", stems, TARGETS["streaming"])
    return Studio([case], ParameterSpace.for_stems(tuple(stems.parts)), reward, song)


@pytest.fixture
def means(studio: Studio) -> Callable[..., Means]:
    """What the nodes work with."""

    def made(**fields: Any) -> Means:
        return replace(Means(studio), **fields)

    return made
