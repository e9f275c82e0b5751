"""References and goals on the command line: what they change, what is said of them, and what is refused."""

import json

import numpy as np
import pytest
import soundfile
from songs import RATE, song_samples

from mixagent.options import reference as parsed_reference
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.finished.measures import measure_song
from mixagent.pipeline.matching.reading import understood
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Audio
from mixagent.session.guidance import Guidance
from mixagent.session.references import Reference

FAST = ("--separator", "none", "--policy", "neutral")


def bright(seconds=3.0, gain=1.0, rate=RATE):
    """The test's song with its treble lifted."""
    song = song_samples(seconds)
    return gain * (song + 2.0 * np.diff(song, axis=0, prepend=song[:1]))


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "reference.wav"
    soundfile.write(path, bright(gain=0.5), RATE, "PCM_24")
    return path


def mastered(mixagent, song, *options, code=0):
    ran = mixagent("master", song, *FAST, *options, "--json")
    assert ran.code == code, ran.err
    return json.loads(ran.out)


def row(report, what):
    return next(row for row in report["reference"]["rows"] if row["what"] == what)


def test_a_master_comes_near_its_reference_in_tone_and_loudness(mixagent, song, reference):
    report = mastered(mixagent, song, "--reference", reference)
    tone, loudness = row(report, "tone"), row(report, "loudness")
    assert tone["after"] < 0.6 * tone["before"]
    assert loudness["after"] == pytest.approx(loudness["reference"], abs=0.1)
    assert report["after"]["true_peak_dbtp"] <= -1.0
    assert any("Brought towards" in line and "reference.wav" in line for line in report["summary"]["done"])
    assert report["reference"]["given"][0]["for"] == ["tone", "dynamics", "width", "loudness"]
    assert any("only 3.0 s long" in line for line in report["warnings"])


def test_a_named_target_or_intent_comes_before_the_references_loudness(mixagent, song, reference):
    for options in (("--target", "-18"), ("--intent", "streaming", "--target", "-18")):
        report = mastered(mixagent, song, "--reference", reference, *options)
        assert report["after"]["integrated_lufs"] == pytest.approx(-18.0, abs=0.1)
        assert "loudness" not in report["reference"]["given"][0]["for"]


def test_a_replay_needs_no_reference(mixagent, song, reference, tmp_path):
    path = tmp_path / "r.json"
    options = ("--reference", reference, "--goal", "warm, wide", "--amount", "0.7", "--report", path)
    mastered(mixagent, song, *options)
    reference.unlink()
    made = song.with_name("song.master.wav")
    before = made.read_bytes()
    made.unlink()
    assert mixagent("replay", path).code == 0
    assert made.read_bytes() == before


def test_a_report_with_a_curve_of_an_earlier_version_is_not_replayed(mixagent, song, reference, tmp_path):
    path = tmp_path / "r.json"
    mastered(mixagent, song, "--reference", reference, "--report", path)
    report = json.loads(path.read_text())
    report["replay"]["match"] = {"curve": {"mid_db": [0.0] * 30, "side_db": [0.0] * 30}}
    path.write_text(json.dumps(report))
    ran = mixagent("replay", path)
    assert (ran.code, len(ran.err.splitlines())) == (3, 1)
    assert "master the song again" in ran.err


def test_what_was_decided_for_a_reference_is_scaled_like_everything_else(mixagent, song, reference):
    def gains(*options):
        report = mastered(mixagent, song, "--reference-tone", reference, "--renders", "1", *options)
        values = {row["name"]: row["value"] for row in report["decision"]["parameters"]}
        return np.array([v for name, v in values.items() if name.startswith("graphic.tone_")])

    whole = gains()
    assert np.abs(whole).max() > 1.0
    np.testing.assert_allclose(gains("--amount", "0.5"), 0.5 * whole, atol=0.01)
    np.testing.assert_allclose(gains("--eq", "0.5"), 0.5 * whole, atol=0.01)
    assert not gains("--eq", "0").any()


def test_a_reason_says_how_far_the_song_is_from_which_reference(mixagent, song, reference):
    report = mastered(mixagent, song, "--reference-tone", reference)
    reasons = {row["reason"] for row in report["decision"]["parameters"] if row["reason"]}
    assert any(line.startswith("towards reference.wav: ") and " under it" in line for line in reasons)


def test_what_no_reference_says_is_decided_without_one(mixagent, song, reference):
    def widths(*options):
        ran = mixagent("master", song, "--separator", "none", "--policy", "band", *options, "--json")
        rows = json.loads(ran.out)["decision"]["parameters"]
        return {row["name"]: row["value"] for row in rows if row["name"].startswith("graphic.width")}

    assert widths("--reference-tone", reference, "--renders", "1") == widths("--renders", "1")


