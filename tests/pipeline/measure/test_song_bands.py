"""A song as bands over time."""

from __future__ import annotations

import numpy as np
import pytest

from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.measure.song_bands import (
    BANDS,
    CENTRES_HZ,
    EDGES_HZ,
    FAST,
    FLOOR_DB,
    SongBands,
    excerpts,
    read_bands,
    read_song,
)
from mixagent.pipeline.types import Audio

RATE = 44100


def _noise(seconds: float, channels: int = 2, seed: int = 0) -> Audio:
    samples = np.random.default_rng(seed).standard_normal((channels, round(seconds * RATE)))
    return Audio((0.1 * samples).astype(np.float32), RATE)


def _total(bands: SongBands) -> float:
    return float(np.mean(np.sum(10 ** (bands.mid_db / 10) + 10 ** (bands.side_db / 10), axis=0)))


def test_the_powers_of_all_bands_are_the_excerpts_power_between_the_lowest_and_the_highest_edge() -> None:
    bands = read_bands(_noise(4.0))
    covered = (EDGES_HZ[-1] - EDGES_HZ[0]) / (RATE / 2)
    assert _total(bands) == pytest.approx(covered, rel=0.03)


@pytest.mark.parametrize("hz", [100.0, 1000.0, 8000.0])
def test_a_tone_is_heard_in_its_band_alone(hz: float) -> None:
    tone = np.sin(2 * np.pi * hz * np.arange(2 * RATE) / RATE).astype(np.float32)
    bands = read_bands(Audio(np.stack([tone, tone]), RATE))
    middle = bands.mid_db[:, 10:-10].mean(axis=1)
    assert CENTRES_HZ[int(np.argmax(middle))] == pytest.approx(hz, rel=0.07)
    assert bands.side_db.max() == FLOOR_DB


def test_the_level_makes_no_difference() -> None:
    song = synthetic_song(1, 2.0)
    quiet = Audio(song.samples * np.float32(0.05), song.rate)
    np.testing.assert_allclose(read_bands(song).stacked(), read_bands(quiet).stacked(), atol=0.02)


def test_a_song_on_one_side_shares_all_of_mid_and_side() -> None:
    noise = _noise(2.0).samples[0]
    left = read_bands(Audio(np.stack([noise, np.zeros_like(noise)]), RATE))
    right = read_bands(Audio(np.stack([np.zeros_like(noise), noise]), RATE))
    np.testing.assert_allclose(left.common, 1.0, atol=1e-3)
    np.testing.assert_allclose(right.common, -1.0, atol=1e-3)


@pytest.mark.parametrize("frames", [1, 400, 3000, 20000])
@pytest.mark.parametrize("channels", [1, 2])
def test_short_and_mono_sounds_have_bands(frames: int, channels: int) -> None:
    stacked = read_bands(Audio(_noise(1.0, channels).samples[:, :frames].copy(), RATE)).stacked()
    assert stacked.shape[0] == 3 * BANDS + FAST
    assert np.isfinite(stacked).all()


def test_silence_lies_on_the_floor() -> None:
    bands = read_bands(Audio(np.zeros((2, RATE), np.float32), RATE))
    assert (bands.mid_db == FLOOR_DB).all()
    assert np.isfinite(bands.stacked()).all()


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000])
def test_any_rate_gives_the_same_rows(rate: int) -> None:
    samples = np.random.default_rng(0).standard_normal((2, rate)).astype(np.float32)
    stacked = read_bands(Audio(samples, rate)).stacked()
    assert stacked.shape[0] == 3 * BANDS + FAST
    assert np.isfinite(stacked).all()


def test_stacking_keeps_everything() -> None:
    bands = read_bands(_noise(1.0))
    again = SongBands.of(bands.stacked())
    for name in ("mid_db", "side_db", "common", "fast"):
        np.testing.assert_array_equal(getattr(again, name), getattr(bands, name))


def test_excerpts_are_spread_over_the_song_and_leave_quiet_parts_out() -> None:
    samples = _noise(30.0).samples
    samples[:, : 10 * RATE] *= np.float32(0.01)
    found = excerpts(Audio(samples, RATE), count=3, seconds=10.0)
    assert [excerpt.frames for excerpt in found] == [10 * RATE] * 2


def test_a_song_shorter_than_an_excerpt_is_read_whole() -> None:
    assert read_song(_noise(3.0)).shape[0] == 1
