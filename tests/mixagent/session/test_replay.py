"""A report renders its master again, and says so where it cannot."""

import json

import pytest
from songs import write_song

from mixagent.pipeline.warm import BUDGET_BYTES, MODELS


@pytest.fixture
def report(mixagent, song):
    path = song.parent / "report.json"
    options = (
        "--amount",
        "0.5",
        "--bit-depth",
        "16",
        "--seed",
        "5",
        "--target",
        "-17",
        "--sample-rate",
        "48000",
    )
    assert mixagent("master", song, "--report", path, *options).code == 0
    return path


def change(report, change):
    found = json.loads(report.read_text())
    change(found)
    report.write_text(json.dumps(found))


def test_a_replay_gives_the_same_bytes_and_says_so(mixagent, song, report):
    again = song.parent / "again.wav"
    ran = mixagent("replay", report, "-o", again)
    assert (ran.code, ran.err) == (0, "")
    assert "the same bytes as the report's master" in " ".join(ran.out.split())
    assert again.read_bytes() == (song.parent / "song.master.wav").read_bytes()


def test_a_replay_does_without_the_cache(mixagent, monkeypatch, song, report, tmp_path):
    monkeypatch.setenv("MIXAGENT_CACHE", str(tmp_path / "cold"))
    found = json.loads(mixagent("replay", report, "--json").out)
    assert (found["schema"], found["identical"]) == ("mixagent.session.replay/1", True)


def test_a_report_from_before_these_wishes_is_replayed_without_them(mixagent, report):
    def older(found):
        for name in ("strengths", "edits", "codecs", "replaygain"):
            del found["replay"][name]
        del found["outputs"]
        # What schema 2 tells of findings and actions no replay reads.
        found["schema"] = "mixagent.report/1"
        for name in ("findings", "judged", "actions", "repairs", "measures"):
            del found[name]

    change(report, older)
    assert mixagent("replay", report).code == 0


def test_edits_tags_codecs_and_all_files_are_replayed(mixagent, song):
    report = song.parent / "r.json"
    wishes = (
        "--fade-out",
        "0.5",
        "--trim-silence",
        "--replaygain",
        "--codec-safe",
        "--format",
        "wav,mp3,ogg",
    )
    assert mixagent("master", song, "--separator", "none", "--report", report, *wishes).code == 0
    made = {path: path.read_bytes() for path in song.parent.glob("song.master.*")}
    assert len(made) == 3
    for path in made:
        path.unlink()
    assert mixagent("replay", report).code == 0
    assert {path: path.read_bytes() for path in made} == made
    one = song.parent / "again.mp3"
    assert mixagent("replay", report, "-o", one).code == 0
    assert one.read_bytes() == made[song.parent / "song.master.mp3"]


def test_an_untouched_song_is_replayed_untouched(mixagent, song):
    report = song.parent / "r.json"
    mixagent("master", song, "--amount", "0", "--report", report)
    assert mixagent("replay", report).code == 0


@pytest.mark.parametrize("models_gb", [0, float("nan"), -1])
def test_a_report_has_no_say_in_what_models_may_take(mixagent, report, models_gb):
    change(report, lambda found: found["replay"]["pipeline"].update(models_gb=models_gb))
    assert mixagent("replay", report).code == 0
    assert MODELS.budget_bytes == BUDGET_BYTES


@pytest.mark.parametrize("cache_gb", [0, float("nan"), -1])
def test_a_report_has_no_say_in_what_the_cache_keeps(mixagent, report, cache_folder, cache_gb):
    kept = sorted(cache_folder.glob("*/??/[!.]*"))
    change(report, lambda found: found["replay"]["pipeline"].update(cache_gb=cache_gb))
    assert mixagent("replay", report).code == 0
    assert kept
    assert set(kept) <= set(cache_folder.glob("*/??/[!.]*"))


def test_a_replay_replaces_the_report_s_own_master_and_no_other_file(mixagent, song, report):
    master = song.parent / "song.master.wav"
    made = master.read_bytes()
    assert mixagent("replay", report).code == 0
    master.write_bytes(b"something precious")
    ran = mixagent("replay", report)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert "--output" in ran.err
    assert master.read_bytes() == b"something precious"
    assert mixagent("replay", report, "--output", master).code == 0
    assert master.read_bytes() == made


