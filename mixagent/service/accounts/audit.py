"""The audit log: who did what, kept in the database and told in the log."""

from __future__ import annotations

import logging
import threading
from typing import Any

from mixagent.service.access import Caller
from mixagent.service.problems import Problem
from mixagent.service.store.database import Database, now
from mixagent.service.store.tables import AuditEntry

LOG = logging.getLogger(__name__)

COMMAND_LINE = "command line"
"""In place of an address."""

_MOST_WAITING = 10_000


class Audit:
    """Puts actions down. What is done is done: where the database is busy, its line waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def put(self, caller: Caller, what: str, about: str, address: str) -> None:
        """Put an action down.

        Args:
            caller: who did it.
            what: was done, in a word or two.
            about: the id of what it was done to.
            address: from where.
        """
        line = {
            "at": now(),
            "user": caller.user,
            "key": caller.key,
            "what": what,
            "about": about[:200],
            "address": address[:200],
        }
        LOG.info("audit", extra=line)
        with self._lock:
            self._waiting = [*self._waiting, line][-_MOST_WAITING:]
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            lines, self._waiting = self._waiting, []
        if not lines:
            return
        try:
            with self._database.writing() as session:
                session.add_all(AuditEntry(**line) for line in lines)
        except Problem as problem:
            LOG.warning("audit lines wait", extra={"lines": len(lines), "why": problem.detail})
            with self._lock:
                self._waiting = [*lines, *self._waiting][-_MOST_WAITING:]
