"""The queue: which job is next, who has it, and how it ends. All of it is rows of the database.

A job is claimed with a token that only one worker has; whatever is said of the job later is believed from
the holder of that token alone. So a job has one end, however many workers thought that it was theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Subquery, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from mixagent.service.jobs import events
from mixagent.service.jobs.estimates import Estimates
from mixagent.service.naming import new_id
from mixagent.service.problems import Problem
from mixagent.service.settings import Limits, WorkerLimits
from mixagent.service.store.blobs import Blobs
from mixagent.service.store.database import Database, now
from mixagent.service.store.release import lost_since, release
from mixagent.service.store.tables import (
    CANCELLED,
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    Delivery,
    Job,
    JobFile,
    JobInput,
    User,
)

Answer = Literal["go on", "cancel", "lost"]
"""To a worker that gave a sign of life: go on, bring the job to its end, or leave it, as it is another's."""

_AGAIN_S = 2.0
_LEASES_AHEAD = 10.0


_LONGEST_WAIT_S = 600.0
"""A job that is to wait for longer than this was put off by a clock that was set back since."""


@dataclass(frozen=True)
class Claimed:
    """A job that a worker has, with all that it needs for it."""

    id: str
    token: str
    user: str
    kind: str
    call: Mapping[str, Any]
    inputs: Sequence[tuple[str, str]]
    audio_s: float
    shape: str
    attempt: int
    trace: str | None = None