def test_a_song_that_moved_is_named(mixagent, song, report):
    moved = song.rename(song.with_name("moved.wav"))
    ran = mixagent("replay", report)
    assert (ran.code, len(ran.err.splitlines())) == (3, 1)
    assert mixagent("replay", report, "--song", moved).code == 0


def test_a_song_that_changed_is_refused(mixagent, song, report):
    write_song(song, seconds=2.0)
    ran = mixagent("replay", report)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (3, "", 1)
    assert "is not the song of" in ran.err


def test_other_bytes_end_with_4(mixagent, report):
    change(report, lambda found: found["replay"].update(seed=6))
    ran = mixagent("replay", report)
    assert ran.code == 4
    assert "differs from the report's master" in " ".join(ran.out.split())


def test_another_version_is_named_where_the_bytes_differ(mixagent, report):
    change(report, lambda found: (found["replay"].update(seed=6), found.update(version="0.0.1")))
    assert "mixagent 0.0.1" in " ".join(mixagent("replay", report).out.split())


def set_to(*keys, value):
    def apply(found):
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = value

    return apply


@pytest.mark.parametrize(
    "tamper",
    [
        lambda found: found.pop("replay"),
        lambda found: found.pop("target"),
        set_to("schema", value="mixagent.report/99"),
        set_to("replay", value=[]),
        set_to("replay", "amount", value=7),
        set_to("replay", "amount", value=float("nan")),
        set_to("replay", "seed", value=-1),
        set_to("replay", "sample_rate", value=7),
        set_to("replay", "settings", value={"master.magic_db": 1.0}),
        set_to("replay", "settings", value={"master.balance_db": "left"}),
        set_to("replay", "settings", value={"drums.gain_db": 1.0}),
        set_to("replay", "reasons", value=None),
        set_to("replay", "pipeline", value={"separator": "none"}),
        set_to("replay", "pipeline", "repairs", value="perhaps"),
        set_to("replay", "pipeline", "surprise", value=1),
        set_to("target", "integrated_lufs", value="loud"),
        set_to("target", "integrated_lufs", value=500),
        set_to("target", "ceiling_dbtp", value=None),
        set_to("target", "surprise", value=1),
        set_to("target", "max_reduction_db", value=float("nan")),
        set_to("target", "max_reduction_db", value=-1),
        set_to("replay", "pipeline", "cache_gb", value="all"),
        set_to("replay", "pipeline", "renders", value=0),
        set_to("replay", "settings", value={"master.balance_db": 99.0}),
        set_to("replay", "settings", value={"master.balance_db": float("nan")}),
        set_to("replay", "reasons", value={"master.balance_db": 3}),
        set_to("decision", "policy", value=None),
        set_to("output", "bit_depth", value="12"),
        set_to("output", "path", value=3),
        set_to("input", "path", value=None),
        set_to("input", value="song.wav"),
        set_to("outputs", value=[{"path": "m.wav"}]),
        set_to("outputs", value=3),
        set_to("replay", "strengths", value=3),
        set_to("replay", "strengths", value={"eq": 2}),
        set_to("replay", "strengths", value={"loudness": 1}),
        set_to("replay", "edits", value={"fade_in_s": "long"}),
        set_to("replay", "edits", value={"fade_in_s": -1}),
        set_to("replay", "codecs", value={"held": ["atrac"]}),
        set_to("replay", "codecs", value=["mp3"]),
    ],
)
def test_a_tampered_report_gets_one_line(mixagent, report, tamper):
    change(report, tamper)
    ran = mixagent("replay", report)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (3, "", 1)
    assert str(report) in ran.err


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00\xff", '{"schema": "mixagent.analysis/1"}'])
def test_what_is_no_report_is_said_to_be_none(mixagent, tmp_path, text):
    path = tmp_path / "r.json"
    path.write_text(text, encoding="latin-1")
    ran = mixagent("replay", path)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (3, "", 1)
    assert mixagent("replay", tmp_path / "missing.json").code == 3
