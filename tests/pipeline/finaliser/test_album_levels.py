"""An album's levels and tones: one loudness, order kept, bounds held."""

import math

import numpy as np
import pyebur128
import pytest

from mixagent.pipeline.dsp.equaliser import BANDS_HZ, band_filters
from mixagent.pipeline.finaliser.album_levels import (
    BOTH_SPEAKERS_LU,
    MOST_TONE_DB,
    kept_offset_lu,
    silences_s,
    song_levels,
    tone_db,
    tone_moves_db,
)
from mixagent.pipeline.measure.meters import integrated_lufs, momentary_lufs, programme_loudness
from mixagent.pipeline.types import Audio

RATE = 48000


def noise(seconds=4.0, gain=0.1, seed=1, channels=2, rate=RATE):
    samples = np.random.default_rng(seed).standard_normal((channels, round(seconds * rate)))
    return Audio((gain * samples).astype(np.float32), rate)


def by_libebur128(songs):
    states = []
    for song in songs:
        state = pyebur128.R128State(song.channels, song.rate, pyebur128.MeasurementMode.MODE_I)
        state.add_frames(np.ascontiguousarray(song.samples.T).ravel(), song.frames)
        states.append(state)
    return pyebur128.get_loudness_global_multiple(states)


class TestProgrammeLoudness:
    @pytest.mark.parametrize("gains", [(0.1,), (0.1, 0.05, 0.02), (0.2, 0.001), (0.1, 0.0)])
    def test_songs_are_gated_as_one_as_libebur128_does(self, gains):
        songs = [noise(gain=gain, seed=k, seconds=3.0 + k) for k, gain in enumerate(gains)]
        ours = programme_loudness([momentary_lufs(song) for song in songs])
        assert ours == pytest.approx(by_libebur128(songs), abs=0.02)

    def test_one_song_is_its_own_album(self):
        song = noise()
        assert programme_loudness([momentary_lufs(song)]) == pytest.approx(integrated_lufs(song), abs=1e-9)

    def test_silence_and_nothing_have_no_loudness(self):
        assert programme_loudness([]) == -math.inf
        assert programme_loudness([momentary_lufs(noise(gain=0.0))]) == -math.inf


class TestLevels:
    @pytest.mark.parametrize("offset", [-3.0, -1.2, 0.0, 2.9])
    def test_up_to_half_the_bound_a_level_is_kept(self, offset):
        assert kept_offset_lu(offset, 6.0) == offset

    def test_beyond_it_levels_bend_towards_the_bound_and_keep_their_order(self):
        offsets = np.linspace(-40, 40, 401)
        kept = [kept_offset_lu(offset, 6.0) for offset in offsets]
        assert max(map(abs, kept)) <= 6.0
        near = np.abs(offsets) < 15
        assert (np.diff(np.array(kept)[near]) > 0).all()
        # Without a corner at the knee: the curvature of 3 tanh(x / 3) is 0.77 / 3 at most.
        assert np.abs(np.diff(kept, 2)).max() < 0.77 * 0.2**2 / 3.0 + 1e-4

    def test_a_bound_of_nothing_makes_all_songs_equally_loud(self):
        assert {kept_offset_lu(offset, 0.0) for offset in (-9.0, 0.0, 4.0)} == {0.0}

    @pytest.mark.parametrize("bound", [0.0, 2.0, 6.0, 20.0])
    @pytest.mark.parametrize("gains", [(0.1, 0.07, 0.05), (0.3, 0.003, 0.01), (0.02,)])
    def test_the_album_has_the_targets_loudness_and_no_song_leaves_the_bound(self, gains, bound):
        songs = [noise(gain=gain, seed=k) for k, gain in enumerate(gains)]
        own = [integrated_lufs(song) for song in songs]
        levels = song_levels(own, [momentary_lufs(song) for song in songs], -14.0, bound)
        masters = [
            Audio((song.samples * 10 ** ((level.target_lufs - lufs) / 20)).astype(np.float32), RATE)
            for song, level, lufs in zip(songs, levels, own, strict=True)
        ]
        assert by_libebur128(masters) == pytest.approx(-14.0, abs=0.03)
        assert max(abs(level.target_lufs + 14.0) for level in levels) <= bound + 1e-6
        quiet_first = np.argsort([level.target_lufs for level in levels], kind="stable")
        assert bound == 0.0 or list(quiet_first) == list(np.argsort(own, kind="stable"))

    def test_levels_that_belong_together_are_left_to_each_other(self):
        songs = [noise(gain=gain, seed=k) for k, gain in enumerate((0.1, 0.08, 0.06))]
        own = [integrated_lufs(song) for song in songs]
        levels = song_levels(own, [momentary_lufs(song) for song in songs], -14.0, 6.0)
        assert [level.moved_lu for level in levels] == pytest.approx([0.0] * 3, abs=1e-9)
        assert np.diff([level.target_lufs for level in levels]) == pytest.approx(np.diff(own))

    def test_a_mono_song_gains_what_two_loudspeakers_give(self):
        mono = noise(channels=1)
        both = Audio(np.repeat(mono.samples, 2, axis=0), RATE)
        assert integrated_lufs(mono) + BOTH_SPEAKERS_LU == pytest.approx(integrated_lufs(both), abs=1e-6)


