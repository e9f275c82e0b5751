"""The background learner of a service: it learns from ratings while no job waits or runs, and gives way."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import select

from mixagent.service.settings import ServiceSettings
from mixagent.service.store.database import Database
from mixagent.service.store.tables import QUEUED, RUNNING, Job

LOG = logging.getLogger(__name__)

_LOOK_EVERY_S, _BUSY_EVERY_S = 5.0, 0.2
_HAND_OVER_EVERY_S = 60.0


class Learner:
    """A thread that hands ratings over, and has a process learn from them while there is nothing else to do.

    Args:
        hand_over: tells the experience log of ratings.
    """

    def __init__(
        self, settings: ServiceSettings, database: Database, hand_over: Callable[[], object]
    ) -> None:
        self._settings, self._database, self._hand_over = settings, database, hand_over
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="learner", daemon=True)
        self._failed: str | None = None
        self._handed_at = -_HAND_OVER_EVERY_S

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End, and what is being learnt with it; it goes on the next time."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """A rating came or went, or a job came that is to be given way to."""
        self._handed_at = -_HAND_OVER_EVERY_S
        self._woken.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except Exception:
                LOG.exception("the learner met a fault")
            self._woken.wait(_LOOK_EVERY_S)
            self._woken.clear()

    def _look(self) -> None:
        if time.monotonic() - self._handed_at >= _HAND_OVER_EVERY_S:
            self._handed_at = time.monotonic()
            self._hand_over()
        if not self._settings.learns or self._busy():
            return
        from mixagent.learning.background import load_is_low
        from mixagent.learning.user import Notebook
        from mixagent.policies.experience import ExperienceStore

        key = Notebook.default().new(ExperienceStore.default())
        if key is not None and key != self._failed and load_is_low():
            self._learn(key)

    def _busy(self) -> bool:
        with self._database.reading() as session:
            waiting = select(Job.seq).where(Job.state.in_((QUEUED, RUNNING))).limit(1)
            return session.scalars(waiting).first() is not None

    def _learn(self, key: str) -> None:
        LOG.info("learning", extra={"key": key})
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "mixagent.learning.background"],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        ) as process:
            while process.poll() is None:
                if self._stopping.is_set() or self._busy():
                    with suppress(ProcessLookupError, PermissionError):
                        os.killpg(process.pid, signal.SIGKILL)
                    LOG.info("learning gives way", extra={"key": key})
                    return
                self._woken.wait(_BUSY_EVERY_S)
                self._woken.clear()
            said = process.stdout.read() if process.stdout else ""
        self._failed = key if process.returncode else None
        LOG.info("learnt", extra={"key": key, "code": process.returncode, "said": said[:2000]})
