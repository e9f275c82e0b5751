"""The band of stems: what it measures, what it foretells and how far outside something lies."""

from dataclasses import replace

import numpy as np
import pytest

from mixagent.pipeline.finished.stems import (
    STEM_GROUPS,
    STEM_MEASURES,
    StemBand,
    finished_stem_band,
    measure_stems,
    stems_sounding,
)
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.stem_measures import ROLES, measures_of
from mixagent.pipeline.types import Audio
from tests.short_cases import music

LEVEL = STEM_MEASURES.index("level_db")
SOUNDS = {role: music(1.5, seed) for seed, role in enumerate(ROLES)}


def measured(gains_db: dict[str, float] | None = None, **others: Audio) -> np.ndarray:
    """The measures of four sounds, some of them at another level or in place of another."""
    gains = {role: np.float32(10 ** ((gains_db or {}).get(role, 0.0) / 20)) for role in ROLES}
    stems = {role: Audio(sound.samples * gains[role], sound.rate) for role, sound in SOUNDS.items()} | others
    analyses = {role: analyse(stem) for role, stem in stems.items()}
    return measure_stems(measures_of(analyses["vocals"], analyses))


def test_a_fader_moves_the_level_and_nothing_else():
    before, after = measured(), measured({"vocals": 6.0})
    power = 10 ** (before[:, LEVEL] / 10)
    raised = power * [10**0.6, 1, 1, 1]
    np.testing.assert_allclose(after[:, LEVEL], 10 * np.log10(raised / raised.sum()), atol=0.05)
    np.testing.assert_allclose(after[:, 1:], before[:, 1:], atol=0.05)


def test_the_level_of_the_song_changes_no_measure():
    np.testing.assert_allclose(measured(dict.fromkeys(ROLES, -9.0)), measured(), atol=0.05)


def test_a_silent_stem_is_not_there_and_its_measures_are_numbers():
    found = measured(bass=Audio(np.zeros_like(SOUNDS["bass"].samples), 44100))
    assert list(stems_sounding(found)) == [True, True, False, True]
    assert np.isfinite(found).all()


def test_what_is_foretold_hangs_on_no_fader():
    band = finished_stem_band()
    levels = [measured(), measured({"drums": 5.0, "other": -4.0})]
    there = stems_sounding(levels[0])
    expected = [band.expected(one, there) for one in levels]
    np.testing.assert_allclose(expected[0], expected[1], atol=0.05)


def test_a_stem_lies_outside_by_how_far_its_groups_are_over_the_inner_edge():
    shape = (len(ROLES), len(STEM_MEASURES))
    edges = np.ones((len(ROLES), len(STEM_GROUPS)))
    plain = StemBand(
        *(1, np.zeros(shape), np.ones(shape), np.zeros((*shape, len(ROLES) * len(STEM_MEASURES)))),
        *(np.full(shape, 2.0), edges, 3.0 * edges),
    )
    found = np.zeros(shape)
    assert plain.outside(found) == pytest.approx(0.0)
    found[0, LEVEL] = -6.0  # three spreads: at the outer edge of one group of four
    assert plain.outside(found) == pytest.approx([0.25, 0.0, 0.0, 0.0])
    assert plain.outside(found, np.zeros(4, bool)) == pytest.approx(0.0)


def test_the_statistics_come_back_from_json():
    band = finished_stem_band()
    back = StemBand.from_json(band.to_json())
    assert back.songs == band.songs
    np.testing.assert_allclose(back.weights, band.weights)
    with pytest.raises(ValueError, match="schema"):
        StemBand.from_json({**replace(band).to_json(), "schema": "another"})
