"""Damage on long-term powers is that on audio."""

from __future__ import annotations

import numpy as np
import pytest

from mixagent.envs.degradation.fields import draw_field
from mixagent.envs.degradation.powers import PATHOLOGIES, moved, pathologies, under_field
from mixagent.envs.pathologies import damage
from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.measure.song_bands import BANDS, CENTRES_HZ, SongBands, read_bands
from mixagent.pipeline.types import Audio
from mixagent.policies.reading.summary import Summary

SONG = synthetic_song(0, 6.0)
BANDS_OF_SONG = read_bands(SONG).stacked()
HZ = np.array(CENTRES_HZ)


def _powers(stacked: np.ndarray) -> np.ndarray:
    return Summary.of(stacked[None]).powers.astype(np.float64)


POWERS = _powers(BANDS_OF_SONG)


def _levelled_db(powers: np.ndarray) -> np.ndarray:
    return 10 * np.log10(powers[:2] / powers[:2].sum())


@pytest.mark.parametrize("seed", range(6))
def test_a_still_field_is_that_on_bands(seed: int) -> None:
    field = draw_field(np.random.default_rng(seed), 3, still=True)
    on_bands = _powers(field.on_bands(SongBands.of(BANDS_OF_SONG), 0.7).stacked())
    apart = _levelled_db(under_field(POWERS, field, 0.7)) - _levelled_db(on_bands)
    heard = _levelled_db(on_bands) > -60.0
    assert np.abs(apart[heard]).max() < 0.2


@pytest.mark.parametrize("kind", ["mud", "panning", "shimmer"])
def test_pathologies_change_the_long_term_as_they_do_on_audio(kind: str) -> None:
    """Over many draws of the mechanisms for training, band by band: the mean change in dB."""
    on_audio, on_powers = [], []
    for seed in range(24):
        heard = damage(SONG, kind, 0.8, seed=seed)
        on_audio.append(_levelled_db(_powers(read_bands(heard).stacked())))
        done = PATHOLOGIES[kind](POWERS, 0.8, np.random.default_rng(seed))
        on_powers.append(_levelled_db(done))
    wanted, ours = (np.mean(rows, 0) - _levelled_db(POWERS) for rows in (on_audio, on_powers))
    both = 10 * np.log10(POWERS[:2] / POWERS[:2].max()) > -50.0
    assert np.sqrt(np.mean((wanted - ours)[both] ** 2)) < 1.5
    assert np.corrcoef(wanted[both], ours[both])[0, 1] > 0.8


def test_a_balance_and_its_opposite_cancel() -> None:
    nothing, lean = np.zeros(1), np.array([5.0])
    there = moved(POWERS, nothing, nothing, lean)
    assert not np.allclose(there[0], POWERS[0])
    np.testing.assert_allclose(moved(there, nothing, nothing, -lean), POWERS, rtol=1e-6, atol=1e-9)


def test_a_lean_is_that_of_a_gain_on_one_channel() -> None:
    gains = 10 ** (np.array([[-3.0], [3.0]]) / 20)
    leaned = Audio((SONG.samples * gains).astype(np.float32), SONG.rate)
    wanted = _levelled_db(_powers(read_bands(leaned).stacked()))
    ours = _levelled_db(moved(POWERS, np.zeros(1), np.zeros(1), np.array([6.0])))
    np.testing.assert_allclose(ours, wanted, atol=0.05)


def test_as_many_pathologies_as_are_asked_for_and_none_that_is_kept_for_validation() -> None:
    assert set(PATHOLOGIES) == {"mud", "panning", "early end", "shimmer"}
    done = pathologies(POWERS, np.random.default_rng(0), 4)
    assert done.shape == (3, BANDS)
    assert (done[:2] > 0).all()
    same = pathologies(POWERS, np.random.default_rng(0), 0)
    np.testing.assert_array_equal(same, POWERS)
