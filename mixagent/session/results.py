"""Typed views of what the stages of a run left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixagent.pipeline.chain.edits import Span
from mixagent.pipeline.diagnosis.diagnose import Diagnosis
from mixagent.pipeline.finished.measures import SongMeasures
from mixagent.pipeline.graph.runner import Result
from mixagent.pipeline.io import FileInfo
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.song_sections import SongSection
from mixagent.pipeline.restoration.table import REPAIRS, Repair, mix_repairs
from mixagent.pipeline.types import AudioSource, Combination, DiskAudio
from mixagent.report.model import CodecRenderRow, FinaliserRender, TranslationRow
from mixagent.report.serial import from_json

MIXING = ("mix", "match")
"""The stages that leave what goes into the finaliser, the last one that ran."""

_Step = tuple[str, AudioSource, float]


@dataclass(frozen=True)
class RepairStep:
    """A repair that changed something, with the amounts of a master.

    Attributes:
        stage: that it ran in.
        repair: its name.
        stem: that it was on; None for the mix.
        before, after: the mix or the stem around it.
    """

    stage: str
    repair: str
    stem: str | None
    before: AudioSource
    after: AudioSource


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

    def changed(self, stage: str) -> bool:
        """True where a repair's stage found its defect, and its result was not rejected."""
        return self.ran(stage) and "audio" in self[stage].values

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
    def repaired_heard(self) -> Measured:
        """What was measured of the repaired song; of the song as it came where nothing was repaired."""
        return Measured(self.last("analyse", "hear mix").values)

    @property
    def repaired(self) -> AudioSource:
        """The mix with the repairs' own amounts: the song as the last of them that changed it left it."""
        return self._stages(self.song, (repair.name for repair in mix_repairs()))[-1][1]

    def repaired_stem(self, stem: str) -> AudioSource:
        """A stem with the repairs' own amounts."""
        return self._of_stem(stem)[-1][1]

    @property
    def repair_amounts(self) -> dict[str, float]:
        """The repairs' own amounts, 0..1, of those that found their defect and changed something."""
        amounts = {}
        for repair in REPAIRS.values():
            stages = (stage for _, stage in repair_stages(repair))
            found = [self[stage].values["amount"] for stage in stages if self.changed(stage)]
            if found:
                amounts[repair.name] = max(found)
        return amounts

    def repair_reason(self, name: str) -> str:
        """The finding that a repair answers, in words."""
        stages = repair_stages(REPAIRS[name])
        return next(str(self[stage].values["found"]) for _, stage in stages if self.ran(stage))

    def repair_steps(self, amounts: Mapping[str, float]) -> list[RepairStep]:
        """The repairs with these amounts, each around what the last left; those of amount 0 are left out."""
        steps = []
        for stem, path in self._paths():
            for at, (name, _, _) in enumerate(path[1:], 1):
                if amounts.get(name, 0.0) > 0.0:
                    before, after = (_weighed(path[:k], amounts) for k in (at, at + 1))
                    steps.append(RepairStep(repair_stage(name, stem), name, stem, before, after))
        return steps

    def mix_with(self, amounts: Mapping[str, float]) -> AudioSource:
        """The mix with these amounts of its repairs, 0..1 by name; of one that is not named, none."""
        return _weighed(self._stages(self.song, (repair.name for repair in mix_repairs())), amounts)

    def stem_with(self, stem: str, amounts: Mapping[str, float]) -> AudioSource | None:
        """A stem with these amounts of its repairs; None where none of them changed it."""
        steps = self._of_stem(stem)
        return _weighed(steps, amounts) if len(steps) > 1 else None

    def _paths(self) -> Iterator[tuple[str | None, list[_Step]]]:
        """The mix, and each stem where there are some, through their repairs."""
        yield None, self._stages(self.song, (repair.name for repair in mix_repairs()))
        if "stems" in self or "separate" in self:
            for stem in self.stem_source.values["parts"]:
                yield stem, self._of_stem(stem)

    def _of_stem(self, stem: str) -> list[_Step]:
        source = self.stem_source.audio("parts", stem)
        names = (repair.name for repair in REPAIRS.values() if stem in repair.stems)
        return self._stages(source, names, stem)

    def _stages(self, source: AudioSource, repairs: Iterable[str], stem: str | None = None) -> list[_Step]:
        """The source and what each repair that changed it left: its name, the audio and its amount."""
        steps: list[_Step] = [("", source, 1.0)]
        for name in repairs:
            stage = repair_stage(name, stem)
            if self.changed(stage):
                steps.append((name, self[stage].audio("audio"), float(self[stage].values["amount"])))
        return steps

    @property
    def sections(self) -> tuple[SongSection, ...]:
        """The sections of the song; none where they were not asked for."""
        rows = self["sections"].values["sections"] if "sections" in self else ()
        return tuple(SongSection.from_json(row) for row in rows)

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


def repair_stage(repair: str, stem: str | None) -> str:
    """The name of the stage that repairs a stem, or the mix."""
    return repair if stem is None else f"{repair} {stem}"


def repair_stages(repair: Repair) -> list[tuple[str | None, str]]:
    """The stems that a repair is for, None for the mix, each with the name of its stage."""
    return [(stem, repair_stage(repair.name, stem)) for stem in (repair.stems or (None,))]


def _weighed(steps: Sequence[_Step], amounts: Mapping[str, float]) -> AudioSource:
    """The source of the first step with these amounts of what each of the others changed.

    A repair heard the source with the own amounts of those before it, and none of them runs again: what
    each changed is weighed, against its own amount, and added.
    """
    shares = [REPAIRS[name].share(amounts.get(name, 0.0)) / own for name, _, own in steps[1:]]
    weights = [1.0, *shares]
    terms = tuple(
        (weight - after, audio)
        for (_, audio, _), weight, after in zip(steps, weights, [*shares, 0.0], strict=True)
        if weight != after
    )
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1.0 else Combination(terms)
