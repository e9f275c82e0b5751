"""The default master of what is no pop song: nothing breaks, noise stays noise, a master stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from script_modules import load_script

kinds = load_script("kinds_of_music")
benchmark = load_script("benchmark_kinds")

RATE = kinds.RATE
SECONDS = 6.0
MOVED_DB = 0.3
"""Less than anybody hears."""
NOISE_WIDTH_DB = 1.0
"""Independent noise is wider than any record in the lows."""


@pytest.fixture(scope="module")
def song():
    """The middle of the example, shape (2, frames)."""
    return benchmark.excerpt(benchmark.ROOT / "examples" / "raw.flac", 10.0).samples


@pytest.fixture
def moved_db(mixagent, tmp_path):
    """Masters samples (channels, frames); the master and by how much tone and width moved."""
    measurer = benchmark.Measurer(tmp_path / "measures")

    def master(samples, name="song"):
        song, output = tmp_path / f"{name}.wav", tmp_path / f"{name}.master.wav"
        soundfile.write(song, np.asarray(samples).T, RATE, "FLOAT")
        ran = mixagent("master", song, "-o", output, "--quiet")
        assert ran.code in (0, 4), ran.err
        made = soundfile.read(output, dtype="float32", always_2d=True)[0].T
        before, after = (benchmark.measured(path, measurer) for path in (song, output))
        return made, benchmark.moved_db(before, after)

    return master


@pytest.mark.parametrize("name", ["white noise", "pink noise"])
def test_noise_is_not_turned_into_music(moved_db, name):
    _, (tone_db, width_db) = moved_db(kinds.SOUNDS[name](SECONDS))
    assert tone_db < MOVED_DB
    assert width_db < NOISE_WIDTH_DB


def test_a_tone_stays_a_tone(moved_db):
    made, _ = moved_db(kinds.tone(SECONDS))
    power = np.abs(np.fft.rfft(made[0] * np.hanning(made.shape[1]))) ** 2
    hz = np.fft.rfftfreq(made.shape[1], 1 / RATE)
    near = np.abs(hz - 1000) < 20
    assert 10 * np.log10(power[~near].sum() / power[near].sum()) < -60


def test_silence_stays_silence(moved_db):
    made, _ = moved_db(kinds.silence(2.0))
    assert not made.any()


def test_half_a_second_becomes_a_finite_master_of_its_length(moved_db, song):
    made, _ = moved_db(kinds.of_half_a_second(song))
    assert made.shape == (2, RATE // 2)
    assert np.isfinite(made).all()


@pytest.mark.parametrize("name", ["half silence", "mono", "one side", "8 kHz", "clipped"])
def test_a_broken_song_becomes_a_finite_master_that_a_second_master_leaves(moved_db, song, name):
    broken = kinds.BROKEN[name](song)
    made, _ = moved_db(broken)
    assert made.shape == broken.shape
    assert np.isfinite(made).all()
    _, (tone_db, width_db) = moved_db(made, "again")
    assert tone_db < MOVED_DB
    assert np.isnan(width_db) or width_db < MOVED_DB


def test_a_master_mastered_again_hardly_moves(moved_db, song):
    made, (first_db, _) = moved_db(song)
    assert first_db > 1.0
    _, (tone_db, width_db) = moved_db(made, "again")
    assert tone_db < MOVED_DB
    assert width_db < MOVED_DB
