"""The first step of a master: the song decoded, repaired, taken apart where that matters, and measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mixagent.pipeline.chain.parameters import REPAIR, STEM_PLACES
from mixagent.pipeline.diagnosis.diagnose import FOUND
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.files import check_room
from mixagent.pipeline.graph.runner import Stage
from mixagent.pipeline.restoration.table import REPAIRS, mix_repairs
from mixagent.pipeline.separation import NoSeparator, choose_separator
from mixagent.pipeline.separation.choice import Choice
from mixagent.pipeline.types import DiskAudio, ShowProgress
from mixagent.policies import load_policy
from mixagent.policies.base import Context, Policy
from mixagent.report.model import AnalysisReport, ModelRow
from mixagent.session.reporting.build import analysis_report
from mixagent.session.request import SAMPLE_RATES_HZ, Request
from mixagent.session.results import Results
from mixagent.session.running import Runner, opened_run
from mixagent.session.separators import stem_separator
from mixagent.session.stages import (
    ANALYSING,
    Heard,
    heard_song,
    hearing_stages,
    listening_stages,
    separating_stage,
)
from mixagent.session.stems_stages import parts_stage, plan_of, stems_in_stages
from mixagent.settings import load_config

_FEWEST_STEMS = 4


@dataclass(frozen=True)
class Job:
    """A request at work: its song is decoded.

    Attributes:
        request: with the policy that decides.
        run: where its stages run.
        decoding: the stages that leave the song, of which `decode` holds it.
        decoded: their results.
    """

    request: Request
    run: Runner
    decoding: tuple[Stage, ...]
    decoded: Results

    @property
    def policy(self) -> Policy:
        """What decides."""
        assert self.request.policy is not None
        return self.request.policy


@dataclass(frozen=True)
class StemSource:
    """How the stems come about: the stage, the stems' names, and the row of the report."""

    stage: Stage
    stem_names: tuple[str, ...]
    model: ModelRow


@dataclass(frozen=True)
class AnalysedSong:
    """A song that is known: the stages that heard it, and what a policy is shown."""

    stem_source: StemSource
    hearing: tuple[Stage, ...]
    heard: Heard
    context: Context


@contextmanager
def opened_job(request: Request, progress: ShowProgress | None) -> Iterator[Job]:
    """A request whose outputs were checked and whose song was decoded.

    Raises:
        MixagentError: of the kind that says what went wrong.
    """
    decoding = tuple(_decoding_stages(request))
    # Before the song is decoded, with any rate, and once its own is known.
    request.check_outputs(SAMPLE_RATES_HZ[0])
    with opened_run(request.config, request.use_cache, progress) as run:
        decoded = run.stages(decoding)
        song = decoded.song
        request.check_outputs(song.rate)
        request.edits.check(song.frames / song.rate)
        _check_room(request, run, song)
        if request.amount > 0.0:
            request = replace(request, policy=request.policy or load_policy(request.config.policy.name))
        yield Job(request, run, decoding, decoded)


def _check_room(request: Request, run: Runner, song: DiskAudio) -> None:
    """Whether there is room for what a master leaves between its stages, asked before the work is done.

    The mix and the finished song are as long as the song; where stems are asked for, so is each of them.
    What was kept of an earlier run is not made again, and a song that was heard before is not asked about.
    """
    if run.events["decode"].status != "ran":
        return
    stems = request.stems_in is not None or request.writes_stems
    songs = 0 if request.amount == 0.0 else 2 + _FEWEST_STEMS * stems
    check_room(run.cache.folder, songs * song.frames * song.channels * 4, f"the master of {request.origin}")


def analyse_song(job: Job, stem_source: StemSource) -> AnalysedSong:
    """All that is known of the song before anything is decided."""
    request = job.request
    hearing = hearing_stages(
        job.decoding,
        stem_source.stage,
        stem_source.stem_names,
        request.without_repairs,
        job.policy.reads_features,
        request.config.pipeline.extender,
    )
    heard = heard_song(job.run.stages(hearing), request.restoration)
    return AnalysedSong(stem_source, tuple(hearing), heard, heard.context(request.target))


def measured_song(
    song: Path, progress: ShowProgress | None = None, dual_mono: bool = False
) -> AnalysisReport:
    """Measures and findings of a song; with `dual_mono` the loudness of one channel is counted as of two."""
    with opened_run(load_config(), True, progress) as run:
        return analysis_report(song, run.stages(listening_stages(song)), dual_mono)


def _decoding_stages(request: Request) -> list[Stage]:
    song = None if request.song is None else listening_stages(request.song)[0]
    if request.stems_in is not None:
        return stems_in_stages(request.stems_in, song, request.amount)
    assert song is not None
    return [song]


def stem_source(job: Job) -> StemSource:
    """The user's own stems, or a separator's.

    Raises:
        UsageError: stems are to be written, and the separator gives none.
    """
    request = job.request
    if request.stems_in is not None:
        made = plan_of(job.decoded["place"])
        why = f"No separator ran: the stems are those of {request.stems_in.folder}."
        return StemSource(parts_stage(), made.roles, ModelRow(stage="stems", name="stems-in", why=why))
    config, device = request.config, request.device
    if request.writes_stems:
        choice = stem_separator(config, device)
    elif config.pipeline.separator == "auto" and not _stems_matter(job):
        choice = Choice(NoSeparator(), "No separator ran: nothing that was to be done works on stems.")
    else:
        name = config.pipeline.separator
        heard = job.policy.hears_stems if name == "auto" else 0
        choice = _separator_at_hand(name, device, heard or None)
    model = ModelRow(stage="separate", name=choice.separator.name, why=choice.why)
    stage = separating_stage(choice.separator, device, "decode", *(repair.name for repair in mix_repairs()))
    return StemSource(stage, choice.separator.stem_names, model)


def _separator_at_hand(name: str, device: str, stems: int | None) -> Choice:
    """The configured separator; none, and why, where the choice was left open and no model is here."""
    try:
        return choose_separator(name, device, stems)
    except ModelMissingError as missing:
        if name != "auto":
            raise
        return Choice(NoSeparator(), f"No separator ran, and no strip was moved: {missing}.")


def _stems_matter(job: Job) -> bool:
    """Whether anything that decides or was asked for reads or sets stems, or there is noise under a voice."""
    request = job.request
    of_stems = {f"{REPAIR}.{name}" for name, repair in REPAIRS.items() if repair.stems}
    if any(request.config.chain.get(name, 0.0) > 0.0 for name in of_stems):
        return True
    if request.goal is not None and request.goal.wants_stems:
        return True
    if any(each.where in STEM_PLACES for each in request.sections):
        return True
    if any(name.split(".", 1)[0] in STEM_PLACES for name in request.config.chain):
        return True
    if job.policy.hears_stems:
        return True
    noise = job.run.stages([*job.decoding, ANALYSING]).heard.diagnosis.finding("noise")
    return "denoise" not in request.without_repairs and noise is not None and noise.severity >= FOUND
