"""The features of stems beside each other."""

from __future__ import annotations

import numpy as np

from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.stem_features import FEATURES, features, present
from mixagent.pipeline.measure.stem_measures import ROLES, ROW, measures_of
from mixagent.pipeline.types import Audio

STEMS = {name: synthetic_song(seed, 3.0) for seed, name in enumerate(ROLES[:3])}


def _measures(stems: dict[str, Audio], gain_db: float = 0.0) -> np.ndarray:
    gain = np.float32(db_to_amplitude(gain_db))
    mix = Audio(gain * np.sum([part.samples for part in stems.values()], axis=0), 44100)
    return measures_of(
        analyse(mix), {name: analyse(Audio(gain * part.samples, 44100)) for name, part in stems.items()}
    )


def test_a_role_that_is_not_there_is_silent_and_absent() -> None:
    measures = _measures(STEMS)
    assert measures.shape == (1 + len(ROLES), ROW)
    assert list(present(measures)) == [1.0, 1.0, 1.0, 0.0]
    assert features(measures).shape == (len(ROLES), len(FEATURES))
    assert np.isfinite(features(measures)).all()


def test_the_level_of_the_song_changes_nothing() -> None:
    there = slice(0, 3)
    np.testing.assert_allclose(
        features(_measures(STEMS))[there], features(_measures(STEMS, -9.0))[there], atol=0.05
    )


def test_a_stem_that_is_raised_says_so_by_as_much_as_its_mix_leaves() -> None:
    raised = {**STEMS, "bass": Audio(2 * STEMS["bass"].samples, 44100)}
    level, bass = FEATURES.index("level_db"), ROLES.index("bass")
    before, after = (features(_measures(stems))[:, level] for stems in (STEMS, raised))
    others = [ROLES.index("vocals"), ROLES.index("drums")]
    # What all levels lose is what the mix gained; against the others the bass gained its 6 dB.
    lost = before[others] - after[others]
    np.testing.assert_allclose(after[bass] - before[bass] + lost, 6.02, atol=0.05)


def test_silence_gives_finite_features() -> None:
    quiet = Audio(np.zeros((2, 44100), np.float32), 44100)
    measures = measures_of(analyse(quiet), {"bass": analyse(quiet)})
    assert np.isfinite(features(measures)).all()
    assert not present(measures).any()
