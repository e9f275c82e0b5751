"""The band of finished music: what is measured, how far out it is, what it is called, what answers it."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mixagent.pipeline.chain.parameters import GRAPHIC_HZ, ParameterSpace
from mixagent.pipeline.finished.answers import (
    CUT_DB,
    INNER,
    LEAST_WIDENED_HZ,
    RAISE_DB,
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
from mixagent.pipeline.finished.findings import FAULTS, findings, severity
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


def out_by(spreads: dict[str, float], trust: float = 1.0) -> Judgement:
    """A song at the mean of `BAND` but for some measures, so many spreads out."""
    values = BAND.mean.copy()
    for name, spread in spreads.items():
        values[INDEX[name]] += spread * BAND.spread[INDEX[name]]
    measures = SongMeasures(values, np.zeros(len(KIND)))
    return Judgement(measures, BAND, BAND.deviations(measures), 1.0, dict.fromkeys(GROUPS, trust))


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
    assert np.allclose(found.values, again.values, atol=1e-4, equal_nan=True)
    assert np.allclose(found.kind, again.kind, atol=1e-4)


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
        values[INDEX[f"tone_{hz:.0f}"]] -= 8 * music.band.spread[INDEX[f"tone_{hz:.0f}"]]
    judgement = judge(SongMeasures(values, np.zeros(len(KIND))))
    assert judgement.alone
    assert findings(judgement) == ()
    assert answer(judgement).values == {}


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
    broad = {f"tone_{hz:.0f}": 2.0 for hz in TONE_HZ[6:14]}
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


def test_sides_of_the_lows_are_never_raised() -> None:
    narrow = out_by({f"width_{hz:.0f}": -5.0 for hz in WIDTH_HZ})
    width = gains(answer(narrow).values, "width")
    lows = np.array(GRAPHIC_HZ) < LEAST_WIDENED_HZ
    assert width[lows].max() <= 0.0
    assert width[~lows].min() > 0.0


def test_a_band_without_trust_is_not_moved() -> None:
    assert answer(out_by({f"tone_{hz:.0f}": 4.0 for hz in TONE_HZ[:9]}, trust=0.0)).values == {}


def test_nothing_is_raised_above_the_end_of_the_highs() -> None:
    dull = out_by({f"tone_{hz:.0f}": -4.0 for hz in TONE_HZ[20:]} | {"bandwidth": -0.5})
    judgement = replace(dull, measures=replace(dull.measures, values=dull.measures.values.copy()))
    judgement.measures.values[INDEX["bandwidth"]] = math.log2(8000 / 16000)
    tone = gains(answer(judgement).values, "tone")
    assert tone[TONE_HZ.index(10000.0) :].max() <= 0.0
    assert tone[TONE_HZ.index(4000.0)] > 1.0


def test_crushed_peaks_are_answered_by_attacks_and_a_monotone_song_by_riding() -> None:
    values = answer(out_by({"plr": -2.0, "crest_3s": -2.0, "loudness_range": -2.0})).values
    assert values["master.transient_attack_db"] > 1.0
    assert values["master.ride_db"] > 0.5
    wandering = answer(out_by({"loudness_range": 3.0})).values
    assert wandering["master.ride_db"] < -0.5


def test_every_move_has_a_parameter_and_a_reason() -> None:
    judgement = out_by({m.name: 3.0 * (-1) ** (k // 4) for k, m in enumerate(MEASURES)})
    values = answer(judgement).values
    space = ParameterSpace.for_stems(())
    assert values
    assert all(name in space for name in values)
    assert set(reasons_of(judgement, values)) == set(values)


def test_what_a_width_takes_from_the_tone_is_given_back() -> None:
    wide = out_by({f"width_{hz:.0f}": 4.0 for hz in WIDTH_HZ})
    values = answer(wide).values
    after = reached_by(wide.measures, gains(values, "tone"), gains(values, "width"))
    moved = [after[f"tone_{hz}"] - wide.measures[f"tone_{hz:.0f}"] for hz in GRAPHIC_HZ[5:25]]
    assert np.ptp(moved) < 0.5
