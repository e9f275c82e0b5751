"""The service put together: what the API answers with, and the threads behind it."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Mapping

from filelock import BaseFileLock
from sqlalchemy import func, select

from mixagent.pipeline.errors import OutputError, UsageError
from mixagent.pipeline.files import exclusive_lock
from mixagent.service.access import LOCAL_USER, Keys, Signer, ensure_user
from mixagent.service.accounts.audit import Audit
from mixagent.service.accounts.openid import OpenId
from mixagent.service.accounts.sessions import Sessions
from mixagent.service.accounts.users import Users
from mixagent.service.jobs.engine import Engine
from mixagent.service.jobs.submit import Submitter
from mixagent.service.learner import Learner
from mixagent.service.limits import Rates
from mixagent.service.ratings import Ratings
from mixagent.service.settings import ServiceSettings
from mixagent.service.store.tables import Job
from mixagent.service.sweeper import Sweeper
from mixagent.service.uploads import Uploads
from mixagent.service.webhooks import Webhooks
from mixagent.service.worker.embedded import EmbeddedEngine
from mixagent.service.worker.tools import Tools, open_tools

LOG = logging.getLogger(__name__)


class Service:
    """All parts of a service; one at a time has a data folder.

    Raises:
        UsageError: another service has the folder.
        OutputError: the folder cannot be written.
        ModelMissingError: a package for what was asked for is not installed.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self._lock = _taken(settings)
        self.tools = tools = open_tools(settings)
        self.metrics, self.database, self.queue = tools.metrics, tools.database, tools.queue
        self.blobs, self.caches, self.estimates = tools.blobs, tools.caches, tools.estimates
        self.keys = Keys(self.database)
        self.users, self.sessions = Users(self.database), Sessions(self.database)
        self.audit = Audit(self.database)
        self.openid = None if settings.openid is None else OpenId(settings.openid, self.database)
        self.signer = Signer(settings.data / "secret")
        self.rates = Rates(settings.limits.requests_a_second)
        self.submitter = Submitter(self.database, self.blobs, settings.limits)
        self.uploads = Uploads(settings, self.database, self.blobs, self.metrics)
        self.traces = tools.traces
        self.engine = _engine(tools)
        self.webhooks = Webhooks(self.database, self.metrics, settings.private_webhooks)
        self.sweeper = Sweeper(settings, self.database, self.blobs, self.caches, self.uploads, self.metrics)
        self.ratings = Ratings(settings, self.database, self.blobs)
        self.learner = Learner(settings, self.database, self.ratings.hand_over)
        self.sweeper.also(self.keys.flush, self.sessions.flush, self.audit.flush)
        self.metrics.gauges("jobs", "Jobs by state.", "state", self._jobs)
        self.metrics.gauges("disk_free_bytes", "Room on the disk.", "folder", self._free)
        self.metrics.gauges("workers", "Workers of other programs that are there.", "lane", self._workers)
        with self.database.writing() as session:
            ensure_user(session, LOCAL_USER)

    def start(self) -> None:
        """Begin to work."""
        self.sweeper.sweep_work()
        self.engine.start()
        self.webhooks.start()
        self.sweeper.start()
        self.learner.start()
        for task in (self.uploads.checker.warm, self.uploads.check_left, _load_options):
            threading.Thread(target=task, daemon=True, name=task.__name__).start()

    def stop(self) -> None:
        """Stop; jobs at work are queued again."""
        self.learner.stop()
        self.engine.stop()
        self.webhooks.stop()
        self.sweeper.stop()
        self.uploads.checker.close()
        self.traces.close()
        self.database.close()
        self._lock.release()

    def _jobs(self) -> Mapping[str, float]:
        with self.database.reading() as session:
            rows = session.execute(select(Job.state, func.count()).group_by(Job.state))
            return {state: float(count) for state, count in rows}

    def _workers(self) -> Mapping[str, float]:
        return {"all": float(self.tools.roll.slots())}

    def _free(self) -> Mapping[str, float]:
        return {"data": shutil.disk_usage(self.settings.data).free}


def _engine(tools: Tools) -> Engine:
    if tools.settings.broker_url is None:
        return EmbeddedEngine(tools, tools.settings.workers, quick=tools.settings.workers > 0)
    from mixagent.service.worker.celery_engine import CeleryEngine

    return CeleryEngine(tools, tools.settings.broker_url)


def _taken(settings: ServiceSettings) -> BaseFileLock:
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = exclusive_lock(settings.data / "service.lock")
        lock.acquire(blocking=False)
    except TimeoutError:
        raise UsageError(
            f"another service works in {settings.data}: stop it, or name another folder"
        ) from None
    except OSError as error:
        raise OutputError(f"cannot write to {settings.data}: {error.strerror}") from error
    return lock


def _load_options() -> None:
    """Load what checks options, before the first job asks for it."""
    import mixagent.options  # noqa: F401
