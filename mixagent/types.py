"""The types that every part of the application speaks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from mixagent.pipeline.errors import CancelledError


@dataclass(frozen=True)
class Event:
    """How far work is.

    Attributes:
        stage: what is at work: a stage's name, `write`, or `songs` for all of several.
        share: of it that is done, 0..1.
        seconds: since it began.
    """

    stage: str
    share: float
    seconds: float


OnEvent = Callable[[Event], None]
"""Called for each event, by one thread at a time."""


class Cancel:
    """Stops work that was given it, from another thread.

    What is stopped raises `CancelledError` within a second and leaves nothing behind.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()

    def cancel(self) -> None:
        """Ask for the end."""
        self._asked.set()

    @property
    def cancelled(self) -> bool:
        """Whether the end was asked for."""
        return self._asked.is_set()

    def check(self) -> None:
        """Go on, unless the end was asked for.

        Raises:
            CancelledError: it was.
        """
        if self.cancelled:
            raise CancelledError("cancelled; nothing was written")
