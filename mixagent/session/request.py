"""What to do with one song, and where its master goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mixagent.conductor.state import Move
from mixagent.daw.project import ProjectRequest
from mixagent.pipeline.chain.amounts import ALL, Strengths
from mixagent.pipeline.chain.edits import NO_EDITS, Edits
from mixagent.pipeline.chain.parameters import repair_amounts
from mixagent.pipeline.chain.section_settings import SectionSettings
from mixagent.pipeline.errors import UsageError, option
from mixagent.pipeline.finaliser.codecs import CodecPlan, planned
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.io import BitDepth, check_output
from mixagent.pipeline.matching.goals import Goal
from mixagent.pipeline.names import place_key
from mixagent.pipeline.restoration.table import REPAIRS
from mixagent.policies.base import Policy
from mixagent.session.dual_mono import file_target
from mixagent.session.references import References
from mixagent.session.stems_in import StemsIn, title_of
from mixagent.settings import Config, load_config
from mixagent.song_files import beside

if TYPE_CHECKING:
    from mixagent.pipeline.plugins.inserts import Insert

LOSSY = (".mp3", ".ogg")
SAMPLE_RATES_HZ = (44_100, 48_000, 96_000)
"""The rates that a master may be asked for."""


@dataclass(frozen=True)
class Leading:
    """A language model that leads the conductor after its planner; its key stays in the environment.

    Attributes:
        url: of an OpenAI-compatible endpoint.
        name: of the model there.
        renders: the most after the planner's.
        requests, tokens: the most of all questions and answers.
        seconds: the most for one answer.
        total_seconds: the most for all.
    """

    url: str
    name: str
    renders: int = 4
    requests: int = 6
    tokens: int = 60_000
    seconds: float = 60.0
    total_seconds: float = 180.0


@dataclass(frozen=True)
class Conducting:
    """What is asked of the conductor.

    Attributes:
        renders: the most that it makes of the loudest parts.
        until: the opinion score of the voice, 1 to 5, at which it need go no further; None for none.
        judge: the user's own judge of the voice, beside those that are here; None for none.
        model: who leads after the planner; None for nobody.
        ask: whether a move may be rendered; None where nobody is asked.
        runner: `own` or `langgraph`.
        checkpoints: LangGraph's SQLite file; None for none.
    """

    renders: int = 12
    until: float | None = None
    judge: Path | None = None
    model: Leading | None = None
    ask: Callable[[Move], bool] | None = None
    runner: str = "own"
    checkpoints: Path | None = None


@dataclass(frozen=True)
class Request:
    """What to do with one song.

    Attributes:
        song: the song; None where `stems_in` are the song.
        output: where the master goes; None where it stays in memory.
        target: loudness and ceiling.
        amount: scales every correction, 0..1; at 0 the song is given back untouched and no target is
            aimed at.
        bit_depth: of wav and flac.
        sample_rate: of the master in Hz; None for the song's own.
        device: `auto`, `cpu` or `cuda`.
        seed: of the dither and of the search.
        stems_folder: where the stems are to be written, if they are.
        project: where the mix is to be written as a workstation's project, if it is.
        config: of `conf/`.
        use_cache: whether finished stages are taken from the user's cache and left there.
        policy: stands in for the configured one, as in a replay.
        search: renders that try to better what the policy decides; 0 takes it as it is.
        conductor: agents that hear renders and move what was decided; None for none.
        stems_in: the user's own stems.
        strengths: scale the amount once more in each dimension.
        edits: of the song's ends.
        also: more files of the same master.
        codecs: to check it with; None holds the ceiling through those of the files themselves, where all
            of them are lossy.
        replaygain: whether the files are tagged with their gain and peak.
        references: what it is to sound like.
        goal: the same in words.
        target_named: keeps the goal from moving the target's loudness.
        matchering: the song that matchering listened to before, in a replay.
        sections: what holds in stretches of the song beside the settings, in a replay.
        dry_run: decide, and render and write nothing.
        preview_s: render the loudest part of this length alone, at the level that it has in the master.
        dual_mono: whether the loudness of a song of one channel is counted as of two.
        tells_strips: whether what became of each stem is measured, for somebody who is to see it.
        inserts: plug-ins that stand in for effects of the chain.

    Raises:
        UsageError: neither a song nor stems, a balance for stems of a song that has one, two outputs in
            one place, or a wish that `amount` 0 does not grant.
    """

    song: Path | None
    output: Path | None
    target: LoudnessTarget
    amount: float = 1.0
    bit_depth: BitDepth = "24"
    sample_rate: int | None = None
    device: str = "auto"
    seed: int = 0
    stems_folder: Path | None = None
    project: ProjectRequest | None = None
    config: Config = field(default_factory=load_config)
    use_cache: bool = True
    policy: Policy | None = None
    search: int = 0
    conductor: Conducting | None = None
    stems_in: StemsIn | None = None
    strengths: Strengths = ALL
    edits: Edits = NO_EDITS
    also: tuple[Path, ...] = ()
    codecs: CodecPlan | None = None
    replaygain: bool = False
    references: References | None = None
    goal: Goal | None = None
    target_named: bool = True
    matchering: Path | None = None
    sections: tuple[SectionSettings, ...] = ()
    dry_run: bool = False
    preview_s: float | None = None
    dual_mono: bool = False
    tells_strips: bool = False
    inserts: tuple[Insert, ...] = ()

    def __post_init__(self) -> None:
        if self.song is None and self.stems_in is None:
            raise nothing_to_master()
        if len(set(map(place_key, self.outputs))) < len(self.outputs):
            raise UsageError("two outputs have one name: give each another", field="output")
        if self.amount == 0.0:
            self._check_untouched()
        if self.song is not None and self.stems_in is not None and self.stems_in.balance != "keep":
            raise UsageError(
                f"{option('balance')} makes a mix of tracks: leave it out, or leave the song out",
                field="balance",
            )
        if self.preview_s is not None:
            self._check_preview(self.preview_s)

    def _check_untouched(self) -> None:
        """At amount 0 nothing is decided, so nothing can be asked of what would be."""
        given_back = f"{option('amount', 0)} gives the song back as it is"
        ungranted = [*self.strengths.weakened(), *(name.removesuffix("_s") for name in self.edits.asked)]
        ungranted += ["plugins"] * bool(self.inserts)
        ungranted += ["dry_run"] * self.dry_run + ["preview"] * (self.preview_s is not None)
        if ungranted:
            raise UsageError(f"{given_back}: leave out {option(ungranted[0])}", field="amount")
        if self.stems_folder is not None:
            raise UsageError(f"{given_back}: use `mixagent split` for its stems", field="stems")
        if self.project is not None:
            raise UsageError(
                f"{given_back}, so there is no mix: leave out {option('project')}", field="project"
            )
        if self.search:
            raise UsageError(
                f"{given_back}, so there is nothing to search: leave out {option('search')}", field="search"
            )
        if self.conductor is not None:
            raise UsageError(
                f"{given_back}, so there is nothing to conduct: leave out {option('conductor')}",
                field="conductor",
            )

    def _check_preview(self, length_s: float) -> None:
        if not length_s > 0:
            raise UsageError(
                f"{option('preview', f'{length_s:g}')} is no length: give seconds", field="preview"
            )
        asked = [name.removesuffix("_s") for name in self.edits.asked] + ["stems"] * bool(self.stems_folder)
        asked += ["project"] * bool(self.project)
        if asked:
            raise UsageError(
                f"{option('preview')} is a part of the song: leave out {option(asked[0])}", field="preview"
            )

    def target_of(self, channels: int) -> LoudnessTarget:
        """The target as a file of so many channels measures by BS.1770."""
        return file_target(self.target, self.dual_mono, channels)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Every file that the master goes into."""
        return () if self.output is None else (self.output, *self.also)

    @property
    def writes_stems(self) -> bool:
        """Whether stems are to be written, by themselves or in a project."""
        return self.stems_folder is not None or self.project is not None

    @property
    def codec_plan(self) -> CodecPlan:
        """The codecs to check the master with, and to hold its ceiling through."""
        if self.codecs is not None:
            return self.codecs
        suffixes = [path.suffix.lower() for path in self.outputs]
        return planned(False, None, suffixes) if suffixes else CodecPlan()

    @property
    def restoration(self) -> float:
        """How much of the restoration is applied, 0..1."""
        return self.amount * self.strengths.restore

    @property
    def without_repairs(self) -> frozenset[str]:
        """Names of the repairs that do not run: all at no restoration, else those set to 0 by hand."""
        if self.restoration == 0.0 or not self.config.pipeline.repairs:
            return frozenset(REPAIRS)
        return frozenset(name for name, amount in repair_amounts(self.config.chain).items() if amount == 0.0)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file that is read and so never written to."""
        songs = () if self.song is None else (self.song,)
        tracks = () if self.stems_in is None else self.stems_in.files
        references = () if self.references is None else self.references.files
        return (*songs, *tracks, *references)

    @property
    def origin(self) -> Path:
        """What the master is made of, to be named by: the song, or the folder of its stems."""
        if self.song is not None:
            return self.song
        assert self.stems_in is not None
        return self.stems_in.folder

    def check_outputs(self, song_rate: int) -> None:
        """Whether every output can be written, for a song of this rate in Hz.

        Raises:
            UsageError, OutputError: one cannot.
        """
        rate = self.sample_rate or song_rate
        for path in self.outputs:
            check_output(path, rate, self.bit_depth, inputs=self.inputs)


def nothing_to_master() -> UsageError:
    """The error of a request without a song."""
    return UsageError(
        f"nothing to master: name a song, or a folder of stems with {option('stems_in')}", field="song"
    )


def output_paths(
    song: Path | None, outputs: Sequence[Path], formats: Sequence[str], stems: Path | None = None
) -> list[Path]:
    """Where the master goes: as asked, or `SONG.master.wav` beside the song or beside its stems' folder.

    One output and several formats are files of one name, each with the suffix of its format.

    Raises:
        UsageError: an output whose suffix is not one of the formats asked for; nothing to name it by.
    """
    if not outputs:
        return [_default_output(song, stems, format) for format in formats or ("wav",)]
    for output in outputs:
        if formats and output.suffix.lower()[1:] not in formats:
            raise UsageError(
                f"{option('format', ','.join(formats))} and the output {output} do not agree", field="format"
            )
    if len(outputs) > 1 and len(formats) > 1:
        raise UsageError(
            f"several outputs have their own suffixes: leave {option('format')} out", field="format"
        )
    return [outputs[0].with_suffix(f".{format}") for format in formats] if len(formats) > 1 else [*outputs]


def _default_output(song: Path | None, stems: Path | None, format: str) -> Path:
    if song is not None:
        return beside(song, f".master.{format}")
    if stems is not None:
        return stems.absolute().with_name(f"{title_of(stems)}.master.{format}")
    raise nothing_to_master()
