"""The feedback loop in a master: what a render did to the song is heard, and taken back."""

import io
import json
from dataclasses import asdict

import numpy as np
import pytest
import soundfile
from rich.console import Console
from songs import RATE, song_samples

from mixagent.pipeline.chain.edits import Edits, Span, edited
from mixagent.pipeline.finaliser.targets import LoudnessTarget, loudness_target
from mixagent.pipeline.graph.runner import Cache, Stage, audio_reference, run_stages
from mixagent.pipeline.io import decode
from mixagent.pipeline.measure.artefacts import harshness_db, pumping_db
from mixagent.pipeline.types import Audio, blocks, spool
from mixagent.policies.base import Recorded
from mixagent.report.model import Report
from mixagent.report.page import render_page
from mixagent.report.terminal import summary_text
from mixagent.session.feedback import judge_render, listen_to_song
from mixagent.session.master import master_song
from mixagent.session.request import Request
from mixagent.session.stages import decode_song
from mixagent.settings import load_config

PUMPING = {
    "master.comp_threshold_db": -18.0,
    "master.comp_ratio": 8.0,
    "master.comp_attack_ms": 0.5,
    "master.comp_release_ms": 120.0,
}


@pytest.fixture(autouse=True)
def cache(cache_folder):
    return cache_folder


@pytest.fixture
def beat(tmp_path):
    """A chord that holds under a low thump twice a second."""
    time_s = np.arange(8 * RATE) / RATE
    thump = 0.6 * np.exp(-12 * (time_s % 0.5)) * np.sin(2 * np.pi * 60 * time_s)
    noise = np.random.default_rng(3).standard_normal((time_s.size, 2))
    path = tmp_path / "beat.wav"
    soundfile.write(path, (thump[:, None] + 0.02 * noise).astype(np.float32), RATE, "FLOAT")
    return path


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "plain.wav"
    soundfile.write(path, song_samples(3.0), RATE, "FLOAT")
    return path


def mastered(song, values, renders=4, overrides=(), **options):
    """The report of a master and its bytes."""
    config = load_config(["pipeline=debug", f"pipeline.renders={renders}", *overrides])
    config.experience.remember = False
    policy = Recorded("test", values, dict.fromkeys(values, "for the test"))
    output = song.with_name("master.wav")
    request = Request(
        song, output, **{"target": loudness_target("-20"), **options}, config=config, policy=policy
    )
    with master_song(request) as result:
        return result.report.to_dict(), output.read_bytes()


def settings_of(report):
    return report["replay"]["settings"]


def test_pumping_is_taken_back_under_its_bound(beat):
    report, _ = mastered(beat, PUMPING)
    loop = report["feedback"]
    first, kept = loop["renders"][0], loop["renders"][loop["kept"] - 1]
    assert first["figures"]["pumping"] > 1.5
    assert kept["figures"]["pumping"] < 1.1
    assert 2 <= len(loop["renders"]) <= 4
    assert 1.0 <= settings_of(report).get("master.comp_ratio", 1.0) < 8.0
    assert any("Render 2, Master Compressor ratio" in line for line in report["summary"]["done"])


def test_a_song_in_band_is_the_same_to_the_byte(plain):
    values = {"master.eq_presence_db": 1.0}
    once, before = mastered(plain, values, renders=1)
    report, after = mastered(plain, values)
    assert after == before
    assert once["feedback"] is None
    assert len(report["feedback"]["renders"]) == 1
    assert settings_of(report) == settings_of(once) == values
    assert report["summary"] == once["summary"]


def test_what_was_set_by_hand_stays(beat):
    by_hand = [f"{name}={value}" for name, value in PUMPING.items()]
    report, _ = mastered(beat, {}, overrides=by_hand)
    assert settings_of(report) == PUMPING
    assert len(report["feedback"]["renders"]) == 1
    assert "pumping" in report["feedback"]["ended"]


def test_a_bright_render_is_brought_back_without_the_song_being_made_dull(plain):
    report, _ = mastered(plain, {"master.eq_presence_db": 9.0, "master.bell_3_db": 12.0})
    loop = report["feedback"]
    deviations = [row["deviation"] for row in loop["renders"]]
    assert deviations[0] > 0
    assert min(deviations) == deviations[loop["kept"] - 1] < deviations[0] / 4
    assert 0.0 <= settings_of(report)["master.eq_presence_db"] < 9.0


