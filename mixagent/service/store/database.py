"""The database: SQLite that several threads and processes share, brought up to date when it is opened."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Engine, create_engine, delete, event, insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from mixagent.service.problems import Problem
from mixagent.service.store.tables import SignInTry

BUSY_S = 10.0
"""How long a writer waits for another one."""


class Database:
    """Sessions that read, and sessions that write one after the other."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._engine = _engine(path)
        self._migrate()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database."""
        with self._told(), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes are all made, or none; it is alone in writing from its first statement.

        Raises:
            Problem: another writer did not end in time, or the disk is full.
        """
        writer = self._engine.execution_options(writes=True)
        with self._told(), Session(writer, expire_on_commit=False) as session, session.begin():
            yield session

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
        with self._told(), self._engine.connect() as connection:
            cursor = connection.connection.cursor()
            # Who reads for long is not waited for: the next sweep tries again.
            cursor.execute("PRAGMA busy_timeout=500")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.execute(f"PRAGMA busy_timeout={round(BUSY_S * 1000)}")
            cursor.close()

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            words = str(error.orig)
            if "full" in words or "disk I/O" in words:
                raise Problem("disk", "the database has no room on its disk", retry_after_s=60) from error
            if "locked" in words or "busy" in words:
                raise Problem("busy", "the database is busy: try again", retry_after_s=2) from error
            raise

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", "mixagent.service.store:migrations")
        with self._engine.execution_options(writes=True).begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def now() -> float:
    """Seconds since 1970, as rows have them."""
    return time.time()


def _engine(path: Path) -> Engine:
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
