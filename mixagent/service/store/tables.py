"""The tables of the database.

Times are seconds since 1970 in UTC; a job's `options`, `result` and `problem` are JSON.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Float, ForeignKey, Index, Integer, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
FINAL = (DONE, FAILED, CANCELLED)
"""The states of a job that it never leaves."""

RECEIVING, CHECKING, READY, REFUSED = "receiving", "checking", "ready", "refused"
"""The states of an upload."""

WAITING = "waiting"
"""The state of a stage before it runs; then it is as a job."""
EXPERIENCE = "experience"
"""The role of the file of a job that ratings are learnt with; it is nobody's to download."""

_ID, _NAME, _HASH, _WORD = String(40), String(200), String(64), String(40)
_BIG = BigInteger().with_variant(Integer(), "sqlite")
"""Sizes in bytes, and counters that go past two thousand million; SQLite counts up in this type alone."""


Data = bytes
"""A column of bytes; tables have columns called so."""


class Base(DeclarativeBase):
    """Base of all tables."""


class User(Base):
    """Who owns uploads and jobs.

    Attributes:
        served_at: when a job of theirs was last begun.
        password: its argon2 hash; None for who signs in otherwise, or not at all.
        scopes: of what they do once they have signed in.
        removed_at: since then they are to be deleted with all that is theirs.
    """

    __tablename__ = "users"
    name: Mapped[str] = mapped_column(_NAME, primary_key=True)
    created_at: Mapped[float] = mapped_column(Float)
    served_at: Mapped[float] = mapped_column(Float, default=0.0)
    password: Mapped[str | None] = mapped_column(String(300))
    scopes: Mapped[list[str]] = mapped_column(JSON, default=lambda: ["write"])
    removed_at: Mapped[float | None] = mapped_column(Float)


