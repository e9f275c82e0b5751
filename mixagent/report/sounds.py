"""The sound of repairs and of stems, for a page."""

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


@dataclass(frozen=True)
class StemSound:
    """The passage of a stem that a page plays.

    Attributes:
        before, after: its strip and bus; one source where none works on it.
        lufs: loudness of the whole stem before and after; None for silence, or where nothing was done.
    """

    before: AudioSource
    after: AudioSource
    lufs: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True)
class MixSound:
    """A passage of a mix, stem by stem; these sum to it.

    Attributes:
        start_s: of the passage, in the song.
        lufs: loudness of the whole mix before and after the strips; None for silence.
        stems: by name; what they leave of the mix among them, as `residual`, where that can be heard.
    """

    start_s: float
    lufs: tuple[float | None, float | None]
    stems: Mapping[str, StemSound]


NO_SOUNDS: Mapping[str, RepairSound] = MappingProxyType({})
