"""What the functions of the library give back: frozen, and each a view of its report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from mixagent.manifests import write_json
from mixagent.pipeline.errors import UsageError, option
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.types import Audio, AudioSource, load
from mixagent.report.album_model import AlbumReport
from mixagent.report.model import (
    AnalysisReport,
    ComparisonReport,
    FindingRow,
    ListeningReport,
    RepairRow,
    ReplayReport,
    Report,
)
from mixagent.report.restore_model import RestoreReport
from mixagent.report.serial import Json
from mixagent.report.sounds import MixSound, RepairSound, StemSound
from mixagent.report.split_model import SplitReport
from mixagent.report.writer import check_reports, write_reports


@dataclass(frozen=True)
class Levels:
    """Loudness and peaks of a song; None where it is silent or too short to have one.

    Attributes:
        integrated_lufs: BS.1770-5.
        loudness_range_lu: EBU Tech 3342.
        true_peak_dbtp: at four times the rate or more.
        plr_db: peak to loudness.
    """

    integrated_lufs: float | None
    loudness_range_lu: float | None
    true_peak_dbtp: float | None
    plr_db: float | None

    @classmethod
    def of(cls, analysis: Analysis) -> Levels:
        """Those of an analysis of the report."""
        values = {name: getattr(analysis, name) for name in cls.__dataclass_fields__}
        return cls(**{name: value if math.isfinite(value) else None for name, value in values.items()})


@dataclass(frozen=True)
class Finding:
    """What is wrong with a song.

    Attributes:
        name: of the fault, such as `dull` or `sides_loud`.
        severity: the probability that it lies outside finished music, 0..1; from 0.5 on it counts as found.
        sentence: the same for a person, with what was measured.
    """

    name: str
    severity: float
    sentence: str


@dataclass(frozen=True)
class Move:
    """What was done to the sound.

    Attributes:
        what: `tone`, `width`, `punch` and so on.
        did: as it was measured, in words.
        why: the finding that it answers, in words; None where none is named.
    """

    what: str
    did: str
    why: str | None


@dataclass(frozen=True)
class OutputFile:
    """A file that was written: its format is its suffix, `bit_depth` that of wav and flac, `rate` in Hz."""

    path: Path
    format: str
    bit_depth: str
    rate: int
    sha256: str


@dataclass(frozen=True)
class Sides:
    """What a page plays, in memory: song and master, each repair by its stage, and the stems."""

    before: Audio
    after: Audio
    repairs: Mapping[str, RepairSound]
    mix: MixSound | None = None

    @classmethod
    def kept(
        cls,
        before: AudioSource,
        after: AudioSource,
        repairs: Mapping[str, RepairSound],
        mix: MixSound | None = None,
    ) -> Sides:
        """The same, read from wherever it lies."""
        return cls(
            load(before),
            load(after),
            {
                stage: RepairSound(load(sound.before), load(sound.after), load(sound.difference))
                for stage, sound in repairs.items()
            },
            None if mix is None else replace(mix, stems={n: _loaded(stem) for n, stem in mix.stems.items()}),
        )


def _loaded(stem: StemSound) -> StemSound:
    before = load(stem.before)
    return replace(stem, before=before, after=before if stem.after is stem.before else load(stem.after))


class _Reported(Protocol):
    def to_dict(self) -> dict[str, Json]: ...


@dataclass(frozen=True)
class _Result:
    """A report, and how it is read."""

    report: _Reported = field(repr=False)

    def to_dict(self) -> dict[str, Json]:
        """The report as JSON values, under its `schema`."""
        return self.report.to_dict()


def _findings(rows: Sequence[FindingRow]) -> tuple[Finding, ...]:
    found = [row for row in rows if row.severity >= 0.5]
    return tuple(Finding(row.name, row.severity, row.sentence) for row in found)


@dataclass(frozen=True)
class AnalysisResult(_Result):
    """What a song measures and what is wrong with it."""

    report: AnalysisReport = field(repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know."""
        return self.report.warnings

    @property
    def levels(self) -> Levels:
        """Loudness and peaks."""
        return Levels.of(self.report.analysis)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong, the gravest first."""
        return _findings(self.report.findings)


@dataclass(frozen=True)
class MasterResult(_Result):
    """A master and its report.

    Attributes:
        audio: the master, where no file was asked for; None where files were written, and in a dry run.
        sides: what a page plays, kept where the master is in memory.
    """

    report: Report = field(repr=False)
    audio: Audio | None = field(default=None, repr=False)
    sides: Sides | None = field(default=None, repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know."""
        return self.report.warnings

    @property
    def outputs(self) -> tuple[OutputFile, ...]:
        """The files of the master."""
        return tuple(
            OutputFile(Path(row.path), row.format, row.bit_depth, row.rate, row.sha256)
            for row in self.report.outputs
        )

    @property
    def project(self) -> tuple[Path, ...]:
        """The files of the mix as a workstation's project, those of its tracks last; none without one."""
        return tuple(Path(row.path) for row in self.report.project)

    @property
    def met(self) -> bool:
        """Whether loudness and ceiling are those of the target; `missed` says why not."""
        return self.report.met

    @property
    def missed(self) -> str | None:
        """Why the target was missed; None where it was met."""
        return self.report.missed

    @property
    def before(self) -> Levels:
        """The song as it came."""
        return Levels.of(self.report.before)

    @property
    def after(self) -> Levels:
        """The master; the song itself in a dry run."""
        return Levels.of(self.report.after)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was wrong, the gravest first."""
        return _findings(self.report.findings.before)

    @property
    def moves(self) -> tuple[Move, ...]:
        """What was done to the sound, measured; nothing in a dry run, where `plan` says what would be."""
        return tuple(Move(row.what, row.did, row.why) for row in self.report.actions)

    @property
    def plan(self) -> tuple[str, ...]:
        """What was done, or in a dry run would be, line by line."""
        return self.report.summary.done

    @property
    def timings(self) -> Mapping[str, float]:
        """Seconds by stage; those that were found in the cache took next to nothing."""
        return {row.name: row.seconds for row in self.report.stages}

    def save_report(self, path: str | Path) -> None:
        """Write the report: `.json`, which can be replayed, or `.html`, a page to listen in.

        Raises:
            UsageError: another suffix, or a page without a sound to play.
            OutputError: the file cannot be written.
        """
        place = Path(path)
        check_reports([place], [])
        if place.suffix.lower() == ".json":
            write_json(self.report.to_dict(), place)
            return
        if self.sides is None:
            raise UsageError(
                "the page plays song and master, which are not in memory: "
                f"ask for it with {option('report')}",
                field="report",
            )
        sides = self.sides
        write_reports(self.report, sides.before, sides.after, [place], sides.repairs, sides.mix)


@dataclass(frozen=True)
class SplitResult(_Result):
    """Songs taken apart."""

    report: SplitReport = field(repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, of every song."""
        return tuple(row.text for song in self.report.songs for row in song.warnings)

    @property
    def files(self) -> Mapping[Path, Mapping[str, Path]]:
        """The stems' files by name, of each song by its path."""
        return {
            Path(song.song): {name: Path(path) for name, path in song.files.items()}
            for song in self.report.songs
        }

    @property
    def confidences(self) -> Mapping[Path, Mapping[str, float]]:
        """How much of each stem is expected to be its own, 0..1."""
        return {
            Path(song.song): {name: stem.confidence for name, stem in song.stems.items()}
            for song in self.report.songs
        }

    @property
    def failed(self) -> Mapping[Path, str]:
        """Songs that could not be split, with the reason."""
        return {Path(row.song): row.error for row in self.report.failed}


