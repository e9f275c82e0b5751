"""What the tests of the service share."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
import services
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from services import Caller, called
from signing_in import PASSWORD
from songs import write_song

from mixagent.service.accounts import passwords


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


@pytest.fixture
def cheap(monkeypatch) -> None:
    """Hashes of the lowest costs: the same argon2, in a millisecond."""
    hasher = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    monkeypatch.setattr(passwords, "_hasher", lambda: hasher)
    passwords._nobody.cache_clear()


@pytest.fixture
def club(tmp_path, cheap) -> Iterator[Caller]:
    """A service with accounts, in which Anna and Bert have passwords and Root may do all."""
    with called(tmp_path, accounts=True, host="0.0.0.0") as api:
        api.service.users.add("anna", PASSWORD)
        api.service.users.add("bert", f"{PASSWORD} of bert")
        api.service.users.add("root", f"{PASSWORD} of root", ["admin"])
        yield api
