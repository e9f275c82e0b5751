"""A master from request to result: analyse, decide, render, feedback, export."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mixagent.pipeline.chain.amounts import dimension
from mixagent.pipeline.chain.edits import section
from mixagent.pipeline.chain.parameters import ParameterSpace, repair_amounts
from mixagent.pipeline.files import scratch_folder
from mixagent.pipeline.graph.runner import Stage
from mixagent.pipeline.io import resample
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.restoration.table import mix_repairs
from mixagent.pipeline.types import AudioSource, Float64Array, ShowProgress, Stems, load
from mixagent.policies.base import Decision
from mixagent.report.model import Report
from mixagent.report.sounds import MixSound, RepairSound
from mixagent.session.analyse import AnalysedSong, Job, StemSource, analyse_song, opened_job, stem_source
from mixagent.session.decide import Decided, decide
from mixagent.session.export import export, measured_export, named_stem_files
from mixagent.session.guidance import Guidance
from mixagent.session.projects import named_project_files, write_mix
from mixagent.session.render import every_stage, rendered_part, stages_of
from mixagent.session.reporting.build import Outcome, build_report
from mixagent.session.reporting.repairs import repair_models, repair_sounds
from mixagent.session.reporting.strips import mix_sound
from mixagent.session.request import LOSSY, Request
from mixagent.session.results import Results
from mixagent.session.stages import ANALYSING, describing_stage, levels, premaster_stages, restored_stage
from mixagent.session.strip_stages import strips_stage
from mixagent.stem_files import all_parts, write_stems


@dataclass(frozen=True)
class Mastered:
    """A finished master: the report object, and both sides to listen to while the session is open.

    Attributes:
        report: of the master.
        before: the song as it came, of the part that was rendered.
        after: the master; the song itself where nothing was rendered.
        repairs: the sound of each repair that is in the master, by its stage.
        mix: the sound of each stem before and behind its strip; None where nobody asked for it.
    """

    report: Report
    before: AudioSource
    after: AudioSource
    repairs: Mapping[str, RepairSound] = field(default_factory=dict)
    mix: MixSound | None = None


@contextmanager
def master_song(request: Request, progress: ShowProgress | None = None) -> Iterator[Mastered]:
    """Master a song and write it; the result's audio can be read while the context is open.

    Raises:
        MixagentError: of the kind that says what went wrong; nothing is left half written.
    """
    with opened_job(request, progress) as job:
        if request.amount == 0.0:
            yield _untouched(job)
            return
        source = stem_source(job)
        with (
            named_stem_files(request, (*source.stem_names, "residual")) as stem_files,
            named_project_files(request) as project_files,
        ):
            song = analyse_song(job, source)
            decided = decide(job, song)
            if request.dry_run:
                yield _planned(job, song, decided)
                return
            decided, stages, after = _rendered(job, song, decided)
            part = rendered_part(song, request)
            warnings, results = measured_export(decided.request, after, job.run, stages)
            # Against the song as it came: the residual also holds what restoration took out.
            parts = all_parts(Stems(song.heard.song, song.heard.stems.parts))
            write_stems(parts, stem_files, request.song, job.run.show)
            project = write_mix(project_files, decided, results, job.run.show)
        before = section(song.heard.song, results.span) if results.span else song.heard.song
        sounds = repair_sounds(results, repair_amounts(decided.applied.changed()), results.span)
        report = build_report(_outcome(job, source, decided, results, warnings, project))
        told = _remembered(job, report, song, decided, before, after)
        mix = mix_sound(results, decided.applied, part)
        yield Mastered(replace(report, warnings=(*report.warnings, *told)), before, after, sounds, mix)


def _outcome(
    job: Job,
    source: StemSource,
    decided: Decided,
    results: Results,
    warnings: Sequence[str],
    project: Sequence[Path] = (),
) -> Outcome:
    models = (source.model, *repair_models(results))
    return Outcome(decided, results, job.run.events, models, tuple(warnings), tuple(project))


def _planned(job: Job, song: AnalysedSong, decided: Decided) -> Mastered:
    """A dry run: what was found and what would be done, without a render."""
    amounts = repair_amounts(decided.applied.changed())
    results = job.run.stages([*song.hearing, restored_stage(song.heard.results, amounts)])
    report = build_report(_outcome(job, song.stem_source, decided, results, ()))
    return Mastered(report, song.heard.song, song.heard.song)


def _untouched(job: Job) -> Mastered:
    """Amount 0: the decoded song is written as it is."""
    request = job.request
    results = job.run.stages([*job.decoding, ANALYSING])
    song = results.song
    with scratch_folder() as scratch:
        rate = request.sample_rate or song.rate
        copied = resample(song, rate, scratch / "resampled.f32")
        after = song if request.outputs else load(copied)
        warnings = export(request, copied, job.run, lambda: results.heard)
    over_db = results.heard.analysis.sample_peak_dbfs
    clipping = [path for path in request.outputs if path.suffix.lower() not in LOSSY]
    if over_db > 0 and clipping and request.bit_depth != "32f":
        warnings.append(
            f"peaks {over_db:.1f} dB over full scale were clipped: write 32-bit float wav to keep them"
        )
    nothing = Decided(request, Guidance(), Decision(ParameterSpace.for_stems(()).settings(), {}))
    report = build_report(Outcome(nothing, results, job.run.events, (), tuple(warnings)))
    return Mastered(report, song, after)


_Rendered = tuple[Decided, list[Stage], AudioSource]


def _rendered(job: Job, song: AnalysedSong, decided: Decided) -> _Rendered:
    """What is done with the song in the end, all stages of it, and the master.

    A plug-in that fails gives its place to the chain's own effect.
    """

    def once(decided: Decided) -> _Rendered:
        decided = _revised(job, song, decided)
        stages = every_stage(song, decided)
        after = job.run.stages(stages[:-1]).master
        if decided.request.tells_strips:
            part, inserts = rendered_part(song, decided.request), decided.request.inserts
            strips = strips_stage(song.heard.results, decided.applied, part, inserts)
            if inserts:
                # Here, where a plug-in may still fail.
                job.run.stages([*song.hearing, strips])
            stages.append(strips)
        return decided, stages, after

    if not decided.request.inserts:
        return once(decided)
    from mixagent.session.plugins import rendered_with_plugins

    return rendered_with_plugins(once, decided)


def _revised(job: Job, song: AnalysedSong, decided: Decided) -> Decided:
    """What the feedback loop makes of the decision; unchanged where it may render once, or a part."""
    request = decided.request
    if request.config.pipeline.renders == 1 or request.preview_s is not None:
        return decided
    from mixagent.session.feedback import Loop, run_feedback

    space = decided.decision.settings.space
    idle = {p.name for p in space if request.strengths.of(dimension(p.name)) == 0.0}
    loop = Loop(
        renders=request.config.pipeline.renders,
        aims=decided.guidance.steered(
            request.target_of(song.heard.song.channels), decided.applied, song.context.measures
        ),
        held={*request.config.chain, *idle, *decided.guidance.kept(space)},
        stages=lambda decision: every_stage(song, replace(decided, decision=decision)),
        edits=request.edits,
        rate=request.sample_rate,
    )
    decision, section = run_feedback(loop, decided.decision, job.run)
    return replace(decided, decision=decision, feedback=section)


def _remembered(
    job: Job,
    report: Report,
    song: AnalysedSong,
    decided: Decided,
    before: AudioSource,
    after: AudioSource,
) -> list[str]:
    """The master put down as an experience, where that is wanted; warnings for the user."""
    request = decided.request
    remembered = request.config.experience
    wanted = remembered.remember or remembered.file
    if not wanted or request.preview_s is not None or not request.outputs:
        return []
    from mixagent.learning import experience_log

    made = experience_log.Made(
        report, song.context, song.context.features, decided.applied, song.heard.stems, before, after,
        asked_by_hand(request),
    )  # fmt: skip
    if remembered.file:
        return experience_log.hand_over(made, Path(remembered.file))
    if not made.features and before.channels <= 2:
        # By a stage, so that another target finds them.
        stages = [*song.hearing, describing_stage([repair.name for repair in mix_repairs()])]
        described = job.run.stages(stages)["features"].values
        made = replace(made, features={"mix": np.array(described["features"], np.float32)})
    return experience_log.record(made, remembered.keep_audio)


def asked_by_hand(request: Request) -> dict[str, float]:
    """What was set by hand, by parameter, and amounts other than 1 (`amount`, `amount.eq`)."""
    amounts = {f"amount.{name}": value for name, value in request.strengths.weakened().items()}
    whole = {} if request.amount == 1.0 else {"amount": request.amount}
    return {**request.config.chain, **whole, **amounts}


@dataclass(frozen=True)
class Premaster:
    """A song that was heard, decided on and mixed, while the level of its master is still open.

    Attributes:
        analysis: of the song as it came.
        warnings: about the file.
        decision: what the policy decided.
        song_lufs: of the song, 400 ms windows, one each 100 ms; −inf for silence.
        mix_lufs: the same of the mix.
        tone_db: of the mix, one value a band, as `pipeline.finaliser.album_levels.tone_db`; NaN where it is
            empty.
    """

    analysis: Analysis
    warnings: Sequence[str]
    decision: Decision
    song_lufs: Float64Array
    mix_lufs: Float64Array
    tone_db: Float64Array


def premaster_song(request: Request, progress: ShowProgress | None = None) -> Premaster:
    """All of a master but what its target decides; `master_song` finds it in the cache.

    Raises:
        MixagentError: of the kind that says what went wrong.
    """
    with opened_job(request, progress) as job:
        song = analyse_song(job, stem_source(job))
        decided = decide(job, song)
        results = job.run.stages([*song.hearing, *premaster_stages(stages_of(song, decided))])
        return Premaster(
            analysis=results.heard.analysis,
            warnings=results.warnings,
            decision=decided.decision,
            song_lufs=_numbers(results["album"].values["momentary_lufs"], -math.inf),
            mix_lufs=levels(results["level"]).loudness.momentary_lufs,
            tone_db=_numbers(results["album"].values["tone_db"], math.nan),
        )


def _numbers(values: Sequence[float | None], otherwise: float) -> Float64Array:
    return np.array([otherwise if value is None else value for value in values], np.float64)
