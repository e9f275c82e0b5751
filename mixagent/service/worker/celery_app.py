"""Celery as what wakes workers: its application, and who is woken when.

A message says that there is something to do and nothing else. Which job it is, who has it and how it ends are
rows: so users are served in turn, no user has too many at work, and a message that is lost, late or delivered
twice does no harm. What waits and has no message is sent one, now and then and at the end of each job.
"""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

from celery import Celery
from kombu import Exchange
from kombu import Queue as Route

from mixagent.service.jobs.queue import Queue
from mixagent.service.jobs.stages import Board
from mixagent.service.settings import WorkerLimits

WAKE = "mixagent.wake"
FULL, QUICK = "mixagent.full", "mixagent.quick"
"""The task, and its two queues: who takes any job reads both, one process of a machine quick ones alone."""

_MARGIN_S = 60.0
_START_S = 240.0
"""A process that loads the engine on a cold disk takes its time to come up."""

_MOST_WAITING = 200
"""Messages of a queue: more than workers that could take one at a time."""


def celery_app(broker: str, limits: WorkerLimits) -> Celery:
    """The application on a broker.

    A job has its own limit, which whoever keeps its process holds. Celery's two lie above the longest of
    those, for a keeper that hangs: after the first it is interrupted, after the second killed. A message of
    Redis is given to another only after both.
    """
    app = Celery("mixagent", broker=broker, set_as_current=False)
    soft_s = limits.most_time_s + _MARGIN_S
    app.conf.update(
        task_queues=[Route(name, Exchange(name), routing_key=name) for name in (FULL, QUICK)],
        task_default_queue=FULL,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_soft_time_limit=soft_s,
        task_time_limit=soft_s + _MARGIN_S,
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=_START_S,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=5.0,
        broker_connection_max_retries=None,
    )
    if urlsplit(broker).scheme in ("redis", "rediss"):
        app.conf.broker_transport_options = {
            "visibility_timeout": soft_s + 10 * _MARGIN_S,
            "socket_connect_timeout": 5.0,
            "socket_timeout": 30.0,
            "socket_keepalive": True,
        }
    return app


class Wakes:
    """Sends as many messages as there are jobs and stages to begin, less those that wait already."""

    def __init__(self, app: Celery, queue: Queue, board: Board) -> None:
        self._app, self._queue, self._board = app, queue, board
        self._lock = threading.Lock()

    def send(self) -> int:
        """Send what is missing; how many that were.

        Raises:
            Exception: of the broker's client, where it cannot be reached.
        """
        sent = 0
        with self._lock:
            full, quick = self._queue.ready()
            for route, wanted in ((FULL, full + self._board.waiting()), (QUICK, quick)):
                missing = min(wanted, _MOST_WAITING) - (self._waiting(route) if wanted else 0)
                for _ in range(missing):
                    self._app.send_task(WAKE, queue=route, retry=False)
                    sent += 1
        return sent

    def _waiting(self, route: str) -> int:
        with self._app.connection_for_write() as connection, connection.channel() as channel:
            return int(channel.queue_declare(queue=route, durable=True, auto_delete=False).message_count)
