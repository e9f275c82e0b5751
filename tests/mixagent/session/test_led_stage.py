"""`master --conductor` with a language model: given by options or environment, shown, never in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from endpoints import KEY, body, moves, scripted
from songs import write_song

from mixagent.options import master_request
from mixagent.pipeline.errors import UsageError

GOOD = moves(("ask_agent", {"agent": "eq", "share": 0.5, "why": "half of it, gently"}))
NO_MORE = moves(why="it is fine")


def conducted(mixagent, song: Path, *options: object) -> dict:
    ran = mixagent("master", song, "--conductor", "--separator", "none", "--renders", "1", "--json", *options)
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return write_song(tmp_path_factory.mktemp("song") / "kitchen-secret.wav")


def test_what_was_sent_and_answered_is_in_report_terminal_and_page(mixagent, songs, monkeypatch, tmp_path):
    monkeypatch.setenv("MIXAGENT_LLM_KEY", KEY)
    page = tmp_path / "r.html"
    with scripted([GOOD, NO_MORE]) as running:
        asked = ("--model-url", running.url, "--model", "toy", "--goal", "warm <b>&")
        ran = mixagent(
            *("master", songs, "--conductor", "--separator", "none", "--renders", "1"),
            *("--explain", "--report", page, "--report", tmp_path / "r.json", *asked),
        )
    assert (ran.code, ran.err) == (0, "")
    report = json.loads((tmp_path / "r.json").read_text())
    model = report["decision"]["conductor"]["model"]
    assert (model["name"], model["failed"], len(model["exchanges"])) == ("toy", "", len(running.asked))
    sent = model["exchanges"][0]["sent"]
    assert "warm \\u003cb>&" in sent
    assert all(text in sent for text in ('"findings"', '"figures_now"'))
    assert "The language model toy at 127.0.0.1:" in ran.out
    assert "Sent 1: You are the mastering engineer" in ran.out
    html = page.read_text()
    assert "All that was sent and answered" in html
    assert "warm <b>" not in html
    for told in (running.said, ran.out, html, json.dumps(report)):
        assert KEY not in told
    assert "kitchen-secret" not in running.said
    assert json.loads(mixagent("replay", tmp_path / "r.json", "--json").out)["identical"]


def test_a_model_that_fails_leaves_the_offline_master_and_is_told_once(
    mixagent, songs, monkeypatch, tmp_path
):
    offline = conducted(mixagent, songs, "--output", tmp_path / "offline.wav")
    with scripted([body(b"", 500)]) as running:
        monkeypatch.setenv("MIXAGENT_LLM_URL", running.url)
        monkeypatch.setenv("MIXAGENT_LLM_MODEL", "toy")
        led = conducted(mixagent, songs, "--output", tmp_path / "led.wav")
    assert (tmp_path / "led.wav").read_bytes() == (tmp_path / "offline.wav").read_bytes()
    assert offline["decision"]["conductor"]["model"] is None
    said = [line for line in led["summary"]["done"] if "language model" in line]
    assert len(said) == 1
    assert said[0].endswith("It was of no use (the endpoint answered 500): the planner's moves stand")


def test_a_model_is_given_by_both_its_address_and_its_name(song, monkeypatch):
    with pytest.raises(UsageError, match="address and a name"):
        master_request(song, {"conductor": True, "model": "toy"})
    with pytest.raises(UsageError, match="is for the conductor"):
        master_request(song, {"model": "toy"})
    monkeypatch.setenv("MIXAGENT_LLM_URL", "http://localhost:1/v1")
    monkeypatch.setenv("MIXAGENT_LLM_MODEL", "toy")
    assert master_request(song, {"conductor": True}).conductor.model.name == "toy"
    assert master_request(song, {"conductor": True, "model": "none"}).conductor.model is None
    assert master_request(song, {}).conductor is None


def test_a_move_that_a_person_declines_is_not_rendered(songs, cache_folder):
    import mixagent

    asked = []

    def no(move):
        asked.append(move.agent)
        return False

    options = {"conductor": True, "separator": "none", "renders": 1}
    section = mixagent.master(songs, ask=no, **options).report.decision.conductor
    assert [row.agent for row in section.declined] == asked != []
    assert section.rounds == ()
    assert section.renders == 1


def test_langgraph_runs_the_same_master_by_configuration(songs, cache_folder, tmp_path):
    pytest.importorskip("langgraph.checkpoint.sqlite", reason="needs the extra conductor")
    import mixagent

    options = {"conductor": True, "separator": "none", "renders": 1}
    file = tmp_path / "checkpoints.db"
    by = ["conductor.runner=langgraph", f"conductor.checkpoints={file}"]
    own = mixagent.master(songs, **options).report.decision
    langgraph = mixagent.master(songs, overrides=by, **options).report.decision
    assert langgraph == own
    assert file.stat().st_size > 0
