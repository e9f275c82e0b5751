"""Which programs work on the jobs of a database: each says now and then that it is there."""

from __future__ import annotations

from sqlalchemy import delete, func, select

from mixagent.service.store.database import Database
from mixagent.service.store.tables import Worker

SAY_EVERY_S = 10.0
_GONE_S = 45.0
_FORGOTTEN_S = 86_400.0


class Roll:
    """The roll of a database's workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def say(self, name: str, slots: int) -> None:
        """A program is there, and has so many workers."""
        with self._database.touching() as session:
            clock = self._database.time(session)
            row = session.get(Worker, name)
            if row is None:
                session.add(Worker(name=name, slots=slots, started_at=clock, seen_at=clock))
            else:
                row.slots, row.seen_at = slots, clock
            session.execute(delete(Worker).where(Worker.seen_at < clock - _FORGOTTEN_S))

    def leave(self, name: str) -> None:
        """A program works no more."""
        with self._database.touching() as session:
            session.execute(delete(Worker).where(Worker.name == name))

    def slots(self) -> int:
        """How many workers are there."""
        there = Worker.seen_at > self._database.clock - _GONE_S
        with self._database.reading() as session:
            return session.scalar(select(func.sum(Worker.slots)).where(there)) or 0

    def any_there(self) -> bool:
        """Whether there is a worker."""
        return self.slots() > 0
