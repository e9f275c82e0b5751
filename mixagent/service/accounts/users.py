"""Users: made by whoever runs the service, known by a name and a password, gone with all that is theirs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from mixagent.service.access import LOCAL_USER, WRITE, Caller
from mixagent.service.accounts.passwords import check_password, hashed, verified
from mixagent.service.accounts.sessions import close_all
from mixagent.service.problems import Problem
from mixagent.service.store.database import Database, now
from mixagent.service.store.tables import ApiKey, Identity, SignInTry, User

NAME = re.compile(r"[A-Za-z0-9._@-]{1,80}")
"""A user's name; an address of mail is one."""

TRIES_WITHIN_S = 900.0
_OF_PAIR, _OF_ADDRESS, _OF_NAME = 10, 50, 100
"""Wrong passwords within that time: of a name from an address, from an address, and of a name from all."""


class Users:
    """The users of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, password: str | None, scopes: Sequence[str] = (WRITE,)) -> User:
        """A new user; without a password they sign in by OpenID, or have keys.

        Raises:
            Problem: the name is taken or makes no sense, or the password does.
        """
        if NAME.fullmatch(name) is None:
            raise Problem("usage", "a name has 1 to 80 of A-Z a-z 0-9 . _ @ -", field="name")
        if password is not None:
            check_password(password, name)
        kept = None if password is None else hashed(password)
        with self._database.writing() as session:
            row = session.get(User, name)
            if row is not None and (row.removed_at is not None or _is_taken(session, row)):
                raise Problem("state", f"there is a user {name} already, or until their songs are deleted")
            row = row or User(name=name, created_at=now(), served_at=0.0)
            row.password, row.scopes = kept, list(scopes)
            session.add(row)
        return row

    def all(self) -> Sequence[User]:
        """Every user, by name."""
        with self._database.reading() as session:
            return session.scalars(select(User).where(User.removed_at.is_(None)).order_by(User.name)).all()

    def any_with_password(self) -> bool:
        """True if anybody can sign in with a password."""
        wanted = select(User.name).where(User.password.is_not(None), User.removed_at.is_(None)).limit(1)
        with self._database.reading() as session:
            return session.scalars(wanted).first() is not None

    def set_password(self, name: str, password: str, but: str | None = None) -> None:
        """Give a user a new password; their sessions end, but for one.

        Raises:
            Problem: there is no such user, or the password makes no sense.
        """
        check_password(password, name)
        kept = hashed(password)
        with self._database.writing() as session:
            there(session, name).password = kept
            close_all(session, name, but)

    def remove(self, name: str) -> None:
        """Let a user in no more; the sweeper deletes all that is theirs.

        Raises:
            Problem: there is no such user, or it is the one that is always there.
        """
        if name == LOCAL_USER:
            raise Problem("usage", f"{LOCAL_USER} is whoever uses this machine, and stays", field="name")
        with self._database.writing() as session:
            row = there(session, name)
            row.removed_at, row.password = now(), None
            close_all(session, name)
            session.execute(delete(Identity).where(Identity.user == name))
            revoked = update(ApiKey).where(ApiKey.user == name, ApiKey.revoked_at.is_(None))
            session.execute(revoked.values(revoked_at=now()))

    def sign_in(self, name: str, password: str, address: str) -> Caller:
        """The caller with this name and password.

        Raises:
            Problem: nobody's, or there were too many wrong ones of late.
        """
        # Put down before it is known to be wrong: guesses that come at once are counted too.
        tried = self._tried(name, address)
        with self._database.reading() as session:
            row = session.scalars(select(User).where(User.name == name, User.removed_at.is_(None))).first()
        right, better = verified(password, None if row is None else row.password)
        if row is None or not right:
            raise Problem("sign_in", "the name or the password is wrong")
        with self._database.writing() as session:
            pair = (SignInTry.name == name) & (SignInTry.address == address)
            session.execute(delete(SignInTry).where((SignInTry.id == tried) | pair))
            if better is not None:
                same = update(User).where(User.name == name, User.password == row.password)
                session.execute(same.values(password=better))
        return Caller(row.name, tuple(row.scopes))

    def _tried(self, name: str, address: str) -> int:
        """Count a sign-in.

        Raises:
            Problem: there were too many wrong ones of late.
        """
        name, address = name[:200], address[:200]
        by_name, by_address = SignInTry.name == name, SignInTry.address == address
        bounds = ((by_name & by_address, _OF_PAIR), (by_address, _OF_ADDRESS), (by_name, _OF_NAME))
        with self._database.writing() as session:
            row = SignInTry(name=name, address=address, at=now())
            session.add(row)
            session.flush()
            # Alone in writing from here on: no other try is later. One that is was made by another clock.
            time = now()
            recent = (SignInTry.at > time - TRIES_WITHIN_S) & (SignInTry.at <= time)
            for which, most in bounds:
                wanted = select(func.count(), func.min(SignInTry.at)).where(which, recent)
                count, first = session.execute(wanted).one()
                if count > most:
                    raise Problem(
                        "limit",
                        "too many wrong passwords: try again later",
                        retry_after_s=first + TRIES_WITHIN_S - time,
                    )
            return row.id


def there(session: Session, name: str) -> User:
    """The row of a user.

    Raises:
        Problem: there is none.
    """
    row = session.get(User, name)
    if row is None or row.removed_at is not None:
        raise Problem("missing", f"there is no user {name}")
    return row


def _is_taken(session: Session, row: User) -> bool:
    """True if somebody signs in as a user already; who has keys alone may be given a password."""
    has_identity = session.scalars(select(Identity).where(Identity.user == row.name)).first() is not None
    return row.name == LOCAL_USER or row.password is not None or has_identity
