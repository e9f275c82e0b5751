"""What a person reads in a terminal: messages on stderr, and names and titles that strangers chose."""

from __future__ import annotations

import sys

_SPACES = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Of ordinary French, Persian and Hindi, though Python does not call them printable."""


def printable(text: str, keep: str = "") -> str:
    """A text that does nothing to a terminal but be read.

    Control characters, escape sequences, line breaks, marks that turn the direction of writing and
    halves of characters become what Python writes for them (`\\x1b`), other than those in `keep`.
    """
    if text.isprintable():
        return text
    kept = _SPACES + _JOINERS + keep
    return "".join(c if c.isprintable() or c in kept else repr(c)[1:-1] for c in text)


def say(message: str) -> None:
    """A message on stderr, on one line whatever a file's name holds."""
    print(f"mixagent: {printable(message)}", file=sys.stderr)


def print_line(line: str) -> None:
    """A line on stdout. To a program it goes as it is: a file's name may hold anything."""
    # Not through a library, which would write past the progress bars.
    print(printable(line) if sys.stdout.isatty() else line, flush=True)
