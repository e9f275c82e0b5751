"""The finaliser's promises: loudness met or the miss told, and the ceiling always held."""

import numpy as np
import pyebur128
import pytest

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.dsp import limiter
from mixagent.pipeline.finaliser.loop import MAX_GAIN_DB, PUNCH_DB, finalise
from mixagent.pipeline.finaliser.prediction import measure_source
from mixagent.pipeline.finaliser.settings import BY_TARGET, Clipper, FinaliserSettings, finaliser_settings
from mixagent.pipeline.finaliser.targets import TARGETS, LoudnessTarget
from mixagent.pipeline.measure.artefacts import transient_loss_db
from mixagent.pipeline.types import Audio, DiskAudio, load

RATE = 44100
OFF = Clipper(24.0, 6.0)
STREAMING = TARGETS["streaming"]


def libebur128_lufs(audio):
    state = pyebur128.R128State(audio.channels, RATE, pyebur128.MeasurementMode.MODE_I)
    state.add_frames(np.ascontiguousarray(load(audio).samples.T, np.float64).ravel(), audio.frames)
    return pyebur128.get_loudness_global(state)


def noise(rms, seconds=3.0):
    rng = np.random.default_rng(5)
    return Audio((rms * rng.standard_normal((2, round(RATE * seconds)))).astype(np.float32), RATE)


