"""The sound of repairs, for a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mixagent.pipeline.types import AudioSource


@dataclass(frozen=True)
class RepairSound:
    """The sound of a repair.

    Attributes:
        before, after: the passage that it changed most.
        difference: all that it took out or added, of the length of the song on the page.
    """

    before: AudioSource
    after: AudioSource
    difference: AudioSource


NO_SOUNDS: Mapping[str, RepairSound] = MappingProxyType({})
