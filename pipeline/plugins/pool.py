"""The processes of plug-ins that wait for their next sound, each ended after so many."""

from __future__ import annotations

import atexit
import threading
from pathlib import Path

from mixagent.pipeline.plugins.child import LIMITS, Limits, PluginChild

_MOST_IDLE = 8

_Key = tuple[Path, str, Limits]


class Pool:
    """Lends processes of plug-ins; those that are given back whole wait for the next who asks."""

    def __init__(self) -> None:
        self._idle: list[PluginChild] = []
        self._lock = threading.Lock()
        self.started = 0

    def lend(self, path: Path, name: str = "", limits: Limits = LIMITS) -> PluginChild:
        """A process of this plug-in: one that waits, or a new one."""
        wanted: _Key = (path, name, limits)
        with self._lock:
            for child in self._idle:
                if (child.path, child.name, child.limits) == wanted and child.alive:
                    self._idle.remove(child)
                    return child
            self.started += 1
        return PluginChild(path, name, limits)

    def give_back(self, child: PluginChild) -> None:
        """Keep a process for the next sound, unless it served its number or too many wait already."""
        child.renders += 1
        with self._lock:
            if child.alive and child.renders < child.limits.renders and len(self._idle) < _MOST_IDLE:
                self._idle.append(child)
                return
        child.close()

    def clear(self) -> None:
        """End every process that waits."""
        with self._lock:
            waiting, self._idle = self._idle, []
        for child in waiting:
            child.close()


POOL = Pool()
"""The one of this process."""

atexit.register(POOL.clear)
