"""How much memory a process takes, as far as the system says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PROC = Path("/proc")


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
    return pages * os.sysconf("SC_PAGE_SIZE")


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
