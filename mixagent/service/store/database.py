"""The database, brought up to date when it is opened: SQLite that several processes share, or PostgreSQL.

Whoever writes is alone in writing, on both: what may be begun depends on rows of others (a user's jobs at
work, an equal job, bytes that another row names), which locks of single rows do not cover. PostgreSQL has one
advisory lock for that, held from the first statement of a transaction to its commit, so that events also
come to be seen in the order of their ids. Signs of life need no such lock and do without.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import (
    URL,
    Engine,
    Float,
    create_engine,
    delete,
    event,
    extract,
    func,
    insert,
    make_url,
    select,
)
from sqlalchemy import cast as as_type
from sqlalchemy.exc import ArgumentError, DataError, InterfaceError, OperationalError, TimeoutError
from sqlalchemy.orm import Session

from mixagent.pipeline.errors import UsageError
from mixagent.service.problems import Problem
from mixagent.service.store.tables import SignInTry

BUSY_S = 10.0
"""How long a writer waits for another one."""

INSIST_S = 60.0
"""How long a worker tries to reach the database before it lets a job go."""

_POSTGRES = ("postgresql", "postgresql+psycopg", "postgres")
_WRITERS = 0x6D697861
"""The number of the advisory lock."""

_IDLE_S = 120.0
"""After so long without a statement a transaction of PostgreSQL is ended: its maker hangs."""

Given = TypeVar("Given")


class Database:
    """Sessions that read, and sessions that write one after the other.

    Args:
        where: the file of an SQLite database, or a URL.

    Raises:
        UsageError: the URL is of no database that is known here.
        Problem: the database cannot be reached.
    """

    def __init__(self, where: Path | str) -> None:
        self._engine = _engine_of(where)
        self._is_postgres = self._engine.dialect.name == "postgresql"
        with self._told():
            self._migrate()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database."""
        reader = self._engine
        if self._is_postgres:
            reader = reader.execution_options(isolation_level="REPEATABLE READ")
        with self._told(), Session(reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self, durable: bool = True) -> Iterator[Session]:
        """A session whose changes are all made, or none; it is alone in writing from its first statement.

        Args:
            durable: whether they are on the disk when it ends; else a crash of PostgreSQL may lose them.

        Raises:
            Problem: another writer did not end in time, the disk is full, or the database is gone.
        """
        with self._session(writes=True, durable=durable) as session:
            yield session

    @contextmanager
    def touching(self) -> Iterator[Session]:
        """As `writing`, but on PostgreSQL not alone: for changes of a row that no other row depends on."""
        with self._session(writes=not self._is_postgres, durable=False) as session:
            yield session

    @property
    def clock(self) -> Any:
        """The time by the clock that all who share the database go by, for statements.

        Leases of workers on several machines would else end early where a machine's clock is ahead.
        """
        return as_type(extract("epoch", func.clock_timestamp()), Float) if self._is_postgres else now()

    def time(self, session: Session) -> float:
        """That time, in seconds since 1970."""
        return float(session.scalar(select(self.clock)) or 0.0) if self._is_postgres else now()

    def check(self) -> None:
        """Whether it can be written to.

        Raises:
            Problem: it cannot.
        """
        with self.writing() as session:
            # A row that comes and goes: what is not changed would not go through the disk.
            session.execute(insert(SignInTry).values(name="", address="", at=0.0))
            session.execute(delete(SignInTry).where(SignInTry.at == 0.0))

    def checkpoint(self) -> None:
        """Leave nothing in the log ahead of the database: what was deleted would stay there for long."""
        if self._is_postgres:
            return
        with self._told(), self._engine.connect() as connection:
            cursor = connection.connection.cursor()
            # Who reads for long is not waited for: the next sweep tries again.
            cursor.execute("PRAGMA busy_timeout=500")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.execute(f"PRAGMA busy_timeout={round(BUSY_S * 1000)}")
            cursor.close()

    def close(self) -> None:
        """Let go of it."""
        self._engine.dispose()

    @contextmanager
    def _session(self, **options: bool) -> Iterator[Session]:
        writer = self._engine.execution_options(**options)
        with self._told(), Session(writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            words = str(error.orig).lower()
            if any(said in words for said in ("full", "disk i/o", "no space left")):
                raise Problem("disk", "the database has no room on its disk", retry_after_s=60) from error
            if self._is_postgres:
                raise Problem("busy", "the database cannot be reached: try again", retry_after_s=2) from error
            if "locked" in words or "busy" in words:
                raise Problem("busy", "the database is busy: try again", retry_after_s=2) from error
            raise
        except TimeoutError as error:
            raise Problem("busy", "the database is busy: try again", retry_after_s=2) from error
        except DataError as error:
            raise Problem("request", "a text or number is none that can be kept") from error

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", "mixagent.service.store:migrations")
        with self._engine.execution_options(writes=True).begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def now() -> float:
    """Seconds since 1970, as rows have them."""
    return time.time()


def insist(work: Callable[[], Given], for_s: float = INSIST_S) -> Given:
    """Do a whole transaction, again and again while the database is busy or cannot be reached.

    Raises:
        Problem: it was so for too long.
    """
    until, wait_s = time.monotonic() + for_s, 0.1
    while True:
        try:
            return work()
        except Problem as problem:
            if problem.code != "busy" or time.monotonic() + wait_s > until:
                raise
        time.sleep(wait_s)
        wait_s = min(2.0, 2 * wait_s)


def _engine_of(where: Path | str) -> Engine:
    if isinstance(where, Path):
        return _sqlite(where)
    try:
        url = make_url(where)
    except ArgumentError:
        raise UsageError("the database is postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE") from None
    if url.drivername == "sqlite" and url.database:
        return _sqlite(Path(url.database))
    if url.drivername in _POSTGRES:
        return _postgres(url.set(drivername="postgresql+psycopg"))
    raise UsageError(f"{url.drivername} is no database that is known here: give postgresql or sqlite")


def _postgres(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=5,
        max_overflow=15,
        pool_timeout=BUSY_S,
        # A connection that the server or a firewall dropped is not found out by a job.
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={"connect_timeout": 5, "tcp_user_timeout": 15_000, "keepalives_idle": 30},
    )

    @event.listens_for(engine, "connect")
    def opened(connection: Any, _record: Any) -> None:
        connection.autocommit = True
        connection.execute(f"SET lock_timeout = {BUSY_S * 1000:.0f}")
        connection.execute(f"SET idle_in_transaction_session_timeout = {_IDLE_S * 1000:.0f}")
        connection.autocommit = False

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        options = connection.get_execution_options()
        if not options.get("durable", True):
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
        if options.get("writes", False):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")

    return engine


def _sqlite(path: Path) -> Engine:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_S, "check_same_thread": False},
        pool_size=5,
        max_overflow=35,
    )

    @event.listens_for(engine, "connect")
    def opened(connection: Any, _record: Any) -> None:
        # sqlite3 would begin transactions by itself, and late: `begun` does.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "cache_size=-500",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        # A reader that becomes a writer midway may find the database locked at once: writers say so first.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
