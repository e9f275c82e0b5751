"""Sessions of the page: a cookie of 256 random bits, of which the database has the hash."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import CursorResult, delete, or_, select
from sqlalchemy.orm import Session

from mixagent.service.access import Caller, no_key
from mixagent.service.settings import DAY_S
from mixagent.service.store.database import Database, now
from mixagent.service.store.tables import ApiKey, SignedIn, User

IDLE_S = 7 * DAY_S
"""A session that is not used for so long is over."""

LONGEST_S = 30 * DAY_S
"""After so long one signs in again."""


class Sessions:
    """Opens sessions, knows them again, and ends them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._used: dict[str, float] = {}

    def open(self, caller: Caller, way: str, address: str) -> str:
        """A session of a user, or of the key that they came with; its token, which is kept nowhere."""
        token, time = secrets.token_urlsafe(32), now()
        with self._database.writing() as session:
            session.add(
                SignedIn(
                    hash=_hash(token),
                    user=caller.user,
                    key=caller.key,
                    way=way,
                    address=address[:200],
                    created_at=time,
                    used_at=time,
                    expires_at=time + IDLE_S,
                )
            )
        return token

    def caller(self, token: str) -> Caller:
        """The caller whose session this is.

        Raises:
            Problem: there is none, its time is over, or its key or user is gone.
        """
        wanted = (
            select(SignedIn, User, ApiKey)
            .join(User, User.name == SignedIn.user)
            .outerjoin(ApiKey, ApiKey.id == SignedIn.key)
            .where(SignedIn.hash == _hash(token), SignedIn.expires_at > now(), User.removed_at.is_(None))
        )
        with self._database.reading() as session:
            found = session.execute(wanted).first()
        if found is None:
            raise no_key()
        row, user, key = found
        if row.key is not None and (key is None or key.revoked_at is not None):
            raise no_key()
        self._used[row.hash] = now()
        return Caller(row.user, tuple(user.scopes if key is None else key.scopes), row.key, row.hash)

    def close(self, caller: Caller) -> None:
        """End the session that a caller came with."""
        with self._database.writing() as session:
            session.execute(delete(SignedIn).where(SignedIn.hash == caller.session))

    def close_all(self, user: str, but: str | None = None) -> int:
        """End all sessions of a user, but for one; how many there were."""
        with self._database.writing() as session:
            return close_all(session, user, but)

    def all(self, user: str) -> list[SignedIn]:
        """The sessions of a user, the newest first."""
        wanted = select(SignedIn).where(SignedIn.user == user, SignedIn.expires_at > now())
        with self._database.reading() as session:
            return [*session.scalars(wanted.order_by(SignedIn.created_at.desc()))]

    def flush(self) -> None:
        """Put down when sessions were used: while they are, they last."""
        used, self._used = self._used, {}
        if not used:
            return
        with self._database.writing() as session:
            for hash_, at in [*used.items()]:
                # A clock that was set back must not shorten what it gave.
                later = or_(SignedIn.used_at < at, SignedIn.used_at > at + DAY_S)
                row = session.scalars(select(SignedIn).where(SignedIn.hash == hash_, later)).first()
                if row is not None:
                    row.used_at, row.expires_at = at, min(at + IDLE_S, row.created_at + LONGEST_S)


def close_all(session: Session, user: str, but: str | None = None) -> int:
    """End all sessions of a user, but for one; how many there were. The session of the database writes."""
    ended = session.execute(delete(SignedIn).where(SignedIn.user == user, SignedIn.hash != (but or "")))
    assert isinstance(ended, CursorResult)
    return ended.rowcount


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
