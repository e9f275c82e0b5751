"""`mixagent compare --report`: a page to switch between versions at one level and time, and blind tests."""

import csv
import io
import json

import numpy as np
import pytest
import scipy.stats
import soundfile
from songs import RATE, song_samples, write_song

from tests import browser


def version(path, samples, rate=RATE):
    soundfile.write(path, samples, rate, "FLOAT")
    return path


@pytest.fixture
def versions(tmp_path):
    """A song, the same 9 dB louder and half a second later, and a mono version at another rate."""
    song = song_samples(5.0) * (0.6 + 0.4 * np.sin(np.arange(5 * RATE) / RATE * 2.3))[:, None].astype(
        np.float32
    )
    late = np.concatenate([np.zeros((RATE // 2, 2), np.float32), 2.8 * song])
    return [
        version(tmp_path / "a.wav", song),
        version(tmp_path / "b.wav", late),
        version(tmp_path / "c.wav", song_samples(5.0, 48000, 1), 48000),
    ]


def compared(mixagent, tmp_path, *files):
    report, page = tmp_path / "r.json", tmp_path / "r.html"
    ran = mixagent("compare", *files, "--report", report, "--report", page)
    assert (ran.code, ran.err) == (0, "")
    return json.loads(report.read_text()), page


def test_versions_are_matched_to_the_quietest_and_laid_on_each_other(mixagent, tmp_path, versions):
    found, page = compared(mixagent, tmp_path, *versions[:2], versions[0])
    a, b, again = found["files"]
    assert found["schema"] == "mixagent.comparison/2"
    assert b["later_s"] == pytest.approx(0.5, abs=1 / RATE)
    assert a["span_s"] == [0.0, 5.0]
    assert b["match_db"] == pytest.approx(-20 * np.log10(2.8), abs=0.05)
    assert a["match_db"] == again["match_db"] == 0.0
    told = " ".join(found["notes"])
    assert "B (b.wav) comes 0.500 s later than A" in told
    assert "A and C are the same file" in told
    assert "differ in length" in told
    text = page.read_text()
    assert text.count('id="mp3-') == 3
    assert "http" not in text.replace("http-equiv", "")


def test_another_song_mono_and_another_rate_are_compared_from_the_start(mixagent, tmp_path, versions):
    found, page = compared(mixagent, tmp_path, versions[0], versions[2])
    assert not found["files"][1]["aligned"]
    assert "not heard to be the same recording" in found["notes"][0]
    assert page.stat().st_size > 100_000


def test_more_versions_than_letters_and_wrong_reports_are_one_line(mixagent, tmp_path, song):
    ran = mixagent("compare", *[song] * 11, "--report", tmp_path / "r.html")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "10 versions, not 11" in ran.err
    assert mixagent("compare", *[song] * 11).code == 0
    ran = mixagent("compare", song, song, "--report", tmp_path / "r.pdf")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    ran = mixagent("compare", song, tmp_path / "none.wav", "--report", tmp_path / "r.html")
    assert (ran.code, len(ran.err.splitlines())) == (3, 1)
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_silence_and_half_a_second_get_a_page(mixagent, tmp_path, seconds):
    silent = version(tmp_path / "silent.wav", np.zeros((round(seconds * RATE), 2), np.float32))
    found, _ = compared(mixagent, tmp_path, silent, write_song(tmp_path / "s.wav", seconds=seconds))
    assert [file["match_db"] for file in found["files"]] == [0.0, 0.0]


PRESS = 'document.body.dispatchEvent(new KeyboardEvent("keydown", {{key: "{}", bubbles: true}}))'
STATE = 'return document.getElementById("player").state()'
START = 'document.getElementById("blind-setup").requestSubmit()'
EXPORTED = 'return document.getElementById("blind").exported()'
BLIND = 'return document.getElementById("player").dataset.blind'


@pytest.mark.slow
@pytest.mark.skipif(not browser.AVAILABLE, reason="chromium and chromedriver are not installed")
def test_blind_tests_hide_what_plays_and_keep_the_true_score(mixagent, tmp_path, versions):
    _, page = compared(mixagent, tmp_path, *versions)
    with browser.opened(page, tmp_path / "profile") as run:
        run('document.getElementById("blind-trials").value = 12')
        run(START)
        browser.until(lambda: run(STATE), lambda state: state["playing"])
        played = []
        for trial in range(12):
            run(PRESS.format("x"))
            played.append(run(STATE)["side"])
            assert run('return [...document.querySelectorAll("input[name=side]:checked")].length') == 0
            assert run(BLIND) == "true"
            run(PRESS.format("1" if trial % 3 else "2"))
        abx = run(EXPORTED)["sessions"][0]
        assert run(BLIND) == "false"

        run('document.querySelector("input[value=preference]").click()')
        run(START)
        heard = []
        for trial in range(12):
            run(PRESS.format("a"))
            heard.append(run(STATE)["side"])
            run(PRESS.format("3" if trial == 0 else "1"))
        saved = run(EXPORTED)
        rows = list(csv.DictReader(io.StringIO(run('return document.getElementById("blind").csv()'))))
        shown = run('return document.getElementById("blind-result").textContent')

    assert [trial["x"] for trial in abx["trials"]] == played
    assert set(played) == {"A", "B"}
    assert [trial["answer"] for trial in abx["trials"]] == ["A" if k % 3 else "B" for k in range(12)]
    right = sum(trial["answer"] == trial["x"] for trial in abx["trials"])
    assert (abx["correct"], abx["count"]) == (right, 12)
    assert abx["p"] == pytest.approx(scipy.stats.binomtest(right, 12, 0.5, "greater").pvalue, abs=1e-9)

    preference = saved["sessions"][1]
    assert (saved["schema"], preference["mode"], preference["count"]) == (
        "mixagent.listening/1",
        "preference",
        12,
    )
    assert [trial["a"] for trial in preference["trials"]] == heard
    assert preference["trials"][0]["answer"] is None
    assert [trial["answer"] for trial in preference["trials"]][1:] == heard[1:]
    assert sum(preference["wins"].values()) == 11
    met = [sum(pair["wins"]) + pair["ties"] for pair in preference["pairs"]]
    assert met == [4, 4, 4]
    for pair in preference["pairs"]:
        wins, count = max(pair["wins"]), sum(pair["wins"])
        assert pair["p"] == pytest.approx(scipy.stats.binomtest(wins, count, 0.5).pvalue, abs=1e-9)
    assert [row["mode"] for row in rows] == ["abx"] * 12 + ["preference"] * 12
    assert "p =" in shown
