"""What brings queued jobs to workers: the one interface that an engine has."""

from __future__ import annotations

from typing import Protocol


class Engine(Protocol):
    """Workers, here or elsewhere. The truth about jobs is in the database; an engine only delivers."""

    def start(self) -> None:
        """Let the workers work."""

    def stop(self) -> None:
        """Stop them; jobs at work are queued again."""

    def offer(self, job: str, quick: bool) -> None:
        """A job was queued."""

    def cancel(self, job: str) -> None:
        """The end of a job at work was asked for."""

    def alive(self) -> bool:
        """Whether a job that is queued now will be worked on."""