@dataclass(frozen=True)
class RestoreResult(_Result):
    """A song whose defects were repaired, and nothing else.

    Attributes:
        audio: the repaired song, where no file was asked for; None where one was, and in a dry run.
    """

    report: RestoreReport = field(repr=False)
    audio: Audio | None = field(default=None, repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know."""
        return self.report.warnings

    @property
    def output(self) -> OutputFile | None:
        """The file of the repaired song."""
        row = self.report.output
        if row is None:
            return None
        return OutputFile(Path(row.path), row.format, row.bit_depth, row.rate, row.sha256)

    @property
    def changed(self) -> bool:
        """Whether anything was repaired; if not, the samples are the song's."""
        return self.report.changed

    @property
    def done(self) -> tuple[str, ...]:
        """What was done, line by line, or in a dry run would be."""
        return self.report.done

    @property
    def repairs(self) -> tuple[RepairRow, ...]:
        """Every repair that found its defect: what it found, what it did, and what was measured of that."""
        return self.report.repairs


@dataclass(frozen=True)
class AlbumResult(_Result):
    """An album mastered as one."""

    report: AlbumReport = field(repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know."""
        return self.report.warnings

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The masters, in the album's order."""
        return tuple(Path(song.master) for song in self.report.songs)

    @property
    def met(self) -> bool:
        """Whether the album and every song met their targets."""
        return self.report.met

    @property
    def failed(self) -> Mapping[Path, str]:
        """Songs that could not be mastered, with the reason."""
        return {Path(row.song): row.error for row in self.report.failed}


@dataclass(frozen=True)
class ComparisonResult(_Result):
    """Versions of a song side by side."""

    report: ComparisonReport | ListeningReport = field(repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a listener should know of how the versions lie to each other."""
        return self.report.notes if isinstance(self.report, ListeningReport) else ()

    @property
    def versions(self) -> tuple[AnalysisResult, ...]:
        """Each version, measured."""
        return tuple(AnalysisResult(row) for row in self.report.files)


@dataclass(frozen=True)
class ReplayResult(_Result):
    """A master made again from its report."""

    report: ReplayReport = field(repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Nothing: the verdict says it all."""
        return ()

    @property
    def identical(self) -> bool:
        """Whether the bytes are the same."""
        return self.report.identical

    @property
    def verdict(self) -> str:
        """The same in words, with what has changed."""
        return self.report.verdict

    @property
    def output(self) -> Path:
        """The file that was written."""
        return Path(self.report.output.path)
