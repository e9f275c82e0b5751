import json

import numpy as np
import pytest

from mixagent.envs.degradation.limiters import box
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.trees import Trees
from mixagent.pipeline.restoration import delimiting, table
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.restoration.limiter_traces import TRACES, apply_gains, hop_peaks, hop_starts, traces
from mixagent.pipeline.restoration.table import REPAIRS
from mixagent.pipeline.types import Audio, FloatArray, load

RATE = 44100


def nothing(_: float) -> None:
    return


def drums(seconds: float = 6, channels: int = 2, rate: int = RATE) -> FloatArray:
    """Kicks and snares of many strengths over a dense, lively bed."""
    rng = np.random.default_rng(2)
    t = np.arange(round(seconds * rate)) / rate
    out = 0.12 * sum(np.sin(2 * np.pi * f * t + 3 * np.sin(f * t / 90)) for f in (110, 220, 277, 330, 660))
    out += rng.normal(0, 0.12, t.size)
    for begun in np.arange(0.1, seconds, 0.25):
        since = np.clip(t - begun, 0, None)
        strength = rng.uniform(0.3, 1.5) * (t >= begun)
        kick = 2 * np.sin(2 * np.pi * 55 * since) * np.exp(-18 * since)
        snare = rng.normal(0, 0.5, t.size) * np.exp(-30 * since) * (rng.random() < 0.5)
        out += strength * (kick + snare)
    sides = np.linspace(1, 0.8, channels)[:, None]
    return (0.9 * out / np.abs(out).max() * sides).astype(np.float32)


def limited(samples: FloatArray, over_db: float, rate: int = RATE) -> FloatArray:
    return box(samples, rate, float(np.abs(samples).max()) * 10 ** (-over_db / 20), 0.006)


def si_sdr_db(truth: FloatArray, estimate: FloatArray) -> float:
    x, y = truth.ravel().astype(float), estimate.ravel().astype(float)
    alike = np.dot(x, y) ** 2 / (np.dot(x, x) * np.dot(y, y))
    return float(10 * np.log10(alike / (1 - alike)))


def found_in(audio: Audio) -> Found | None:
    return delimiting.find(audio, analyse(audio), nothing)


def repaired(audio: Audio, scratch) -> Restored:
    found = found_in(audio)
    assert found is not None
    kept = Found(found.why, found.values, json.loads(json.dumps(found.details)), found.amount)
    return delimiting.run(audio, kept, scratch, nothing)


class TestFind:
    def test_music_with_peaks_of_its_own_has_nothing_to_give_back(self):
        assert found_in(Audio(drums(), RATE)) is None

    @pytest.mark.parametrize("level", [1.0, 0.1])
    def test_a_crushed_song_is_found_at_any_level(self, level):
        found = found_in(Audio(limited(drums(), 12) * np.float32(level), RATE))
        assert 0 < found.amount <= 1
        assert found.values["share_at_ceiling"] >= delimiting.OPENS_SHARE

    @pytest.mark.parametrize("seconds", [0.0, 0.001, 2.0])
    def test_silence_of_any_length_has_no_ceiling(self, seconds):
        silence = Audio(np.zeros((2, round(seconds * RATE)), np.float32), RATE)
        assert delimiting.find(silence, analyse(silence), nothing) is None

    def test_the_deeper_the_limiter_went_the_surer_it_is(self):
        shares = [found_in(Audio(limited(drums(), over), RATE)) for over in (9, 12, 15)]
        amounts = [found.amount if found else 0.0 for found in shares]
        assert amounts == sorted(amounts)


