"""The engine for workers on other machines: Celery wakes them, the database says what they do."""

from __future__ import annotations

import logging
import threading

from mixagent.service.problems import Problem
from mixagent.service.worker.celery_app import Wakes, celery_app
from mixagent.service.worker.tools import Tools

LOG = logging.getLogger(__name__)

_LOOK_EVERY_S = 5.0


class CeleryEngine:
    """Wakes workers that `mixagent work` runs, wherever they are."""

    def __init__(self, tools: Tools, broker: str) -> None:
        self._tools = tools
        self._wakes = Wakes(celery_app(broker, tools.settings.worker), tools.queue, tools.board)
        self._stopping, self._offered = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="wakes", daemon=True)
        self._reached = True

    def start(self) -> None:
        """Begin to wake workers."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; workers go on with what they have."""
        self._stopping.set()
        self._offered.set()
        if self._thread.is_alive():
            self._thread.join()

    def offer(self, job: str, quick: bool) -> None:
        """A job was queued. Nobody waits for the broker: a thread tells it, again and again if need be."""
        self._offered.set()

    def cancel(self, job: str) -> None:
        """The end of a job at work was asked for: its worker asks every second."""

    def alive(self) -> bool:
        """Whether a job that is queued now will be worked on."""
        return self._reached and self._tools.roll.any_there()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._offered.clear()
            try:
                self._tools.queue.take_back()
                self._wakes.send()
                self._reached = True
            except Problem as problem:
                LOG.warning("jobs could not be looked at", extra={"why": problem.detail})
            except Exception:
                # Of the broker's client: each transport has its own errors.
                if self._reached:
                    LOG.exception("the broker cannot be reached; jobs wait in the database")
                self._reached = False
            self._offered.wait(_LOOK_EVERY_S)
