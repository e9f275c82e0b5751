"""Runs workers for a service that is elsewhere: what `mixagent work` is."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Literal

from mixagent.pipeline.files import scratch_folder
from mixagent.service.logs import set_up_logs
from mixagent.service.problems import Problem
from mixagent.service.settings import ServiceSettings
from mixagent.service.worker.embedded import EmbeddedEngine
from mixagent.service.worker.roll import SAY_EVERY_S
from mixagent.service.worker.tools import Tools, open_tools, sweep_caches

LOG = logging.getLogger(__name__)

Lane = Literal["all", "full", "quick"]

_SWEEP_EVERY_S = 60.0
_LOOK_EVERY_S = 0.5
_AGAIN_S = 2.0
_END_S = 8.0


def work(settings: ServiceSettings, lane: Lane, say: Callable[[str], None]) -> None:
    """Work until it is interrupted.

    Args:
        settings: with the database and the store of the service.
        lane: what for: any job, quick ones, or both, each by processes of its own.
        say: tells a person that it works.

    Raises:
        UsageError, OutputError: as `open_tools`.
        OSError: the data folder cannot be written.
    """
    set_up_logs()
    settings.workers_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with scratch_folder(settings.workers_folder) as own:
        settings = replace(settings, work_folder=own)
        tools = open_tools(settings)
        slots = (lane != "full") + (settings.workers if lane != "quick" else 0)
        with _on_the_roll(tools, slots):
            if settings.broker_url is None:
                _embedded(tools, lane, say)
            else:
                _woken(settings, lane, say)
        tools.database.close()


def _embedded(tools: Tools, lane: Lane, say: Callable[[str], None]) -> None:
    """Workers that look into the database every second."""
    engine = EmbeddedEngine(tools, tools.settings.workers if lane != "quick" else 0, quick=lane != "full")
    engine.start()
    say("working; without a broker jobs are looked for every second")
    try:
        threading.Event().wait()
    finally:
        engine.stop()


def _woken(settings: ServiceSettings, lane: Lane, say: Callable[[str], None]) -> None:
    """Workers that Celery wakes; one of its programs that ends is started again."""
    import celery  # noqa: F401 - so that an extra that is missing is told at once

    lanes = [quick for quick in (False, True) if lane in ("all", "quick" if quick else "full")]
    nodes = {quick: _node(settings, quick) for quick in lanes}
    say("working; woken by the broker")
    try:
        while True:
            time.sleep(_LOOK_EVERY_S)
            for quick, node in nodes.items():
                if node.poll() is not None:
                    LOG.error("a Celery worker ended", extra={"code": node.returncode})
                    time.sleep(_AGAIN_S)
                    nodes[quick] = _node(settings, quick)
    finally:
        for node in nodes.values():
            node.terminate()
        for node in nodes.values():
            try:
                node.wait(_END_S)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()


def _node(settings: ServiceSettings, quick_only: bool) -> subprocess.Popen[bytes]:
    told = json.dumps({"settings": settings.to_dict(), "quick_only": quick_only})
    command = [sys.executable, "-P", "-m", "mixagent.service.worker.celery_node"]
    # Ctrl-C in a terminal goes to this program, which ends the others in their order.
    return subprocess.Popen(
        command, env={**os.environ, "MIXAGENT_NODE": told}, stdin=subprocess.DEVNULL, start_new_session=True
    )


@contextmanager
def _on_the_roll(tools: Tools, slots: int) -> Iterator[None]:
    """Say that this program is there, and sweep its cache, while the context lasts."""
    stopping = threading.Event()

    def look() -> None:
        swept_at = 0.0
        while not stopping.is_set():
            try:
                tools.roll.say(tools.node, slots)
                if time.monotonic() - swept_at > _SWEEP_EVERY_S:
                    swept_at = time.monotonic()
                    sweep_caches(tools.database, tools.caches)
            except Problem as problem:
                LOG.warning("the database cannot be told that this works", extra={"why": problem.detail})
            except Exception:
                LOG.exception("a sweep failed")
            stopping.wait(SAY_EVERY_S)

    thread = threading.Thread(target=look, name="roll", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        with suppress(Problem):
            tools.roll.leave(tools.node)
