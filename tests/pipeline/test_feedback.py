"""The feedback loop's arithmetic: what counts as out of band, and by how much an answer moves."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mixagent.pipeline.chain.amounts import dimension
from mixagent.pipeline.chain.parameters import STEM_NAMES, ParameterSpace
from mixagent.pipeline.feedback import (
    Aim,
    Lever,
    Miss,
    aims,
    deviation,
    left_alone,
    misses,
    render_figures,
    revise,
    song_figures,
)
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.finished.measures import measure_song
from mixagent.pipeline.matching.chosen import band_of
from mixagent.pipeline.matching.profiles import AnalysedSong, profile_of
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Audio

RATE = 48_000
SPACE = ParameterSpace.for_stems(("drums", "other"))
STEERED = {aim.name: aim for aim in aims(loudness_target("streaming"))}


def pumped(value_db, aim=STEERED["pumping"]):
    return Miss(aim, value_db, 0.0)


def noise(seconds=3.0, sides=0.5):
    """Noise of equal power in every octave, shape (2, frames), the sides at this share of the middle."""
    random = np.random.default_rng(5)
    frames = round(seconds * RATE)
    hz = np.fft.rfftfreq(frames, 1 / RATE)
    spectra = np.fft.rfft(random.standard_normal((2, frames))) / np.sqrt(np.maximum(hz, 20.0))
    mid, side = np.fft.irfft(spectra, frames)
    both = np.stack([mid + sides * side, mid - sides * side])
    return Audio((0.1 * both / np.abs(both).std()).astype(np.float32), RATE)


@pytest.mark.parametrize(
    ("value", "song", "excess"),
    [
        (1.0, None, 0.0),
        (3.0, None, 1.0),
        (-3.0, None, -2.0),
        (3.0, 0.0, 1.0),
        (3.0, 2.5, 0.5),
        (3.0, 4.0, 0.0),
        (-3.0, -2.0, -1.0),
        (-3.0, -5.0, 0.0),
    ],
)
def test_only_what_is_out_of_band_and_further_out_than_the_song_counts(value, song, excess):
    aim = Aim("x", "x", "dB", (-1.0, 2.0), 0.1, ())
    assert aim.excess(value, song) == pytest.approx(excess)


def test_the_worst_comes_first_and_what_is_within_its_tolerance_not_at_all():
    render = {"pumping": 1.0, "harshness": 9.7, "plr": 8.5}
    found = misses(tuple(STEERED.values()), render, {})
    assert [miss.aim.name for miss in found] == ["harshness", "pumping"]
    # 4 dB at 1 dB, 0.3 dB at 0.1 dB and 0.3 dB at 0.5 dB.
    assert deviation(tuple(STEERED.values()), render, {}) == pytest.approx(4.0 + 3.0 + 0.6)


def test_what_pushes_out_is_taken_back_by_the_share_that_is_out():
    """Ratio 4 is action 2/3 of 8:1; half of 1.4 dB of pumping is too much, so action 1/3 stays: ratio 2."""
    begun = SPACE.settings({"master.comp_ratio": 4.0, "drums.comp_ratio": 4.0, "master.eq_air_db": 2.0})
    settings, changes = revise(begun, begun, [pumped(1.4)])
    assert settings["master.comp_ratio"] == settings["drums.comp_ratio"] == pytest.approx(2.0)
    assert settings["master.eq_air_db"] == 2.0
    assert {change.name for change in changes} == {"master.comp_ratio", "drums.comp_ratio"}


def test_what_pushes_the_other_way_stays():
    begun = SPACE.settings({"drums.transient_attack_db": 4.0})
    assert revise(begun, begun, [pumped(1.4)]) == (begun, ())


def test_a_push_is_small_and_bounded():
    begun = SPACE.settings()
    bright = Miss(STEERED["tone_presence"], 2.1, -4.0)  # 2 dB over its band
    once, _ = revise(begun, begun, [bright])
    assert once.changed() == {"master.eq_presence_db": pytest.approx(-1.4)}
    settings = begun
    for _ in range(10):
        settings, _ = revise(settings, begun, [bright])
    assert settings.changed() == {"master.eq_presence_db": -3.0}


def test_wide_lows_are_made_mono():
    begun = SPACE.settings({"master.width": 1.0})
    settings, _ = revise(begun, begun, [Miss(STEERED["low_side"], 2.0, -10.0)])
    assert settings.changed() == {"master.mono_below_hz": 120.0}


def test_a_bell_counts_where_its_centre_lies():
    begun = SPACE.settings(
        {
            "master.bell_1_hz": 3000.0,
            "master.bell_1_db": 6.0,
            "master.bell_2_hz": 300.0,
            "master.bell_2_db": 6.0,
        }
    )
    settings, _ = revise(begun, begun, [Miss(STEERED["harshness"], 7.7, 1.7)])
    assert settings["master.bell_1_db"] == pytest.approx(4.0)  # 2 of 6 dB were too much
    assert settings["master.bell_2_db"] == 6.0


def test_one_parameter_answers_the_worse_of_two():
    begun = SPACE.settings({"master.expand_ratio": 1.5, "master.comp_ratio": 2.0})
    little = Miss(STEERED["range"], 0.1, 5.0)  # compressed by too much
    much = Miss(STEERED["plr"], 25.0, 13.0)  # expanded by too much
    _, changes = revise(begun, begun, [much, little])
    assert {change.name: change.miss.aim.name for change in changes} == {
        "master.expand_ratio": "plr",
        "master.comp_ratio": "range",
    }


def test_nothing_is_moved_back():
    begun = SPACE.settings()
    lower, _ = revise(begun, begun, [Miss(STEERED["tone_air"], 0.0, -20.0)])
    assert lower["master.eq_air_db"] < 0
    assert revise(lower, begun, [Miss(STEERED["tone_air"], -60.0, -20.0)]) == (lower, ())


def test_held_parameters_stay():
    begun = SPACE.settings({"master.comp_ratio": 4.0})
    assert revise(begun, begun, [pumped(1.4)], held={"master.comp_ratio"}) == (begun, ())


def test_what_a_goal_asks_for_is_not_steered():
    begun = SPACE.settings()
    left = left_alone(tuple(STEERED.values()), begun, {"master.comp_ratio"})
    assert STEERED.keys() - {aim.name for aim in left} == {"range", "plr", "pumping"}


def test_every_lever_names_parameters_of_the_chain():
    space = ParameterSpace.for_stems(STEM_NAMES)
    for aim in STEERED.values():
        for lever in aim.levers:
            named = list(replace(lever, centre_hz=(0.0, math.inf)).parameters(space.settings()))
            assert named, lever.names
            assert all(dimension(parameter.name) for parameter in named)


def test_lever_without_a_push_only_takes_back():
    aim = Aim("x", "x", "dB", (0.0, 1.0), 0.1, (Lever(r"master\.eq_air_db", 1),))
    begun = SPACE.settings()
    assert revise(begun, begun, [Miss(aim, 5.0, 0.0)]) == (begun, ())


def test_a_loud_target_is_not_taken_for_flat_dynamics():
    """At −8 LUFS under −1 dBTP no more than 7 dB are left."""
    loud = {aim.name: aim for aim in aims(loudness_target("-8"))}
    assert loud["plr"].excess(7.0, 14.0) == 0.0
    assert STEERED["plr"].excess(7.0, 14.0) < 0.0


def test_noise_of_equal_octaves_has_no_tone():
    figures = song_figures(analyse(noise()), 0.0)
    tone = {name: value for name, value in figures.items() if name.startswith("tone_")}
    assert len(tone) == 6
    assert max(map(abs, tone.values())) < 0.7


def test_figures_do_not_depend_on_the_level():
    loud, soft = (song_figures(analyse(Audio(g * noise().samples, RATE)), 0.0) for g in (1.0, 0.1))
    assert {name: round(value, 3) for name, value in loud.items()} == pytest.approx(soft, abs=0.01)


def test_side_of_the_lows_is_their_power_over_the_middles():
    """Half the amplitude is −6.02 dB, and what is higher does not count."""
    time_s = np.arange(3 * RATE) / RATE
    mid = 0.2 * np.sin(2 * np.pi * 63 * time_s)
    side = 0.5 * mid + 0.3 * np.sin(2 * np.pi * 1000 * time_s)
    sound = Audio(np.stack([mid + side, mid - side]).astype(np.float32), RATE)
    assert song_figures(analyse(sound), 0.0)["low_side"] == pytest.approx(-6.02, abs=0.05)


def test_what_a_sound_does_not_have_is_not_steered():
    mono = Audio(noise().samples[:1], RATE)
    assert "low_side" not in song_figures(analyse(mono), 0.0)
    assert "range" not in song_figures(analyse(noise()), 0.0)
    silence = analyse(Audio(np.zeros((2, RATE), np.float32), RATE))
    assert song_figures(silence, -math.inf) == render_figures(silence, -math.inf, 0.0) == {}


def test_a_reference_sets_the_bands_of_the_tone():
    analysis = analyse(noise())
    measures = measure_song(analysis, fingerprint(noise(), analysis.integrated_lufs))
    band = band_of(profile_of("noise", {"": AnalysedSong(analysis, measures)}))
    aimed = {aim.name: aim for aim in aims(loudness_target("streaming"), band)}
    for name, value in song_figures(analyse(noise()), 0.0).items():
        if name.startswith("tone_"):
            low, high = aimed[name].band
            assert (low + high) / 2 == pytest.approx(value, abs=0.01)
            assert high - low == pytest.approx(2 * 1.645 * 2.0)
