"""The band of finished music: what is measured, how far out it is, what it is called, what answers it."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mixagent.pipeline.chain.parameters import GRAPHIC_HZ, ParameterSpace
from mixagent.pipeline.finished.answers import (
    ASKED_RAISE_DB,
    CUT_DB,
    EMPTY_SIDE_DB,
    INNER,
    LEAST_WIDENED_HZ,
    LONE_WIDEN_DB,
    RAISE_DB,
    TOGETHER_DB,
    answer,
    reached_by,
)
from mixagent.pipeline.finished.band import (
    Band,
    Judgement,
    Trust,
    finished_music_band,
    from_json,
    judge,
    to_json,
)
from mixagent.pipeline.finished.findings import BY_NAME, FAULTS, FOUND, findings, outer_edge, severity
from mixagent.pipeline.finished.measures import (
    GROUPS,
    INDEX,
    KIND,
    MEASURES,
    TONE_HZ,
    WIDTH_HZ,
    SongMeasures,
    measure_song,
)
from mixagent.pipeline.finished.reasons import reasons_of
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Audio

RATE = 44100


def song(seconds: float = 12.0, channels: int = 2, gain: float = 1.0) -> Audio:
    """Noise that falls as music does, with a beat, wider in the highs."""
    random, frames = np.random.default_rng(3), round(seconds * RATE)
    spectrum = np.fft.rfft(random.standard_normal((2, frames)))
    mid, side = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.shape[1]), 200)), frames)
    beat = 0.3 + np.exp(-(np.arange(frames) / RATE % 0.5) / 0.08)
    both = np.stack([mid + 0.3 * side, mid - 0.3 * side])[:channels] * beat
    return Audio((0.05 * gain * both / both.std()).astype(np.float32), RATE)


def measured(audio: Audio) -> SongMeasures:
    analysis = analyse(audio)
    return measure_song(analysis, fingerprint(audio, analysis.integrated_lufs))


BAND = Band("ten songs", 10, np.zeros(len(MEASURES)), np.full(len(MEASURES), 2.0))


OF_THE_KIND = 4.0
"""Log-odds of a song that is of the band's kind."""


def out_by(spreads: dict[str, float], trust: float = 1.0, **bands: np.ndarray) -> Judgement:
    """A song at the mean of `BAND` but for some measures, so many spreads out; no group is out as a whole."""
    values = BAND.mean.copy()
    for name, spread in spreads.items():
        values[INDEX[name]] += spread * BAND.spread[INDEX[name]]
    measures = SongMeasures(values, np.zeros(len(KIND)), **bands)
    trusts = dict.fromkeys(GROUPS, trust)
    return Judgement(measures, BAND, BAND.deviations(measures), OF_THE_KIND, trusts, {})


# --- measures --------------------------------------------------------------------------------------


def test_no_measure_depends_on_the_level() -> None:
    loud, quiet = measured(song()), measured(song(gain=0.25))
    assert np.allclose(loud.values, quiet.values, atol=0.02, equal_nan=True)
    assert np.allclose(loud.kind, quiet.kind, atol=0.02)


def test_a_mono_song_has_no_width_and_no_balance() -> None:
    mono = song()
    samples = np.repeat(mono.samples.mean(axis=0, keepdims=True), 2, axis=0)
    for audio in (Audio(samples, RATE), song(channels=1)):
        found = measured(audio)
        assert np.isnan(found.of("width")).all()
        assert np.isnan(found.of("balance")).all()
        assert np.isfinite(found.of("tone")).all()


def test_measures_survive_json() -> None:
    found = measured(song())
    again = SongMeasures.from_json(json.loads(json.dumps(found.to_json())))
    for name in ("values", "kind", "quiet_db", "moves_db"):
        assert np.allclose(getattr(found, name), getattr(again, name), atol=1e-4, equal_nan=True)


def noise_moving_db(samples: np.ndarray) -> np.ndarray:
    return measured(Audio(samples.astype(np.float32), RATE)).moves_db


