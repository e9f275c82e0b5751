"""The background learner: new things once, only while the machine is idle, ended and taken up again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from rated import mastered

from mixagent.learning import background
from mixagent.learning.user import LessonSettings, Notebook, learn_while
from mixagent.policies.experience import ExperienceStore, Preference
from mixagent.policies.promotion import MIX

MIX_ALONE = LessonSettings(policies=(MIX,))


def _rated(store: ExperienceStore) -> None:
    """Two versions of a song, and what was said of them."""
    one, two = (store.add(mastered({"vocals.gain_db": db}, name=str(db))) for db in (0.0, 1.0))
    store.prefer(Preference("song 0", two, one))


@pytest.fixture
def store() -> ExperienceStore:
    store = ExperienceStore.default()
    _rated(store)
    return store


class Machine:
    """Idle for so many questions."""

    def __init__(self, idle: int) -> None:
        self.idle = idle

    def __call__(self) -> bool:
        self.idle -= 1
        return self.idle >= 0


def test_what_is_new_is_learnt_once(store: ExperienceStore) -> None:
    notebook, machine = Notebook.default(), Machine(10_000)
    lesson = learn_while(machine, store, MIX_ALONE, notebook)
    assert lesson is not None
    assert lesson.mix is not None
    assert lesson.mix.counts == {"experiences": 2, "preferences": 1}
    assert notebook.new(store) is None
    assert learn_while(machine, store, MIX_ALONE, notebook) is None
    _rated(store)
    assert notebook.new(store) is None  # The same was said again.
    store.prefer(Preference("song 0", 1, 2))
    assert notebook.new(store) is not None


def test_it_ends_when_the_machine_is_wanted_and_goes_on_from_there(store: ExperienceStore) -> None:
    notebook = Notebook.default()
    assert learn_while(Machine(0), store, MIX_ALONE, notebook) is None
    assert learn_while(Machine(101), store, MIX_ALONE, notebook) is None
    (kept,) = notebook.folder.glob("*/mix.pt")
    assert kept.is_file()
    begun: list[float] = []
    lesson = learn_while(
        Machine(10_000), store, MIX_ALONE, notebook, progress=lambda _, share: begun.append(share)
    )
    assert lesson is not None
    assert begun[0] > 0.6
    assert not list(notebook.folder.glob("*/mix.pt"))


def test_without_a_rating_there_is_nothing_to_do() -> None:
    assert Notebook.default().new(ExperienceStore.default()) is None
    ExperienceStore.default().add(mastered({}))
    assert Notebook.default().new(ExperienceStore.default()) is None


def test_the_command_line_learns_while_it_is_left_alone(
    store: ExperienceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "load_is_low", lambda own=0.0: True)
    lines: list[str] = []
    background.learn_in_background(lines.append, lambda seconds: None, iter(range(2)))
    assert lines[0].startswith("the mix: learned from 2 masters and 1 preferences")
    assert len([line for line in lines if line.startswith("the mix")]) == 1


def test_a_learner_ends_with_whoever_started_it(store: ExperienceStore) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "mixagent.learning.background"], capture_output=True, text=True, check=True
    )
    lesson = json.loads(told.stdout)["lesson"]
    assert lesson["mix"]["preferences"] == 1
    assert Notebook.default().new(store) is None