class SignedIn(Base):
    """A session of somebody who signed in: the hash of its cookie, never the cookie.

    Attributes:
        key: the API key that it was opened with, and ends with.
        way: password, key or openid.
    """

    __tablename__ = "sessions"
    hash: Mapped[str] = mapped_column(_HASH, primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name"), index=True)
    key: Mapped[str | None] = mapped_column(_ID)
    way: Mapped[str] = mapped_column(_WORD)
    address: Mapped[str] = mapped_column(_NAME)
    created_at: Mapped[float] = mapped_column(Float)
    used_at: Mapped[float] = mapped_column(Float)
    expires_at: Mapped[float] = mapped_column(Float, index=True)


class SignInTry(Base):
    """A sign-in with a password that was not right, or is not known to be yet."""

    __tablename__ = "sign_in_tries"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(_NAME, index=True)
    address: Mapped[str] = mapped_column(_NAME, index=True)
    at: Mapped[float] = mapped_column(Float, index=True)


class Identity(Base):
    """A user here whom an OpenID provider calls `subject`."""

    __tablename__ = "identities"
    issuer: Mapped[str] = mapped_column(_NAME, primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name"), index=True)
    created_at: Mapped[float] = mapped_column(Float)


class ApiKey(Base):
    """An API key: the hash of it, never the key."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name"), index=True)
    label: Mapped[str] = mapped_column(_NAME)
    hash: Mapped[str] = mapped_column(_HASH, unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[float] = mapped_column(Float)
    used_at: Mapped[float | None] = mapped_column(Float)
    revoked_at: Mapped[float | None] = mapped_column(Float)


class Upload(Base):
    """A file that a user sent; `blob` is the hash of its content once it is all there.

    Until then its bytes are with one server, `node`.
    """

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name"), index=True)
    name: Mapped[str] = mapped_column(_NAME)
    state: Mapped[str] = mapped_column(_WORD, index=True)
    kind: Mapped[str | None] = mapped_column(_WORD)
    bytes: Mapped[int | None] = mapped_column(_BIG)
    received_bytes: Mapped[int] = mapped_column(_BIG, default=0)
    blob: Mapped[str | None] = mapped_column(_HASH, index=True)
    audio: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    peaks: Mapped[Data | None] = mapped_column(LargeBinary, nullable=True, deferred=True)
    warnings: Mapped[list[str]] = mapped_column(JSON, default=list)
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[float] = mapped_column(Float, index=True)
    expires_at: Mapped[float] = mapped_column(Float)
    node: Mapped[str | None] = mapped_column(_NAME)


class Job(Base):
    """A job: what was asked, how far it is, and what came of it.

    Attributes:
        seq: grows with every job; the order within a user's queue.
        options: as they were asked for; `call` is the same as the library is called, with the paths of files.
        cache_key: hash of audio, settings and engine version; equal for jobs of equal results.
        audio_s: length of its songs together.
        claim: token of the worker process that has it; only its holder may end the job.
        worker: where that is or was.
        lease_until: without a sign of life until then, the claim is void.
        not_before: of a job that is tried again.
        losses: how often its worker died at it.
        trace: of the request that asked for it, as a `traceparent` header has it.
    """

    __tablename__ = "jobs"
    seq: Mapped[int] = mapped_column(_BIG, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(_ID, unique=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name"))
    kind: Mapped[str] = mapped_column(_WORD)
    name: Mapped[str] = mapped_column(_NAME)
    state: Mapped[str] = mapped_column(_WORD)
    quick: Mapped[bool] = mapped_column(Boolean)
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    call: Mapped[dict[str, Any]] = mapped_column(JSON)
    uploads: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    search: Mapped[str] = mapped_column(String(1000))
    cache_key: Mapped[str] = mapped_column(_HASH, index=True)
    audio_s: Mapped[float] = mapped_column(Float)
    cached: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[float] = mapped_column(Float, index=True)
    started_at: Mapped[float | None] = mapped_column(Float)
    ended_at: Mapped[float | None] = mapped_column(Float, index=True)
    not_before: Mapped[float] = mapped_column(Float, default=0.0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    losses: Mapped[int] = mapped_column(Integer, default=0)
    claim: Mapped[str | None] = mapped_column(_ID)
    worker: Mapped[str | None] = mapped_column(_NAME)
    lease_until: Mapped[float | None] = mapped_column(Float)
    cancel_asked: Mapped[bool] = mapped_column(Boolean, default=False)
    delete_asked: Mapped[bool] = mapped_column(Boolean, default=False)
    progress: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    webhook: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    trace: Mapped[str | None] = mapped_column(String(60))
    inputs: Mapped[list[JobInput]] = relationship(
        order_by="JobInput.place", cascade="all, delete-orphan", passive_deletes=True
    )
    files: Mapped[list[JobFile]] = relationship(
        order_by="JobFile.place", cascade="all, delete-orphan", passive_deletes=True
    )
    __table_args__ = (
        Index("ix_jobs_queue", "state", "quick", "user", "seq"),
        Index("ix_jobs_user", "user", "seq"),
    )


class JobInput(Base):
    """A file that a job reads, held until the job has ended: `path` is where it lies in the job's folder."""

    __tablename__ = "job_inputs"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    place: Mapped[int] = mapped_column(Integer)
    path: Mapped[str] = mapped_column(_NAME)
    blob: Mapped[str] = mapped_column(_HASH, index=True)


class JobFile(Base):
    """A result of a job."""

    __tablename__ = "job_files"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    place: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(_NAME)
    role: Mapped[str] = mapped_column(_WORD)
    stem: Mapped[str | None] = mapped_column(_WORD)
    media_type: Mapped[str] = mapped_column(_NAME)
    bytes: Mapped[int] = mapped_column(_BIG)
    blob: Mapped[str] = mapped_column(_HASH, index=True)
    audio: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    peaks: Mapped[Data | None] = mapped_column(LargeBinary, nullable=True, deferred=True)


class Rating(Base):
    """A user's verdict on a master: better or worse than another, or than the song as it came.

    Attributes:
        than: the other job; None for the song as it came.
        source: `rating`, or `correction` where a version was set right by hand and taken.
        handed_at: when the experience log was told; None while it is still to be.
    """

    __tablename__ = "ratings"
    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name"), index=True)
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    than: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    better: Mapped[bool] = mapped_column(Boolean)
    note: Mapped[str] = mapped_column(String(500), default="")
    source: Mapped[str] = mapped_column(_WORD)
    created_at: Mapped[float] = mapped_column(Float)
    handed_at: Mapped[float | None] = mapped_column(Float)


class JobEvent(Base):
    """Something that happened to a job, as streams tell it; the id is the `Last-Event-ID`."""

    __tablename__ = "job_events"
    id: Mapped[int] = mapped_column(_BIG, primary_key=True, autoincrement=True)
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    user: Mapped[str] = mapped_column(_NAME, index=True)
    kind: Mapped[str] = mapped_column(_WORD)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[float] = mapped_column(Float, index=True)
    __table_args__ = ({"sqlite_autoincrement": True},)


class JobStage(Base):
    """A stage of a job: how far it is, where it runs, what it took.

    Attributes:
        place: among the stages of its job, in the order in which they begin.
        order: with which another process can run it on the same cache; None of one that its job runs itself.
        claim: token of the process that has it.
    """

    __tablename__ = "job_stages"
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(_NAME, primary_key=True)
    place: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(_WORD, index=True)
    share: Mapped[float] = mapped_column(Float, default=0.0)
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    worker: Mapped[str | None] = mapped_column(_NAME)
    order: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    claim: Mapped[str | None] = mapped_column(_ID)
    lease_until: Mapped[float | None] = mapped_column(Float)
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class Worker(Base):
    """A program that works on jobs, which says now and then that it is there."""

    __tablename__ = "workers"
    name: Mapped[str] = mapped_column(_NAME, primary_key=True)
    slots: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[float] = mapped_column(Float)
    seen_at: Mapped[float] = mapped_column(Float)


class Condemned(Base):
    """A blob that no row names any more, to be deleted from a store behind a network; see `store.release`.

    `deleted_at` says when it was; the row stays for a while, for those who put the same bytes meanwhile.
    """

    __tablename__ = "condemned"
    blob: Mapped[str] = mapped_column(_HASH, primary_key=True)
    at: Mapped[float] = mapped_column(Float)
    deleted_at: Mapped[float | None] = mapped_column(Float, index=True)


class StageCost(Base):
    """Seconds that a stage took a second of audio, of jobs of a shape: a mean that forgets."""

    __tablename__ = "stage_costs"
    shape: Mapped[str] = mapped_column(_NAME, primary_key=True)
    stage: Mapped[str] = mapped_column(_NAME, primary_key=True)
    place: Mapped[float] = mapped_column(Float)
    seconds_per_second: Mapped[float] = mapped_column(Float)
    count: Mapped[int] = mapped_column(Integer)


class Idempotency(Base):
    """A request that was made under a key of the client's, and the job that it gave."""

    __tablename__ = "idempotency"
    user: Mapped[str] = mapped_column(_NAME, primary_key=True)
    key: Mapped[str] = mapped_column(_NAME, primary_key=True)
    request: Mapped[str] = mapped_column(_HASH)
    job: Mapped[str] = mapped_column(_ID)
    at: Mapped[float] = mapped_column(Float, index=True)


class Delivery(Base):
    """A webhook to be delivered."""

    __tablename__ = "deliveries"
    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    job: Mapped[str] = mapped_column(_ID, index=True)
    url: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str] = mapped_column(_NAME)
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[float | None] = mapped_column(Float, index=True)
    delivered_at: Mapped[float | None] = mapped_column(Float)
    error: Mapped[str | None] = mapped_column(String(300))


class AuditEntry(Base):
    """Who did what to what, and when."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[float] = mapped_column(Float, index=True)
    user: Mapped[str] = mapped_column(_NAME)
    key: Mapped[str | None] = mapped_column(_ID)
    what: Mapped[str] = mapped_column(_WORD)
    about: Mapped[str] = mapped_column(_NAME)
    address: Mapped[str] = mapped_column(_NAME)
