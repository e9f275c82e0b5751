"""A service with accounts, and those who use it."""

from collections.abc import Iterator

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from services import Caller, called
from signing_in import PASSWORD

from mixagent.service.accounts import passwords


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
