"""Stages that are sent to other workers one by one: which wait, who has them, how they ended.

A stage is addressed by its name, its settings and the keys of its inputs, and what it makes lies in the cache
of its song. So whoever shares that cache may run it, and the job that sent it finds the result there. Nothing
hangs on its being run elsewhere: a stage that nobody takes in time, or that failed, its job runs itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mixagent.service.naming import new_id
from mixagent.service.store.database import Database
from mixagent.service.store.tables import DONE, FAILED, RUNNING, WAITING, Job, JobStage


@dataclass(frozen=True)
class SentStage:
    """A stage that a worker has.

    Attributes:
        order: as `pipeline.graph.runner.run_order` takes it.
        cache: folder of its inputs and of its result.
    """

    job: str
    name: str
    token: str
    order: Mapping[str, Any]
    cache: str


class Board:
    """The stages of a database's jobs."""

    def __init__(self, database: Database, lease_s: float) -> None:
        self._database, self._lease_s = database, lease_s

    def send(self, job: str, name: str, machine: str, order: Mapping[str, Any], cache: str) -> None:
        """Have a stage of a job, under a name of its own in it, run by whoever of a machine is free."""
        with self._database.writing(durable=False) as session:
            place = session.scalar(select(func.count()).where(JobStage.job == job)) or 0
            told = {"order": dict(order), "cache": cache, "machine": machine}
            session.merge(
                JobStage(
                    job=job,
                    name=name,
                    place=place,
                    state=WAITING,
                    share=0.0,
                    seconds=0.0,
                    worker=None,
                    order=told,
                    claim=None,
                    lease_until=None,
                    problem=None,
                )
            )

    def free(self, machine: str, workers: int) -> int:
        """How many of a machine's workers are at nothing."""
        here = f"{machine}:"
        with self._database.reading() as session:
            busy = sum(
                session.scalar(
                    select(func.count()).where(
                        table.state == RUNNING, table.worker.startswith(here, autoescape=True)
                    )
                )
                or 0
                for table in (Job, JobStage)
            )
            waiting = session.scalar(select(func.count()).where(JobStage.state == WAITING)) or 0
        return workers - busy - waiting

    def claim(self, machine: str, worker: str) -> SentStage | None:
        """The stage that waits longest on a machine, which is the caller's from now on."""
        waiting = select(JobStage).where(JobStage.state == WAITING).order_by(JobStage.job, JobStage.place)
        with self._database.reading() as session:
            if session.scalars(waiting.limit(1)).first() is None:
                return None
        with self._database.touching() as session:
            # Here each row stands for itself: what another has in hand is passed over.
            for row in session.scalars(waiting.with_for_update(skip_locked=True)):
                told = row.order or {}
                if told.get("machine") == machine:
                    row.state, row.worker, row.claim = RUNNING, worker, new_id("evt")
                    row.lease_until = self._database.time(session) + self._lease_s
                    return SentStage(row.job, row.name, row.claim, told["order"], told["cache"])
        return None

    def beat(self, stage: SentStage) -> bool:
        """Say that a stage is being worked on; whether it is the caller's still."""
        with self._database.touching() as session:
            row = _held(session, stage)
            if row is not None:
                row.lease_until = self._database.time(session) + self._lease_s
            return row is not None

    def end(self, stage: SentStage, seconds: float, problem: Mapping[str, Any] | None = None) -> None:
        """Say how a stage ended."""
        with self._database.touching() as session:
            row = _held(session, stage)
            if row is not None:
                row.state = DONE if problem is None else FAILED
                row.share, row.seconds = 1.0, seconds
                row.problem = None if problem is None else dict(problem)

    def ended(self, job: str, names: Collection[str], withdrawn: Collection[str] = ()) -> list[str]:
        """Which of a job's stages it need not wait for.

        Args:
            job: whose.
            names: that it waits for.
            withdrawn: those of them that it does not wait for longer unless somebody has taken them.
        """
        over = []
        with self._database.touching() as session:
            time = self._database.time(session)
            wanted = select(JobStage).where(JobStage.job == job, JobStage.name.in_(names))
            for row in session.scalars(wanted.with_for_update()):
                late = row.state == RUNNING and (row.lease_until or 0.0) < time
                if late or (row.state == WAITING and row.name in withdrawn):
                    row.state, row.claim = FAILED, None
                    row.problem = {"detail": "its worker was lost" if late else "nobody was free"}
                if row.state in (DONE, FAILED):
                    over.append(row.name)
        return over

    def put_down(self, job: str, worker: str, seconds: Mapping[str, float]) -> None:
        """The stages that a job ran itself, once it has ended."""
        with self._database.writing(durable=False) as session:
            if session.scalars(select(Job.id).where(Job.id == job)).first() is None:
                return
            sent = set(
                session.scalars(select(JobStage.name).where(JobStage.job == job, JobStage.state == DONE))
            )
            for place, (name, taken_s) in enumerate(seconds.items()):
                if name not in sent:
                    row = JobStage(job=job, name=name, place=place, state=DONE, share=1.0)
                    row.seconds, row.worker = taken_s, worker
                    session.merge(row)

    def of(self, job: str) -> Sequence[JobStage]:
        """The stages of a job, in the order in which they began."""
        with self._database.reading() as session:
            wanted = select(JobStage).where(JobStage.job == job).order_by(JobStage.place, JobStage.name)
            return session.scalars(wanted).all()

    def waiting(self) -> int:
        """How many stages wait for somebody."""
        with self._database.reading() as session:
            return session.scalar(select(func.count()).where(JobStage.state == WAITING)) or 0


def _held(session: Session, stage: SentStage) -> JobStage | None:
    wanted = select(JobStage).where(JobStage.job == stage.job, JobStage.name == stage.name)
    row = session.scalars(wanted.with_for_update()).first()
    return row if row is not None and row.claim == stage.token else None
