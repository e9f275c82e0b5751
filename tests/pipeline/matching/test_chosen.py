"""The band of references: what it tells, how strictly, and what a song held against it gets."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import sosfilt

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.finished.answers import INNER, INNER_PUNCH, answer
from mixagent.pipeline.finished.band import finished_music_band, judge
from mixagent.pipeline.finished.measures import GROUPS, INDEX, TONE_HZ, measure_song
from mixagent.pipeline.finished.reasons import reasons_of
from mixagent.pipeline.matching.chosen import LEAST_SPREAD_DB, LEAST_SPREAD_LU, band_of
from mixagent.pipeline.matching.library import shipped_profile
from mixagent.pipeline.matching.profiles import AnalysedSong, Profile, Statistic, profile_of, tone_distance_db
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.render import premaster
from mixagent.pipeline.types import Audio, Stems
from mixagent.policies.band import towards
from mixagent.policies.base import Decision

RATE = 44100
SPACE = ParameterSpace.for_stems(())


def song(side: float = 0.3, seconds: float = 12.0) -> Audio:
    """Noise that falls as music does, with a beat."""
    random, frames = np.random.default_rng(3), round(seconds * RATE)
    spectrum = np.fft.rfft(random.standard_normal((2, frames)))
    mid, other = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.shape[1]), 200)), frames)
    beat = 0.3 + np.exp(-(np.arange(frames) / RATE % 0.5) / 0.08)
    both = np.stack([mid + side * other, mid - side * other]) * beat
    return Audio((0.05 * both / both.std()).astype(np.float32), RATE)


def dull(audio: Audio, gain_db: float = -6.0) -> Audio:
    """The song through a first-order high shelf at 5 kHz (bilinear, closed form)."""
    k, gain = math.tan(math.pi * 5000.0 / RATE), 10 ** (gain_db / 20)
    section = [(gain + k) / (1 + k), (k - gain) / (1 + k), 0.0, 1.0, (k - 1) / (1 + k), 0.0]
    return Audio(sosfilt([section], audio.samples).astype(np.float32), RATE)


def analysed_song(audio: Audio) -> AnalysedSong:
    analysis = analyse(audio)
    return AnalysedSong(analysis, measure_song(analysis, fingerprint(audio, analysis.integrated_lufs)))


def profile(audio: Audio) -> Profile:
    return profile_of("a song", {"a": analysed_song(audio)})


def with_measures(of: Profile, **statistics: Statistic) -> Profile:
    return replace(of, measures={**of.measures, **statistics})


@pytest.fixture(scope="module")
def found() -> AnalysedSong:
    return analysed_song(song())


@pytest.fixture(scope="module")
def itself(found: AnalysedSong) -> Profile:
    return profile_of("a song", {"a": found})


def test_a_song_against_itself_moves_nothing(found, itself) -> None:
    band = band_of(itself, itself, itself)
    assert answer(judge(found.measures, band)).values == {}
    decision = towards(Decision(SPACE.settings(), {}), found.measures, band)
    assert decision.settings.changed() == {}


def test_a_dull_copy_gets_its_highs_back(itself) -> None:
    audio = dull(song())
    copy = analysed_song(audio).measures
    decision = towards(Decision(SPACE.settings(), {}), copy, band_of(itself))
    after = analysed_song(premaster(Stems(audio, {}), decision.settings)).measures
    highs = [INDEX[f"tone_{int(hz)}"] for hz in TONE_HZ if 6000 < hz < 13000]
    assert (copy.values - itself.means)[highs].min() < -4.0
    # The inner edge is 0.35 dB off; the mean of all bands, about which tones are told, rises by 0.2 dB.
    assert np.abs((after.values - itself.means)[highs]).max() < INNER * LEAST_SPREAD_DB + 0.3
    assert tone_distance_db(after, itself) < tone_distance_db(copy, itself) / 3


def test_a_shipped_profile_moves_the_tone_towards_it(found) -> None:
    metal = shipped_profile("game-metal")
    audio = song()
    decision = towards(Decision(SPACE.settings(), {}), found.measures, band_of(metal))
    after = analysed_song(premaster(Stems(audio, {}), decision.settings)).measures
    assert tone_distance_db(after, metal) < 0.6 * tone_distance_db(found.measures, metal)
    assert all("game-metal" in reason for reason in decision.reasons.values())


def test_a_mono_reference_leaves_the_width(found) -> None:
    mono = profile(song(side=0.0))
    band = band_of(mono, mono, mono)
    assert not band.tells("width")
    decided = Decision(SPACE.settings({"graphic.width_1000_db": -3.0}), {"graphic.width_1000_db": "policy"})
    after = towards(decided, found.measures, band)
    widths = {k: v for k, v in after.settings.changed().items() if k.startswith("graphic.width")}
    assert widths == {"graphic.width_1000_db": -3.0}


def test_a_reference_replaces_what_was_decided_for_the_master_and_nothing_else(found, itself) -> None:
    space = ParameterSpace.for_stems(("vocals",))
    own = {"vocals.presence_db": 2.0, "vocals.gain_db": 1.0, "graphic.balance_1000_db": 1.0}
    own |= {"master.balance_db": 1.0, "master.gap_fill_db": 6.0}
    own |= {"master.bell_1_db": -3.0, "master.bell_1_q": 4.0}
    replaced = {"graphic.tone_1000_db": 3.0, "graphic.width_1000_db": -3.0, "master.eq_air_db": 2.0}
    replaced |= {
        "master.ride_db": 2.0,
        "master.comp_ratio": 2.0,
    }
    decided = Decision(space.settings({**own, **replaced}), dict.fromkeys({**own, **replaced}, "policy"))
    after = towards(decided, found.measures, band_of(itself, itself, itself))
    assert after.settings.changed() == own
    assert after.reasons == dict.fromkeys(own, "policy")


def test_a_tone_makes_up_for_the_width_that_is_rendered() -> None:
    """Sides 6 dB down at a ratio r of side to mid take 10·log10((1 + r)/(1 + r/4)) off the tone."""
    narrower = {f"graphic.width_{hz}_db": -20 * math.log10(2) for hz in (800, 1000, 1250)}
    decided = Decision(SPACE.settings(narrower), dict.fromkeys(narrower, "policy"))
    found = analysed_song(song(side=0.8))
    after = towards(decided, found.measures, band_of(profile_of("a song", {"a": found})))
    ratio = 10 ** (found.measures["width_1000"] / 10)
    made_up_db = 10 * math.log10((1 + ratio) / (1 + ratio / 4))
    assert after.settings["graphic.tone_1000_db"] == pytest.approx(made_up_db, abs=0.01)
    assert after.reasons["graphic.tone_1000_db"] == "keeps the tone while the sides are moved"


def test_a_reference_says_nothing_where_its_spectrum_has_ended(found, itself) -> None:
    # A third octave reaches to 2^(1/6) of its centre: with 12 kHz the end, those at 12.5 and 16 kHz are cut.
    short = with_measures(
        itself, bandwidth=Statistic(math.log2(12 / 16), 0.0), tone_16000=Statistic(-60.0, 0.0)
    )
    band = band_of(short)
    assert np.flatnonzero(np.isnan(band.mean[GROUPS["tone"]])).tolist() == [26, 27]
    assert "graphic.tone_16000_db" not in answer(judge(found.measures, band)).values


def test_no_reference_is_stricter_than_a_song_can_be_followed(itself) -> None:
    band = band_of(itself, itself, itself)
    assert band.spread[INDEX["tone_1000"]] == band.spread[INDEX["width_1000"]] == LEAST_SPREAD_DB
    assert band.spread[INDEX["loudness_range"]] == LEAST_SPREAD_LU
    assert band.spread[INDEX["crest_air"]] == finished_music_band().band.spread[INDEX["crest_air"]]
    wide = with_measures(itself, tone_1000=Statistic(0.0, 4.0))
    assert band_of(wide).spread[INDEX["tone_1000"]] == 4.0


def test_a_narrow_loudness_range_is_ridden_apart_towards_the_references(found, itself) -> None:
    song_lu = found.measures["loudness_range"]
    wider = with_measures(itself, loudness_range=Statistic(song_lu + 4.0, 2.0))
    values = answer(judge(found.measures, band_of(None, wider))).values
    # 4 LU less the inner edge of half of 2 LU, halves of 0.9 LU for each dB of riding.
    assert values["master.ride_db"] == pytest.approx((4.0 - INNER_PUNCH * 2.0) / 0.9 / 2, abs=0.01)


def test_dimensions_may_come_from_different_profiles(itself) -> None:
    metal = shipped_profile("game-metal")
    band = band_of(tone=itself, dynamics=metal)
    assert (band.name, band.songs) == ("a song and game-metal", 1 + len(metal.songs))
    assert band.mean[INDEX["tone_1000"]] == itself.measures["tone_1000"].mean
    assert band.mean[INDEX["plr"]] == metal.measures["plr"].mean
    assert not band.tells("width")
    assert band_of() is None


def test_a_reason_never_says_the_opposite_of_its_move(found, itself) -> None:
    """One band far under the reference outweighs in dB what all others are over it, but not in deviations."""
    odd = {f"tone_{hz}": itself.measures[f"tone_{hz}"].mean for hz in (6300, 8000, 10000, 12500)}
    shifted = {name: Statistic(mean - 3.0, 0.0) for name, mean in odd.items()}
    shifted["tone_12500"] = Statistic(odd["tone_12500"] + 20.0, 0.0)
    against = judge(found.measures, band_of(with_measures(itself, **shifted)))
    reason = reasons_of(against, {"graphic.tone_8000_db": -2.0})["graphic.tone_8000_db"]
    assert reason == "tone towards a song"
    shifted["tone_12500"] = Statistic(odd["tone_12500"] - 3.0, 0.0)
    against = judge(found.measures, band_of(with_measures(itself, **shifted)))
    reason = reasons_of(against, {"graphic.tone_8000_db": -2.0})["graphic.tone_8000_db"]
    assert reason == "towards a song: 5.6–14 kHz is 3.0 dB over it"
