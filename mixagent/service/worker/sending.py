"""Stages that go to other workers: what a job's process asks for, and what its keeper makes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixagent.service.jobs.stages import Board

if TYPE_CHECKING:
    from mixagent.pipeline.graph.runner import Stage

SENT = ("repair stem",)
"""Stages that take long enough, and of which a song has several side by side."""

_PATIENCE_S = 1.5
_LOOK_EVERY_S = 0.2


class Sender:
    """In the process of a job: sends stages, and waits for them."""

    def __init__(self, say: Callable[..., None]) -> None:
        self._say, self._lock = say, threading.Lock()
        self._waiting: dict[str, threading.Event] = {}

    def begin(self) -> None:
        """Another job begins."""
        self._waiting.clear()

    def __call__(
        self, stage: Stage, stages: Sequence[Stage], cache: Path, progress: Callable[[float], None]
    ) -> None:
        """Have a stage run elsewhere, if it is one that is sent and somebody is free."""
        from mixagent.pipeline.graph.runner import order_of
        from mixagent.session.table import STAGES

        if not any(STAGES[kind] is stage.run for kind in SENT):
            return
        ended = threading.Event()
        with self._lock:
            # Songs of an album have stages of one name.
            count = sum(1 for name in self._waiting if name.partition(" of song ")[0] == stage.name)
            name = f"{stage.name} of song {count + 1}" if count else stage.name
            self._waiting[name] = ended
        self._say(send={"name": name, "order": order_of(stage, stages, STAGES), "cache": str(cache)})
        while not ended.wait(_LOOK_EVERY_S):
            progress(0.0)

    def ended(self, name: str) -> None:
        """A stage was run, or is not going to be."""
        waiting = self._waiting.get(name)
        if waiting is not None:
            waiting.set()


class Outbox:
    """With the keeper of a job: the stages of it that wait for others."""

    def __init__(self, board: Board, job: str, machine: str, workers: int) -> None:
        self._board, self._job, self._machine, self._workers = board, job, machine, workers
        self._since: dict[str, float] = {}
        self._looked = 0.0

    def take(self, told: Mapping[str, Any]) -> bool:
        """Take a stage in; False where nobody is free, so that the job had better run it itself."""
        if self._board.free(self._machine, self._workers) <= 0:
            return False
        self._board.send(self._job, told["name"], self._machine, told["order"], told["cache"])
        self._since[told["name"]] = time.monotonic()
        return True

    def ended(self) -> list[str]:
        """Stages that need not be waited for any longer; each is told once."""
        now = time.monotonic()
        if not self._since or now - self._looked < _LOOK_EVERY_S:
            return []
        self._looked = now
        late = [name for name, since in self._since.items() if now - since > _PATIENCE_S]
        over = self._board.ended(self._job, list(self._since), late)
        for name in over:
            del self._since[name]
        return over
