"""A Celery worker: `python -m mixagent.service.worker.celery_node`, started by `mixagent work`.

Its children keep one engine process each, as the threads of the embedded engine do: they claim a job, have
it run, and end it. Nothing that loads torch is imported here, so nothing of CUDA is there before the fork.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from typing import Any

import billiard
from billiard.process import current_process
from celery import Celery, Task
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import worker_process_init, worker_process_shutdown, worker_shutting_down

from mixagent.service.logs import set_up_logs
from mixagent.service.settings import ServiceSettings
from mixagent.service.worker.celery_app import FULL, QUICK, WAKE, Wakes, celery_app
from mixagent.service.worker.sandbox import die_with_parent
from mixagent.service.worker.slot import Slot
from mixagent.service.worker.tools import open_tools

LOG = logging.getLogger(__name__)

NODE = "MIXAGENT_NODE"
"""The variable that has the settings."""


class Keeper:
    """What a child of the pool has: a slot without a thread of its own."""

    def __init__(self, app: Celery, settings: ServiceSettings, quick_only: bool, stopping: Any) -> None:
        self._tools = open_tools(settings)
        number = 0 if quick_only else current_process().index + 1
        self._slot = Slot(self._tools, number, quick_only, stopping)
        self._where = f"{socket.gethostname()}:{os.getpid()}"
        self._wakes = Wakes(app, self._tools.queue, self._tools.board)
        self._slot.call_others = self._wake_others
        self._slot.get_ready()

    def woken(self, message: str) -> None:
        """Run the next job, and wake somebody for the one after it.

        Args:
            message: id of what woke this; one that killed a child before comes back under the same.
        """
        self._tools.queue.lost_by(message, "its worker was ended by the system or by its time limit")
        self._slot.name = f"{self._where} {message}"
        try:
            self._slot.one_job()
        except SoftTimeLimitExceeded:
            self._slot.overdue()
        self._wake_others()

    def _wake_others(self) -> None:
        try:
            self._wakes.send()
        except Exception:
            # Of the broker's client; the service wakes workers, too.
            LOG.exception("the broker cannot be told that there is more to do")

    def close(self) -> None:
        """Let go of the engine process and the database."""
        self._slot.close()
        self._tools.database.close()


def main() -> None:
    """Work until a signal comes; jobs at work then go back to the queue."""
    die_with_parent()
    set_up_logs()
    told = json.loads(os.environ.pop(NODE))
    settings, quick_only = ServiceSettings.from_dict(told["settings"]), bool(told["quick_only"])
    assert settings.broker_url is not None
    app = celery_app(settings.broker_url, settings.worker)
    stopping = billiard.Event()
    keepers: list[Keeper] = []

    @worker_process_init.connect(weak=False)
    def begun(**_: Any) -> None:
        die_with_parent()
        keepers.append(Keeper(app, settings, quick_only, stopping))

    @worker_process_shutdown.connect(weak=False)
    def ended(**_: Any) -> None:
        for keeper in keepers:
            keeper.close()

    @worker_shutting_down.connect(weak=False)
    def shutting_down(**_: Any) -> None:
        stopping.set()

    @app.task(name=WAKE, bind=True)
    def wake(task: Task[Any, Any]) -> None:
        keepers[0].woken(task.request.id)

    lane = "quick" if quick_only else "full"
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=prefork",
            f"--concurrency={1 if quick_only else settings.workers}",
            f"--queues={QUICK if quick_only else f'{QUICK},{FULL}'}",
            f"--hostname={lane}-{os.getpid()}@{socket.gethostname()}",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=WARNING",
        ]
    )


if __name__ == "__main__":
    main()
