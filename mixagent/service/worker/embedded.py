"""The engine that needs nothing beside the service: workers on this machine, fed by the database."""

from __future__ import annotations

import logging
import threading

from mixagent.service.worker.slot import Slot
from mixagent.service.worker.tools import Tools

LOG = logging.getLogger(__name__)

_LOOK_EVERY_S = 5.0


class EmbeddedEngine:
    """Workers for any job, and one for verdicts and previews alone, which nobody should wait for.

    Args:
        tools: that they work with.
        workers: for any job.
        quick: whether there is the other one.
    """

    def __init__(self, tools: Tools, workers: int, quick: bool = True) -> None:
        self._tools = tools
        self._slots = [Slot(tools, 0, quick_only=True)] if quick else []
        self._slots += [Slot(tools, number, quick_only=False) for number in range(1, workers + 1)]
        for slot in self._slots:
            slot.call_others = self._call_all
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._look, name="leases", daemon=True)

    def start(self) -> None:
        """Let the workers work; what a service that was killed left at work is queued again."""
        again = self._tools.queue.take_back(everything=not self._tools.settings.shared)
        if again:
            LOG.warning("jobs of a run before are queued again", extra={"jobs": again})
        for slot in self._slots:
            slot.start()
        self._watch.start()

    def stop(self) -> None:
        """Stop them; jobs at work are queued again."""
        self._stopping.set()
        for slot in self._slots:
            slot.stop()
        for slot in self._slots:
            slot.join()

    def offer(self, job: str, quick: bool) -> None:
        """A job was queued."""
        for slot in self._slots:
            # The one that has loaded what it takes; where it is busy, the others look by themselves.
            if quick == slot.quick_only:
                slot.wake()

    def _call_all(self) -> None:
        for slot in self._slots:
            slot.wake()

    def cancel(self, job: str) -> None:
        """The end of a job at work was asked for: its worker asks every second."""

    def alive(self) -> bool:
        """Whether a job that is queued now will be worked on."""
        if not self._slots:
            return self._tools.roll.any_there()
        return all(slot.alive for slot in self._slots)

    def _look(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            try:
                if self._tools.queue.take_back():
                    self.offer("", quick=True)
                    self.offer("", quick=False)
            except Exception:
                LOG.exception("leases could not be looked at")
