import json

import numpy as np
import pytest

from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration import clipping
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.restoration.sparsity import beyond_level
from mixagent.pipeline.types import Audio, FloatArray, load

RATE = 44100


def nothing(_: float) -> None:
    return


def sdr_db(truth: FloatArray, estimate: FloatArray) -> float:
    return float(10 * np.log10(np.sum(truth**2) / np.sum((truth - estimate) ** 2)))


def music(seconds: float = 3, channels: int = 2, rate: int = RATE) -> FloatArray:
    """Decaying partials, peaky and broadband, whose two sides differ."""
    rng = np.random.default_rng(5)
    t = np.arange(round(seconds * rate)) / rate
    out = np.zeros((channels, len(t)))
    for _ in range(40):
        begun = np.clip(t - rng.uniform(0, seconds), 0, None)
        decay = np.exp(-6 * begun) * (begun > 0) * rng.uniform(0.2, 1)
        tone = np.sin(2 * np.pi * rng.uniform(60, rate / 15) * t + rng.uniform(0, 6)) * decay
        out += tone * rng.uniform(0.3, 1, (channels, 1))
    return (out / np.abs(out).max()).astype(np.float32)


def clip_at(samples: FloatArray, over_db: float, level: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """A song and its copy clipped `over_db` under its peak, which lies at `level` then."""
    song = (samples / np.abs(samples).max() * level * 10 ** (over_db / 20)).astype(np.float32)
    return song, song.clip(-level, level)


def found_in(audio: Audio) -> Found | None:
    return clipping.find(audio, analyse(audio), nothing)


def repaired(audio: Audio, scratch) -> Restored:
    found = found_in(audio)
    assert found is not None
    kept = Found(found.why, found.values, json.loads(json.dumps(found.details)))
    return clipping.run(audio, kept, scratch, nothing)


def samples_of(restored: Restored) -> FloatArray:
    assert restored.applied
    return load(restored.audio).samples


class TestFind:
    def test_there_is_nothing_in_unclipped_music(self):
        assert found_in(Audio(music(), RATE)) is None

    def test_nor_in_a_square_wave_which_jumps_to_its_level(self):
        square = np.sign(np.sin(2 * np.pi * 441 * np.arange(RATE) / RATE + 0.01)).astype(np.float32)
        assert found_in(Audio(np.tile(square, (2, 1)), RATE)) is None

    @pytest.mark.parametrize("seconds", [0.0, 0.001, 2.0])
    def test_nor_in_silence_of_any_length(self, seconds):
        silence = Audio(np.zeros((2, round(seconds * RATE)), np.float32), RATE)
        assert clipping.find(silence, analyse(silence), nothing) is None

    def test_the_share_of_clipped_samples_is_what_was_clipped(self):
        song, clipped = clip_at(music(), 6)
        found = found_in(Audio(clipped, RATE))
        assert found.values["clipped_share"] == pytest.approx(np.mean(np.abs(song) >= 1), rel=0.01)


class TestRun:
    @pytest.mark.parametrize(("over_db", "gained_db"), [(6, 10), (9, 10)])
    def test_most_of_what_was_cut_off_comes_back(self, tmp_path, over_db, gained_db):
        song, clipped = clip_at(music(), over_db)
        out = samples_of(repaired(Audio(clipped, RATE), tmp_path))
        assert sdr_db(song, out) > sdr_db(song, clipped) + gained_db

    @pytest.mark.parametrize("rate", [8000, 96000])
    def test_at_every_rate(self, tmp_path, rate):
        song, clipped = clip_at(music(1, rate=rate), 6)
        assert sdr_db(song, samples_of(repaired(Audio(clipped, rate), tmp_path))) > sdr_db(song, clipped) + 6

    def test_a_clipped_song_that_was_turned_down_is_rebuilt_as_well(self, tmp_path):
        song, clipped = clip_at(music(), 6, level=0.3)
        assert sdr_db(song, samples_of(repaired(Audio(clipped, RATE), tmp_path))) > sdr_db(song, clipped) + 10

    def test_sides_and_channels_may_be_clipped_at_levels_of_their_own(self, tmp_path):
        song = music()
        clipped = np.stack((song[0].clip(-0.3, 0.4), song[1].clip(-0.25, 0.35))) * np.float32(0.8)
        out = samples_of(repaired(Audio(clipped, RATE), tmp_path))
        assert sdr_db(song * 0.8, out) > sdr_db(song * 0.8, clipped) + 12

    def test_samples_that_were_not_clipped_keep_their_value_and_peaks_only_grow(self, tmp_path):
        _, clipped = clip_at(music(), 6)
        out = samples_of(repaired(Audio(clipped, RATE), tmp_path))
        held = np.abs(clipped) >= 1 - 2e-4
        np.testing.assert_array_equal(out[~held], clipped[~held])
        assert (out[held] * np.sign(clipped[held]) >= 1 - 2e-4).all()

    def test_only_the_clipped_channel_changes(self, tmp_path):
        song, clipped = clip_at(music(), 6)
        mixed = np.stack((clipped[0], 0.3 * song[1])).astype(np.float32)
        out = samples_of(repaired(Audio(mixed, RATE), tmp_path))
        np.testing.assert_array_equal(out[1], mixed[1])
        assert np.abs(out[0]).max() > 1.1

    def test_mono_is_rebuilt(self, tmp_path):
        song, clipped = clip_at(music(channels=1), 6)
        assert sdr_db(song, samples_of(repaired(Audio(clipped, RATE), tmp_path))) > sdr_db(song, clipped) + 10

    def test_the_work_can_be_stopped(self, tmp_path):
        class Stopped(Exception):
            pass

        def stop(_: float) -> None:
            raise Stopped

        clipped = Audio(clip_at(music(1), 6)[1], RATE)
        found = found_in(clipped)
        with pytest.raises(Stopped):
            clipping.run(clipped, found, tmp_path, stop)


def test_a_seam_between_stretches_is_not_heard(monkeypatch, tmp_path):
    song, clipped = clip_at(music(), 6)
    monkeypatch.setattr(clipping, "_CORE_S", 0.7)
    out = samples_of(repaired(Audio(clipped, RATE), tmp_path))
    assert sdr_db(song, out) > sdr_db(song, clipped) + 13


def test_without_a_level_the_samples_are_returned():
    samples = music(0.1)
    assert beyond_level(samples, np.zeros_like(samples), RATE, nothing) is samples
