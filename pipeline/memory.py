"""How much memory a process takes, as far as the system says."""

from __future__ import annotations

import mmap
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_PROC = Path("/proc")
_EVERY_S = 0.1


def resident_bytes(process: int | None = None) -> int | None:
    """Memory that a process has in the machine's own, with that of the processes that it started.

    Pages that several of them share count for each.

    Args:
        process: its number; this one without it.

    Returns:
        None where the system does not say: there is no such process, or no `/proc`.
    """
    if sys.platform != "linux":
        return None
    number = os.getpid() if process is None else process
    own = _resident(number)
    if own is None:
        return None
    return own + sum(_resident(child) or 0 for child in _descendants(number))


def _resident(process: int) -> int | None:
    try:
        pages = int((_PROC / str(process) / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * mmap.PAGESIZE


def _descendants(process: int) -> list[int]:
    found: list[int] = []
    waiting = [process]
    while waiting:
        try:
            tasks = list((_PROC / str(waiting.pop()) / "task").iterdir())
        except OSError:
            continue
        for task in tasks:
            try:
                children = [int(number) for number in (task / "children").read_text().split()]
            except (OSError, ValueError):
                continue
            found += children
            waiting += children
    return found


@dataclass
class Metered:
    """The memory of the whole program while a part of it worked.

    Attributes:
        peak_bytes: the most that was resident at a time, with the processes that it started; looked at ten
            times a second, so a shorter peak may be missed. None where the system does not say.
        beside: names of the other parts that worked at some time of it: their memory is in the figure.
    """

    peak_bytes: int | None = None
    beside: set[str] = field(default_factory=set)


class MemoryMeter:
    """Looks at the program's memory while anything works, in a thread that lives as long as that."""

    def __init__(self) -> None:
        self._working: dict[int, tuple[str, Metered]] = {}
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()

    @contextmanager
    def metered(self, name: str) -> Iterator[Metered]:
        """The memory of the program inside the context; what it says is whole when that ends."""
        found = Metered()
        with self._lock:
            for other, seen in self._working.values():
                seen.beside.add(name)
                found.beside.add(other)
            self._working[id(found)] = name, found
            if self._idle.is_set():
                # A new one each time: the last thread may not have seen yet that it is at its end.
                self._idle = threading.Event()
                threading.Thread(target=self._watch, args=(self._idle,), name="memory", daemon=True).start()
        self._look()
        try:
            yield found
        finally:
            self._look()
            with self._lock:
                del self._working[id(found)]
                if not self._working:
                    self._idle.set()

    def _watch(self, idle: threading.Event) -> None:
        while not idle.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        taken = resident_bytes()
        if taken is None:
            return
        with self._lock:
            for _, found in self._working.values():
                found.peak_bytes = max(found.peak_bytes or 0, taken)


METER = MemoryMeter()
"""The one of this process."""