class TestRun:
    def test_a_limited_song_comes_nearer_to_what_it_was(self, tmp_path):
        song = drums()
        crushed = limited(song, 12)
        out = load(repaired(Audio(crushed, RATE), tmp_path).audio).samples
        assert si_sdr_db(song, out) > si_sdr_db(song, crushed)
        assert np.abs(out).max() > 1.1 * np.abs(crushed).max()

    def test_nothing_gets_quieter(self, tmp_path):
        crushed = limited(drums(), 12)
        out = load(repaired(Audio(crushed, RATE), tmp_path).audio).samples
        assert (np.abs(out) >= np.abs(crushed) * (1 - 1e-6)).all()

    @pytest.mark.parametrize(("rate", "channels"), [(8000, 2), (44100, 1), (96000, 2)])
    def test_length_rate_and_channels_are_kept(self, tmp_path, rate, channels):
        crushed = Audio(limited(drums(3, channels, rate), 15, rate), rate)
        audio = repaired(crushed, tmp_path).audio
        assert (audio.rate, audio.channels, audio.frames) == (rate, channels, crushed.frames)

    def test_both_channels_move_together(self, tmp_path):
        crushed = limited(drums(), 12)
        out = load(repaired(Audio(crushed, RATE), tmp_path).audio).samples
        heard = (np.abs(crushed) > 1e-3).all(axis=0)
        gains = out[:, heard] / crushed[:, heard]
        np.testing.assert_allclose(gains[0], gains[1], rtol=1e-4)

    def test_gains_that_are_no_numbers_are_not_applied(self, tmp_path, monkeypatch):
        crushed = Audio(limited(drums(), 12), RATE)
        monkeypatch.setattr(Trees, "__call__", lambda self, rows: np.full(len(rows), np.nan, np.float32))
        _, restored = table.repaired(REPAIRS["delimit"], crushed, analyse(crushed), tmp_path, nothing)
        assert not restored.applied
        assert restored.audio is crushed
        assert "no numbers" in restored.why

    def test_the_work_can_be_stopped(self, tmp_path):
        class Stopped(Exception):
            pass

        def stop(_: float) -> None:
            raise Stopped

        crushed = Audio(limited(drums(), 12), RATE)
        with pytest.raises(Stopped):
            delimiting.run(crushed, found_in(crushed), tmp_path, stop)


def test_the_repair_follows_the_one_of_clipped_peaks():
    names = list(REPAIRS)
    assert names.index("delimit") == names.index("declip") + 1


class TestTraces:
    @pytest.mark.parametrize("rate", [8000, 44100, 192000])
    def test_hops_last_as_long_at_every_rate(self, rate):
        assert len(hop_starts(rate * 2, rate)) == pytest.approx(2 * 44100 / 128, abs=1)

    def test_they_are_the_same_at_any_level_of_song_and_ceiling(self):
        song = drums(2)
        there, here = traces(song, RATE, 0.9), traces(song * np.float32(0.25), RATE, 0.225)
        assert there.shape[1] == TRACES
        np.testing.assert_allclose(here, there, atol=0.02)

    def test_a_gain_is_applied_in_full_where_its_neighbours_share_it(self):
        song = drums(1)
        gains_db = np.full(hop_peaks(song, RATE).shape[1], 6.0, np.float32)
        np.testing.assert_allclose(apply_gains(song, gains_db, RATE), song * 10 ** (6 / 20), rtol=1e-5)


class TestTrees:
    def test_a_row_gets_the_sum_of_the_leaves_it_falls_into(self):
        one = Trees(
            base=10.0,
            roots=np.array([0, 3], np.int32),
            column=np.array([0, -1, -1, -1], np.int32),
            threshold=np.array([0.5, 1.0, 2.0, 0.25], np.float32),
            left=np.array([1, 0, 0, 0], np.int32),
            right=np.array([2, 0, 0, 0], np.int32),
        )
        np.testing.assert_array_equal(one(np.array([[0.5], [0.6]], np.float32)), [11.25, 12.25])

    def test_weights_that_are_not_those_of_the_configuration_are_refused(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"weights_sha256": "0", "base": 0.0}))
        (tmp_path / "weights.safetensors").write_bytes(b"other")
        with pytest.raises(ModelMissingError, match="reinstall"):
            Trees.read(tmp_path)

    def test_a_missing_checkpoint_says_what_to_do(self, tmp_path):
        with pytest.raises(ModelMissingError, match="reinstall"):
            Trees.read(tmp_path / "none")
