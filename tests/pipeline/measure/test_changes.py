"""What became of a source: its bands, the share of its time and the passage, against what was made."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mixagent.pipeline.measure.changes import PASSAGE_S, measure_change, measure_stem
from mixagent.pipeline.types import Audio

RATE = 22_050


def noise(seconds: float) -> np.ndarray:
    return (0.1 * np.random.default_rng(5).standard_normal((2, round(seconds * RATE)))).astype(np.float32)


def test_what_is_the_same_has_no_change():
    source = Audio(noise(2.0), RATE)
    found = measure_change(source, source)
    assert (found.bands, found.share, found.level_db, found.peak_dbfs) == ((), 0.0, -math.inf, -math.inf)
    assert found.passage_s == (0.0, 2.0)


def test_a_passage_made_louder_is_told_by_its_gain_share_and_place():
    before = noise(40.0)
    after = before.copy()
    after[:, 30 * RATE : 34 * RATE] *= 2.0
    shares = []
    found = measure_change(Audio(before, RATE), Audio(after, RATE), shares.append)
    # A tenth of the song four times as strong: 10·lg(1.3) dB; the difference is a tenth of the song itself.
    gains_db = [band.mean_db for band in found.bands]
    assert len(gains_db) > 20
    assert gains_db == pytest.approx([10 * math.log10(1.3)] * len(gains_db), abs=0.4)
    assert found.share == pytest.approx(0.1, abs=1e-3)
    assert found.level_db == pytest.approx(-10.0, abs=0.1)
    assert found.peak_dbfs == pytest.approx(20 * math.log10(np.abs(after - before).max()), abs=1e-3)
    start_s, stop_s = found.passage_s
    assert start_s <= 30.0
    assert stop_s == pytest.approx(start_s + PASSAGE_S)
    assert stop_s >= 34.0
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_click_that_was_taken_out_changes_one_moment_and_no_band():
    after = noise(20.0)
    before = after.copy()
    before[0, 10 * RATE] += 0.5
    found = measure_change(Audio(before, RATE), Audio(after, RATE))
    assert found.bands == ()
    assert found.share == pytest.approx(0.01 / 20.0, rel=0.01)
    assert found.peak_dbfs == pytest.approx(20 * math.log10(0.5), abs=0.01)
    # The click lies in the middle of its passage.
    assert found.passage_s == pytest.approx((6.0, 14.0), abs=0.05)


def test_a_whole_song_of_silence_that_got_a_sound_is_told_without_bands():
    found = measure_change(Audio(np.zeros((1, RATE), np.float32), RATE), Audio(noise(1.0)[:1], RATE))
    assert (found.bands, found.share, found.level_db) == ((), 1.0, math.inf)


def test_a_stem_is_measured_in_level_width_crest_and_every_band_that_it_holds():
    before = noise(3.0)
    mid, side = before.mean(axis=0), (before[0] - before[1]) / 2
    after = np.stack([mid + 0.5 * side, mid - 0.5 * side]) * np.float32(0.5)
    shares = []
    found = measure_stem(Audio(before, RATE), Audio(after, RATE), shares.append)
    # Half of the side of two unlike channels: 10·lg((1 + 1/4)/2) dB, under half the level.
    level_db = 10 * math.log10(0.625) + 20 * math.log10(0.5)
    assert found.lufs[1] - found.lufs[0] == pytest.approx(level_db, abs=0.05)
    assert found.width_db == pytest.approx(20 * math.log10(0.5), abs=0.01)
    peaks = (
        20 * math.log10(np.abs(each).max()) - 10 * math.log10(np.mean(each**2)) for each in (before, after)
    )
    assert found.crest_db == pytest.approx(-next(peaks) + next(peaks), abs=0.01)
    # White noise holds over −60 dB of its power in each third octave, so all of them are there.
    assert len(found.bands) > 20
    assert [band.mean_db for band in found.bands] == pytest.approx([level_db] * len(found.bands), abs=1.0)
    assert shares[-1] == 1.0


def test_a_stem_that_did_not_change_or_is_silent_or_mono_has_no_figures():
    source, silent = Audio(noise(1.0), RATE), Audio(np.zeros((2, RATE), np.float32), RATE)
    same = measure_stem(source, source)
    assert same.lufs[0] == same.lufs[1]
    assert (same.width_db, same.crest_db) == (0.0, 0.0)
    assert {band.mean_db for band in same.bands} == {0.0}
    nothing = measure_stem(silent, silent)
    assert nothing.lufs == (-math.inf, -math.inf)
    assert (nothing.width_db, nothing.crest_db, nothing.bands) == (None, 0.0, ())
    assert measure_stem(Audio(noise(1.0)[:1], RATE), Audio(noise(1.0)[:1], RATE)).width_db is None
