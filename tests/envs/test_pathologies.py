"""The pathologies: identity at 0, continuous, level-matched, seeded, and mechanisms kept apart."""

import numpy as np
import pytest

from mixagent.envs.pathologies import (
    KINDS,
    MECHANISMS,
    damage,
    damage_all,
    validation_mechanism,
)
from mixagent.pipeline.types import Audio

RATE = 44100
EVERY = [(kind, mechanism.name) for kind in KINDS for mechanism in MECHANISMS[kind]]


@pytest.fixture(scope="module")
def music() -> Audio:
    random = np.random.default_rng(0)
    time = np.arange(4 * RATE) / RATE
    tones = sum(np.sin(2 * np.pi * hz * time) / hz**0.5 for hz in (82, 165, 247, 330, 660, 1320))
    hits = random.standard_normal((2, len(time))) * np.exp(-20 * (time % 0.5))
    return Audio((0.1 * tones + 0.2 * hits).astype(np.float32), RATE)


def rms(samples):
    return np.sqrt(np.mean(np.square(samples, dtype=np.float64)))


@pytest.mark.parametrize(("kind", "mechanism"), EVERY)
def test_no_severity_changes_nothing(music, kind, mechanism):
    assert np.array_equal(damage(music, kind, 0.0, mechanism).samples, music.samples)


@pytest.mark.parametrize(("kind", "mechanism"), EVERY)
def test_damage_grows_with_severity_from_nothing_and_keeps_shape_and_power(music, kind, mechanism):
    made = [damage(music, kind, severity, mechanism, seed=3) for severity in (0.02, 0.5, 1.0)]
    apart = [rms(audio.samples - music.samples) / rms(music.samples) for audio in made]
    assert apart[0] < 0.2
    assert apart[0] < apart[1] < apart[2]
    for audio in made:
        assert audio.samples.shape == music.samples.shape
        assert rms(audio.samples) == pytest.approx(rms(music.samples), rel=1e-3)


def test_the_same_seed_gives_the_same_samples(music):
    first, second = (damage_all(music, 0.7, seed=5).samples for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, damage_all(music, 0.7, seed=6).samples)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_two_mechanisms_for_training_and_one_for_validation(kind):
    assert [m.validation_only for m in MECHANISMS[kind]].count(False) >= 2
    assert validation_mechanism(kind) in {m.name for m in MECHANISMS[kind]}


def test_an_unknown_mechanism_or_severity_is_refused(music):
    with pytest.raises(ValueError, match="has no mechanism"):
        damage(music, "mud", 0.5, "ring")
    with pytest.raises(ValueError, match=r"0\.\.1"):
        damage(music, "mud", 1.5)
