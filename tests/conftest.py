"""What the tests of the program share: a short song, a folder for the cache, and the program itself."""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Before anything imports a hub's client: no test goes to the network.
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from plugin_hosts import fault_build, fault_plugin
from songs import write_song

from mixagent.pipeline.restoration.table import REPAIRS

__all__ = ["fault_build", "fault_plugin"]


@dataclass(frozen=True)
class Ran:
    """How the program ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """A run in the background of a shell ignores Ctrl-C, and so would what is tested of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def data_folder(monkeypatch, tmp_path_factory) -> Path:
    """An empty folder for what the program remembers, so that no test reads or writes the user's."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("MIXAGENT_DATA", str(folder))
    return folder


@pytest.fixture
def mixagent(monkeypatch, capsys, cache_folder):
    """Runs the program in this process with the arguments given."""
    from mixagent.cli import app as cli

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["mixagent", *map(str, arguments)])
        # The program's signal handlers end with it.
        monkeypatch.setattr(cli, "catch_interrupts", lambda: None)
        monkeypatch.setattr(cli, "ignore_interrupts", lambda: None)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else int(code is not None), said.out, said.err)

    return run


@pytest.fixture
def cache_folder(monkeypatch, tmp_path_factory) -> Path:
    """An empty cache that the program uses in this test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MIXAGENT_CACHE", str(folder))
    return folder


@pytest.fixture
def song(tmp_path) -> Path:
    """A song of 3 s, 44.1 kHz stereo, 32-bit float wav, alone in its folder."""
    folder = tmp_path / "music"
    folder.mkdir()
    return write_song(folder / "song.wav")


@pytest.fixture(autouse=True)
def repairs_in_their_order() -> Iterator[None]:
    """A row that a test took out comes back at its place, for parameters are in the table's order."""
    rows = dict(REPAIRS)
    yield
    REPAIRS.clear()
    REPAIRS.update(rows)
