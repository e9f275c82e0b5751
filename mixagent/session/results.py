"""Typed views of what the stages of a run left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mixagent.pipeline.chain.edits import Span
from mixagent.pipeline.diagnosis.diagnose import Diagnosis
from mixagent.pipeline.finished.measures import SongMeasures
from mixagent.pipeline.graph.runner import Result
from mixagent.pipeline.io import FileInfo
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.restoration.table import REPAIRS
from mixagent.pipeline.types import AudioSource, DiskAudio
from mixagent.report.model import CodecRenderRow, FinaliserRender, TranslationRow
from mixagent.report.serial import from_json

MIXING = ("mix", "match")
"""The stages that leave what goes into the finaliser, the last one that ran."""


@dataclass(frozen=True)
class Measured:
    """What a stage that measures left.

    Attributes:
        values: as JSON: `analysis`, `diagnosis`, `measures` and `translation`.
    """

    values: Mapping[str, Any]

    @property
    def analysis(self) -> Analysis:
        """Loudness, peaks, spectrum and width."""
        return Analysis.from_json(self.values["analysis"])

    @property
    def diagnosis(self) -> Diagnosis:
        """The five pathologies, defects and properties."""
        return Diagnosis.from_json(self.values["diagnosis"])

    @property
    def measures(self) -> SongMeasures | None:
        """What the song is held against finished music by; None for silence."""
        found = self.values["measures"]
        return None if found is None else SongMeasures.from_json(found)

    @property
    def translation(self) -> tuple[TranslationRow, ...]:
        """The losses on each playback system."""
        return from_json(tuple[TranslationRow, ...], self.values["translation"], "translation")


@dataclass(frozen=True)
class Finished:
    """The finaliser's work: see `pipeline.finaliser.loop.Finish`; no codec renders where none was checked."""

    gain_db: float
    max_reduction_db: float
    transients_lost_db: float
    tails_lowered_db: float
    met: bool
    missed: str
    renders: tuple[FinaliserRender, ...]
    codec_renders: tuple[CodecRenderRow, ...]


class Results(Mapping[str, Result]):
    """The results of a run's stages by name, and what they say by what it is."""

    def __init__(self, results: Mapping[str, Result]) -> None:
        self._results = dict(results)

    def __getitem__(self, name: str) -> Result:
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def ran(self, name: str) -> bool:
        """Whether a stage is there and found something to do."""
        return name in self._results and not self._results[name].skipped

    def last(self, *names: str) -> Result:
        """The last of these stages that ran."""
        return self._results[[name for name in names if self.ran(name)][-1]]

    @property
    def song(self) -> DiskAudio:
        """The decoded song."""
        return self["decode"].audio("audio")

    @property
    def info(self) -> FileInfo:
        """Container, rate, channels and frames of the song's file."""
        return FileInfo(**self["decode"].values["info"])

    @property
    def warnings(self) -> list[str]:
        """What the decoder has to say of the file."""
        return [*self["decode"].values["warnings"]]

    @property
    def heard(self) -> Measured:
        """What was measured of the song as it came."""
        return Measured(self["analyse"].values)

    @property
    def measured(self) -> Measured | None:
        """What was measured of the master; None where none was made."""
        return Measured(self["measure"].values) if "measure" in self else None

    @property
    def repaired(self) -> AudioSource:
        """The song as the last of `REPAIRS` that ran left it."""
        return self.last("decode", *REPAIRS).audio("audio")

    @property
    def stem_source(self) -> Result:
        """What left the stems: the separation, or the user's own tracks."""
        return self["stems"] if "stems" in self else self["separate"]

    @property
    def mixed(self) -> DiskAudio:
        """What goes into the finaliser: the mix, or what matchering made of it."""
        return self.last(*MIXING).audio("audio")

    @property
    def span(self) -> Span | None:
        """The part of the song that the master is of; None where none was made."""
        return Span(*self["mix"].values["span_s"]) if "mix" in self else None

    @property
    def master(self) -> DiskAudio:
        """The finished song."""
        return self["finalise"].audio("audio")

    @property
    def finish(self) -> Finished | None:
        """The finaliser's work; None where it did not run."""
        return from_json(Finished, dict(self["finalise"].values), "finalise") if "finalise" in self else None
