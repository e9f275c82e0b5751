"""Logs: one JSON object a line on stderr, with the ids of jobs, uploads and requests."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""Id of the request that is being answered."""

JOB: ContextVar[str | None] = ContextVar("job", default=None)
"""Id of the job that is at work."""


@contextmanager
def about_job(id_: str) -> Iterator[None]:
    """Have every line of this thread name a job."""
    token = JOB.set(id_)
    try:
        yield
    finally:
        JOB.reset(token)


_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """A record as JSON: time, level, words, and what it was given in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "where": record.name,
            "said": record.getMessage(),
        }
        for name, found in (("request", REQUEST.get()), ("job", JOB.get())):
            if found is not None:
                line[name] = found
        line |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up_logs(level: str = "INFO") -> None:
    """Log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger("mixagent.service")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