def test_references_are_blended_and_differ_by_dimension(mixagent, song, reference):
    report = mastered(
        mixagent, song, "--reference-tone", f"{reference}=3", "--reference-tone", "genre:game-metal=1"
    )
    given = {row["name"]: row for row in report["reference"]["given"]}
    assert given[str(reference)]["weight"] == 3.0
    assert {tuple(row["for"]) for row in given.values()} == {("tone",)}
    assert [row["what"] for row in report["reference"]["rows"]] == ["tone"]
    assert report["target"]["integrated_lufs"] == -14.0


def test_a_profile_serves_as_the_song_that_it_was_made_of(mixagent, song, reference, tmp_path):
    made = tmp_path / "made.json"
    assert mixagent("profile", "make", reference, "-o", made, "--about", "a test").code == 0
    by_audio, by_numbers = (
        mastered(mixagent, song, "--reference-tone", each)["replay"]["settings"] for each in (reference, made)
    )
    assert any(name.startswith("graphic.tone_") for name in by_audio)
    assert by_numbers == pytest.approx(by_audio, abs=0.02)
    assert "a test" in mixagent("profile", "show", made).out
    assert (
        json.loads(mixagent("profile", "show", reference, "--json").out)["measures"]["tone_1000"]["spread"]
        == 0.0
    )
    assert "game-metal" in mixagent("profile", "list").out


def test_a_profile_leaves_out_what_is_no_song_and_says_so(mixagent, tmp_path, reference):
    soundfile.write(tmp_path / "silent.wav", np.zeros((RATE, 2)), RATE)
    ran = mixagent("profile", "make", tmp_path, "-o", tmp_path / "p.json", "--json")
    assert ran.code == 0
    assert len(json.loads(ran.out)["songs"]) == 1
    assert "left out" in ran.err
    assert "silent" in ran.err


def test_a_goal_moves_the_chain_and_says_what_it_did_not_understand(mixagent, song):
    report = mastered(mixagent, song, "--goal", "wide, less harsh, purple, dark and bright")
    values = {row["name"]: row["value"] for row in report["decision"]["parameters"]}
    assert values["master.width"] > 1.0
    assert values["master.eq_presence_db"] < 0.0
    assert report["goal"]["not_understood"] == ["purple"]
    assert report["goal"]["conflicts"] == [["bright", "dark"]]
    assert any("purple" in line for line in report["warnings"])
    assert any("contradict" in line for line in report["warnings"])


def test_a_goal_moves_the_loudness_unless_a_target_is_named(mixagent, song):
    assert mastered(mixagent, song, "--goal", "loud")["target"]["integrated_lufs"] == -11.0
    report = mastered(mixagent, song, "--goal", "loud", "--target", "-16")
    assert report["target"]["integrated_lufs"] == -16.0
    assert any("a target was named" in line for line in report["warnings"])


def test_a_genre_of_a_goal_is_a_reference_for_tone_and_width(mixagent, song):
    report = mastered(mixagent, song, "--goal", "metal")
    assert report["reference"]["given"][0]["name"] == "genre:game-metal"
    assert report["reference"]["given"][0]["for"] == ["tone", "width"]
    assert report["target"]["integrated_lufs"] == -14.0


def test_a_goal_is_kept_where_a_reference_is_matched(mixagent, song, reference):
    plain = mastered(mixagent, song, "--reference-tone", reference)["after"]["bands_db"]
    bassy = mastered(mixagent, song, "--reference-tone", reference, "--goal", "much more bass")["after"]
    assert bassy["bands_db"]["bass"] - bassy["bands_db"]["mid"] > plain["bass"] - plain["mid"] + 0.5


def test_the_loop_holds_the_equaliser_to_its_aim_but_in_what_a_goal_bends():
    audio = Audio(np.ascontiguousarray(song_samples(3.0).T, np.float32), RATE)
    analysis = analyse(audio)
    measures = measure_song(analysis, fingerprint(audio, analysis.integrated_lufs))
    settings = ParameterSpace.for_stems(()).settings(
        {"graphic.tone_1000_db": 3.0, "graphic.width_1000_db": -3.0}
    )

    def steered(goal):
        guidance = Guidance(goal=None if goal is None else understood(goal))
        names = {aim.name for aim in guidance.steered(loudness_target("streaming"), settings, measures)}
        return names & {"tone_1000", "width_1000"}

    assert steered(None) == {"tone_1000", "width_1000"}
    assert steered("dark") == {"width_1000"}
    assert steered("wide") == {"tone_1000"}


