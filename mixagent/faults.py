"""Faults of the program itself: one line for the user, and a log with all that a report of it needs."""

from __future__ import annotations

import platform
import sys
import tempfile
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from mixagent import __version__
from mixagent.pipeline.errors import MixagentError
from mixagent.pipeline.files import write_atomically
from mixagent.pipeline.folders import cache_folder

_KEPT = 20
"""How many logs are kept."""


def told(error: Exception) -> str:
    """One line on an error that nothing foresaw; it names the log with the rest, where there is one."""
    kind = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    line = " ".join(kind.split())[:200]
    if isinstance(error, MemoryError):
        line = "the memory is full: close other programs, or give a shorter song"
    log = _log(error)
    where = "" if log is None else f"; what a report of it needs is in {log}"
    return f"a fault of mixagent itself ({line}){where}"


def _log(error: Exception) -> Path | None:
    made_at = datetime.now(UTC)
    text = "\n".join(
        [
            f"mixagent {__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"{made_at.isoformat(timespec='seconds')}  {sys.argv!r}",
            "",
            *traceback.format_exception(error),
        ]
    )
    name = f"{made_at:%Y%m%d-%H%M%S-%f}.log"
    with suppress(MixagentError, OSError):
        folder = cache_folder() / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("*.log"))[: 1 - _KEPT]:
            old.unlink(missing_ok=True)
        write_atomically(folder / name, text)
        return folder / name
    with suppress(MixagentError):
        other = Path(tempfile.gettempdir()) / f"mixagent-{name}"
        write_atomically(other, text)
        return other
    return None
