"""The result type that all restorations share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixagent.pipeline.types import AudioSource


@dataclass(frozen=True)
class Restored:
    """The audio after a gated stage: the very input where the stage was not applied.

    `why` is a sentence for the report, `values` the numbers that it rests on.
    """

    audio: AudioSource
    applied: bool
    why: str
    values: Mapping[str, float]
