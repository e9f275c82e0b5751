"""What one user may have at a time, and when it is worth asking again."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mixagent.service.problems import Problem
from mixagent.service.settings import DAY_S, Limits
from mixagent.service.store.database import now
from mixagent.service.store.tables import QUEUED, RUNNING, Job, JobFile, Upload

_ASK_AGAIN_S = 15.0
_BURST = 10.0
_FORGOTTEN_S = 600.0


def check_jobs(session: Session, job: Job, limits: Limits) -> None:
    """Whether one more job of its user can be taken.

    Raises:
        Problem: too many wait already, or the day's minutes are used up.
    """
    active = select(func.count()).select_from(Job).where(Job.state.in_((QUEUED, RUNNING)))
    own = session.scalar(active.where(Job.user == job.user)) or 0
    if own >= limits.queued:
        raise Problem(
            "limit",
            f"{own} jobs of yours wait or run: {limits.queued} may at a time",
            retry_after_s=_ASK_AGAIN_S,
        )
    in_all = session.scalar(active) or 0
    if in_all >= limits.queued_in_all:
        raise Problem("busy", f"{in_all} jobs wait: the queue is full", retry_after_s=_ASK_AGAIN_S)
    if limits.minutes_a_day is not None:
        _check_minutes(session, job, limits.minutes_a_day)


def _check_minutes(session: Session, job: Job, minutes: float) -> None:
    recent = select(func.sum(Job.audio_s), func.min(Job.created_at)).where(
        Job.user == job.user, Job.created_at > now() - DAY_S, Job.cached.is_(False)
    )
    used_s, first_at = session.execute(recent).one()
    if (used_s or 0.0) + job.audio_s > minutes * 60:
        raise Problem(
            "limit",
            f"{minutes:g} minutes of audio a day are yours, and {(used_s or 0.0) / 60:.0f} are used",
            retry_after_s=max(60.0, (first_at or now()) + DAY_S - now()),
        )


def check_size(size_bytes: int, limits: Limits) -> None:
    """Whether an upload may be of this size.

    Raises:
        Problem: it may not.
    """
    if size_bytes > limits.upload_bytes:
        raise Problem("too_large", f"{_size(size_bytes)}: an upload has at most {_size(limits.upload_bytes)}")


def check_uploads(session: Session, user: str, size_bytes: int, limits: Limits) -> None:
    """Whether one more upload of a user can be taken.

    Raises:
        Problem: the user keeps too much.
    """
    own = select(func.count(), func.sum(Upload.bytes)).where(Upload.user == user)
    count, uploaded = session.execute(own).one()
    if count >= limits.uploads:
        raise Problem("limit", f"{count} uploads of yours are kept: delete some", retry_after_s=3600)
    made = select(func.sum(JobFile.bytes)).join(Job, Job.id == JobFile.job).where(Job.user == user)
    # PostgreSQL's sums of wide numbers are decimals.
    kept = int(uploaded or 0) + int(session.scalar(made) or 0)
    if kept + size_bytes > limits.stored_bytes:
        raise Problem(
            "limit",
            f"{_size(kept)} of yours are kept, of {_size(limits.stored_bytes)}: delete some",
            retry_after_s=3600,
        )


def check_room(folder: Path, size_bytes: int, limits: Limits) -> None:
    """Whether the disk has room for an upload.

    Raises:
        Problem: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free - size_bytes < limits.free_bytes:
        raise Problem("disk", "the service's disk is full: try again later", retry_after_s=600)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


class Rates:
    """Requests of each user: a bucket of tokens that fills up as time goes by."""

    def __init__(self, a_second: float) -> None:
        self._a_second = a_second
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def check(self, who: str) -> None:
        """Count a request.

        Raises:
            Problem: there were too many of late.
        """
        most, at = self._a_second * _BURST, time.monotonic()
        with self._lock:
            tokens, before = self._buckets.get(who, (most, at))
            tokens = min(most, tokens + (at - before) * self._a_second)
            self._buckets[who] = (max(0.0, tokens - 1.0), at)
            if len(self._buckets) > 10_000:
                self._forget(at)
        if tokens < 1.0:
            wait_s = (1.0 - tokens) / self._a_second
            raise Problem("limit", "too many requests of late", retry_after_s=max(1.0, wait_s))

    def _forget(self, at: float) -> None:
        self._buckets = {who: row for who, row in self._buckets.items() if at - row[1] < _FORGOTTEN_S}
