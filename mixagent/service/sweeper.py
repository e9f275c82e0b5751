"""Removes what nobody has any more: what was deleted, what has expired, what killed runs left."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mixagent.pipeline.files import clear_leftovers
from mixagent.service.jobs.queue import end
from mixagent.service.metrics import Metrics
from mixagent.service.settings import DAY_S, ServiceSettings
from mixagent.service.store.blobs import Blobs
from mixagent.service.store.caches import Caches
from mixagent.service.store.database import Database, now
from mixagent.service.store.release import delete_job, execute, named_blobs, release
from mixagent.service.store.tables import (
    CANCELLED,
    FINAL,
    QUEUED,
    RUNNING,
    ApiKey,
    AuditEntry,
    Delivery,
    Idempotency,
    Job,
    JobEvent,
    SignedIn,
    SignInTry,
    Upload,
    User,
)
from mixagent.service.uploads import Uploads
from mixagent.service.worker.tools import sweep_caches

LOG = logging.getLogger(__name__)

_YOUNG_S = 600.0
"""A blob is put before its row is written: younger ones are left, or they would be put again."""

_AT_ONCE = 200
"""Things deleted while others wait to write."""

_LIST_EVERY_S = 3600.0
"""A store behind a network is listed no more often: what rows let go of is deleted without."""

_EVENTS_S = DAY_S
_AUDIT_S = 365 * DAY_S
_JUMP_S, _HOLD_S = 300.0, 3600.0


class _Clock:
    """Tells a clock that was set forward from time that passed."""

    def __init__(self) -> None:
        self._wall_s, self._steady_s = now(), time.monotonic()
        self._held_until_s = 0.0

    def settled(self) -> bool:
        """True if things may expire: not within an hour of a jump, in which it may be put right."""
        wall_s, steady_s = now(), time.monotonic()
        jump_s = (wall_s - self._wall_s) - (steady_s - self._steady_s)
        self._wall_s, self._steady_s = wall_s, steady_s
        if jump_s > _JUMP_S:
            LOG.warning("the clock was set forward: nothing expires for an hour", extra={"by_s": jump_s})
            self._held_until_s = steady_s + _HOLD_S
        elif jump_s < -_JUMP_S:
            self._held_until_s = 0.0
        return steady_s >= self._held_until_s


class Sweeper:
    """Sweeps now and then, and at once where something was deleted."""

    def __init__(
        self,
        settings: ServiceSettings,
        database: Database,
        blobs: Blobs,
        caches: Caches,
        uploads: Uploads,
        metrics: Metrics,
    ) -> None:
        self._settings, self._database, self._blobs = settings, database, blobs
        self._caches, self._uploads, self._metrics = caches, uploads, metrics
        self._clock = _Clock()
        self._steps = [self.sweep_rows, self.sweep_bytes, database.checkpoint]
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="sweeper", daemon=True)
        self._listed_at = 0.0

    def also(self, *steps: Callable[[], None]) -> None:
        """Have more done now and then."""
        self._steps.extend(steps)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, after what is being swept."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """Something was deleted: its bytes are to go now."""
        self._woken.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            for step in self._steps:
                self._try(step)
            self._woken.wait(self._settings.retention.sweep_every_s)
            self._woken.clear()

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            LOG.exception("a sweep failed")

    def sweep_rows(self) -> None:
        """Delete rows whose time is over, removed users, and jobs that were deleted while they ran."""
        with self._database.writing() as session:
            asked = select(Job).where(Job.state.in_(FINAL), Job.delete_asked).limit(_AT_ONCE)
            for job in session.scalars(asked):
                delete_job(session, self._blobs, job)
            for user in session.scalars(select(User).where(User.removed_at.is_not(None))):
                self._remove(session, user)
            session.execute(
                delete(Delivery).where(Delivery.next_at.is_(None), Delivery.job.not_in(select(Job.id)))
            )
            if self._clock.settled():
                self._expire(session)

    def _expire(self, session: Session) -> None:
        at, kept = now(), self._settings.retention
        for upload in session.scalars(select(Upload).where(Upload.expires_at < at).limit(_AT_ONCE)):
            self._uploads.forget(session, upload)
        over = select(Job).where(Job.state.in_(FINAL), Job.ended_at < at - kept.jobs_s).limit(_AT_ONCE)
        for job in session.scalars(over):
            delete_job(session, self._blobs, job)
        progress = JobEvent.kind == "progress"
        session.execute(delete(Idempotency).where(Idempotency.at < at - kept.idempotency_s))
        session.execute(delete(JobEvent).where(progress, JobEvent.at < at - _EVENTS_S))
        session.execute(delete(AuditEntry).where(AuditEntry.at < at - _AUDIT_S))
        session.execute(delete(SignedIn).where(SignedIn.expires_at < at))
        session.execute(delete(SignInTry).where(SignInTry.at < at - DAY_S))

    def _remove(self, session: Session, user: User) -> None:
        """Delete a user with all that is theirs; one of whose jobs runs still goes with the next sweep."""
        for upload in session.scalars(select(Upload).where(Upload.user == user.name).limit(_AT_ONCE)):
            self._uploads.forget(session, upload)
        for job in session.scalars(select(Job).where(Job.user == user.name).limit(_AT_ONCE)):
            if job.state == QUEUED:
                end(session, self._blobs, job, CANCELLED)
            if job.state == RUNNING:
                job.cancel_asked = job.delete_asked = True
            else:
                delete_job(session, self._blobs, job)
        session.flush()
        left = [session.scalars(select(row.id).where(row.user == user.name)).first() for row in (Upload, Job)]
        if not any(left):
            for table in (ApiKey, Idempotency):
                session.execute(delete(table).where(table.user == user.name))
            session.execute(delete(SignInTry).where(SignInTry.name == user.name))
            session.delete(user)

    def sweep_bytes(self) -> None:
        """Delete blobs, caches and unfinished uploads that no row names."""
        # Listed before the rows are read: an upload that begins meanwhile has a row, and none of these files.
        incoming = [*self._settings.incoming.glob("upl_*")]
        found = self._listed()
        with self._database.reading() as session:
            kept = named_blobs(session)
            coming = set(session.scalars(select(Upload.id)))
        gone = [sha256 for sha256 in found if sha256 not in kept]
        removed = 0
        for start in range(0, len(gone), _AT_ONCE):
            with self._database.writing() as session:
                removed += release(session, self._blobs, gone[start : start + _AT_ONCE])
        if self._blobs.remote:
            removed = self._execute()
        caches = sweep_caches(self._database, self._caches)
        for file in incoming:
            if file.name.partition(".")[0] not in coming:
                file.unlink(missing_ok=True)
        clear_leftovers(self._settings.incoming)
        if removed or caches:
            LOG.info("swept", extra={"blobs": removed, "caches": caches})

    def _listed(self) -> list[str]:
        """Blobs that are there for longer than it takes to write a row."""
        if self._blobs.remote and now() - self._listed_at < _LIST_EVERY_S:
            return []
        self._listed_at = now()
        return [blob.sha256 for blob in self._blobs.all() if blob.at < now() - _YOUNG_S]

    def _execute(self) -> int:
        removed = 0
        while True:
            with self._database.writing() as session:
                count = execute(session, self._blobs, _AT_ONCE)
            removed += count
            if count < _AT_ONCE:
                return removed

    def sweep_work(self) -> None:
        """Delete what jobs of a run before left; no job may be at work."""
        shutil.rmtree(self._settings.work, ignore_errors=True)
