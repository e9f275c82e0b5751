"""The judge of the benchmark on generated songs: what it measures, and what its shares mean."""

from __future__ import annotations

import numpy as np
import pytest
from script_modules import load_script

from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Audio

band = load_script("plain_band")

TONES, WIDTHS, PUNCHES = len(band.BAND_TONE_HZ), len(band.BAND_WIDTH_HZ), len(band.PUNCH)


def song(tone=0.0, width=0.0, punch=0.0, mono=False):
    return band.Judged(
        np.full(TONES, float(tone)), np.full(WIDTHS, float(width)), np.full(PUNCHES, float(punch)), mono
    )


def test_the_judge_has_the_bands_that_its_docstring_names():
    assert (band.BAND_TONE_HZ[0], band.BAND_TONE_HZ[-1]) == (40.0, 12500.0)
    assert (band.BAND_WIDTH_HZ[0], band.BAND_WIDTH_HZ[-1]) == (160.0, 12500.0)
    assert len(band.PUNCH) == 10


def test_white_noise_rises_by_a_third_octave_of_power_a_band_and_is_as_wide_as_it_is_loud():
    samples = 0.1 * np.random.default_rng(0).standard_normal((2, 44100 * 20)).astype(np.float32)
    audio = Audio(samples, 44100)
    analysis = analyse(audio)
    found = band.judged(analysis, fingerprint(audio, analysis.integrated_lufs))
    steps = np.diff(found.tone)[6:]
    assert steps == pytest.approx(10 * np.log10(2) / 3, abs=0.35)
    assert steps.mean() == pytest.approx(10 * np.log10(2) / 3, abs=0.03)
    assert found.width == pytest.approx(0.0, abs=0.6)
    assert not found.mono


def test_the_judge_does_not_hear_level():
    samples = 0.1 * np.random.default_rng(1).standard_normal((2, 44100 * 12)).astype(np.float32)
    loud, soft = (
        band.judged(a, fingerprint(audio, a.integrated_lufs))
        for audio in (Audio(samples, 44100), Audio(samples * np.float32(0.25), 44100))
        for a in (analyse(audio),)
    )
    for kind in band.KINDS:
        assert getattr(loud, kind) == pytest.approx(getattr(soft, kind), abs=0.05)


def test_excess_is_what_lies_beyond_one_deviation_on_average():
    songs = [song(tone=-1), song(tone=1)]
    far = song()
    far.tone[3] = -4.0
    assert band.PlainBand.of(songs).excess(far, "tone") == pytest.approx(3.0 / TONES)
    assert band.PlainBand.of(songs).excess(song(tone=1), "tone") == 0.0


def test_a_finished_song_is_held_against_the_others():
    songs = [song(tone=-1), song(tone=1), song(tone=7)]
    without = band.bands_without_each(songs)
    assert without[2].excess(songs[2], "tone") == pytest.approx(6.0)


def test_mono_songs_say_nothing_of_width():
    songs = [song(width=-2), song(width=2), song(width=-30, mono=True)]
    assert band.PlainBand.of(songs).mean["width"] == pytest.approx(np.zeros(WIDTHS))


def test_what_is_measured_is_read_back_as_it_was():
    random = np.random.default_rng(2)
    first = band.Judged(
        random.normal(size=TONES), random.normal(size=WIDTHS), random.normal(size=PUNCHES), True
    )
    again = band.Judged.from_json(first.to_json())
    for kind in band.KINDS:
        assert getattr(again, kind) == pytest.approx(getattr(first, kind), abs=1e-4)
    assert again.mono


def test_a_song_counts_by_its_excess_up_to_two_decibels():
    # Weights 2 and 1, shares 1/2 and 0.
    assert band.share_removed(np.array([4.0, 1.0]), np.array([2.0, 1.0])) == pytest.approx(1 / 3)


def test_excess_added_to_a_song_that_had_none_counts_against_the_system():
    assert band.share_removed(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(0.0)


def test_the_area_under_the_curve_counts_ties_half():
    assert band.area_under_curve(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == pytest.approx(3.5 / 4)
    assert band.area_under_curve(np.array([3.0, 2.0]), np.array([1.0, 0.0])) == 1.0


def test_the_interval_of_a_mean_is_that_of_its_normal_approximation():
    sample = np.random.default_rng(3).normal(size=400)
    low, high = band.interval(np.mean, sample)
    reach = 1.96 * sample.std() / 20
    assert (low, high) == pytest.approx((sample.mean() - reach, sample.mean() + reach), abs=0.02)


def test_an_interval_is_the_same_each_time():
    sample = np.random.default_rng(4).normal(size=20)
    assert band.interval(np.mean, sample) == band.interval(np.mean, sample)
