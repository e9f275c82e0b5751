"""All that can be set of the service, in one place."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

GIGABYTE = 1_000_000_000
DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one user, and all together, may ask for.

    Attributes:
        upload_bytes: size of one upload.
        duration_s: length of one song.
        shortest_s: length that can be measured.
        songs: uploads of one job.
        queued: jobs of one user that wait or run.
        running: jobs of one user that run at a time, where others wait.
        queued_in_all: jobs of all users that wait.
        minutes_a_day: of audio that one user may have rendered within 24 hours; None for any.
        stored_bytes: uploads and results of one user.
        uploads: of one user that are kept at a time.
        requests_a_second: of one user, over a minute; bursts may be ten times that.
        free_bytes: room on the disk that uploads leave.
    """

    upload_bytes: int = 2 * GIGABYTE
    duration_s: float = 1800.0
    shortest_s: float = 0.4
    songs: int = 40
    queued: int = 60
    running: int = 2
    queued_in_all: int = 2000
    minutes_a_day: float | None = None
    stored_bytes: int = 50 * GIGABYTE
    uploads: int = 2000
    requests_a_second: float = 50.0
    free_bytes: int = GIGABYTE


@dataclass(frozen=True, kw_only=True)
class WorkerLimits:
    """What a worker process may take before it is replaced, and a job before it is stopped.

    Attributes:
        jobs: after so many a process is replaced.
        memory_bytes: over this after a job, a process is replaced.
        most_bytes: over this during a job, the job is stopped.
        time_limit_s: the least time that any job has; `time_factor` seconds a second of audio come on top.
        most_time_s: that any job has.
        losses: after so many deaths of its process a job is set aside.
        attempts: after so many claims a job is set aside.
        lease_s: after so long without a sign of life a job is taken from its worker.
        cancel_s: within this a cancelled job ends by itself, or its process is ended.
    """

    jobs: int = 50
    memory_bytes: int = 4 * GIGABYTE
    most_bytes: int = 12 * GIGABYTE
    time_limit_s: float = 600.0
    time_factor: float = 30.0
    most_time_s: float = DAY_S
    losses: int = 2
    attempts: int = 10
    lease_s: float = 30.0
    cancel_s: float = 5.0

    def longest_s(self, audio_s: float) -> float:
        """Seconds that a job with so much audio has."""
        return min(self.most_time_s, self.time_limit_s + self.time_factor * audio_s)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long things are kept without being asked for."""

    uploads_s: float = 7 * DAY_S
    unfinished_uploads_s: float = DAY_S
    jobs_s: float = 30 * DAY_S
    idempotency_s: float = DAY_S
    sweep_every_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class OpenIdSettings:
    """An OpenID provider that users may sign in by.

    Attributes:
        issuer: its address, as its tokens have it.
        client_id: of this service there.
        client_secret: None for a public client, which PKCE alone protects.
        label: its name on the page.
        new_users: whether whom it vouches for is made a user; else an admin makes them before, without a
            password and named as the address of mail that the provider has verified.
    """

    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    label: str = "OpenID"
    new_users: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> OpenIdSettings | None:
        """As `MIXAGENT_OIDC_ISSUER`, `_CLIENT_ID`, `_CLIENT_SECRET`, `_LABEL` and `_NEW_USERS` say it.

        Raises:
            ValueError: one of the first two is missing, or the issuer is read over the network in the clear.
        """
        named = {name: environment.get(f"MIXAGENT_OIDC_{name}", "") for name in ("ISSUER", "CLIENT_ID")}
        if not any(named.values()):
            return None
        missing = [f"MIXAGENT_OIDC_{name}" for name, value in named.items() if not value]
        if missing:
            raise ValueError(f"{missing[0]} is missing: an OpenID provider has an issuer and a client id")
        parts = urlsplit(named["ISSUER"])
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ValueError(f"MIXAGENT_OIDC_ISSUER={named['ISSUER']}: an issuer is https://HOST/…")
        return cls(
            issuer=named["ISSUER"],
            client_id=named["CLIENT_ID"],
            client_secret=environment.get("MIXAGENT_OIDC_CLIENT_SECRET") or None,
            label=environment.get("MIXAGENT_OIDC_LABEL") or cls.label,
            new_users=environment.get("MIXAGENT_OIDC_NEW_USERS", "").lower() in ("1", "true", "yes"),
        )


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """The service as it was started.

    Attributes:
        data: folder of database, uploads, results and cache.
        host: address that it listens on.
        workers: processes for full renders.
        accounts: whether requests need an API key.
        private_webhooks: whether webhooks may go to addresses that are not public.
        origin: what the page's address begins with, where a proxy stands before the service.
        learns: whether it learns from ratings while no job waits or runs.
        openid: a provider that users may sign in by.
        database_url: a PostgreSQL database, `postgresql://…`, or a file, `sqlite:///…`; None for a file in
            `data`.
        store_url: where uploads and results lie: `s3://bucket/prefix`, or a folder; None for one in `data`.
        broker_url: what wakes workers, `redis://…` or `amqp://…`; None where workers are the service's own.
        presigned: whether downloads are sent on to the store, by addresses that it takes for a while.
        gpus: cards of this machine that workers use, as CUDA counts them: one worker process has one card.
        work_folder: folder of jobs at work; None for one in `data`.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8300
    workers: int = 1
    accounts: bool = False
    private_webhooks: bool = False
    origin: str | None = None
    learns: bool = True
    openid: OpenIdSettings | None = None
    database_url: str | None = None
    store_url: str | None = None
    broker_url: str | None = None
    presigned: bool = False
    gpus: tuple[str, ...] = ()
    work_folder: Path | None = None
    limits: Limits = field(default_factory=Limits)
    worker: WorkerLimits = field(default_factory=WorkerLimits)
    retention: Retention = field(default_factory=Retention)

    @property
    def database(self) -> Path:
        """File of the database."""
        return self.data / "service.sqlite"

    @property
    def blobs(self) -> Path:
        """Folder of uploads and results, by the hash of their content."""
        return self.data / "blobs"

    @property
    def incoming(self) -> Path:
        """Folder of uploads on their way."""
        return self.data / "incoming"

    @property
    def work(self) -> Path:
        """Folder of jobs at work."""
        return self.work_folder or self.data / "work"

    def to_dict(self) -> dict[str, Any]:
        """All of them as JSON, for a program that works on jobs: without what lets users in."""
        words = asdict(replace(self, openid=None))
        found: dict[str, Any] = json.loads(json.dumps(words, default=str))
        return found

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> ServiceSettings:
        """What `to_dict` gave."""
        work = told["work_folder"]
        known = {
            "openid": None,
            "data": Path(told["data"]),
            "work_folder": None if work is None else Path(work),
            "gpus": tuple(told["gpus"]),
            "limits": Limits(**told["limits"]),
            "worker": WorkerLimits(**told["worker"]),
            "retention": Retention(**told["retention"]),
        }
        return cls(**{**told, **known})

    @property
    def workers_folder(self) -> Path:
        """Folder of what `mixagent work` has in between; a service and workers may share `data`."""
        return self.data / "workers"

    @property
    def shared(self) -> bool:
        """Whether others may work on the same database."""
        return self.database_url is not None or self.broker_url is not None

    @property
    def engine(self) -> Path:
        """Folder of what the engine keeps for all songs: compiled kernels, logs of faults."""
        return self.data / "engine"

    @property
    def cache(self) -> Path:
        """Folder of finished stages, one a song."""
        return self.data / "cache"


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
