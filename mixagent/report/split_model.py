"""The report of songs split into stems, by which a second run knows that it is done; see `model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from mixagent.report.serial import Json, to_json

SCHEMA = "mixagent.split/2"


@dataclass(frozen=True, kw_only=True)
class SplitModel:
    """The separator, its version, and why that one."""

    name: str
    version: str
    why: str


@dataclass(frozen=True, kw_only=True)
class StemRow:
    """A stem: its loudness and peak, None for silence, and how much of it is expected to be its own, 0..1.

    `evidence` holds the figures that the confidence comes from.
    """

    integrated_lufs: float | None
    peak_dbfs: float | None
    confidence: float
    evidence: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class SplitWarning:
    """A warning for the user; `stem` is None where it is of the whole song."""

    kind: str
    stem: str | None
    text: str


@dataclass(frozen=True, kw_only=True)
class SplitSong:
    """A song whose stems are there.

    Attributes:
        song: its path.
        status: split now, or before in the same way.
        duration_s, integrated_lufs: of the song; None for silence.
        model: the separator.
        device: that it ran on, and `device_peak_bytes` the most memory held there.
        shifts: runs that were averaged.
        seconds: that the separation took, and `from_cache` whether it was taken from the cache.
        stems: by name.
        residual_peak_dbfs: peak of what the stems leave of the song; None for nothing.
        warnings: for the user.
        key: hash of all that the files depend on.
        gain_db: that normalises the stems.
        format, bit_depth: of the files; None for a lossy format.
        files, bytes: the files and their sizes, by name.
    """

    song: str
    status: Literal["split", "unchanged"]
    duration_s: float
    integrated_lufs: float | None
    model: SplitModel
    device: str
    device_peak_bytes: int | None
    shifts: int
    seconds: float
    from_cache: bool
    stems: Mapping[str, StemRow]
    residual_peak_dbfs: float | None
    warnings: tuple[SplitWarning, ...]
    key: str
    gain_db: float
    format: str
    bit_depth: str | None
    files: Mapping[str, str]
    bytes: Mapping[str, int]

    def to_dict(self) -> dict[str, Json]:
        """The report as JSON values."""
        return cast(dict[str, Json], to_json(self))


@dataclass(frozen=True, kw_only=True)
class SplitFailure:
    """A song that could not be split, and why."""

    song: str
    error: str


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """The report of several songs, schema `mixagent.split/2`."""

    schema: str = SCHEMA
    songs: tuple[SplitSong, ...]
    failed: tuple[SplitFailure, ...]

    def to_dict(self) -> dict[str, Json]:
        """The report as JSON values."""
        return cast(dict[str, Json], to_json(self))
