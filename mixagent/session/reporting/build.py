"""The report of a master: faults, what was done and why, and the measures before and after."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mixagent import __version__
from mixagent.daw.project import SUFFIXES
from mixagent.pipeline.chain.parameters import BUSES, Settings, repair_amounts
from mixagent.pipeline.diagnosis.diagnose import Diagnosis
from mixagent.pipeline.finished.band import Judgement
from mixagent.pipeline.finished.measures import SongMeasures
from mixagent.pipeline.finished.reasons import faults_answered
from mixagent.pipeline.graph.runner import Result, StageEvent
from mixagent.pipeline.io import FileInfo, content_hash
from mixagent.pipeline.measure.changes import BandGain
from mixagent.policies.base import Decision
from mixagent.report.actions import Made, actions, answers
from mixagent.report.findings import (
    finding_rows,
    found_rows,
    judged,
    judged_section,
    told_rows,
    with_wholes,
)
from mixagent.report.model import (
    ANALYSIS_SCHEMA,
    SCHEMA,
    ActionRow,
    AnalysedFile,
    AnalysisReport,
    DecisionSection,
    FinaliserSection,
    FindingRow,
    Findings,
    GoalSection,
    Input,
    Measures,
    ModelRow,
    ParameterRow,
    Preview,
    ProjectFile,
    Property,
    RecordedCodecs,
    RecordedMatch,
    RecordedPlugin,
    ReferenceSection,
    RepairRow,
    ReplaySection,
    Report,
    SearchSection,
    StageRow,
    StripRow,
    Summary,
)
from mixagent.report.repairs import done_words, rejected_words, repair_actions
from mixagent.report.strips import strip_actions
from mixagent.report.words import PROPERTIES, number
from mixagent.session.dual_mono import counted, counts_twice, missed_words, mono_words
from mixagent.session.guidance import goal_words, guidance_sections, guidance_warnings
from mixagent.session.reporting.conducting import conductor_lines
from mixagent.session.reporting.delivery import (
    codec_section,
    codecs_done,
    delivery_warnings,
    edits_done,
    edits_section,
    output_rows,
    platform_rows,
)
from mixagent.session.reporting.feedback import feedback_lines
from mixagent.session.reporting.planned import planned_moves
from mixagent.session.reporting.plugins import plugin_rows, plugin_warnings, plugins_done
from mixagent.session.reporting.references import reference_words
from mixagent.session.reporting.repairs import repair_rows
from mixagent.session.reporting.sections import section_rows
from mixagent.session.reporting.stems import left_alone_words
from mixagent.session.reporting.strips import strip_rows
from mixagent.session.results import Finished, Measured, Results
from mixagent.session.stems_stages import stems_section, stems_warnings

if TYPE_CHECKING:
    from mixagent.session.decide import Decided
    from mixagent.session.request import Request

WORSE = 0.05
"""A finding whose severity rose by so much is told to have become more."""


def analysis_report(song: Path, results: Results, dual_mono: bool = False) -> AnalysisReport:
    """The report of `mixagent analyze`.

    Args:
        song: that was analysed.
        results: of its decoding and its analysis.
        dual_mono: whether the loudness of one channel is counted as of two.
    """
    heard = results.heard
    judgement, diagnosis = _judged(heard.measures), heard.diagnosis
    return AnalysisReport(
        schema=ANALYSIS_SCHEMA,
        version=__version__,
        input=AnalysedFile(path=str(song), **asdict(results.info)),
        analysis=counted(heard.analysis, dual_mono),
        judged=judged_section(judgement),
        findings=finding_rows(judgement, diagnosis.findings),
        properties=_properties(diagnosis),
        translation=heard.translation,
        warnings=(*results.warnings, *mono_words(dual_mono, results.info.channels)),
    )


def song_findings(heard: Measured) -> tuple[FindingRow, ...]:
    """Every fault of a song, gravest first, behind the defects that were found."""
    return finding_rows(_judged(heard.measures), heard.diagnosis.findings)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run of a master.

    Attributes:
        decided: what was asked for and decided.
        results: of every stage that ran; without `finalise` nothing was rendered.
        events: how each stage ended, by its name.
        models: which model each neural stage used, and why.
        warnings: for the user, beside those of the decoder.
        project: the files of the mix as a workstation's project, those of its tracks last.
    """

    decided: Decided
    results: Results
    events: Mapping[str, StageEvent]
    models: tuple[ModelRow, ...]
    warnings: tuple[str, ...]
    project: tuple[Path, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True where the whole song was rendered."""
        return self.results.finish is not None and self.decided.request.preview_s is None


def build_report(outcome: Outcome) -> Report:
    """The report of a master."""
    decided, results = outcome.decided, outcome.results
    request, decision, applied = decided.request, decided.decision, decided.applied
    heard, finish = results.heard, results.finish
    master = heard if results.measured is None else results.measured
    before, after = (counted(each.analysis, request.dual_mono) for each in (heard, master))
    measures = Measures(before=heard.measures, after=master.measures)
    judgement = _judged(measures.before)
    judgement_after = _judged(measures.after, judgement)
    findings = Findings(
        before=finding_rows(judgement, heard.diagnosis.findings),
        after=finding_rows(judgement_after, master.diagnosis.findings),
    )
    song, outputs = _input(request, results.info), output_rows(request, results.info.rate)
    found = {row.name for row in found_rows(findings.before)}
    restoration = repair_rows(results, outcome.events, repair_amounts(applied.changed()), found)
    repairs = _repairs(results)
    repaired = [] if finish is None else repair_actions(restoration, song.duration_s)
    strips = strip_rows(results, decision, applied)
    acted = (*repaired, *_actions(outcome, judgement, judgement_after, repairs, strips))
    codecs = codec_section(request, finish)
    edits = edits_section(request, results.span, song.duration_s)
    reference, goal = guidance_sections(decided.guidance, results, applied.space, decided.sections)
    own, translation_after = request.stems_in, master.translation
    plugins = plugin_rows(request.inserts, results)
    left, new = afterwards(
        findings.before,
        findings.after if outcome.is_whole else (),
        acted,
        faults_answered(applied.changed()),
    )
    return Report(
        schema=SCHEMA,
        version=__version__,
        input=song,
        output=outputs[0] if outputs else None,
        outputs=outputs,
        project=tuple(_project_file(path) for path in outcome.project),
        target=request.target,
        dry_run=request.dry_run,
        preview=_preview(outcome),
        met=finish is None or finish.met,
        missed=_missed(outcome),
        summary=Summary(
            wrong=tuple(row.sentence for row in told_rows(findings.before, _answered(acted))),
            done=(
                *_done(outcome, restoration, acted, reference, goal),
                *plugins_done(plugins),
                *edits_done(edits),
                *codecs_done(codecs),
            ),
            left=tuple(left),
            new=tuple(new),
        ),
        judged=judged_section(judgement),
        findings=findings,
        actions=acted,
        restoration=restoration,
        repairs=repairs,
        sections=section_rows(results.sections, decided.applied_sections),
        strips=strips,
        measures=measures,
        before=before,
        after=after,
        properties=_properties(heard.diagnosis),
        platforms=platform_rows(after.integrated_lufs, after.true_peak_dbtp),
        codecs=codecs,
        translation=heard.translation,
        translation_after=translation_after,
        edits=edits,
        stages=tuple(stage_row(event, results.get(name)) for name, event in outcome.events.items()),
        models=outcome.models,
        reference=reference,
        goal=goal,
        stems_in=None if own is None else stems_section(own, results),
        plugins=plugins,
        decision=DecisionSection(
            policy=request.config.policy.name,
            amount=request.amount,
            strengths=request.strengths,
            search=decided.search,
            conductor=decided.conductor,
            parameters=_parameters(decision, applied),
        ),
        feedback=decided.feedback,
        finaliser=None if finish is None else _finaliser(finish),
        warnings=(
            *results.warnings,
            *([] if own is None else stems_warnings(results, request.song)),
            *guidance_warnings(decided.guidance, applied.space, request.target_named, decided.unplaced),
            *rejected_words(restoration),
            *left_alone_words(results, request.policy, applied),
            *decided.told,
            *plugin_warnings(() if finish is None else plugins),
            *outcome.warnings,
            *mono_words(request.dual_mono, results.info.channels),
            *delivery_warnings(after, translation_after, codecs),
        ),
        replay=replace(
            _replay(request, decision, outcome.models, _match(results)), sections=decided.sections
        ),
    )


def _project_file(path: Path) -> ProjectFile:
    format = {suffix: name for name, suffix in SUFFIXES.items()}.get(path.suffix, "wav")
    return ProjectFile(path=str(path), format=format, sha256=content_hash(path))


def _missed(outcome: Outcome) -> str | None:
    """Why the target was missed; None where it was met, or none was aimed at."""
    finish, info = outcome.results.finish, outcome.results.info
    if finish is None or finish.met:
        return None
    return missed_words(finish.missed, counts_twice(outcome.decided.request.dual_mono, info.channels))


def _preview(outcome: Outcome) -> Preview | None:
    span = outcome.results.span
    if outcome.decided.request.preview_s is None or span is None:
        return None
    return Preview(start_s=span.start_s, stop_s=span.stop_s)


def _actions(
    outcome: Outcome,
    before: Judgement | None,
    after: Judgement | None,
    repairs: Mapping[str, Sequence[BandGain]],
    strips: Sequence[StripRow],
) -> tuple[ActionRow, ...]:
    """The changes of the sound; none where the whole song was not rendered, or is silent."""
    decided, finish = outcome.decided, outcome.results.finish
    if finish is None or not outcome.is_whole or before is None or after is None:
        return ()
    made = Made(
        decided.applied,
        decided.decision.reasons,
        repairs,
        finish.max_reduction_db,
        decided.guidance.band,
        outcome.results.ran("match"),
        [place for row in strips if row.lufs for place in (row.stem, BUSES.get(row.stem, ""))],
    )
    return (*actions(before, after, made), *strip_actions(strips))


def _repairs(results: Results) -> dict[str, tuple[BandGain, ...]]:
    """The gains of each repair of the chain, by the parameter that switches it on."""
    if not results.ran("repairs"):
        return {}
    told = results["repairs"].values["applied"]
    return {name: tuple(BandGain(**gain) for gain in gains) for name, gains in told.items()}


def _input(request: Request, info: FileInfo) -> Input:
    """The song; where the stems' sum is the song, their folder and a hash of all of them."""
    if request.song is not None:
        digest = content_hash(request.song)
    else:
        assert request.stems_in is not None
        digest = request.stems_in.sha256
    return Input(
        path=str(request.origin),
        sha256=digest,
        format=info.container,
        rate=info.rate,
        channels=info.channels,
        frames=info.frames,
        duration_s=info.frames / info.rate,
    )


def _judged(measures: SongMeasures | None, like: Judgement | None = None) -> Judgement | None:
    """A song held against finished music; None for silence."""
    return None if measures is None else judged(measures, like)


def afterwards(
    before: Sequence[FindingRow],
    after: Sequence[FindingRow],
    acted: Sequence[ActionRow],
    tried: Collection[str] = (),
) -> tuple[list[str], list[str]]:
    """The findings that are left, and those that were not found before; sentences.

    `tried` names faults for which something was set, though it did little.
    """
    was = {row.name: row.severity for row in found_rows(before)}
    answered = with_wholes({*_answered(acted), *tried})
    left, new = [], []
    for row in told_rows(after):
        if row.name not in was:
            new.append(row.sentence)
        elif row.severity - was[row.name] >= WORSE:
            left.append(f"{row.sentence}; more than before")
        elif row.name in answered:
            left.append(row.sentence)
        else:
            why = f": {row.unanswered}" if row.unanswered else ""
            left.append(f"{row.sentence}; found, not answered{why}")
    return left, new


def _answered(acted: Sequence[ActionRow]) -> set[str]:
    """The names of the faults that actions answer."""
    return {name for action in acted for name in action.answers}


def _properties(diagnosis: Diagnosis) -> tuple[Property, ...]:
    """The song's properties, which are neither right nor wrong."""
    return tuple(
        Property(kind=finding.kind, evidence=finding.evidence)
        for finding in diagnosis.findings
        if finding.kind in PROPERTIES
    )


def _done(
    outcome: Outcome,
    restoration: Sequence[RepairRow],
    acted: Sequence[ActionRow],
    reference: ReferenceSection | None,
    goal: GoalSection | None,
) -> list[str]:
    """The work that was done, or in a dry run would be, in words."""
    decided, finish = outcome.decided, outcome.results.finish
    if finish is None and not decided.request.dry_run:
        return ["Nothing: at amount 0 the song is given back as it was."]
    restored = [done_words(row) for row in restoration if row.applied]
    tried = [] if decided.search is None else [_tried(decided.search)]
    tried += [] if decided.conductor is None else conductor_lines(decided.conductor)
    understood = [] if goal is None else [goal_words(goal)]
    matched = [] if reference is None else [reference_words(reference)]
    if outcome.is_whole:
        others = [row for row in acted if row.what != "repair"]
        moved = [*(answer.words for answer in answers(others)), *matched, *feedback_lines(decided.feedback)]
    else:
        moved = planned_moves(decided.applied, decided.decision.reasons)
    last = [] if finish is None else [_finished(finish)]
    return [*restored, *tried, *understood, *moved, *last]


def _tried(search: SearchSection) -> str:
    parts = len(search.segments_s)
    before, after = (number(blind, 3, sign=True) for blind in (search.blind_before, search.blind_after))
    of = f"{parts} parts" if parts > 1 else "a part"
    return f"{search.renders} settings tried on {of} of the song: blind reward {before} to {after}"


def _finished(finish: Finished) -> str:
    reduction = finish.max_reduction_db
    limited = (
        f"the limiter took at most {reduction:.1f} dB"
        if reduction > 0.05
        else "the limiter had nothing to do"
    )
    renders = len(finish.renders)
    level = f"Level {finish.gain_db:+.1f} dB in {renders} render{'s' if renders > 1 else ''}"
    lowered = finish.tails_lowered_db
    kept = f"; what rings out lowered by up to {lowered:.1f} dB, for punch" if lowered > 0.05 else ""
    return f"{level}; {limited}".replace("-", "−") + kept


def _finaliser(finish: Finished) -> FinaliserSection:
    return FinaliserSection(
        gain_db=finish.gain_db,
        max_reduction_db=finish.max_reduction_db,
        transients_lost_db=finish.transients_lost_db,
        tails_lowered_db=finish.tails_lowered_db,
        renders=finish.renders,
    )


def stage_row(event: StageEvent, result: Result | None) -> StageRow:
    """A stage of the run, by its last event and what it left; None where it left nothing."""
    values = {} if result is None or result.skipped else result.values
    return StageRow(
        name=event.stage,
        status=event.status,
        seconds=round(event.seconds, 3),
        detail=values.get("why"),
        peak_bytes=event.peak_bytes,
        device_peak_bytes=values.get("device_peak_bytes") if event.status == "ran" else None,
        beside=event.beside,
    )


def _parameters(decision: Decision, applied: Settings) -> tuple[ParameterRow, ...]:
    return tuple(
        ParameterRow(
            name=p.name,
            unit=p.unit,
            where=p.where,
            low=p.low,
            high=p.high,
            neutral=p.neutral,
            value=applied[p.name],
            purpose=p.purpose,
            reason=None if math.isclose(applied[p.name], p.neutral) else decision.reasons.get(p.name),
        )
        for p in applied.space
    )


def _match(results: Results) -> RecordedMatch | None:
    """The song that matchering listened to, so that it can be done again."""
    if not results.ran("match"):
        return None
    values = results["match"].values
    return RecordedMatch(matchering=values["matchering"], sha256=values["sha256"])


def _replay(
    request: Request, decision: Decision, models: Sequence[ModelRow], match: RecordedMatch | None
) -> ReplaySection:
    """The settings of a replay.

    The decision is the feedback loop's last, so the replay renders once.
    """
    pipeline = {**asdict(request.config.pipeline), "renders": 1}
    for model in models:
        if model.stage == "separate":
            pipeline["separator"] = model.name
    return ReplaySection(
        settings=decision.settings.changed(),
        reasons=dict(decision.reasons),
        pipeline=pipeline,
        amount=request.amount,
        strengths=request.strengths,
        edits=request.edits,
        codecs=RecordedCodecs(checked=request.codec_plan.checked, held=request.codec_plan.held),
        replaygain=request.replaygain,
        dual_mono=request.dual_mono,
        sample_rate=request.sample_rate,
        seed=request.seed,
        match=match,
        plugins=tuple(RecordedPlugin(insert.settings()) for insert in request.inserts),
    )
