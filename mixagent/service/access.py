"""Who asks, and what they may: API keys, and signed links."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mixagent.service.naming import new_id
from mixagent.service.problems import Problem
from mixagent.service.store.database import Database, now
from mixagent.service.store.tables import ApiKey, User

LOCAL_USER = "local"
READ, WRITE, ADMIN = "read", "write", "admin"
SCOPES = (READ, WRITE, ADMIN)
"""`write` includes `read`, and `admin` both."""

_KEY_BYTES, _SECRET_BYTES = 32, 32
_PREFIX = "mxk_"


@dataclass(frozen=True)
class Caller:
    """Who asks: the user, their scopes, and the key or the session (its hash) that they asked with."""

    user: str
    scopes: tuple[str, ...]
    key: str | None = None
    session: str | None = None

    def may(self, scope: str) -> bool:
        """Whether something of a scope is theirs to do."""
        return any(SCOPES.index(own) >= SCOPES.index(scope) for own in self.scopes)


class Keys:
    """API keys: kept as hashes, shown once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._used: dict[str, float] = {}

    def create(self, user: str, label: str, scopes: Sequence[str]) -> tuple[str, ApiKey]:
        """A new key of a user, who is made where there is none: the key itself, and its row."""
        key = _PREFIX + secrets.token_urlsafe(_KEY_BYTES)
        with self._database.writing() as session:
            ensure_user(session, user)
            row = ApiKey(
                id=new_id("key"),
                user=user,
                label=label,
                hash=_hash(key),
                scopes=list(scopes),
                created_at=now(),
            )
            session.add(row)
        return key, row

    def caller(self, key: str) -> Caller:
        """Whose key it is.

        Raises:
            Problem: nobody's, or it was revoked.
        """
        # The key has 256 random bits: nobody finds one by its hash, nor by how long a look-up takes.
        with self._database.reading() as session:
            row = session.scalars(select(ApiKey).where(ApiKey.hash == _hash(key))).first()
        if row is None or row.revoked_at is not None:
            raise no_key()
        # Put down later: who reads waits for no writer.
        self._used[row.id] = now()
        return Caller(row.user, tuple(row.scopes), row.id)

    def flush(self) -> None:
        """Put down when keys were used."""
        used, self._used = self._used, {}
        if not used:
            return
        used = dict(used)
        with self._database.writing() as session:
            for row in session.scalars(select(ApiKey).where(ApiKey.id.in_(used))):
                row.used_at = used[row.id]

    def any(self) -> bool:
        """Whether there is a key that is valid."""
        with self._database.reading() as session:
            return session.scalars(select(ApiKey).where(ApiKey.revoked_at.is_(None))).first() is not None

    def all(self) -> Sequence[ApiKey]:
        """Every key, revoked ones too, the newest first."""
        with self._database.reading() as session:
            return session.scalars(select(ApiKey).order_by(ApiKey.created_at.desc())).all()

    def revoke(self, key_id: str) -> None:
        """Make a key worth nothing.

        Raises:
            Problem: there is no such key.
        """
        with self._database.writing() as session:
            row = session.get(ApiKey, key_id)
            if row is None:
                raise Problem("missing", f"there is no key {key_id}")
            row.revoked_at = row.revoked_at or now()


def no_key() -> Problem:
    """Whoever asks gave nothing that says who they are."""
    return Problem(
        "key",
        "sign in, or give a valid API key: Authorization: Bearer mxk_…",
        headers={"WWW-Authenticate": 'Bearer realm="mixagent"'},
    )


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def ensure_user(session: Session, user: str) -> None:
    """Have a row of a user.

    Raises:
        Problem: they are being deleted.
    """
    row = session.get(User, user)
    if row is None:
        session.add(User(name=user, created_at=now(), served_at=0.0))
        session.flush()
    elif row.removed_at is not None:
        raise Problem("state", f"{user} is being deleted: try again in a minute")


class Signer:
    """Signs what is given to strangers, each for its purpose and until a time."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(secrets.token_bytes(_SECRET_BYTES))
        self._secret = file.read_bytes()

    def sign(self, purpose: str, words: Mapping[str, Any], seconds: float) -> str:
        """A token that says these words until so many seconds from now."""
        body = json.dumps({**words, "until": round(now() + seconds)}, sort_keys=True).encode()
        return f"{_coded(body)}.{_coded(self._mac(purpose, body))}"

    def read(self, purpose: str, token: str) -> Mapping[str, Any]:
        """What a token says.

        Raises:
            Problem: it was not signed here for this purpose, or its time is over.
        """
        body = token.partition(".")[0]
        try:
            said = _decoded(body)
            # As text: the last letter of a code has bits that say nothing, and one token must have one form.
            signed = f"{_coded(said)}.{_coded(self._mac(purpose, said))}"
            genuine = hmac.compare_digest(token.encode(), signed.encode())
        except ValueError:
            genuine = False
        if not genuine:
            raise Problem("missing", "there is no such link")
        words: dict[str, Any] = json.loads(said)
        if words["until"] < now():
            raise Problem("expired", "the link's time is over: ask for a new one")
        return words

    def _mac(self, purpose: str, body: bytes) -> bytes:
        return hmac.new(self._secret, purpose.encode() + b"\0" + body, hashlib.sha256).digest()


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
