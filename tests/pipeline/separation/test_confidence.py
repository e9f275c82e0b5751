"""How far stems can be trusted, against closed forms and against a truth that is known."""

from collections.abc import Mapping

import numpy as np
import pytest

from mixagent.pipeline.separation.confidence import StemConfidence, stem_confidence
from mixagent.pipeline.types import Audio, FloatArray, Stems

RATE = 44100


def noise(seed: int, seconds: float = 4.0) -> FloatArray:
    return np.random.default_rng(seed).normal(0, 0.1, (2, round(seconds * RATE))).astype(np.float32)


def tone(hz: float, seconds: float = 4.0) -> FloatArray:
    wave = 0.2 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
    return np.tile(wave, (2, 1)).astype(np.float32)


def judged(
    parts: Mapping[str, FloatArray], agreement_db: Mapping[str, float] | None = None, rate: int = RATE
) -> dict[str, StemConfidence]:
    mix = Audio(np.sum(list(parts.values()), axis=0, dtype=np.float32), rate)
    stems = Stems(mix, {name: Audio(samples.astype(np.float32), rate) for name, samples in parts.items()})
    return stem_confidence(stems, agreement_db)


class TestEvidence:
    def test_stems_that_share_no_bin_are_sure(self):
        for found in judged({"low": tone(200), "high": tone(4000)}).values():
            assert found.value > 0.99
            assert found.evidence["entropy"] < 0.001
            assert abs(found.evidence["correlation"]) < 0.001
            assert found.evidence["share_db"] == pytest.approx(-3.01, abs=0.01)

    def test_shares_of_one_sound_have_the_closed_form(self):
        found = judged({"most": 0.9 * noise(0), "rest": 0.1 * noise(0)})
        share = 0.81 / 0.82
        entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
        for name, own in (("most", share), ("rest", 1 - share)):
            evidence = found[name].evidence
            assert evidence["share_db"] == pytest.approx(10 * np.log10(own), abs=0.01)
            # p / p(1 − p) of the power
            assert evidence["sharing_db"] == pytest.approx(-10 * np.log10(1 - own), abs=0.01)
            assert evidence["entropy"] == pytest.approx(entropy, abs=1e-3)
            assert evidence["correlation"] == pytest.approx(1.0, abs=1e-3)
        assert found["most"].value > 0.9 > 0.3 > found["rest"].value

    def test_equal_shares_of_many_are_as_unsure_as_can_be(self):
        found = judged({str(index): 0.25 * noise(0) for index in range(4)})
        for stem in found.values():
            assert stem.evidence["entropy"] == pytest.approx(1.0, abs=1e-3)
            assert stem.value < 0.5

    def test_opposite_phase_is_negative_correlation(self):
        found = judged({"a": noise(0), "b": -0.5 * noise(0)})
        assert found["a"].evidence["correlation"] == pytest.approx(-1.0, abs=1e-3)

    def test_a_silent_stem_has_no_confidence(self):
        found = judged({"vocals": noise(0), "drums": 0 * noise(0)})
        assert found["drums"].value == 0.0
        assert found["drums"].evidence["share_db"] == -120.0
        assert found["vocals"].value > 0.99
        silence = judged({"vocals": 0 * noise(0), "drums": 0 * noise(0)})
        assert [stem.value for stem in silence.values()] == [0.0, 0.0]

    def test_runs_that_disagree_bound_what_is_expected(self):
        parts = {"low": tone(200), "high": tone(4000)}
        found = judged(parts, {"low": 3.0, "high": 60.0})
        assert found["low"].evidence["expected_sdr_db"] == 3.0
        assert found["low"].value == pytest.approx(1 / (1 + 10**-0.3))
        assert found["high"].value == judged(parts)["high"].value

    def test_half_is_its_own_where_the_error_is_as_large_as_the_stem(self):
        found = judged({"low": tone(200), "high": tone(4000)}, {"low": 0.0})
        assert found["low"].value == 0.5


class TestTruth:
    def test_it_falls_as_more_of_another_stem_leaks_in(self):
        true_db, told = [], []
        for leak in (0.02, 0.06, 0.2, 0.5):
            voice, band = tone(440), noise(1)
            found = judged({"vocals": voice + leak * band, "rest": (1 - leak) * band})
            true_db.append(10 * np.log10(np.sum(voice**2) / np.sum((leak * band) ** 2)))
            told.append(found["vocals"].evidence["expected_sdr_db"])
        assert told == sorted(told, reverse=True)
        assert np.corrcoef(true_db, told)[0, 1] > 0.9

    def test_what_was_given_to_the_wrong_stem_makes_a_faint_stem_doubtful(self):
        found = judged({"vocals": 0.05 * noise(0), "rest": 0.95 * noise(0)})
        assert found["vocals"].value < 0.3
        assert found["rest"].value > 0.95


class TestInvariance:
    def parts(self) -> dict[str, FloatArray]:
        return {"vocals": tone(440) + 0.1 * noise(1), "rest": noise(1)}

    def test_level_does_not_matter(self):
        loud = judged(self.parts())
        quiet = judged({name: samples * np.float32(1e-3) for name, samples in self.parts().items()})
        for name, stem in loud.items():
            assert quiet[name].value == pytest.approx(stem.value, abs=1e-4)

    def test_a_longer_song_of_the_same_kind_is_judged_the_same(self):
        whole = judged(self.parts())
        twice = judged({name: np.tile(samples, (1, 3)) for name, samples in self.parts().items()})
        for name, stem in whole.items():
            assert twice[name].value == pytest.approx(stem.value, abs=0.02)

    @pytest.mark.parametrize("beat_s", [0.372, 0.1858, 0.5, 0.0929 * 8])
    def test_no_beat_falls_between_what_is_heard(self, beat_s):
        time_s = np.arange(12 * RATE) / RATE
        hits = (noise(2, 12.0) * np.exp(-60 * (time_s % beat_s))).astype(np.float32)
        band = 0.3 * tone(440, 12.0)
        true_db = 10 * np.log10(np.sum(hits**2) / (np.sum(hits**2) + np.sum(band**2)))
        assert judged({"drums": hits, "other": band})["drums"].evidence["share_db"] == pytest.approx(
            true_db, abs=2.0
        )

    @pytest.mark.parametrize("rate", [8000, 48000, 96000])
    def test_any_rate_and_a_moment_of_sound_will_do(self, rate):
        found = judged({"low": tone(200, 0.2), "high": tone(2000, 0.2)}, rate=rate)
        assert all(stem.value > 0.9 for stem in found.values())

    def test_mono_is_judged_like_the_same_on_both_sides(self):
        both, one = judged(self.parts()), judged({name: s[:1] for name, s in self.parts().items()})
        # The noise differs from side to side, so they are alike and not the same.
        assert one["vocals"].value == pytest.approx(both["vocals"].value, abs=0.02)
