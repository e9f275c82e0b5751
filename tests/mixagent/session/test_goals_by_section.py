"""A goal about sections, from its words to the same bytes of a replay."""

import json

import numpy as np
import pytest
import soundfile
from formed_songs import Form, formed_song

RATE = 22_050
FORM = Form(("verse", "chorus", "verse", "chorus"), (8.0, 8.0, 8.0, 8.0))
FAST = ("--separator", "none", "--policy", "neutral", "--renders", "1", "--restore", "0")


@pytest.fixture
def formed(tmp_path):
    path = tmp_path / "formed.wav"
    soundfile.write(path, formed_song(FORM, rate=RATE).samples.T, RATE, "FLOAT")
    return path


def test_a_chorus_is_louder_in_the_master_and_in_its_replay(mixagent, formed, tmp_path):
    options = ("--goal", "chorus 3 dB louder, darker bridge", "--target", "-30", "--bit-depth", "32f")
    path = tmp_path / "r.json"
    ran = mixagent("master", formed, *FAST, *options, "--report", path)
    assert ran.code == 0, ran.err
    assert "cannot be told which part of the song is the bridge" in " ".join(ran.out.split())
    report = json.loads(path.read_text())
    rows = report["sections"]
    assert [row["label"] for row in rows if row["differs"]] == ["chorus", "chorus"]
    gained = {
        row["label"]: level_db(tmp_path / "formed.master.wav", row) - level_db(formed, row) for row in rows
    }
    assert gained["chorus"] - gained["verse"] == pytest.approx(3.0, abs=0.05)
    again = mixagent("replay", path, "-o", tmp_path / "again.wav")
    assert "the same bytes as the report's master" in " ".join(again.out.split())


def level_db(path, row):
    """The level of the middle of a section."""
    samples, _ = soundfile.read(path)
    middle = samples[round((row["start_s"] + 2) * RATE) : round((row["stop_s"] - 2) * RATE)]
    return 10 * np.log10(np.mean(middle**2))


def test_a_replay_of_sections_that_no_master_has_is_refused(mixagent, song):
    path = song.parent / "r.json"
    assert mixagent("master", song, *FAST, "--report", path).code == 0
    found = json.loads(path.read_text())
    for row in ({"start_s": 2.0, "stop_s": 1.0}, {"start_s": 0.0, "stop_s": 1.0, "gain_db": 99.0}):
        found["replay"]["sections"] = [
            {"where": "master", "gain_db": 0.0, "values": {}, "label": "", "reason": ""} | row
        ]
        path.write_text(json.dumps(found))
        ran = mixagent("replay", path, "-o", song.parent / "again.wav")
        assert ran.code == 3
        assert "out of range" in ran.err


def test_what_a_goal_names_is_aimed_at(mixagent, song):
    def target(goal):
        ran = mixagent("master", song, *FAST, "--goal", goal, "--dry-run", "--json")
        found = json.loads(ran.out)["target"]
        return found["integrated_lufs"], found["ceiling_dbtp"]

    assert target("-11 LUFS, ceiling -1.5 dB") == (-11.0, -1.5)
    assert target("for apple music") == (-16.0, -1.0)
    assert target("3 dB louder") == (-11.0, -1.0)


def test_what_is_to_stay_stays(mixagent, song):
    options = ("--set", "pipeline.renders=1", "--goal", "keep the dynamics, leave the drums alone")
    ran = mixagent("master", song, *FAST[:-2], *options, "--json", "--dry-run")
    report = json.loads(ran.out)
    assert [row["direction"] for row in report["goal"]["understood"]] == ["keep", "keep"]
    values = {row["name"]: row for row in report["decision"]["parameters"]}
    assert values["master.comp_ratio"]["value"] == values["master.comp_ratio"]["neutral"]


def test_the_command_tells_a_goal_before_anything_is_rendered(mixagent):
    ran = mixagent("goal", "vocal up front, less boxy guitars, purple, wide and narrow")
    assert ran.code == 0
    said = " ".join(ran.out.split())
    for told in (
        "vocals: louder",
        "other (guitar): clearer in the low mids",
        "taken apart",
        "“purple”",
        "neither",
    ):
        assert told in said
    found = json.loads(mixagent("goal", "−9 LUFS, warm", "--json").out)
    assert found["schema"] == "mixagent.goal/1"
    assert [piece["means"] for piece in found["pieces"]] == ["loudness −9 LUFS", "warmer"]
    assert mixagent("goal", " ").code == 2
