"""`mixagent corpus`: words or one JSON object, one clear line for what is wrong, and runs that go on."""

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mixagent.cli.app import command_line
from mixagent.envs.cases import CaseStore
from mixagent.envs.corpus import Corpus
from mixagent.envs.synthetic import debug_corpus
from mixagent.learning.corpus_settings import load_corpus_config
from mixagent.pipeline.errors import InputError, OutputError, UsageError

BUILD = ("build", "--config", "debug", "--split", "train", "--set", "seconds=0.5")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return debug_corpus(tmp_path_factory.mktemp("debug"), seconds=6.0).directory


@pytest.fixture
def run(capsys):
    """Runs a command of the group; its exit code and what it printed."""

    def ran(*arguments: object) -> tuple[int, str, str]:
        code = command_line()(["corpus", *map(str, arguments)], standalone_mode=False)
        said = capsys.readouterr()
        return code or 0, said.out, said.err

    return ran


def test_adding_says_what_there_is_and_names_what_was_skipped(run, made, tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    song = made / "songs" / "train" / "song-0.flac"
    (folder / "a.flac").write_bytes(song.read_bytes())
    (folder / "bad [name].wav").write_text("no audio")
    arguments = ("add", folder, "--corpus", tmp_path / "corpus", "--shortest", 2, "--split", "validation")
    code, out, err = run(*arguments)
    assert code == 0
    assert "1 song" in out
    assert "1 validation" in out
    assert err.count("\n") == 1
    assert "bad [name].wav is not an audio file" in err
    code, out, err = run(*arguments, "--json")
    assert json.loads(out)["skipped"] == []
    assert json.loads(out)["splits"] == {"validation": 1}
    assert err == ""


def test_a_folder_that_is_not_there_or_holds_no_audio_is_one_clear_error(run, tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        run("add", tmp_path / "nowhere", "--corpus", tmp_path / "corpus")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no audio file in"):
        run("add", tmp_path / "empty", "--corpus", tmp_path / "corpus")
    with pytest.raises(UsageError, match="unknown split 'dev'"):
        run("add", tmp_path / "empty", "--split", "dev")


def test_listing_shows_the_songs_of_a_split_and_fit(run, made):
    listed = json.loads(run("list", "--corpus", made, "--split", "test", "--fit", "clean truth", "--json")[1])
    assert listed["schema"] == "mixagent.corpus/1"
    assert [song["artist"] for song in listed["songs"]] == ["Synthesised 8", "Synthesised 9"]
    assert "acoustic" not in listed["songs"][0]
    code, out, _ = run("list", "--corpus", made)
    assert code == 0
    assert "Synthesised" in out


def test_the_corpus_is_found_by_its_environment_variable(run, made, monkeypatch):
    monkeypatch.setenv("MIXAGENT_CORPUS", str(made))
    assert json.loads(run("list", "--json")[1])["directory"] == str(made)


def test_checking_exits_with_three_where_a_song_is_gone(run, tmp_path):
    made = debug_corpus(tmp_path / "corpus", seconds=2.0).directory
    assert run("check", "--corpus", made)[0] == 0
    (made / "songs" / "train" / "song-1.flac").unlink()
    code, out, _ = run("check", "--corpus", made)
    assert code == InputError.exit_code
    assert "song-1.flac is gone" in out


def test_building_fills_each_split_and_goes_on_where_it_was(run, made, tmp_path):
    arguments = (*BUILD, "--corpus", made, "--cases", tmp_path / "cases")
    first = json.loads(run(*arguments, "--count", 2, "--json")[1])
    assert first["counts"] == {"train": 2, "validation": 0, "test": 0}
    names = CaseStore(tmp_path / "cases").names("train")
    assert json.loads(run(*arguments, "--count", 3, "--json")[1])["counts"]["train"] == 3
    assert CaseStore(tmp_path / "cases").names("train")[:2] == names


def test_a_build_that_is_killed_loses_no_case_that_was_done(run, made, tmp_path):
    arguments = [*BUILD, "--corpus", str(made), "--cases", str(tmp_path / "cases"), "--count", "200"]
    program = f"from mixagent.cli.app import command_line; command_line()({['corpus', *arguments]!r})"
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    store = CaseStore(tmp_path / "cases")
    while process.poll() is None and not (store.directory.exists() and len(store.names()) >= 2):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = store.names()
    assert 2 <= len(done) < 200
    run(*arguments[:-1], len(done) + 1)
    assert store.names()[: len(done)] == done
    assert all(store.load(name).original is not None for name in store.names())


def test_a_budget_that_is_used_up_is_said_and_what_was_built_stays(run, made, tmp_path):
    arguments = (*BUILD, "--corpus", made, "--cases", tmp_path / "cases", "--count", 20, "--disk-gb", 0.0001)
    with pytest.raises(OutputError, match="budget"):
        run(*arguments)
    store = CaseStore(tmp_path / "cases")
    assert store.load(store.names()[0]).name == store.names()[0]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a full disk, nothing can be written beyond so many bytes of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_is_one_clear_error_and_what_was_built_stays(run, made, tmp_path):
    arguments = (*BUILD, "--corpus", made, "--cases", tmp_path / "cases")
    run(*arguments, "--count", 1)
    with largest_file(20_000), pytest.raises(OutputError, match=r"cannot write .*File too large"):
        run(*arguments, "--count", 2)
    store = CaseStore(tmp_path / "cases")
    assert len(store.names()) == 1
    run(*arguments, "--count", 2)
    assert all(store.load(name).name == name for name in store.names())
    assert not list(store.directory.rglob(".mixagent-*"))


def test_an_index_that_cannot_be_written_is_one_clear_error_and_the_old_one_stays(run, made, tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    for name in ("song-0.flac", "song-1.flac"):
        (folder / name).write_bytes((made / "songs" / "train" / name).read_bytes())
        arguments = ("add", folder, "--corpus", tmp_path / "corpus", "--shortest", 2)
        if name == "song-0.flac":
            run(*arguments)
    with largest_file(100), pytest.raises(OutputError, match="cannot write"):
        run(*arguments)
    assert len(Corpus.open(tmp_path / "corpus").songs()) == 1
    assert "2 songs" in run(*arguments)[1]


def test_a_corpus_without_songs_cannot_be_built_from(run, tmp_path):
    with pytest.raises(InputError, match="no song"):
        run("build", "--corpus", tmp_path)
    assert Corpus.open(tmp_path).songs() == []


@pytest.mark.parametrize("override", ["second=3", "seconds=long", "workers=0", "cases.dev=3", "seed"])
def test_a_typo_in_the_configuration_fails(override):
    with pytest.raises(UsageError, match="configuration"):
        load_corpus_config("debug", [override])
