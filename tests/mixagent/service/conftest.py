"""What the tests of the service share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
import services
from services import Caller, called
from songs import write_song


@pytest.fixture
def api(tmp_path) -> Iterator[Caller]:
    """A service of one's own machine, whose jobs wait."""
    with called(tmp_path) as caller:
        yield caller


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """A cluster of PostgreSQL."""
    if servers.NO_POSTGRES:
        pytest.skip(servers.NO_POSTGRES)
    with servers.postgres() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, monkeypatch) -> str | None:
    """Each database in turn, which all services of a test have; the URL of one that is no file."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres").url()
    monkeypatch.setitem(services.EVERYWHERE, "database_url", url)
    return url


@pytest.fixture(scope="session")
def _kernels(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def data(tmp_path, _kernels) -> Path:
    """A folder for a service's data that has the kernels which earlier tests compiled."""
    return with_kernels(tmp_path / "data", _kernels)


@pytest.fixture
def elsewhere(tmp_path, _kernels) -> Path:
    """Such a folder of another machine's."""
    return with_kernels(tmp_path / "elsewhere", _kernels)


def with_kernels(folder: Path, kernels: Path) -> Path:
    folder.mkdir()
    (folder / "engine").symlink_to(kernels)
    return folder


@pytest.fixture(scope="session")
def short_song(tmp_path_factory) -> Path:
    """A song of 2 s."""
    return write_song(tmp_path_factory.mktemp("short") / "song.wav", seconds=2.0)