class Queue:
    """The queue of a database."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        limits: Limits,
        worker: WorkerLimits,
        estimates: Estimates,
    ) -> None:
        self._database, self._blobs = database, blobs
        self._limits, self._worker, self._estimates = limits, worker, estimates

    # --- for workers -------------------------------------------------------------------------------

    def claim(
        self, quick_only: bool = False, job: str | None = None, worker: str | None = None
    ) -> Claimed | None:
        """The next job, which is the caller's from now on; None where none may be begun.

        Quick jobs go first; among users, the one who has the fewest at work and was served longest ago.
        A job equal to one at work waits for it, and is then found among the results.

        Args:
            quick_only: whether full renders are left to others.
            job: no other than this one.
            worker: who claims it.
        """
        with self._database.writing() as session:
            while True:
                row = self._next(session, quick_only, job)
                if row is None:
                    return None
                twin = twin_of(session, row.cache_key)
                if twin is None:
                    return self._claimed(session, row, worker)
                finish_from(session, self._blobs, row, twin)

    def _next(self, session: Session, quick_only: bool, job: str | None) -> Job | None:
        working = _at_work()
        count = func.coalesce(working.c.count, 0)
        wanted = (
            select(Job)
            .join(User, User.name == Job.user)
            .outerjoin(working, working.c.user == Job.user)
            .where(*self._may_begin(), or_(count < self._limits.running, Job.quick))
            .order_by(Job.quick.desc(), count, User.served_at, Job.seq)
            .limit(1)
        )
        if quick_only:
            wanted = wanted.where(Job.quick)
        if job is not None:
            wanted = wanted.where(Job.id == job)
        return session.scalars(wanted).first()

    def _may_begin(self) -> tuple[ColumnElement[bool], ...]:
        at_work = select(Job.cache_key).where(Job.state == RUNNING)
        clock = self._database.clock
        return (
            Job.state == QUEUED,
            or_(Job.not_before <= clock, Job.not_before > clock + _LONGEST_WAIT_S),
            Job.cache_key.not_in(at_work),
        )

    def ready(self) -> tuple[int, int]:
        """How many jobs could be begun now if there were workers enough: full renders, and quick ones."""
        with self._database.reading() as session:
            waiting = session.execute(
                select(Job.user, Job.quick, func.count(Job.cache_key.distinct()))
                .where(*self._may_begin())
                .group_by(Job.user, Job.quick)
            ).all()
            working = {row[0]: row[1] for row in session.execute(select(_at_work()))}
        room = {user: max(0, self._limits.running - working.get(user, 0)) for user, _, _ in waiting}
        full = sum(min(count, room[user]) for user, quick, count in waiting if not quick)
        return full, sum(count for _, quick, count in waiting if quick)

    def _lease(self) -> Any:
        return self._database.clock + self._worker.lease_s

    def _claimed(self, session: Session, row: Job, worker: str | None) -> Claimed:
        time = now()
        row.state, row.claim, row.started_at = RUNNING, new_id("evt"), time
        row.lease_until, row.attempts = self._lease(), row.attempts + 1
        row.progress, row.worker = {}, worker
        session.execute(update(User).where(User.name == row.user).values(served_at=time))
        shape = shape_of(row)
        events.add(session, row, "state", self.state_of(row, self._estimates.whole_s(shape, row.audio_s)))
        assert row.claim is not None
        inputs = [(each.path, each.blob) for each in row.inputs]
        return Claimed(
            row.id,
            row.claim,
            row.user,
            row.kind,
            row.call,
            inputs,
            row.audio_s,
            shape,
            row.attempts,
            row.trace,
        )

    def beat(self, claimed: Claimed) -> Answer:
        """Say that a job is being worked on."""
        with self._database.touching() as session:
            return self._held_on(session, claimed, {})

    def tell(self, claimed: Claimed, progress: Mapping[str, Any], brief: Mapping[str, Any]) -> Answer:
        """Say how far a job is: `progress` is what is read of it, `brief` what streams tell."""
        with self._database.writing(durable=False) as session:
            answer = self._held_on(session, claimed, {"progress": dict(progress)})
            if answer != "lost":
                events.add(session, claimed, "progress", {"job": claimed.id, **brief})
            return answer

    def _held_on(self, session: Session, claimed: Claimed, values: Mapping[str, Any]) -> Answer:
        """Put a sign of life down; it comes several times a second, so no row is read for it."""
        asked = session.scalar(
            update(Job)
            .where(Job.id == claimed.id, Job.claim == claimed.token)
            .values(lease_until=self._lease(), **values)
            .returning(Job.cancel_asked)
            .execution_options(synchronize_session=False)
        )
        if asked is None:
            return "lost"
        return "cancel" if asked else "go on"

    def first(self, claimed: Claimed, result: Mapping[str, Any], files: Sequence[JobFile]) -> None:
        """Give a job what it has made already, while the rest is still made.

        Should it not come to its end, nothing of that is kept.
        """
        with self._database.writing() as session:
            row = _held(session, claimed)
            if row is None:
                return
            row.result, row.files = dict(result), list(files)
            events.add(session, row, "state", self.state_of(row, row.progress.get("left_s")))

    def finish(
        self,
        claimed: Claimed,
        result: Mapping[str, Any],
        files: Sequence[JobFile],
        put_again: Callable[[Collection[str]], None],
    ) -> bool:
        """End a job with its results; False where it is no longer the caller's.

        Args:
            claimed: the job.
            result: its `result`.
            files: rows of what it made.
            put_again: puts blobs again that were deleted since they were put; see `store.release`.
        """
        with self._database.writing() as session:
            row = _held(session, claimed)
            if row is None:
                return False
            lost = lost_since(session, self._blobs, [file.blob for file in files])
            if lost:
                put_again(lost)
            before = [file.blob for file in row.files]
            row.result, row.files = dict(result), list(files)
            session.flush()
            release(session, self._blobs, before)
            end(session, self._blobs, row, DONE)
            return True

    def fail(self, claimed: Claimed, problem: Mapping[str, Any]) -> bool:
        """End a job with the reason why it has no results; False where it is no longer the caller's."""
        with self._database.writing() as session:
            row = _held(session, claimed)
            if row is None:
                return False
            row.problem = dict(problem)
            end(session, self._blobs, row, CANCELLED if problem["code"] == "cancelled" else FAILED)
            return True

    def lost(self, claimed: Claimed, why: str) -> None:
        """Say that the process died at a job: it is tried again, or set aside where it did so before."""
        with self._database.writing() as session:
            row = _held(session, claimed)
            if row is None:
                return
            row.losses += 1
            self._again(session, row, why)

    def give_back(self, claimed: Claimed, after_s: float = 0.0) -> None:
        """Queue a job again, not before so long, that did not come to its end for no fault of its own."""
        with self._database.writing() as session:
            row = _held(session, claimed)
            if row is not None:
                row.attempts -= 1
                self._requeue(session, row, after_s)

    def take_back(self, everything: bool = False) -> int:
        """Queue jobs again whose workers gave no sign of life; how many there were.

        Args:
            everything: all that are at work: their workers are known to be gone.
        """
        gone = Job.state == RUNNING
        if not everything:
            clock = self._database.clock
            # One far ahead was given by a clock that was set back since.
            ahead = clock + _LEASES_AHEAD * self._worker.lease_s
            gone = and_(gone, or_(Job.lease_until < clock, Job.lease_until > ahead))
        with self._database.reading() as session:
            if session.scalars(select(Job.id).where(gone).limit(1)).first() is None:
                return 0
        with self._database.writing() as session:
            rows = session.scalars(select(Job).where(gone)).all()
            for row in rows:
                self._again(session, row, "the service was stopped while it ran")
            return len(rows)

    def lost_by(self, worker: str, why: str) -> int:
        """Say that a worker is known to have died: what it had is tried again, or set aside; how many.

        Args:
            worker: how its name ends.
            why: it died.
        """
        had = select(Job).where(Job.state == RUNNING, Job.worker.endswith(worker, autoescape=True))
        with self._database.reading() as session:
            if session.scalars(had.limit(1)).first() is None:
                return 0
        with self._database.writing() as session:
            rows = session.scalars(had).all()
            for row in rows:
                row.losses += 1
                self._again(session, row, why)
            return len(rows)

    def _again(self, session: Session, row: Job, why: str) -> None:
        if row.cancel_asked:
            row.problem = Problem("cancelled", "cancelled; nothing was written").to_dict()
            end(session, self._blobs, row, CANCELLED)
        elif row.losses >= self._worker.losses or row.attempts >= self._worker.attempts:
            words = f"after {row.attempts} tries it is not tried again: {why}"
            row.problem = Problem("set_aside", words).to_dict()
            end(session, self._blobs, row, FAILED)
        else:
            self._requeue(session, row, _AGAIN_S * 2**row.losses if row.losses else 0.0)

    def _requeue(self, session: Session, row: Job, after_s: float) -> None:
        row.state, row.claim, row.lease_until = QUEUED, None, None
        row.not_before, row.progress = now() + after_s if after_s else 0.0, {}
        _let_go(session, self._blobs, row)
        events.add(session, row, "state", {"job": row.id, "state": QUEUED, "place": None, "left_s": None})

    # --- for users ---------------------------------------------------------------------------------

    def cancel(self, session: Session, row: Job) -> None:
        """Stop a job: at once where it waits, by its worker where it is at work.

        Raises:
            Problem: it has ended.
        """
        if row.state == QUEUED:
            row.problem = Problem("cancelled", "cancelled before it began").to_dict()
            end(session, self._blobs, row, CANCELLED)
        elif row.state == RUNNING:
            row.cancel_asked = True
        else:
            raise Problem("state", f"the job is {row.state}: only one that waits or runs can be cancelled")

    def place(self, session: Session, row: Job) -> int:
        """How many jobs come before one that waits."""
        return places(session, [row])[row.id]

    def left_s(self, row: Job, place: int | None = None) -> float | None:
        """Seconds until the end of a job, as far as that is known; with its `place` where it waits."""
        whole_s = self._estimates.whole_s(shape_of(row), row.audio_s)
        if row.state == RUNNING:
            left = row.progress.get("left_s")
            return whole_s if left is None else max(0.0, float(left))
        if row.state != QUEUED or whole_s is None:
            return None
        return whole_s * (1 + (place or 0))

    def state_of(self, row: Job, left_s: float | None, place: int | None = None) -> dict[str, Any]:
        """What streams tell of a job's state."""
        return {"job": row.id, "state": row.state, "place": place, "left_s": left_s}