def kicks(seconds=4.0):
    time = np.arange(round(RATE * seconds)) % (RATE // 2)
    mono = np.sin(2 * np.pi * 60 / RATE * time) * np.exp(-time / 1500)
    return Audio(np.stack([mono, mono]).astype(np.float32), RATE)


@pytest.mark.parametrize("rms", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("lufs", [-23.0, -14.0, -8.0])
def test_loudness_is_met_within_a_tenth(rms, lufs):
    finish = finalise(noise(rms), LoudnessTarget("test", lufs), None)
    assert finish.met, finish.missed
    assert libebur128_lufs(finish.audio) == pytest.approx(lufs, abs=0.1)
    assert finish.true_peak_dbtp <= -1.0


def test_turning_down_is_one_gain_and_nothing_else():
    source = noise(0.2)
    finish = finalise(source, LoudnessTarget("test", -23.0), None)
    gain = np.float32(10 ** (finish.gain_db / 20))
    assert np.array_equal(finish.audio.samples, source.samples * gain)
    assert finish.max_reduction_db == 0.0


def test_a_target_out_of_reach_is_told_with_its_figure():
    target = LoudnessTarget("test", -6.0, max_reduction_db=3.0)
    finish = finalise(kicks(), target, None)
    short_by = target.integrated_lufs - libebur128_lufs(finish.audio)
    assert not finish.met
    assert f"{short_by:.1f} LU below" in finish.missed
    assert finish.max_reduction_db <= 3.0
    assert finish.true_peak_dbtp <= -1.0


def test_a_lone_click_does_not_forbid_loudness():
    samples = noise(0.02, 6.0).samples.copy()
    samples[:, 3 * RATE] = 1.0
    finish = finalise(Audio(samples, RATE), LoudnessTarget("test", -14.0, max_reduction_db=6.0), None)
    assert finish.met, finish.missed


def test_silence_stays_silent_and_is_told():
    finish = finalise(Audio(np.zeros((2, RATE), np.float32), RATE), STREAMING, None)
    assert not finish.audio.samples.any()
    assert not finish.met
    assert "silent" in finish.missed


def test_a_source_too_short_for_loudness_only_gets_the_ceiling():
    samples = np.ones((2, 2000), np.float32)
    finish = finalise(Audio(samples, RATE), STREAMING, None)
    assert not finish.met
    assert "400 ms" in finish.missed
    assert finish.true_peak_dbtp <= -1.0


def test_gain_stops_at_its_bound():
    finish = finalise(noise(0.00015), STREAMING, None)
    assert finish.gain_db == MAX_GAIN_DB
    assert not finish.met


def test_on_disk_and_in_memory_are_the_same_twice(tmp_path):
    source = noise(0.3)
    target = TARGETS["loud"]
    on_disk, in_memory = finalise(source, target, tmp_path), finalise(source, target, None)
    assert isinstance(on_disk.audio, DiskAudio)
    assert np.array_equal(load(on_disk.audio).samples, in_memory.audio.samples)
    assert on_disk.renders == in_memory.renders


@pytest.mark.parametrize("lufs", [-14.0, -9.0])
def test_a_song_is_rendered_once(lufs):
    assert len(finalise(noise(0.1), LoudnessTarget("test", lufs), None).renders) == 1


@pytest.mark.parametrize("over_db", [0.0, 2.0])
def test_with_the_clipper_the_ceiling_and_the_loudness_hold_and_the_prediction_knows_of_it(over_db):
    finish = finalise(
        noise(0.1), LoudnessTarget("test", -9.0), None, by_hand=FinaliserSettings(Clipper(over_db, 4.0))
    )
    assert finish.met, finish.missed
    assert libebur128_lufs(finish.audio) == pytest.approx(-9.0, abs=0.1)
    assert finish.true_peak_dbtp <= -1.0
    assert len(finish.renders) <= 2


def test_what_the_clipper_takes_counts_as_reduction():
    target = LoudnessTarget("test", -6.0, max_reduction_db=3.0)
    finish = finalise(kicks(), target, None, by_hand=FinaliserSettings(Clipper(1.0, 4.0)))
    assert not finish.met
    assert finish.max_reduction_db <= 3.0


def test_a_clipper_that_no_peak_reaches_changes_nothing():
    unreached = FinaliserSettings(Clipper(11.0, 1.0))
    plain, clipped = (finalise(noise(0.1), STREAMING, None, by_hand=f) for f in (BY_TARGET, unreached))
    assert plain.audio.samples.tobytes() == clipped.audio.samples.tobytes()


def test_a_clipper_that_is_off_leaves_a_loud_song_to_the_limiter():
    quiet, loud = (LoudnessTarget("test", lufs, max_reduction_db=20.0) for lufs in (-12.0, -9.0))
    limited, off, usual = (
        finalise(kicks(), loud, None, by_hand=FinaliserSettings(clipper, punch=0.0))
        for clipper in (Clipper(23.9, 1.0), OFF, None)
    )
    assert off.audio.samples.tobytes() == limited.audio.samples.tobytes()
    assert off.audio.samples.tobytes() != usual.audio.samples.tobytes()
    assert off.true_peak_dbtp <= loud.ceiling_dbtp
    plain, off = (finalise(kicks(), quiet, None, by_hand=f) for f in (BY_TARGET, FinaliserSettings(OFF)))
    assert off.audio.samples.tobytes() == plain.audio.samples.tobytes()


def drummed(seconds=6.0):
    """Bursts of noise that ring out over a chord."""
    time = np.arange(round(RATE * seconds))
    chord = sum(np.sin(2 * np.pi * hz / RATE * time) for hz in (110.0, 220.0, 277.0))
    bursts = np.random.default_rng(2).standard_normal(time.size) * np.exp(-(time % (RATE // 2)) / 6000)
    return Audio(np.stack([0.05 * chord + 0.15 * bursts] * 2).astype(np.float32), RATE)


@pytest.mark.parametrize("scratch", [False, True])
def test_what_rings_out_is_lowered_where_loudness_takes_transients(tmp_path, scratch):
    loud = LoudnessTarget("test", -9.5, max_reduction_db=20.0)
    kept = finalise(drummed(), loud, tmp_path if scratch else None)
    squeezed = finalise(drummed(), loud, None, by_hand=FinaliserSettings(punch=0.0))
    assert kept.met, kept.missed
    assert kept.true_peak_dbtp <= loud.ceiling_dbtp
    assert (kept.tails_lowered_db, squeezed.tails_lowered_db) == (PUNCH_DB, 0.0)
    assert kept.transients_lost_db > 1.0
    lost_db, still_lost_db = (transient_loss_db(drummed(), finish.audio) for finish in (squeezed, kept))
    assert still_lost_db < lost_db - 0.5
    assert not scratch or [path.name for path in tmp_path.iterdir()] == ["finished.raw"]


@pytest.mark.parametrize("reduction_db", [6.0, 14.0])
def test_punch_is_kept_at_no_loudness_s_cost(reduction_db):
    loud = LoudnessTarget("test", -8.0, max_reduction_db=reduction_db)
    kept, squeezed = (finalise(drummed(), loud, None, by_hand=FinaliserSettings(punch=p)) for p in (1.0, 0.0))
    assert kept.transients_lost_db > 1.0
    assert kept.tails_lowered_db == 0.0
    assert kept.integrated_lufs == pytest.approx(squeezed.integrated_lufs, abs=0.1)


@pytest.mark.parametrize("lufs", [-14.0, -12.0])
def test_at_other_targets_nothing_is_lowered(lufs):
    finish = finalise(drummed(), LoudnessTarget("test", lufs, max_reduction_db=20.0), None)
    assert finish.tails_lowered_db == finish.transients_lost_db == 0.0


def test_progress_of_both_rounds_rises():
    shares = []
    finalise(drummed(), LoudnessTarget("test", -9.5, max_reduction_db=20.0), None, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(("over_db", "expected"), [(12.0, None), (3.0, Clipper(3.0, 6.0)), (24.0, OFF)])
def test_the_settings_leave_the_clipper_to_the_target_ask_for_it_or_turn_it_off(over_db, expected):
    settings = ParameterSpace.for_stems([]).settings({"clipper.over_db": over_db})
    assert finaliser_settings(settings) == FinaliserSettings(expected)
    assert Clipper(3.0, 6.0).off is False
    assert OFF.off


def test_measures_that_are_at_hand_change_nothing():
    source, target = noise(0.3), TARGETS["loud"]
    asked, given = (
        finalise(source, target, None),
        finalise(source, target, None, measures=measure_source(source)),
    )
    assert asked.audio.samples.tobytes() == given.audio.samples.tobytes()
    assert asked.renders == given.renders


def test_a_render_that_the_meter_finds_over_the_ceiling_is_counted_and_done_again(monkeypatch):
    monkeypatch.setattr(limiter, "MARGIN_DB", -0.2)
    finish = finalise(noise(0.3), TARGETS["loud"], None)
    assert finish.renders[0].true_peak_dbtp > -1.0
    assert finish.renders[1].gain_db == finish.renders[0].gain_db
    assert finish.true_peak_dbtp == finish.renders[-1].true_peak_dbtp <= -1.0


def test_a_source_too_short_for_loudness_is_rendered_again_too(monkeypatch):
    monkeypatch.setattr(limiter, "MARGIN_DB", -0.2)
    finish = finalise(Audio(np.ones((2, 2000), np.float32), RATE), STREAMING, None)
    assert len(finish.renders) == 2
    assert finish.renders[0].true_peak_dbtp > -1.0 >= finish.true_peak_dbtp


def test_a_wrong_prediction_is_put_right_by_what_was_rendered():
    """Measures of a source 3 dB quieter: the first render is too loud, the next ones find the target."""
    source, target = noise(0.1), LoudnessTarget("test", -14.0)
    finish = finalise(source, target, None, measures=measure_source(noise(0.1 * 10 ** (-3 / 20))))
    assert finish.renders[0].integrated_lufs > -13.0
    assert 2 <= len(finish.renders) <= 4
    assert libebur128_lufs(finish.audio) == pytest.approx(-14.0, abs=0.1)


def test_progress_rises_to_one():
    shares = []
    finalise(noise(0.3), TARGETS["loud"], None, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