class TestTone:
    def test_the_moves_are_bounded_and_go_towards_the_mean(self):
        tones = [np.array([0, 0, 0, 0, 0, 0, 0.0]), np.array([-8, -5, -2, 0, 2, 5, 8.0])]
        dull, bright = tone_moves_db(tones, share=1.0)
        assert np.abs([dull, bright]).max() == MOST_TONE_DB
        assert (np.sign(bright) == -np.sign(dull)).all()
        assert bright[0] > 0 > bright[-1]

    def test_a_share_of_nothing_one_song_and_like_songs_move_nothing(self):
        steep = [np.zeros(7), np.linspace(-4, 4, 7)]
        assert not np.any(tone_moves_db(steep, share=0.0))
        assert not np.any(tone_moves_db([np.linspace(-4, 4, 7)]))
        assert not np.any(tone_moves_db([np.ones(7), np.ones(7)]))

    def test_a_band_that_a_song_does_not_have_is_left_in_all(self):
        tones = [np.array([0, 0, 0, 0, 1, 2, np.nan]), np.array([0, 0, 0, 0, -1, -2, 3.0])]
        moves = tone_moves_db(tones)
        assert np.isfinite(moves).all()
        assert [move[-1] for move in moves] == [0.0, 0.0]

    def test_a_band_that_is_all_but_missing_is_not_raised(self):
        _, thin = tone_moves_db([np.zeros(7), np.array([-40, 0, 0, 0, 0, 0, 0.0])])
        assert thin[0] == 0.0

    def test_the_tone_follows_the_equaliser_band_by_band(self):
        flat = noise(seconds=6.0)
        gains = (0.0, 3.0, 0.0, 0.0, -3.0, 0.0, 0.0)
        spectrum = np.fft.rfft(flat.samples)
        hz = np.fft.rfftfreq(flat.frames, 1 / RATE)
        response = sum(each.response_db(hz[1:], RATE) for each in band_filters(gains, RATE))
        shaped = np.fft.irfft(spectrum * 10 ** (np.concatenate([[0.0], response]) / 20), flat.frames)
        change = tone_db(Audio(shaped.astype(np.float32), RATE)) - tone_db(flat)
        assert change - change.mean() == pytest.approx(np.array(gains), abs=0.5)

    def test_silence_has_no_tone(self):
        assert np.isnan(tone_db(noise(gain=0.0))).all()
        assert len(tone_db(noise())) == len(BANDS_HZ)


def test_the_silence_at_both_ends_is_measured():
    samples = np.zeros((2, RATE), np.float32)
    samples[1, RATE // 4 : RATE // 2] = 0.1
    assert silences_s(Audio(samples, RATE)) == pytest.approx((0.25, 0.5))
    assert silences_s(Audio(samples * 0, RATE)) == pytest.approx((1.0, 1.0))
