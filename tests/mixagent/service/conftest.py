"""What the tests of the service share."""

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