def test_wide_lows_are_put_back_in_the_middle(beat):
    song, rate = soundfile.read(beat, dtype="float32")
    time_s = np.arange(len(song)) / rate
    low_side = 0.2 * np.sin(2 * np.pi * 50 * time_s)
    soundfile.write(beat, (song + np.stack([low_side, -low_side], axis=1)).astype(np.float32), rate, "FLOAT")
    report, _ = mastered(beat, {"master.width": 2.0})
    loop = report["feedback"]
    figures = [row["figures"]["low_side"] for row in (loop["renders"][0], loop["renders"][loop["kept"] - 1])]
    bound = max(-1.2, loop["song"]["low_side"])
    assert figures[0] > bound + 1.0 > figures[1]


def test_half_the_amount_moves_half(beat):
    whole = mastered(beat, PUMPING)[0]["feedback"]["renders"]
    half = mastered(beat, PUMPING, amount=0.5)[0]["feedback"]["renders"]
    assert half[0]["figures"]["pumping"] < whole[0]["figures"]["pumping"]


def test_the_loop_works_where_rate_and_ends_are_changed(beat):
    from mixagent.pipeline.chain.edits import Edits

    report, _ = mastered(
        beat, PUMPING, sample_rate=48_000, edits=Edits(fade_in_s=0.5, fade_out_s=0.5, trim_silence=True)
    )
    loop = report["feedback"]
    assert loop["renders"][loop["kept"] - 1]["figures"]["pumping"] < loop["renders"][0]["figures"]["pumping"]


def test_silence_is_rendered_once(tmp_path):
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros((RATE, 2), np.float32), RATE, "FLOAT")
    report, _ = mastered(silent, {"master.comp_ratio": 4.0})
    assert [row["figures"] for row in report["feedback"]["renders"]] == [{}]


def test_a_replay_renders_once_and_gives_the_same_bytes(mixagent, beat, tmp_path):
    report, _ = mastered(beat, PUMPING)
    assert len(report["feedback"]["renders"]) > 1
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    again = mixagent("replay", path, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["identical"]


def test_a_target_that_is_missed_for_the_expander_is_met_with_less_of_it(beat):
    loud = LoudnessTarget("tight", -16.0, -1.0, max_reduction_db=1.0)
    values = {"master.expand_ratio": 2.0, "master.transient_attack_db": 9.0}
    once, _ = mastered(beat, values, renders=1, target=loud)
    report, _ = mastered(beat, values, target=loud)
    assert report["after"]["integrated_lufs"] > once["after"]["integrated_lufs"] + 0.5


@pytest.mark.parametrize("renders", ["0", "5"])
def test_the_number_of_renders_has_bounds(mixagent, beat, renders):
    assert mixagent("master", beat, "--renders", renders).code == 2
    assert mixagent("master", beat, "--set", f"pipeline.renders={renders}").code == 2


def test_the_terminal_and_the_page_tell_what_was_changed(beat, tmp_path):
    report = Report.from_dict(mastered(beat, PUMPING)[0])
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary_text(report))
    change = report.feedback.renders[1].changes[0].words
    assert change.startswith("Master Compressor ratio 8.00:1 to ")
    assert f"Render 2, {change}" in console.export_text()
    sound = Audio(song_samples(1.0).T.copy(), RATE)
    page = render_page(report, sound, sound)
    assert f"Render 2: {change}" in page
    assert "Render 1" in page
    assert "Pumping" in page


def test_the_loop_is_told_nothing_of_a_song_left_untouched(beat):
    report, _ = mastered(beat, PUMPING, amount=0.0)
    assert report["feedback"] is None


def test_what_was_heard_of_the_song_judges_a_render_as_reading_it_again_does(beat, tmp_path):
    with Cache(tmp_path / "cache", 1e9) as cache:
        decoding = Stage("decode", decode_song, settings={"song": 1}, given={"path": str(beat)})
        song = decode(beat, tmp_path / "song.f32").audio
        span = (0.0, song.frames / song.rate)
        ducked = spool([np.tanh(4 * block) for block in blocks(song)], tmp_path / "m.f32", RATE, 2)

        def finish(context):
            return {"audio": audio_reference(spool(blocks(ducked), context.directory / "m.f32", RATE, 2))}

        def judged(edits):
            stages = [
                decoding,
                Stage("listen", listen_to_song, ("decode",)),
                Stage("mix", lambda context: {"span_s": span}),
                Stage("finalise", finish),
                Stage(
                    "judge",
                    judge_render,
                    ("decode", "listen", "mix", "finalise"),
                    {"edits": asdict(edits), "rate": None},
                ),
            ]
            return run_stages(stages, cache)["judge"].values

        assert judged(Edits()) == {
            "pumping_db": pumping_db(song, ducked),
            "harshness_db": harshness_db(ducked),
        }
        faded = edited(song, Edits(fade_in_s=2.0), Span(*span))
        assert judged(Edits(fade_in_s=2.0))["pumping_db"] == pumping_db(faded, ducked)
        assert judged(Edits(fade_in_s=2.0)) != judged(Edits())
