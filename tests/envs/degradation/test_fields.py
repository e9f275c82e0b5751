"""Gains over frequency and time, on audio and on bands."""

from __future__ import annotations

import numpy as np
import pytest

from mixagent.envs.degradation.fields import KINDS, Field, draw_field, moved
from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.measure.song_bands import SongBands, read_bands
from mixagent.pipeline.types import Audio

SONG = synthetic_song(0, 3.0)
BANDS = read_bands(SONG)
AUDIBLE_DB = -50.0


def _power(audio: Audio) -> float:
    return float(np.mean(np.square(audio.samples, dtype=np.float64)))


def _flat(gain_db: float):
    return lambda hz, times_s: np.full((hz.size, 1), gain_db)


def test_an_empty_field_gives_the_input_back() -> None:
    np.testing.assert_allclose(Field().on_audio(SONG).samples, SONG.samples, atol=1e-5)
    same = Field().on_bands(BANDS)
    heard = BANDS.mid_db > AUDIBLE_DB
    np.testing.assert_allclose(same.mid_db[heard], BANDS.mid_db[heard], atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_no_severity_is_the_input_itself(kind: str) -> None:
    field = KINDS[kind][0](np.random.default_rng(1))
    assert field.on_audio(SONG, 0.0) is SONG


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_kind_keeps_shape_and_power(kind: str, channels: int) -> None:
    audio = Audio(SONG.samples[:channels].copy(), SONG.rate)
    done = KINDS[kind][0](np.random.default_rng(2)).on_audio(audio)
    assert done.samples.shape == audio.samples.shape
    assert np.isfinite(done.samples).all()
    assert _power(done) == pytest.approx(_power(audio), rel=1e-4)


@pytest.mark.parametrize(
    "kind", ["random curve", "tilt", "low mids", "width", "lean", "lean curve", "blinking"]
)
def test_bands_are_moved_as_the_audio_is(kind: str) -> None:
    field = KINDS[kind][0](np.random.default_rng(3))
    heard, worked_out = read_bands(field.on_audio(SONG)), field.on_bands(BANDS)
    for name in ("mid_db", "side_db"):
        ours, theirs = getattr(worked_out, name), getattr(heard, name)
        audible = theirs > AUDIBLE_DB
        assert np.median(np.abs(ours - theirs)[audible]) < 0.5


def test_a_lean_moves_right_against_left_by_its_decibels() -> None:
    leaning = read_bands(Field(balance=(_flat(6.0),)).on_audio(SONG))

    def balance_db(bands: SongBands) -> float:
        mid, side = (10 ** (p / 10) for p in (bands.mid_db, bands.side_db))
        cross = bands.common * np.sqrt(mid * side)
        left, right = (np.sum(mid + side + sign * 2 * cross) for sign in (1, -1))
        return float(10 * np.log10(right / left))

    assert balance_db(leaning) - balance_db(BANDS) == pytest.approx(6.0, abs=0.1)
    on_bands = moved(BANDS, np.zeros(1), np.zeros(1), np.full(1, 6.0))
    assert balance_db(on_bands) - balance_db(BANDS) == pytest.approx(6.0, abs=0.1)


def test_a_side_without_gain_makes_the_song_mono() -> None:
    mono = Field(side=(_flat(-90.0),)).on_audio(SONG)
    np.testing.assert_allclose(mono.samples[0], mono.samples[1], atol=1e-3)


def test_one_seed_gives_one_field() -> None:
    first, again = (draw_field(np.random.default_rng(9), 4).on_bands(BANDS) for _ in range(2))
    np.testing.assert_array_equal(first.stacked(), again.stacked())


def test_silence_stays_silence() -> None:
    silence = Audio(np.zeros((2, 44100), np.float32), 44100)
    assert not draw_field(np.random.default_rng(0), 3).on_audio(silence).samples.any()


def test_no_resonance_is_narrow_among_the_low_mids() -> None:
    hz = np.geomspace(200, 500, 50)
    for seed in range(50):
        mid, _, _ = KINDS["resonances"][0](np.random.default_rng(seed)).gains_db(hz, np.zeros(1))
        assert mid.max() < 3.0
