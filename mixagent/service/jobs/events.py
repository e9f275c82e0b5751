"""What happens to jobs, as rows that streams tell in their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from mixagent.service.store.database import now
from mixagent.service.store.tables import Job, JobEvent


@dataclass(frozen=True)
class Event:
    """Something that happened: `id` grows over all jobs."""

    id: int
    job: str
    user: str
    kind: str
    data: Mapping[str, Any]


class OfUser(Protocol):
    """A job, or what a worker holds of it."""

    @property
    def id(self) -> str:
        """The job's."""

    @property
    def user(self) -> str:
        """Whose it is."""


def add(session: Session, job: Job | OfUser, kind: str, data: Mapping[str, Any]) -> None:
    """Put down that something happened."""
    words = {"job": job.id, "user": job.user, "kind": kind, "data": dict(data), "at": now()}
    session.execute(insert(JobEvent).values(words))


def newest(session: Session) -> int:
    """Id of the last event; 0 before the first."""
    return session.scalar(select(func.max(JobEvent.id))) or 0


def since(
    session: Session, after: int, *, job: str | None = None, user: str | None = None, most: int = 1000
) -> list[Event]:
    """Events after one, in their order, of all, of a job, or of a user."""
    wanted = select(JobEvent).where(JobEvent.id > after).order_by(JobEvent.id).limit(most)
    if job is not None:
        wanted = wanted.where(JobEvent.job == job)
    if user is not None:
        wanted = wanted.where(JobEvent.user == user)
    return [Event(row.id, row.job, row.user, row.kind, row.data) for row in session.scalars(wanted)]