def test_steady_noise_hum_and_rumble_do_not_move_and_a_beat_or_a_line_does() -> None:
    random, time = np.random.default_rng(0), np.arange(20 * RATE) / RATE
    hiss = 0.1 * random.standard_normal((2, time.size))
    assert noise_moving_db(hiss).max() < 1.0
    assert np.abs(noise_moving_db(np.repeat(hiss[:1], 2, axis=0))).max() < 1.5
    hum = 0.2 * np.sin(2 * np.pi * 100 * time) + 1e-4 * hiss
    assert noise_moving_db(hum)[TONE_HZ.index(100.0)] < 0.0
    kick = hiss * np.exp(-(time % 0.5) / 0.05)
    assert noise_moving_db(kick).min() > 10.0
    # A bass note holds for a second: it moves from note to note, in each band that one of them leaves.
    line = 0.2 * np.sin(2 * np.pi * np.cumsum(np.where(time % 2.0 < 1.0, 63.0, 100.0)) / RATE) + 1e-4 * hiss
    moves = noise_moving_db(line)
    assert moves[TONE_HZ.index(63.0)] > 5.0
    assert moves[TONE_HZ.index(100.0)] > 5.0


def test_quiet_moments_are_told_against_the_loudness_of_the_song() -> None:
    """White noise: each third octave holds its share of the power, a tenth of its frames little less."""
    loud, soft = (measured(song(gain=gain)).quiet_db for gain in (1.0, 0.1))
    assert loud == pytest.approx(soft, abs=0.6)


def test_a_tone_raised_in_one_band_is_measured_there() -> None:
    audio = song()
    spectrum = np.fft.rfft(audio.samples)
    hz = np.fft.rfftfreq(audio.frames, 1 / RATE)
    band = (hz > 1000 * 10**-0.05) & (hz < 1000 * 10**0.05)
    spectrum[:, band] *= 10 ** (6 / 20)
    raised = Audio(np.fft.irfft(spectrum, audio.frames).astype(np.float32), RATE)
    change = measured(raised).of("tone") - measured(audio).of("tone")
    place = TONE_HZ.index(1000.0)
    others = np.delete(change, place)
    # The mean about which the tone is told rises by 6 dB over its 20 bands.
    assert change[place] == pytest.approx(6.0 * 19 / 20, abs=0.2)
    assert others == pytest.approx(-6.0 / 20, abs=0.2)


# --- the band --------------------------------------------------------------------------------------


def test_the_shipped_statistics_survive_json() -> None:
    music = finished_music_band()
    again = from_json(json.loads(json.dumps(to_json(music))))
    assert np.allclose(music.band.mean, again.band.mean)
    assert music.edges == again.edges
    with pytest.raises(ValueError, match="schema"):
        from_json({**to_json(music), "schema": "mixagent.band/0"})


def test_a_song_is_held_more_strictly_the_more_it_is_of_the_kind_and_the_further_it_is_out() -> None:
    trust = Trust(bias=-1.0, kind=0.3, deviation=0.6)
    by_kind = [trust.of(score, 1.0) for score in (-8.0, -2.0, 0.0, 2.0, 4.0)]
    by_deviation = [trust.of(0.0, deviation) for deviation in (0.0, 1.0, 2.0, 4.0)]
    for shares in (by_kind, by_deviation):
        assert all(a <= b for a, b in itertools.pairwise(shares))
        assert 0.0 <= min(shares) <= max(shares) <= 1.0


def test_a_song_at_the_mean_of_finished_music_has_no_finding_and_is_not_moved() -> None:
    music = finished_music_band()
    measures = SongMeasures(music.band.mean.copy(), np.zeros(len(KIND)))
    judgement = judge(measures)
    assert not findings(judgement, 0.2)
    assert answer(judgement).values == {}


def test_a_voice_alone_is_held_to_nothing_and_nothing_is_found() -> None:
    music = finished_music_band()
    values = music.band.mean.copy()
    for hz in TONE_HZ[:8]:
        values[INDEX[f"tone_{int(hz)}"]] -= 8 * music.band.spread[INDEX[f"tone_{int(hz)}"]]
    judgement = judge(SongMeasures(values, np.zeros(len(KIND))))
    assert judgement.alone
    assert findings(judgement) == ()
    assert answer(judgement).values == {}


def test_a_drone_and_a_voice_with_pauses_are_held_to_nothing_and_a_song_with_a_quiet_end_is() -> None:
    music = finished_music_band()
    values = music.band.mean + 4 * music.band.spread * (np.arange(len(MEASURES)) % 2)
    kind, pauses = music.kind.mean.copy(), np.full(len(TONE_HZ), -80.0)
    place = KIND.index("onsets")
    kind[place] = math.log(0.3 + 0.05)
    assert judge(SongMeasures(values, kind)).alone
    kind[place] = math.log(0.3 + 2.0)
    assert not judge(SongMeasures(values, kind)).alone
    assert not judge(SongMeasures(values, kind, quiet_db=pauses)).alone
    for hz in (63, 80, 100):
        values[INDEX[f"tone_{hz}"]] = (
            music.band.mean[INDEX[f"tone_{hz}"]] - 2.0 * music.band.spread[INDEX[f"tone_{hz}"]]
        )
    assert judge(SongMeasures(values, kind, quiet_db=pauses)).alone
    assert not judge(SongMeasures(values, kind, quiet_db=pauses + 50.0)).alone


