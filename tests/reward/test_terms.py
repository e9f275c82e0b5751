"""Each term: what it hears, what it is deaf to, and that it stays within its range."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from mixagent.envs.pathologies import KINDS, MECHANISMS, Kind, damage
from mixagent.pipeline.chain.parameters import ADVANCED_PLACES, ParameterSpace
from mixagent.pipeline.finaliser.loop import finalise
from mixagent.pipeline.finaliser.targets import LoudnessTarget, loudness_target
from mixagent.pipeline.types import Audio, load
from mixagent.reward.adversarial_edits import ADVERSARIAL_EDITS, edit_adversarially
from mixagent.reward.model import TERMS
from mixagent.reward.recovery import Original
from mixagent.reward.render_pair import AnalysedAudio, RenderPair
from mixagent.reward.terms.base import Guard
from mixagent.reward.terms.dynamics import Dropouts, LostDynamics, LostTransients, OverCompression, Pumping
from mixagent.reward.terms.image import Lean, LostSides, MonoFoldLoss
from mixagent.reward.terms.loudness import Constraints, OverLimiting, TargetMissed
from mixagent.reward.terms.prior import Prior
from mixagent.reward.terms.residue import AddedClipping, AddedNoise, AddedTail, Smear
from mixagent.reward.terms.tone import AddedMud, LostHighs, LostLows
from mixagent.reward.terms.truth import LEAST_DISTANCE, Truth, undone
from tests.reward.render_pairs import RATE, gained, make_song, render_pair, shelved

SONG = make_song()
GUARDS: tuple[Guard, ...] = tuple(
    kind()
    for kind in (
        *(TargetMissed, OverLimiting, AddedClipping, Pumping, LostHighs, LostLows, AddedMud),
        *(
            LostTransients,
            LostDynamics,
            MonoFoldLoss,
            LostSides,
            Lean,
            Dropouts,
            OverCompression,
            AddedNoise,
            AddedTail,
            Smear,
        ),
    )
)
NAMES = [guard.name for guard in GUARDS]

HEARD_BY = {
    "low_pass_2k": "lost_highs",
    "low_pass_4k": "lost_highs",
    "low_pass_8k": "lost_highs",
    "telephone": "lost_lows",
    "white_noise": "added_noise",
    "hard_clip": "clipping",
    "compression": "over_compression",
    "gating": "dropouts",
    "mono_fold": "lost_sides",
    "one_sided": "lean",
    "mud": "added_mud",
    "dropouts": "dropouts",
    "reverb": "added_tail",
}


@pytest.fixture(scope="module")
def ruins() -> dict[str, RenderPair]:
    before = AnalysedAudio(SONG)
    return {
        name: RenderPair(before, AnalysedAudio(edit_adversarially(SONG, name))) for name in ADVERSARIAL_EDITS
    }


def _score(guard: Guard, judged: RenderPair) -> float:
    return float(guard.score([judged])[0])


@cache
def _undone(kind: Kind) -> tuple[RenderPair, ...]:
    """The song as the render of what each mechanism made of it."""
    names = [m.name for m in MECHANISMS[kind] if not m.validation_only]
    return tuple(render_pair(damage(SONG, kind, 0.7, name), SONG) for name in names)


def test_every_guard_is_tested_here():
    others = {
        "truth",
        "critic",
        "prior",
        "nisqa",
        "distillmos",
        "constraints",
        "cancellation",
        "balance",
        "stems",
    }
    assert set(NAMES) == set(TERMS) - others


@pytest.mark.parametrize("guard", GUARDS, ids=NAMES)
@pytest.mark.parametrize("gain_db", [-20.0, 6.0])
def test_a_change_of_level_costs_nothing(guard, gain_db):
    assert _score(guard, render_pair(SONG, gained(SONG, gain_db))) == pytest.approx(0.0, abs=1e-6)
    assert _score(guard, render_pair(gained(SONG, gain_db), SONG)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("edit", ADVERSARIAL_EDITS)
def test_each_ruin_is_heard_by_the_guard_against_it(edit, ruins):
    guard = GUARDS[NAMES.index(HEARD_BY[edit])]
    assert _score(guard, ruins[edit]) < -0.4


@pytest.mark.parametrize("guard", GUARDS, ids=NAMES)
def test_no_ruin_leaves_the_range_of_a_guard_or_pays(guard, ruins):
    scores = guard.score(list(ruins.values()))
    assert ((scores >= guard.low) & (scores <= 0.0)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guard", GUARDS, ids=NAMES)
def test_undoing_a_pathology_is_not_taken_for_a_ruin(guard, kind):
    for undone_pair in _undone(kind):
        assert _score(guard, undone_pair) > -0.35


@pytest.mark.parametrize("guard", GUARDS, ids=NAMES)
def test_moderate_equalising_costs_next_to_nothing(guard):
    for gain_db in (-4.0, 4.0):
        assert _score(guard, render_pair(SONG, shelved(SONG, 3000.0, gain_db))) > -0.15


@pytest.mark.parametrize("guard", GUARDS, ids=NAMES)
def test_silence_mono_and_short_audio_have_a_score(guard):
    silence = Audio(np.zeros_like(SONG.samples), RATE)
    assert _score(guard, render_pair(silence, SONG)) == 0.0
    assert _score(guard, render_pair(SONG, silence)) == guard.low
    mono = Audio(SONG.samples[:1], RATE)
    assert _score(guard, render_pair(mono, mono)) == 0.0
    short = Audio(SONG.samples[:, :900], RATE)
    assert _score(guard, render_pair(short, short)) == 0.0


@pytest.mark.parametrize("rate", [22050, 48000, 96000])
@pytest.mark.parametrize("guard", GUARDS, ids=NAMES)
def test_other_rates_are_judged_alike(guard, rate):
    song = Audio(SONG.samples, rate)
    assert _score(guard, render_pair(song, song)) == 0.0


def test_a_worse_harm_scores_less_without_end():
    losses = [_score(LostHighs(), render_pair(SONG, shelved(SONG, 4000.0, -db))) for db in (3, 8, 12, 16, 20)]
    assert losses[0] == 0.0
    assert losses[1:] == sorted(losses[1:], reverse=True)
    assert len(set(losses[1:])) == 4


def test_the_lost_highs_are_the_shelf_in_decibels():
    assert LostHighs().harm(render_pair(SONG, shelved(SONG, 3000.0, -8.0))) == pytest.approx(8.0, abs=0.5)


def test_taking_out_a_narrow_whistle_loses_no_highs():
    time_s = np.arange(SONG.frames) / RATE
    whistles = sum(np.sin(2 * np.pi * hz * time_s) for hz in (8100, 9300, 10100, 11700))
    whistling = Audio((SONG.samples + 0.05 * whistles).astype(np.float32), RATE)
    assert _score(LostHighs(), render_pair(whistling, SONG)) > -0.1


def test_a_lean_of_six_decibels_is_six_decibels():
    gains = np.array([[1.0], [10 ** (6 / 20)]], np.float32)
    level_db = 10 * math.log10(np.mean(SONG.samples[1] ** 2) / np.mean(SONG.samples[0] ** 2))
    assert Lean().harm(render_pair(SONG, Audio(SONG.samples * gains, RATE))) == pytest.approx(
        abs(6.0 + level_db) - abs(level_db), abs=0.05
    )


def test_a_channel_turned_over_loses_the_song_in_mono():
    turned = Audio(SONG.samples * np.array([[1.0], [-1.0]], np.float32), RATE)
    assert _score(MonoFoldLoss(), render_pair(SONG, turned)) < -0.9


def test_widening_within_reason_keeps_the_sides_and_the_mono():
    mid, side = SONG.samples.mean(axis=0), (SONG.samples[0] - SONG.samples[1]) / 2
    narrowed = Audio(np.stack([mid + 0.5 * side, mid - 0.5 * side]), RATE)
    assert _score(LostSides(), render_pair(SONG, narrowed)) == 0.0
    assert _score(MonoFoldLoss(), render_pair(SONG, narrowed)) == 0.0


def test_dropouts_are_the_share_of_the_time_that_is_gone():
    noise = np.random.default_rng(0).standard_normal((2, 4 * RATE)).astype(np.float32) * 0.1
    gone = noise.copy()
    for start in range(0, 4 * RATE, RATE // 2):
        gone[:, start : start + RATE // 10] = 0.0
    harm = Dropouts().harm(render_pair(Audio(noise, RATE), Audio(gone, RATE)))
    assert harm == pytest.approx(0.2, abs=0.04)


def test_a_gain_that_ducks_with_the_bass_pumps_and_one_that_ducks_by_itself_does_not():
    time_s = np.arange(4 * RATE) / RATE
    pad = np.random.default_rng(2).standard_normal((2, time_s.size)) * 0.05
    beat = np.exp(-8 * (time_s % 0.5))
    kick = 0.3 * beat * np.sin(2 * np.pi * 60 * time_s)
    song = Audio((pad + kick).astype(np.float32), RATE)
    ducked = Audio((pad * 10 ** (-9 * beat / 20) + kick).astype(np.float32), RATE)
    other = 10 ** (-9 * np.exp(-8 * (time_s % 0.37)) / 20)
    wandering = Audio((pad * other + kick).astype(np.float32), RATE)
    assert _score(Pumping(), render_pair(song, ducked)) < -0.3
    assert _score(Pumping(), render_pair(song, wandering)) > -0.05


def test_noise_is_heard_where_an_equaliser_that_lifts_the_floor_is_not():
    assert _score(AddedNoise(), render_pair(SONG, shelved(SONG, 2000.0, 9.0))) > -0.05
    assert _score(AddedNoise(), render_pair(SONG, edit_adversarially(SONG, "white_noise"))) < -0.7


def test_an_expander_and_a_fader_do_not_smear_and_a_reverb_does():
    envelope = np.abs(SONG.samples).max(axis=0)
    smooth = np.convolve(envelope, np.ones(2000) / 2000, "same")
    expanded = Audio((SONG.samples * (smooth / smooth.max()) ** 0.5).astype(np.float32), RATE)
    assert _score(Smear(), render_pair(SONG, expanded)) > -0.1
    assert _score(Smear(), render_pair(SONG, edit_adversarially(SONG, "reverb"))) < -0.3


def test_a_compressor_rides_against_the_level_and_an_expander_with_it():
    envelope = np.abs(SONG.samples).max(axis=0)
    level = np.convolve(envelope, np.ones(4000) / 4000, "same") / envelope.max() + 1e-3
    compressed, expanded = (Audio((SONG.samples * level**k).astype(np.float32), RATE) for k in (-0.5, 0.5))
    assert _score(OverCompression(), render_pair(SONG, compressed)) < -0.7
    assert _score(OverCompression(), render_pair(SONG, expanded)) == 0.0


def test_only_what_is_missed_beyond_the_inputs_own_miss_counts():
    target = LoudnessTarget("far", -5.0, max_reduction_db=1.0)
    dense = edit_adversarially(SONG, "hard_clip")
    ends = {name: finalise(audio, target, None) for name, audio in (("song", SONG), ("dense", dense))}
    more_peaks = render_pair(dense, load(ends["song"].audio), finish=ends["song"], target=target)
    further = ends["dense"].integrated_lufs - ends["song"].integrated_lufs
    assert further > 2.0
    assert TargetMissed().harm(more_peaks) == pytest.approx(further)
    alike = render_pair(SONG, load(ends["song"].audio), finish=ends["song"], target=target)
    assert TargetMissed().harm(alike) == 0.0


@pytest.mark.parametrize("guard", GUARDS, ids=NAMES)
def test_what_the_finaliser_does_to_the_input_by_itself_is_no_harm(guard):
    target = loudness_target("club")
    finish = finalise(SONG, target, None)
    assert finish.max_reduction_db > 6.0
    assert _score(guard, render_pair(SONG, load(finish.audio), finish=finish, target=target)) == 0.0


def test_limiting_that_the_target_asks_of_the_input_is_free_and_more_is_not():
    target = loudness_target("streaming")
    before = gained(SONG, -12.0)
    finish = finalise(before, target, None)
    needed = render_pair(before, load(finish.audio), finish=finish, target=target)
    assert _score(OverLimiting(), needed) == 0.0
    crushed = Audio(np.tanh(20 * SONG.samples), RATE)
    assert _score(OverLimiting(), render_pair(SONG, crushed, target=target)) < -0.4


def test_the_truth_is_one_for_the_original_zero_for_the_input_and_silent_without_one():
    ruined = edit_adversarially(SONG, "mud")
    original = Original(SONG)
    scores = Truth().score(
        [render_pair(ruined, SONG, original=original), render_pair(ruined, ruined, original=original)]
    )
    assert scores == pytest.approx([1.0, 0.0], abs=1e-6)
    assert math.isnan(Truth().score([render_pair(ruined, SONG)])[0])


def test_the_share_undone_is_linear_above_zero_and_bounded_and_ordered_below():
    before = np.full(5, 2.0)
    shares = undone(before, np.array([0.0, 1.0, 2.0, 4.0, 200.0]))
    assert shares == pytest.approx([1.0, 0.5, 0.0, -math.tanh(1.0), -1.0])
    assert undone(np.zeros(1), np.array([LEAST_DISTANCE / 10])) == pytest.approx(-math.tanh(0.1))


def test_the_prior_is_the_mean_square_of_what_policies_may_move():
    space = ParameterSpace.for_stems(("vocals",))
    action = np.zeros(len(space), np.float32)
    action[:3] = 1.0
    settings = space.from_action(action)
    movable = sum(parameter.where not in ADVANCED_PLACES for parameter in space)
    expected = -float(np.sum(settings.to_action() ** 2)) / movable
    moved, neutral = (render_pair(SONG, SONG, settings=s) for s in (settings, space.settings()))
    assert Prior().score([moved, neutral]) == pytest.approx([expected, 0.0])
    assert math.isnan(Prior().score([render_pair(SONG, SONG)])[0])


def test_a_guard_refuses_limits_that_are_no_limits():
    with pytest.raises(ValueError, match="lost_highs"):
        LostHighs(free=5.0, full=5.0)


@pytest.mark.parametrize(
    ("lufs", "peak_dbtp", "expected"),
    [(-14.0, -1.0, 0.0), (-14.4, -1.0, 0.0), (-14.6, -1.0, -1.0), (-14.0, -0.8, -1.0)],
)
def test_a_render_over_the_ceiling_or_off_the_loudness_breaks_a_constraint(lufs, peak_dbtp, expected):
    target = LoudnessTarget("t", -14.0, -1.0)
    song = gained(SONG, -14.0 - AnalysedAudio(SONG).loudness.integrated_lufs)
    finish = replace(finalise(song, target, None), integrated_lufs=lufs, true_peak_dbtp=peak_dbtp)
    pair = render_pair(song, song, finish=finish, target=target)
    assert pair.neutral.missed_lu < 0.05
    assert Constraints().score([pair])[0] == expected
    assert Constraints().score([render_pair(song, song)])[0] == 0.0