def shape_of(row: Job) -> str:
    """Jobs of one shape go through about the same stages."""
    options = row.options
    part = "dry run" if options.get("dry_run") else "preview" if options.get("preview") else ""
    return " ".join(word for word in (row.kind, part, str(options.get("separator", ""))) if word)


def places(session: Session, rows: Sequence[Job]) -> dict[str, int]:
    """How many jobs come before each that waits: users are served in turn.

    Of every other user as many come first as this job is deep in its own user's queue, and one more of
    those whose turn is before.
    """
    waiting = session.execute(
        select(Job.id, Job.user, Job.quick, User.served_at)
        .join(User, User.name == Job.user)
        .where(Job.state == QUEUED)
        .order_by(Job.seq)
    ).all()
    queues: dict[tuple[bool, str], list[str]] = {}
    turn: dict[str, float] = {}
    for id_, user, quick, served_at in waiting:
        queues.setdefault((quick, user), []).append(id_)
        turn[user] = served_at
    quick_count = sum(len(queue) for (quick, _), queue in queues.items() if quick)
    found = {}
    for row in rows:
        own = queues.get((row.quick, row.user), [])
        if row.id not in own:
            continue
        depth = own.index(row.id)
        before = depth + (0 if row.quick else quick_count)
        for (quick, user), queue in queues.items():
            if quick == row.quick and user != row.user:
                earlier = (turn[user], user) < (turn[row.user], row.user)
                before += min(len(queue), depth + earlier)
        found[row.id] = before
    return found