def test_a_moment_of_a_song_is_not_held_to_the_band() -> None:
    music = finished_music_band()
    values = music.band.mean + 4 * music.band.spread * (np.arange(len(MEASURES)) % 2)
    kind = music.kind.mean + 3 * music.kind.spread * np.sign(music.kind.direction)
    trusts = [judge(SongMeasures(values, kind, s)).trust["tone"] for s in (2.0, 10.0, 30.0, 200.0)]
    assert trusts[0] == 0.0
    assert 0.0 < trusts[1] < trusts[2] == trusts[3]


def test_references_are_taken_at_their_word() -> None:
    judgement = judge(measured(song()), BAND)
    assert set(judgement.trust.values()) == {1.0}
    assert judgement.chosen


# --- findings --------------------------------------------------------------------------------------


def test_faults_have_names_of_their_own_and_measures_that_exist() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert all(name in INDEX for fault in FAULTS for name in fault.measures)
    assert set(names) == set(finished_music_band().edges)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_has_a_sign(fault) -> None:  # type: ignore[no-untyped-def]
    sign = 1.0 if fault.side == "high" else -1.0
    there = out_by(dict.fromkeys(fault.measures, sign * 3.0))
    opposite = out_by(dict.fromkeys(fault.measures, -sign * 3.0))
    severities = [{f.fault.name: f.severity for f in findings(j)}[fault.name] for j in (there, opposite)]
    assert severities[0] > 0.1
    assert severities[1] == 0.0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found_from_its_outer_edge_on_in_a_song_of_any_kind(fault) -> None:  # type: ignore[no-untyped-def]
    """What hardly any finished song has is plainly there however unlike generated music the song is."""
    sign = 1.0 if fault.side == "high" else -1.0
    for score in (-8.0, 0.0, OF_THE_KIND):
        alike = 1 / (1 + math.exp(-score))
        for beyond in (0.98, 1.02):
            spreads = sign * beyond * outer_edge(fault, alike)
            there = replace(out_by(dict.fromkeys(fault.measures, spreads)), score=score)
            assert (fault in [found.fault for found in findings(there, FOUND)]) == (beyond > 1.0)


def test_a_group_that_is_out_as_a_whole_is_found_at_the_odds_of_one_song_in_six() -> None:
    even = out_by({measure.name: 0.65 * (-1) ** k for k, measure in enumerate(MEASURES)})
    assert findings(even, FOUND) == ()
    for odds, found in ((math.log(5) - 0.01, False), (math.log(9) + 0.01, True)):
        names = [f.fault.name for f in findings(replace(even, outside={"tone": odds}), FOUND)]
        assert names == (["other tone"] if found else [])
    near = out_by({measure.name: 0.5 * (-1) ** k for k, measure in enumerate(MEASURES)})
    assert findings(replace(near, outside={"tone": 6.0}), FOUND) == ()


def test_another_version_of_a_song_is_held_as_strictly_as_the_first() -> None:
    music = finished_music_band()
    first = judge(SongMeasures(music.band.mean + music.band.spread, music.kind.mean))
    values = music.band.mean + 3 * music.band.spread
    again = judge(SongMeasures(values, music.kind.mean + 3 * music.kind.direction), like=first)
    assert (again.score, again.trust, again.alone) == (first.score, first.trust, first.alone)
    assert again.outside["tone"] > first.outside["tone"]


def test_severity_rises_with_the_distance_and_with_the_kind() -> None:
    assert [severity(x, 0.5) for x in (0.2, 1.0, 2.0)] == sorted(severity(x, 0.5) for x in (0.2, 1.0, 2.0))
    assert severity(1.0, 0.0) < severity(1.0, 1.0) < 1.0


# --- answers ---------------------------------------------------------------------------------------


def gains(values: dict[str, float], what: str) -> np.ndarray:
    return np.array([values.get(f"graphic.{what}_{hz}_db", 0.0) for hz in GRAPHIC_HZ])