def test_amount_0_gives_the_song_back_whatever_the_reference(mixagent, song, reference):
    mastered(
        mixagent, song, "--reference", reference, "--goal", "wide", "--amount", "0", "--bit-depth", "32f"
    )
    before, after = (soundfile.read(path)[0] for path in (song, song.with_name("song.master.wav")))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_mono_song_or_reference_is_matched_in_tone(mixagent, song, tmp_path, channels):
    soundfile.write(tmp_path / "a.wav", song_samples(channels=channels), RATE)
    soundfile.write(tmp_path / "b.wav", bright()[:, : 3 - channels], RATE)
    report = mastered(mixagent, tmp_path / "a.wav", "--reference", tmp_path / "b.wav")
    assert row(report, "tone")["after"] < row(report, "tone")["before"]
    assert [r for r in report["reference"]["rows"] if r["what"] == "width"] == []
    assert any("is mono" in line for line in report["warnings"]) == (channels == 2)


def test_a_clipped_reference_at_another_rate_is_used_with_a_word(mixagent, song, tmp_path):
    path = tmp_path / "hot.wav"
    soundfile.write(path, np.clip(bright(gain=8.0), -1, 1), 48000)
    report = mastered(mixagent, song, "--reference", path, code=4)
    assert any("clipped" in line for line in report["warnings"])
    assert report["after"]["true_peak_dbtp"] <= -1.0


def written(folder, name, content):
    path = folder / name
    if isinstance(content, str):
        path.write_text(content)
    else:
        soundfile.write(path, content, RATE)
    return path


@pytest.mark.parametrize(
    ("name", "content", "weight", "code", "says"),
    [
        ("silent.wav", np.zeros((RATE, 2)), "", 3, "is silent"),
        ("short.wav", np.zeros((100, 2)), "", 3, "too short"),
        ("text.wav", "no audio", "", 3, "not an audio file"),
        ("broken.json", "{", "", 3, "is not a profile"),
        ("other.json", '{"schema": "mixagent.report/1"}', "", 3, "is not a profile"),
        ("ok.wav", song_samples(1.0), "=0", 2, "weight"),
        ("ok.wav", song_samples(1.0), "=-1", 2, "weight"),
        ("ok.wav", song_samples(1.0), "=nan", 2, "weight"),
        ("ok.wav", song_samples(1.0), "=much", 2, "no number"),
    ],
)
def test_a_bad_reference_is_refused_in_one_line(mixagent, song, tmp_path, name, content, weight, code, says):
    path = written(tmp_path, name, content)
    ran = mixagent("master", song, *FAST, "--reference", f"{path}{weight}")
    assert (ran.code, len(ran.err.splitlines())) == (code, 1)
    assert says in ran.err
    assert not song.with_name("song.master.wav").exists()


def test_other_bad_wishes_are_refused_in_one_line(mixagent, song, reference):
    for options, code, says in (
        (("--reference", song), 2, "the song itself"),
        (("--reference", "none.wav"), 3, "does not exist"),
        (("--reference", song.parent), 3, "is a folder"),
        (("--reference", "genre:polka"), 2, "game-metal"),
        (("--intent", "reference"), 2, "--reference"),
        (("--reference-method", "matchering"), 2, "--reference"),
        (("--reference", reference, "--reference-method", "magic"), 2, "profile, matchering"),
        (("--reference", reference, "-o", reference), 2, "input"),
        (("--goal", "  "), 2, "--goal is empty"),
    ):
        ran = mixagent("master", song, *FAST, *options)
        assert (ran.code, len(ran.err.splitlines())) == (code, 1), (options, ran.err)
        assert says in ran.err
    assert reference.exists()


def test_a_weight_follows_the_last_equals_sign(tmp_path):
    assert parsed_reference("a.wav=0.5") == Reference("a.wav", 0.5)
    odd = tmp_path / "a=b.wav"
    odd.touch()
    assert parsed_reference(str(odd)) == Reference(str(odd))
    assert parsed_reference(f"{odd}=2") == Reference(str(odd), 2.0)
    with pytest.raises(UsageError, match="weight over 0"):
        parsed_reference("=1")


def test_matchering_is_followed_by_our_ceiling_and_loudness(mixagent, song, reference, tmp_path):
    pytest.importorskip("matchering")
    path = tmp_path / "r.json"
    options = ("--reference", reference, "--reference-method", "matchering", "--report", path)
    report = mastered(mixagent, song, *options)
    assert report["reference"]["method"] == "matchering"
    assert row(report, "tone")["after"] < 0.6 * row(report, "tone")["before"]
    assert report["met"]
    assert report["after"]["true_peak_dbtp"] <= -1.0
    assert report["input"]["frames"] == soundfile.info(song.with_name("song.master.wav")).frames
    assert mixagent("replay", path).code == 0
    reference.write_bytes(reference.read_bytes()[:-8])
    assert mixagent("replay", path).code == 3


def test_what_matchering_cannot_do_is_done_by_profile_and_said(mixagent, song, reference):
    pytest.importorskip("matchering")
    options = (
        "--reference",
        reference,
        "--reference",
        "genre:game-metal",
        "--reference-method",
        "matchering",
    )
    report = mastered(mixagent, song, *options)
    assert report["reference"]["method"] == "profile"
    assert any("matchering takes one song" in line for line in report["warnings"])
