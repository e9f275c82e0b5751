"""Offsets and polarity of tracks of one sound are found to the frame; nothing else is taken for one."""

import numpy as np
import pytest
from tracks import RATE, bass, hats, keys, kick

from mixagent.pipeline.multitrack.alignment import (
    Correction,
    correction_to,
    corrections,
    loud_starts,
    related_pairs,
    relation,
)
from mixagent.pipeline.types import Audio, load

SECONDS = 6.0
STEP = RATE // 10


def audio(samples):
    return Audio(np.atleast_2d(samples.T).astype(np.float32), RATE)


def moved(samples, frames):
    """Later by so many frames; negative: earlier."""
    out = np.zeros_like(samples)
    stop = len(samples) - abs(frames)
    out[max(frames, 0) :][:stop] = samples[max(-frames, 0) :][:stop]
    return out


def energies(samples):
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    return np.square(mono[: len(mono) // STEP * STEP]).reshape(-1, STEP).mean(axis=1)


def related(one, other, **options):
    return relation(audio(one), audio(other), loud_starts(energies(one), energies(other), STEP), **options)


@pytest.fixture(scope="module")
def sounds():
    return {"kick": kick(SECONDS), "hats": hats(SECONDS), "bass": bass(SECONDS), "keys": keys(SECONDS)}


@pytest.mark.parametrize("frames", [-1000, -44, -1, 0, 1, 44, 1000])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", ["kick", "hats"])
def test_offset_and_polarity_are_found_to_the_frame(sounds, name, frames, sign):
    found = related(sounds[name], 0.5 * sign * moved(sounds[name], frames))
    assert round(found.delay_s * RATE) == frames
    assert found.inverted == (sign < 0)
    assert found.one_sound


def test_they_are_found_through_a_filter_noise_and_another_sound(sounds):
    """A second microphone: duller, with a little of the hats and a hiss."""
    heard = np.convolve(sounds["kick"], np.exp(-np.arange(60) / 15.0) / 15, "full")[: len(sounds["kick"])]
    noise = 0.0003 * np.random.default_rng(4).standard_normal(heard.size)
    found = related(sounds["kick"], -moved(heard, 200) + 0.05 * sounds["hats"] + noise)
    assert found.delay_s * RATE == pytest.approx(200, abs=25)
    assert found.inverted
    assert found.one_sound


@pytest.mark.parametrize(
    ("one", "other"), [("kick", "hats"), ("kick", "bass"), ("kick", "keys"), ("bass", "keys")]
)
def test_what_only_plays_in_time_is_not_one_sound(sounds, one, other):
    found = related(sounds[one], sounds[other])
    assert not found.one_sound
    assert not found.improves


def test_two_noises_in_the_same_rhythm_are_not_one_sound():
    assert not related(hats(SECONDS, seed=5), hats(SECONDS, seed=6)).one_sound


def test_the_gain_is_what_the_sum_has_more_in_the_lows(sounds):
    inverted = related(sounds["kick"], -0.9 * sounds["kick"])
    # |1 + 0.9|² ÷ |1 − 0.9|²
    assert inverted.gain_db == pytest.approx(20 * np.log10(1.9 / 0.1), abs=0.05)
    assert inverted.low_correlation == pytest.approx(-1, abs=1e-3)
    assert related(sounds["kick"], sounds["kick"]).gain_db == pytest.approx(0, abs=1e-6)


def test_an_offset_beyond_reach_is_not_found(sounds):
    late = moved(sounds["kick"], round(0.06 * RATE))
    assert not related(sounds["kick"], late).one_sound
    assert related(sounds["kick"], late, longest_ms=100.0).delay_s == pytest.approx(0.06, abs=1e-4)


def test_windows_are_where_both_are_loud():
    one, other = np.zeros(100), np.zeros(100)
    one[20:60], other[40:80] = 1.0, 1.0
    starts = loud_starts(one, other, STEP)
    assert all(32 * STEP <= start <= 60 * STEP for start in starts)
    assert starts == sorted(starts)


def test_there_are_no_windows_in_silence_or_where_one_rests():
    loud = np.ones(100)
    assert loud_starts(loud, np.zeros(100), STEP) == []
    assert loud_starts(loud[:5], loud[:5], STEP) == []
    assert loud_starts(np.repeat([1.0, 0.0], 50), np.repeat([0.0, 1.0], 50), STEP) == []


def test_pairs_are_ordered_by_how_their_levels_go_together():
    random = np.random.default_rng(0)
    one, other = random.random(200), random.random(200)
    pairs = related_pairs({3: one, 5: other, 8: one + 0.1 * random.random(200)})
    assert pairs[0] == (3, 8)
    assert len(pairs) == 3
    assert related_pairs({1: one}) == []


def test_a_set_is_laid_onto_its_loudest(sounds):
    sources = {
        0: 0.5 * moved(sounds["kick"], 100),
        4: sounds["kick"],
        7: -0.3 * moved(sounds["kick"], -50),
        9: 0.01 * sounds["hats"],
    }
    tracks = {key: audio(samples) for key, samples in sources.items()}
    loud = {key: energies(samples) for key, samples in sources.items()}
    pairs = {
        (a, b): relation(tracks[a], tracks[b], loud_starts(loud[a], loud[b], STEP))
        for a, b in related_pairs(loud)
    }
    found = corrections(tracks, pairs, loud, STEP)
    assert found == {0: Correction(100, False), 7: Correction(-50, True)}


def test_what_lies_well_is_left(sounds):
    tracks = {0: audio(sounds["kick"]), 1: audio(0.5 * sounds["kick"])}
    loud = {0: energies(sounds["kick"]), 1: energies(0.5 * sounds["kick"])}
    pairs = {(0, 1): relation(tracks[0], tracks[1], loud_starts(loud[0], loud[1], STEP))}
    assert corrections(tracks, pairs, loud, STEP) == {}


class TestToSong:
    def test_tracks_are_brought_to_their_song_even_a_processed_one(self, sounds):
        mix = sounds["kick"] + sounds["hats"] + sounds["bass"]
        for song in (mix, np.tanh(2 * mix)):
            starts = loud_starts(energies(mix), energies(mix), STEP)
            assert correction_to(audio(song), audio(moved(mix, 1105)), starts) == Correction(1105, False)
            assert correction_to(audio(song), audio(-mix), starts) == Correction(0, True)

    def test_tracks_that_lie_in_it_or_are_not_its_own_are_left(self, sounds):
        mix = sounds["kick"] + sounds["hats"]
        starts = loud_starts(energies(mix), energies(mix), STEP)
        assert correction_to(audio(mix), audio(mix), starts) is None
        assert correction_to(audio(np.tanh(2 * mix)), audio(mix), starts) is None
        assert correction_to(audio(sounds["keys"]), audio(mix), starts) is None
        assert correction_to(audio(mix), audio(mix), []) is None


def test_what_a_separator_gives_lies_in_its_song(sounds, tmp_path):
    separation = pytest.importorskip("mixagent.pipeline.separation.spleeter")
    mix = audio(np.stack([sounds["kick"] + sounds["hats"] + sounds["bass"]] * 2, axis=1) + sounds["keys"])
    stems = separation.SpleeterSeparator().separate(mix, tmp_path)
    for part in stems.parts.values():
        part = load(part)
        loud = energies(part.samples.T)
        starts = loud_starts(loud, loud, STEP)
        assert correction_to(mix, part, starts) is None
        if starts and (found := relation(mix, part, starts)).one_sound:
            assert (found.delay_s, found.inverted) == (0.0, False)
