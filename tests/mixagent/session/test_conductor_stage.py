"""`master --conductor` tells what it tried, is replayed to the same bytes, and asks for nothing unasked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile


def conducted(mixagent, song: Path, *options: object) -> dict:
    ran = mixagent("master", song, "--separator", "none", "--bit-depth", "16", "--json", *options)
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def test_a_conducted_master_says_what_was_tried_and_is_replayed(mixagent, song: Path) -> None:
    report = conducted(mixagent, song, "--conductor", "--report", song.parent / "r.json")
    section = report["decision"]["conductor"]
    assert section["renders"] >= 1
    assert section["over"]
    assert section["blind_after"] >= section["blind_before"]
    assert any(line.startswith("Conductor: ") for line in report["summary"]["done"])
    assert json.loads(mixagent("replay", song.parent / "r.json", "--json").out)["identical"]


def test_what_was_set_by_hand_stays(mixagent, song: Path) -> None:
    report = conducted(mixagent, song, "--conductor", "--set", "graphic.tone_1000_db=2")
    rows = {row["name"]: row["value"] for row in report["decision"]["parameters"]}
    assert rows["graphic.tone_1000_db"] == 2.0


def test_without_being_asked_nothing_is_conducted(mixagent, song: Path) -> None:
    report = conducted(mixagent, song)
    assert report["decision"]["conductor"] is None
    assert "conduct" not in {row["name"] for row in report["stages"]}


def test_a_grade_without_a_conductor_is_refused_in_one_line(mixagent, song: Path) -> None:
    ran = mixagent("master", song, "--until", "4.5")
    assert ran.code == 2
    assert "--until is for the conductor: give --conductor too" in ran.err


def test_silence_is_mastered_as_decided(mixagent, tmp_path: Path) -> None:
    song = tmp_path / "silence.wav"
    soundfile.write(song, np.zeros((2 * 44100, 2)), 44100)
    ran = mixagent("master", song, "--separator", "none", "--json", "--conductor")
    assert json.loads(ran.out)["decision"]["conductor"]["renders"] == 0
