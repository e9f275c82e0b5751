"""What everybody who works on jobs works with, opened by the settings."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from sqlalchemy import select

from mixagent.pipeline.errors import OutputError
from mixagent.service.jobs.estimates import Estimates
from mixagent.service.jobs.queue import Queue
from mixagent.service.jobs.stages import Board
from mixagent.service.metrics import Metrics
from mixagent.service.problems import Problem
from mixagent.service.settings import ServiceSettings
from mixagent.service.store.blobs import Blobs, open_blobs
from mixagent.service.store.caches import Caches
from mixagent.service.store.database import Database, insist
from mixagent.service.store.release import named_blobs
from mixagent.service.store.tables import QUEUED, RUNNING, Job, JobInput
from mixagent.service.tracing import Traces, open_traces
from mixagent.service.worker.roll import Roll

_START_S = 30.0
_CACHE_BYTES = 50_000_000_000


@dataclass(frozen=True)
class Tools:
    """What every worker works with.

    Attributes:
        node: this program among all that work on the database.
        machine: where it runs; programs of one machine share its caches.
        roll: of the workers that are there.
        board: of the stages that are sent to others.
    """

    settings: ServiceSettings
    node: str
    machine: str
    database: Database
    queue: Queue
    estimates: Estimates
    blobs: Blobs
    caches: Caches
    metrics: Metrics
    roll: Roll
    board: Board
    traces: Traces


def open_tools(settings: ServiceSettings) -> Tools:
    """Open database, store and cache.

    Raises:
        UsageError: a URL is of nothing that is known here, or of a store that cannot be used.
        OutputError: the database cannot be reached.
    """
    where = settings.database_url or settings.database
    try:
        database = insist(lambda: Database(where), _START_S)
    except Problem as problem:
        raise OutputError(f"{problem.detail} ({_START_S:.0f} s were not enough)") from problem
    blobs = open_blobs(settings.store_url, settings.blobs)
    estimates = Estimates(database)
    return Tools(
        settings=settings,
        node=f"{socket.gethostname()}:{os.getpid()}",
        machine=socket.gethostname(),
        database=database,
        queue=Queue(database, blobs, settings.limits, settings.worker, estimates),
        estimates=estimates,
        blobs=blobs,
        caches=Caches(settings.cache),
        metrics=Metrics(),
        roll=Roll(database),
        traces=open_traces(os.environ),
        board=Board(database, settings.worker.lease_s),
    )


def sweep_caches(database: Database, caches: Caches) -> int:
    """Remove the stages of songs that nobody has any more, and the oldest over a size; how many songs."""
    with database.reading() as session:
        kept = named_blobs(session)
        asked = select(JobInput.blob).join(Job).where(Job.state.in_((QUEUED, RUNNING)))
        busy = set(session.scalars(asked))
    return caches.sweep(kept, busy, _CACHE_BYTES)
