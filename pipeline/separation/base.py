"""The interface of every separator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mixagent.pipeline.types import AudioSource, Progress, Stems


class Separator(Protocol):
    """Takes a mix apart into stems."""

    @property
    def name(self) -> str:
        """The name by which `choose_separator` knows it."""

    @property
    def version(self) -> str:
        """Changes whenever the same mix would give other stems: part of the cache's key."""

    @property
    def stem_names(self) -> tuple[str, ...]:
        """The names of the stems that it gives, in order."""

    def separate(self, mix: AudioSource, scratch: Path, progress: Progress | None = None) -> Stems:
        """The stems of `mix`, each a raw file in `scratch` with the mix's rate, length and channels.

        Memory does not grow with the mix's length.

        Raises:
            ModelMissingError: the weights are not here.
        """


@dataclass(frozen=True)
class SeparatedStems(Stems):
    """Stems with what their separator alone can tell of them.

    Attributes:
        agreement_db: level of each stem above what differs of it from shift to shift, where the
            separator ran several; see `shifts`.
        device_peak_bytes: most memory that was held on the GPU at a time; None on a CPU.
    """

    agreement_db: Mapping[str, float] = field(default_factory=dict)
    device_peak_bytes: int | None = None


@dataclass(frozen=True)
class NoSeparator:
    """Gives no stems: the whole mix is the residual."""

    name: str = "none"
    version: str = "1"
    stem_names: tuple[str, ...] = ()

    def separate(self, mix: AudioSource, scratch: Path, progress: Progress | None = None) -> Stems:
        """Stems without parts."""
        if progress:
            progress(1.0)
        return Stems(mix, {})
