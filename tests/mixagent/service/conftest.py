"""What the tests of the service share."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import Caller, called
from songs import write_song


@pytest.fixture
def api(tmp_path) -> Iterator[Caller]:
    """A service of one's own machine, whose jobs wait."""
    with called(tmp_path) as caller:
        yield caller


@pytest.fixture(scope="session")
def short_song(tmp_path_factory) -> Path:
    """A song of 2 s."""
    return write_song(tmp_path_factory.mktemp("short") / "song.wav", seconds=2.0)


class Clock:
    """The clock of the machine, which can be set."""

    def __init__(self) -> None:
        self.offset_s = 0.0
        self._real = time.time

    def __call__(self) -> float:
        return self._real() + self.offset_s

    def forward(self, seconds: float) -> None:
        """Set it forward; back where the seconds are negative."""
        self.offset_s += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The clock, as this process sees it."""
    set_ = Clock()
    monkeypatch.setattr(time, "time", set_)
    return set_