def test_what_lies_within_the_inner_edge_is_left_alone() -> None:
    inside = {measure.name: 0.9 * INNER * (-1) ** k for k, measure in enumerate(MEASURES)}
    assert answer(out_by(inside)).values == {}


def test_a_broad_excess_is_brought_to_the_inner_edge() -> None:
    broad = {f"tone_{int(hz)}": 2.0 for hz in TONE_HZ[6:14]}
    judgement = out_by(broad)
    moved = gains(answer(judgement).values, "tone")
    middle = moved[8:12]
    assert middle == pytest.approx(-(2.0 - INNER) * 2.0, abs=0.1)
    assert moved[20:] == pytest.approx(0.0, abs=0.01)


def test_no_band_is_moved_further_than_its_bounds() -> None:
    values = answer(out_by({m.name: 30.0 * (-1) ** (k // 5) for k, m in enumerate(MEASURES)})).values
    tone = gains(values, "tone")
    # What a changed side costs the tone is made up on top, 3 dB at most.
    assert tone.min() >= -CUT_DB - 3.0
    assert tone.max() <= RAISE_DB + 3.0


def narrowed(*spreads: float) -> Judgement:
    """A narrow song whose sides are loud enough to hold something, by five spreads where none are given."""
    names = [f"width_{int(hz)}" for hz in WIDTH_HZ]
    return out_by(dict(zip(names, spreads or (-5.0,) * len(names), strict=True)))


def test_sides_of_the_lows_are_never_raised() -> None:
    narrow = narrowed()
    width = gains(answer(narrow).values, "width")
    lows = np.array(GRAPHIC_HZ) < LEAST_WIDENED_HZ
    assert width[lows].max() <= 0.0
    assert width[~lows].min() > 0.0


def test_a_band_without_trust_is_not_moved() -> None:
    assert answer(out_by({f"tone_{int(hz)}": 4.0 for hz in TONE_HZ[:9]}, trust=0.0)).values == {}


def test_nothing_is_raised_above_the_end_of_the_highs() -> None:
    dull = out_by({f"tone_{int(hz)}": -4.0 for hz in TONE_HZ[20:]} | {"bandwidth": -0.5})
    judgement = replace(dull, measures=replace(dull.measures, values=dull.measures.values.copy()))
    judgement.measures.values[INDEX["bandwidth"]] = math.log2(8000 / 16000)
    tone = gains(answer(judgement).values, "tone")
    assert tone[TONE_HZ.index(10000.0) :].max() <= 0.0
    assert tone[TONE_HZ.index(4000.0)] > 1.0


def test_crushed_peaks_are_answered_by_attacks_and_a_monotone_song_by_riding() -> None:
    crushed = dict.fromkeys(("plr", "crest_3s", "crest_400ms"), -4.0)
    monotone = dict.fromkeys(("loudness_range", "section_contrast"), -2.0)
    values = answer(out_by({**crushed, **monotone})).values
    assert values["master.transient_attack_db"] > 1.0
    assert values["master.ride_db"] > 0.5


def test_a_song_that_wanders_is_brought_together_to_the_outer_edge_and_no_further() -> None:
    edge = outer_edge(BY_NAME["uneven"], out_by({}).alike)
    wanders = dict.fromkeys(("loudness_range", "section_contrast"), edge - 0.05)
    assert "master.ride_db" not in answer(out_by(wanders)).values
    beyond = dict.fromkeys(wanders, edge + 0.6)
    # 0.6 spreads of 2 LU, of which a dB of riding takes 0.9 LU to either side.
    assert answer(out_by(beyond)).values["master.ride_db"] == pytest.approx(-0.6 * 2 / 0.9 / 2, abs=0.01)
    assert answer(out_by(dict.fromkeys(wanders, 12.0))).values["master.ride_db"] == -TOGETHER_DB


def test_nothing_is_moved_for_a_group_in_which_no_fault_was_found() -> None:
    """Beyond the inner edge in all groups, but beyond the outer edge of none."""
    spreads = {}
    for fault in FAULTS:
        sign = 1.0 if fault.side == "high" else -1.0
        for name in fault.measures:
            spreads[name] = sign * 0.9 * min(outer_edge(fault, out_by({}).alike), abs(spreads.get(name, 9.0)))
    judgement = out_by(spreads)
    assert findings(judgement, FOUND) == ()
    assert answer(judgement).values == {}
    chosen = answer(replace(judgement, chosen=True)).values
    assert {name.split("_")[0] for name in chosen} >= {"graphic.tone", "graphic.width"}


def test_only_the_stretch_that_a_fault_reaches_is_moved_unless_the_group_is_out_as_a_whole() -> None:
    muddy = dict.fromkeys(BY_NAME["muddy"].measures, 3.0)
    slight = {f"tone_{int(hz)}": -0.6 for hz in TONE_HZ[20:25]} | dict.fromkeys(
        BY_NAME["hollow"].measures[1:], -0.2
    )
    judgement = out_by({**muddy, **slight})
    assert {f.fault.name for f in findings(judgement, FOUND)} == {"muddy"}
    alone = gains(answer(judgement).values, "tone")
    assert alone[8:13].max() < -2.0
    assert alone[19:] == pytest.approx(0.0, abs=0.01)
    whole = gains(answer(replace(judgement, outside={"tone": 3.0})).values, "tone")
    assert whole[21:24].min() > 0.2


@pytest.mark.parametrize("hz", [63.0, 100.0, 10000.0])
def test_a_band_that_moves_no_more_than_a_steady_noise_is_not_raised(hz: float) -> None:
    place = TONE_HZ.index(hz)
    low = {f"tone_{int(hz)}": -4.0 for hz in TONE_HZ[max(place - 4, 1) : place + 5]}
    moves = np.full(len(TONE_HZ), 12.0)
    music = gains(answer(out_by(low, moves_db=moves)).values, "tone")
    moves[place] = 0.0
    noise = gains(answer(out_by(low, moves_db=moves)).values, "tone")
    assert music[place] > 3.0
    assert noise[place] == 0.0
    assert np.delete(noise, place) == pytest.approx(np.delete(music, place))
    # What was asked for by a reference is held alike.
    asked = replace(out_by(low, moves_db=moves), chosen=True)
    assert gains(answer(asked).values, "tone")[place] == 0.0


def test_no_band_is_raised_so_far_that_its_quiet_moments_are_louder_than_those_of_finished_music() -> None:
    low = {f"tone_{int(hz)}": -4.0 for hz in TONE_HZ[20:]}
    quiet = finished_music_band().quiet_db - 2.0
    tone = gains(answer(out_by(low, quiet_db=quiet)).values, "tone")
    assert tone[21:26] == pytest.approx(2.0, abs=0.01)


def test_a_reference_may_raise_further_than_finished_music() -> None:
    dark = out_by({f"tone_{int(hz)}": -9.0 for hz in TONE_HZ[20:]})
    plain, asked = (gains(answer(j).values, "tone").max() for j in (dark, replace(dark, chosen=True)))
    assert plain == pytest.approx(RAISE_DB)
    assert asked == pytest.approx(ASKED_RAISE_DB)


def test_a_single_band_is_widened_hardly_more_than_its_neighbours_and_an_empty_side_not_at_all() -> None:
    place = WIDTH_HZ.index(1000.0)
    spreads = [-1.0] * len(WIDTH_HZ)
    spreads[place] = -8.0
    lone = gains(answer(replace(narrowed(*spreads), outside={"width": 3.0})).values, "width")[
        -len(WIDTH_HZ) :
    ]
    around = max(min(lone[place - 1], lone[place + 1]), 0.0)
    assert lone[place] <= around + LONE_WIDEN_DB + 0.01
    empty = narrowed()
    empty.measures.values[INDEX["width_1000"]] = EMPTY_SIDE_DB
    wide = gains(answer(replace(empty, outside={"width": 3.0})).values, "width")[-len(WIDTH_HZ) :]
    assert wide[place] <= 0.0 < wide[place + 3]


def test_every_move_has_a_parameter_and_a_reason() -> None:
    judgement = out_by({m.name: 3.0 * (-1) ** (k // 4) for k, m in enumerate(MEASURES)})
    values = answer(judgement).values
    space = ParameterSpace.for_stems(())
    assert values
    assert all(name in space for name in values)
    assert set(reasons_of(judgement, values)) == set(values)


def test_what_a_width_takes_from_the_tone_is_given_back() -> None:
    wide = out_by({f"width_{int(hz)}": 4.0 for hz in WIDTH_HZ})
    values = answer(wide).values
    after = reached_by(wide.measures, gains(values, "tone"), gains(values, "width"))
    moved = [after[f"tone_{hz}"] - wide.measures[f"tone_{int(hz)}"] for hz in GRAPHIC_HZ[5:25]]
    assert np.ptp(moved) < 0.5
