"""Messages for a person, on stderr."""

from __future__ import annotations

import sys


def say(message: str) -> None:
    """A message on stderr, on one line whatever a file's name holds."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    print(f"mixagent: {line}", file=sys.stderr)
