"""The protocol of repairs.

A repair runs only where its defect is found, and then once. Its amount blends what it gave with what it
was given, so 0 is the identity and anyone can weigh it again without another run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.types import AudioSource, Progress


class NotFiniteError(Exception):
    """A repair's network gave something that is not a number: the repair is skipped, and the user is told."""


@dataclass(frozen=True)
class Found:
    """A defect that a repair found.

    Attributes:
        why: what was found, a sentence for the report.
        values: the figures that it rests on, by name with their unit.
        details: what `run` works by, JSON-able: places in frames, cut-offs in Hz.
        amount: share of the repair that is to be applied, 0..1, by how sure and how grave the finding is.
    """

    why: str
    values: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    amount: float = 1.0


@dataclass(frozen=True)
class Restored:
    """The audio after a repair: the very input where nothing came of it.

    Attributes:
        audio: of the source's length, rate and channels.
        applied: False where the repair was tried and its result rejected.
        why: what was done, or why not, a sentence for the report.
        values: the figures that it rests on, by name with their unit.
    """

    audio: AudioSource
    applied: bool
    why: str
    values: Mapping[str, float] = field(default_factory=dict)


class Work(Protocol):
    """A repair's two functions; a module that defines them is one."""

    def find(self, source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
        """Look for the defect; None where there is nothing to repair.

        Args:
            source: the mix or a stem, as the repairs before left it; of any rate, mono or stereo.
            analysis: of the song as it came.
            progress: called with the share done, 0..1; it raises where the work was cancelled.

        Raises:
            NotFiniteError: a network that looks for it gave something that is not a number.
        """

    def run(self, source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
        """Repair what was found, in full; everywhere else the result is the source to −60 dB or closer.

        Memory does not grow with the song.

        Args:
            source: the one that `found` is of.
            found: what `find` gave.
            scratch: folder for the raw file of the result.
            progress: as of `find`.

        Raises:
            NotFiniteError: as of `find`.
        """
