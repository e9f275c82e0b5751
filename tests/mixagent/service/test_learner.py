"""The learner of a service: it learns while no job waits or runs, and gives way to one at once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from rated import mastered
from services import called

from mixagent.learning import background
from mixagent.learning.user import Notebook
from mixagent.policies.experience import ExperienceStore, Preference
from mixagent.service import learner


@pytest.fixture
def store() -> ExperienceStore:
    """Two versions of a song, and what was said of them."""
    store = ExperienceStore.default()
    one, two = (store.add(mastered({"vocals.gain_db": db}, name=str(db))) for db in (0.0, 1.0))
    store.prefer(Preference("song 0", two, one))
    return store


@pytest.fixture
def api(tmp_path, monkeypatch) -> Iterator[Any]:
    """A service whose learner looks often, and whose jobs wait."""
    monkeypatch.setattr(background, "load_is_low", lambda own=0.0: True)
    monkeypatch.setattr(learner, "_LOOK_EVERY_S", 0.05)
    with called(tmp_path) as api:
        yield api
        api.service.learner.stop()


def _until(found: Callable[[], bool], seconds: float = 120.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found():
            return True
        time.sleep(0.02)
    return False


def test_a_service_learns_while_no_job_waits(api, store):
    api.service.learner.start()
    assert _until(lambda: Notebook.default().new(store) is None)


@pytest.fixture
def begun(monkeypatch) -> list[subprocess.Popen[str]]:
    """The processes that the learner starts, which would learn for ever."""
    started: list[subprocess.Popen[str]] = []

    def forever(_command: list[str], **more: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        started.append(subprocess.Popen(command, **more))
        return started[-1]

    # Of this module alone: uploads are checked in processes too.
    names = SimpleNamespace(Popen=forever, PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr(learner, "subprocess", names)
    return started


def test_it_gives_way_to_a_job_and_waits_until_that_has_ended(api, store, short_song, begun):
    song = api.upload(short_song)["id"]
    api.service.learner.start()
    assert _until(lambda: bool(begun))
    job = api.job("master", song)["id"]
    assert _until(lambda: begun[0].poll() is not None)
    time.sleep(0.3)
    assert len(begun) == 1
    api.post(f"/v1/jobs/{job}/cancel")
    assert _until(lambda: len(begun) == 2)


def test_what_is_being_learnt_ends_with_the_service(api, store, begun):
    api.service.learner.start()
    assert _until(lambda: bool(begun))
    api.service.learner.stop()
    assert begun[0].poll() is not None


def test_a_service_that_is_not_to_learn_does_not(tmp_path, store, monkeypatch):
    monkeypatch.setattr(background, "load_is_low", lambda own=0.0: True)
    with called(tmp_path, learns=False) as api:
        api.service.learner._look()
    assert Notebook.default().new(store) is not None
