"""The store of experiences: what goes in comes out, whoever else writes, whatever happened to the file."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from mixagent.envs.observation import observe
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import diagnose
from mixagent.pipeline.errors import OutputError, UsageError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.features import describe
from mixagent.pipeline.types import Audio
from mixagent.policies import experience as module
from mixagent.policies.base import Context
from mixagent.policies.experience import (
    SCHEMA_VERSION,
    Excerpt,
    Experience,
    ExperienceStore,
    Preference,
    data_folder,
)

STEMS = ("vocals", "accompaniment")


def _context() -> Context:
    random = np.random.default_rng(0)
    audio = Audio((random.standard_normal((2, 44100)) * 0.1).astype(np.float32), 44100)
    analysis = analyse(audio)
    return Context(
        mix=analysis,
        stems=dict.fromkeys(STEMS, analysis),
        diagnosis=diagnose(audio, analysis),
        target=TARGETS["streaming"],
        space=ParameterSpace.for_stems(STEMS),
        features=dict.fromkeys(("mix", *STEMS), describe(audio)),
    )


CONTEXT = _context()


def _made(song: str = "song", master: str = "master") -> Experience:
    return Experience(
        song=song,
        master=master,
        name=f"{song}.wav",
        context=CONTEXT,
        settings={"master.width": 1.25, "vocals.gain_db": -1.5},
        policy="learned",
        policy_sha256="ab" * 32,
        terms={"loudness": 0.0, "clipping": -0.25},
        blind=-0.075,
        version="0.1.0",
    )


@pytest.fixture
def store(tmp_path: Path) -> ExperienceStore:
    return ExperienceStore(tmp_path / "data" / "experience.sqlite")


def test_an_experience_comes_back_as_it_went_in(store: ExperienceStore) -> None:
    number = store.add(_made())
    (back,) = store.all()
    assert back.made_at
    assert replace(back, context=None) == replace(_made(), context=None, number=number, made_at=back.made_at)
    assert back.context is not None
    advice = np.zeros(3, np.float32)
    shown, first = observe(back.context, STEMS, advice), observe(CONTEXT, STEMS, advice)
    assert all(np.array_equal(shown[key], first[key]) for key in first)
    assert back.context.space == CONTEXT.space


def test_a_song_is_found_by_its_own_hash_and_by_its_masters(store: ExperienceStore) -> None:
    numbers = [store.add(_made(song, master)) for song, master in (("a", "m"), ("a", "n"), ("b", "o"))]
    assert [each.number for each in store.of("a")] == numbers[:2]
    assert [each.number for each in store.of("n")] == [numbers[1]]
    assert store.of("c") == []


def test_the_same_master_again_is_the_same_experience(store: ExperienceStore) -> None:
    first = store.add(_made())
    store.prefer(Preference("song", first, None))
    assert store.add(replace(_made(), blind=0.5)) == first
    assert [each.blind for each in store.all()] == [0.5]
    assert len(store.preferences()) == 1


def test_a_later_word_on_the_same_two_replaces_the_earlier(store: ExperienceStore) -> None:
    one, two = store.add(_made(master="m")), store.add(_made(master="n"))
    for preference in (
        Preference("song", one, None),
        Preference("song", one, two),
        Preference("song", None, one),
    ):
        store.prefer(preference)
    assert store.preferences() == [Preference("song", one, two), Preference("song", None, one)]


def test_audio_is_kept_only_where_it_is_given(store: ExperienceStore) -> None:
    samples = np.random.default_rng(1).uniform(-0.9, 0.9, (2, 4410)).astype(np.float32)
    silent = store.add(_made(master="without"))
    number = store.add(_made(), [Excerpt("before", 3.5, Audio(samples, 44100))])
    (piece,) = store.excerpts(number)
    assert (piece.side, piece.start_s, piece.audio.rate) == ("before", 3.5, 44100)
    assert np.abs(piece.audio.samples - samples).max() <= 2**-15
    assert store.excerpts(silent) == []


def test_what_is_forgotten_is_gone_with_all_that_hangs_on_it(store: ExperienceStore) -> None:
    noise = Audio(np.zeros((1, 100), np.float32), 44100)
    kept, gone = store.add(_made("kept")), store.add(_made("gone"), [Excerpt("after", 0.0, noise)])
    store.prefer(Preference("gone", gone, None))
    assert store.forget("gone") == 1
    assert [each.number for each in store.all()] == [kept]
    assert store.preferences() == []
    assert store.excerpts(gone) == []
    assert store.forget() == 1
    assert store.all() == []


def test_a_file_of_the_first_version_is_brought_up_to_date(
    store: ExperienceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.path.parent.mkdir()
    database = sqlite3.connect(store.path)
    for statement in module._MIGRATIONS[0]:
        database.execute(statement)
    columns = ("2026-01-01", "song", "master", "song.wav", "old", b"", "{}", "rules", "", "{}", None, "0.1.0")
    database.execute(f"INSERT INTO experience VALUES (1, {', '.join('?' * 12)})", columns)
    database.execute("PRAGMA user_version = 1")
    database.commit()
    database.close()
    (old,) = store.all()
    assert (old.number, old.name, old.context) == (1, "song.wav", None)
    assert store.excerpts(1) == []
    assert store.add(_made(master="new")) == 2


def test_what_another_version_measured_has_no_context(
    store: ExperienceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(_made())
    monkeypatch.setattr(module, "FEATURE_NAMES", ("other",))
    assert [each.context for each in store.all()] == [None]


def test_a_file_of_a_later_version_is_left_alone(store: ExperienceStore) -> None:
    store.add(_made())
    database = sqlite3.connect(store.path)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    with pytest.raises(OutputError, match="a later version of mixagent") as error:
        store.all()
    assert "\n" not in str(error.value)


def test_a_damaged_file_is_one_line(store: ExperienceStore) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(b"not a database" * 100)
    with pytest.raises(OutputError, match="not a database") as error:
        store.add(_made())
    assert "\n" not in str(error.value)
    assert store.path.read_bytes() == b"not a database" * 100


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be used"):
        ExperienceStore(tmp_path / "file" / "experience.sqlite").all()


def test_a_locked_file_is_given_up_after_a_while(store: ExperienceStore) -> None:
    store.add(_made())
    database = sqlite3.connect(store.path, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    impatient = replace(store, patience_s=0.05)
    with pytest.raises(OutputError, match="locked"):
        impatient.add(_made(master="other"))
    assert len(impatient.all()) == 1
    database.execute("ROLLBACK")
    database.close()
    assert impatient.add(_made(master="other")) == 2


def test_a_failed_write_leaves_nothing(store: ExperienceStore) -> None:
    store.add(_made())
    with pytest.raises(OutputError, match="FOREIGN KEY"):
        store.prefer(Preference("song", 99, None))
    assert store.preferences() == []


def _add_some(path: Path, who: int) -> None:
    store = ExperienceStore(path, 30.0)
    for k in range(5):
        store.add(_made(master=f"{who}/{k}"))


def test_programs_that_write_at_once_lose_nothing(store: ExperienceStore) -> None:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for done in [pool.submit(_add_some, store.path, who) for who in range(3)]:
            done.result()
    assert len(store.all()) == 15


def test_the_users_folder_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIXAGENT_DATA", str(tmp_path))
    assert ExperienceStore.default().path == tmp_path / "experience.sqlite"
    monkeypatch.setenv("MIXAGENT_DATA", "~nobody-of-this-name/x")
    with pytest.raises(UsageError, match="MIXAGENT_DATA"):
        data_folder()