def end(session: Session, blobs: Blobs, row: Job, state: str) -> None:
    """Bring a job into its last state, let go of what it read, and tell everyone who wants to know."""
    row.state, row.ended_at = state, now()
    row.claim = row.lease_until = None
    if state == DONE:
        row.problem = None
    else:
        _let_go(session, blobs, row)
    read = session.scalars(select(JobInput.blob).where(JobInput.job == row.id)).all()
    session.execute(delete(JobInput).where(JobInput.job == row.id))
    release(session, blobs, read)
    events.add(session, row, "state", {"job": row.id, "state": state, "place": None, "left_s": None})
    events.add(session, row, "end", {"job": row.id, "state": state})
    if row.webhook is not None:
        session.add(
            Delivery(
                id=new_id("evt"),
                job=row.id,
                url=row.webhook["url"],
                secret=row.webhook["secret"],
                body={"job": row.id, "state": state},
                next_at=row.ended_at,
            )
        )


def finish_from(session: Session, blobs: Blobs, row: Job, twin: Job) -> None:
    """End a job with the results of an equal one: nothing is rendered twice."""
    assert twin.result is not None
    row.cached, row.started_at = True, now()
    row.result = {**twin.result, "runtime_seconds": 0.0}
    copied = ("place", "name", "role", "stem", "media_type", "bytes", "blob", "audio", "peaks")
    row.files = [JobFile(**{name: getattr(file, name) for name in copied}) for file in twin.files]
    end(session, blobs, row, DONE)


def twin_of(session: Session, cache_key: str) -> Job | None:
    """A job that was done with the same audio, settings and engine version."""
    return session.scalars(
        select(Job)
        .where(Job.cache_key == cache_key, Job.state == DONE, Job.delete_asked.is_(False))
        .order_by(Job.seq.desc())
        .limit(1)
    ).first()


def _at_work() -> Subquery:
    """How many jobs of each user are at work."""
    counted = select(Job.user, func.count().label("count")).where(Job.state == RUNNING)
    return counted.group_by(Job.user).subquery()


def _held(session: Session, claimed: Claimed) -> Job | None:
    """The job, where the caller has it still."""
    found = session.scalars(select(Job).where(Job.id == claimed.id)).first()
    return found if found is not None and found.claim == claimed.token else None


def _let_go(session: Session, blobs: Blobs, row: Job) -> None:
    """Forget what a job had made already when it came to no end."""
    made = [file.blob for file in row.files]
    row.result, row.files = None, []
    session.flush()
    release(session, blobs, made)


def counted(session: Session, *conditions: ColumnElement[bool]) -> int:
    """How many jobs these hold for."""
    return session.scalar(select(func.count()).select_from(Job).where(*conditions)) or 0
