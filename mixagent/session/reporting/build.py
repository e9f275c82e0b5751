"""The report object: what was wrong, what was done and why, and the measures before and after."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixagent import __version__
from mixagent.pipeline.chain.applied import BandGain
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.finished.band import Judgement
from mixagent.pipeline.finished.measures import SongMeasures
from mixagent.pipeline.finished.reasons import faults_answered
from mixagent.pipeline.graph.runner import Result, StageEvent
from mixagent.pipeline.io import content_hash
from mixagent.pipeline.restoration.table import REPAIRS
from mixagent.policies.base import Decision
from mixagent.report.actions import Made, actions, answers
from mixagent.report.findings import finding_rows, found_rows, judged, judged_object, told_rows, with_wholes
from mixagent.report.words import PROPERTIES, number
from mixagent.session.dual_mono import counted, counts_twice, missed_words, mono_words
from mixagent.session.guidance import goal_words, wishes_account, wishes_warnings
from mixagent.session.reporting.delivery import (
    codec_account,
    codecs_done,
    delivery_warnings,
    edits_account,
    edits_done,
    output_rows,
    platform_rows,
)
from mixagent.session.reporting.feedback import feedback_lines
from mixagent.session.reporting.planned import planned_moves
from mixagent.session.reporting.references import reference_words
from mixagent.session.results import Results
from mixagent.session.stems_stages import stems_account, stems_warnings

if TYPE_CHECKING:
    from mixagent.session.decide import Decided
    from mixagent.session.request import Request

SCHEMA = "mixagent.report/2"
READABLE = (SCHEMA, "mixagent.report/1")
"""The schemas of which a report can be replayed: what a replay needs stands in all of them alike."""

WORSE = 0.05
"""A finding whose severity rose by so much is told to have become more."""

_FINALISER = ("gain_db", "max_reduction_db", "transients_lost_db", "tails_lowered_db", "renders")


def analysis_object(
    song: Path, decoded: Mapping[str, Any], measured: Mapping[str, Any], dual_mono: bool = False
) -> dict[str, Any]:
    """What `mixagent analyze --json` prints."""
    judgement = _judged(measured)
    return {
        "schema": "mixagent.analysis/2",
        "version": __version__,
        "input": {"path": str(song), **decoded["info"]},
        "analysis": counted(measured["analysis"], dual_mono),
        "judged": judged_object(judgement),
        "findings": finding_rows(judgement, measured["diagnosis"]),
        "properties": _properties(measured["diagnosis"]),
        "translation": measured["translation"],
        "warnings": [*decoded["warnings"], *mono_words(dual_mono, decoded["info"]["channels"])],
    }


@dataclass(frozen=True)
class Outcome:
    """What a run of a master came to.

    Attributes:
        decided: what was asked for and decided.
        results: of every stage that ran; without `finalise` nothing was rendered.
        events: how each stage ended, by its name.
        models: which model each neural stage used, and why.
        warnings: for the user, beside those of the decoder.
    """

    decided: Decided
    results: Results
    events: Mapping[str, StageEvent]
    models: tuple[dict[str, str], ...]
    warnings: tuple[str, ...]


def build_report(outcome: Outcome) -> dict[str, Any]:
    """The report object, schema `mixagent.report/2`; it holds all that a replay needs."""
    decided, results, events = outcome.decided, outcome.results, outcome.events
    request, decision, search, feedback = decided.request, decided.decision, decided.search, decided.feedback
    applied = decided.applied
    heard, finish = results.heard.values, results.finish
    after = heard if results.measured is None else results.measured.values
    partial = request.preview_s is not None
    own, song = request.stems_in, _input(request, results.info)
    counted_twice = counts_twice(request.dual_mono, results.info["channels"])
    outputs = output_rows(request, results.info["rate"])
    codecs = codec_account(request, finish)
    edits = edits_account(request, results.span, song["duration_s"])
    wishes = decided.wishes
    wished = wishes_account(wishes, results, applied.space)
    judgement = _judged(heard)
    judgement_after = _judged(after, judgement)
    found, found_after = (
        finding_rows(judgement, heard["diagnosis"]),
        finding_rows(judgement_after, after["diagnosis"]),
    )
    repairs = _repairs(results)
    acted = []
    if finish is not None and not partial and judgement is not None and judgement_after is not None:
        made = Made(
            applied,
            decision.reasons,
            repairs,
            finish["max_reduction_db"],
            wishes.band,
            results.ran("match"),
        )
        acted = actions(judgement, judgement_after, made)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "input": song,
        "output": outputs[0] if outputs else None,
        "outputs": outputs,
        "target": _target(request),
        "dry_run": request.dry_run,
        "preview": None if not partial or results.span is None else results.span._asdict(),
        "met": finish is None or finish["met"],
        "missed": None if finish is None or finish["met"] else missed_words(finish["missed"], counted_twice),
        "summary": {
            "wrong": [row["sentence"] for row in told_rows(found, _answered(acted))],
            "done": [
                *_done(outcome, acted, wished),
                *edits_done(edits),
                *codecs_done(codecs),
            ],
            **afterwards(
                found,
                [] if finish is None or partial else found_after,
                acted,
                faults_answered(applied.changed()),
            ),
        },
        "judged": judged_object(judgement),
        "findings": {"before": found, "after": found_after},
        "actions": acted,
        "repairs": {name: [asdict(gain) for gain in gains] for name, gains in repairs.items()},
        "measures": {"before": heard["measures"], "after": after["measures"]},
        "before": counted(heard["analysis"], request.dual_mono),
        "after": counted(after["analysis"], request.dual_mono),
        "properties": _properties(heard["diagnosis"]),
        "platforms": platform_rows(counted(after["analysis"], request.dual_mono)),
        "codecs": codecs,
        "translation": heard["translation"],
        "translation_after": after["translation"],
        "edits": edits,
        "stages": [_stage(event, results.get(name)) for name, event in events.items()],
        "models": list(outcome.models),
        **wished,
        "stems_in": None if own is None else stems_account(own, results),
        "decision": {
            "policy": request.config.policy.name,
            "amount": request.amount,
            "strengths": asdict(request.strengths),
            "search": search,
            "parameters": _parameters(decision, applied),
        },
        "feedback": feedback,
        "finaliser": None if finish is None else {name: finish[name] for name in _FINALISER},
        "warnings": [
            *results.warnings,
            *([] if own is None else stems_warnings(results, request.song)),
            *wishes_warnings(wishes, applied.space, request.target_named),
            *outcome.warnings,
            *mono_words(request.dual_mono, results.info["channels"]),
            *delivery_warnings(after, codecs),
        ],
        "replay": _replay(request, decision, outcome.models, _match(results)),
    }


def _repairs(results: Results) -> dict[str, tuple[BandGain, ...]]:
    """What each repair of the chain did, by the parameter that switches it on."""
    if not results.ran("repairs"):
        return {}
    told = results["repairs"].values["applied"]
    return {name: tuple(BandGain(**gain) for gain in gains) for name, gains in told.items()}


def _input(request: Request, info: Mapping[str, Any]) -> dict[str, Any]:
    """The song; where the stems' sum is the song, their folder and a hash of all of them."""
    if request.song is not None:
        digest = content_hash(request.song)
    else:
        assert request.stems_in is not None
        digest = request.stems_in.sha256
    return {
        "path": str(request.origin),
        "sha256": digest,
        "format": info["container"],
        "rate": info["rate"],
        "channels": info["channels"],
        "frames": info["frames"],
        "duration_s": info["frames"] / info["rate"],
    }


def _target(request: Request) -> dict[str, Any]:
    target = request.target
    return {
        "name": target.name,
        "integrated_lufs": target.integrated_lufs,
        "ceiling_dbtp": target.ceiling_dbtp,
        "max_reduction_db": target.max_reduction_db,
    }


def _judged(measured: Mapping[str, Any], like: Judgement | None = None) -> Judgement | None:
    """What a stage that measures left, held against finished music; None for silence."""
    values = measured["measures"]
    return None if values is None else judged(SongMeasures.from_json(values), like)


def afterwards(
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    acted: Sequence[Mapping[str, Any]],
    tried: Collection[str] = (),
) -> dict[str, list[str]]:
    """What was found and still is, and what was not found before; sentences.

    `tried` names faults for which something was set, though it did little.
    """
    was = {row["name"]: row["severity"] for row in found_rows(before)}
    answered = with_wholes({*_answered(acted), *tried})
    left, new = [], []
    for row in told_rows(after):
        if row["name"] not in was:
            new.append(row["sentence"])
        elif row["severity"] - was[row["name"]] >= WORSE:
            left.append(f"{row['sentence']}; more than before")
        elif row["name"] in answered:
            left.append(row["sentence"])
        else:
            why = f": {row['unanswered']}" if row["unanswered"] else ""
            left.append(f"{row['sentence']}; found, not answered{why}")
    return {"left": left, "new": new}


def _answered(acted: Sequence[Mapping[str, Any]]) -> set[str]:
    """The names of the faults that actions answer."""
    return {name for action in acted for name in action["answers"]}


def _properties(diagnosis: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the song is, rather than what is wrong with it."""
    return [{k: f[k] for k in ("kind", "evidence")} for f in diagnosis if f["kind"] in PROPERTIES]


def _done(outcome: Outcome, acted: Sequence[Mapping[str, Any]], wished: Mapping[str, Any]) -> list[str]:
    """What was done, or in a dry run would be, in words."""
    decided, results, finish = outcome.decided, outcome.results, outcome.results.finish
    if finish is None and not decided.request.dry_run:
        return ["Nothing: at amount 0 the song is given back as it was."]
    restored = [results[name].values["why"] for name in (*REPAIRS, "denoise") if results.ran(name)]
    tried = [] if decided.search is None else [_tried(decided.search)]
    goal, reference = wished["goal"], wished["reference"]
    understood = [] if goal is None else [goal_words(goal)]
    matched = [] if reference is None else [reference_words(reference)]
    if finish is None or decided.request.preview_s is not None:
        moved = planned_moves(decided.applied, decided.decision.reasons)
    else:
        moved = [*(answer.words for answer in answers(acted)), *matched, *feedback_lines(decided.feedback)]
    last = [] if finish is None else [_finished(finish)]
    return [*restored, *tried, *understood, *moved, *last]


def _tried(search: Mapping[str, Any]) -> str:
    parts = len(search["segments_s"])
    before, after = (number(search[f"blind_{when}"], 3, sign=True) for when in ("before", "after"))
    of = f"{parts} parts" if parts > 1 else "a part"
    return f"{search['renders']} settings tried on {of} of the song: blind reward {before} to {after}"


def _finished(finish: Mapping[str, Any]) -> str:
    reduction = finish["max_reduction_db"]
    limited = (
        f"the limiter took at most {reduction:.1f} dB"
        if reduction > 0.05
        else "the limiter had nothing to do"
    )
    renders = len(finish["renders"])
    level = f"Level {finish['gain_db']:+.1f} dB in {renders} render{'s' if renders > 1 else ''}"
    lowered = finish["tails_lowered_db"]
    kept = f"; what rings out lowered by up to {lowered:.1f} dB, for punch" if lowered > 0.05 else ""
    return f"{level}; {limited}".replace("-", "−") + kept


def _stage(event: StageEvent, result: Result | None) -> dict[str, Any]:
    detail = None if result is None or result.skipped else result.values.get("why")
    return {"name": event.stage, "status": event.status, "seconds": round(event.seconds, 3), "detail": detail}


def _parameters(decision: Decision, applied: Settings) -> list[dict[str, Any]]:
    return [
        {
            "name": p.name,
            "unit": p.unit,
            "where": p.where,
            "low": p.low,
            "high": p.high,
            "neutral": p.neutral,
            "value": applied[p.name],
            "purpose": p.purpose,
            "reason": decision.reasons.get(p.name) if not math.isclose(applied[p.name], p.neutral) else None,
        }
        for p in applied.space
    ]


def _match(results: Results) -> dict[str, Any] | None:
    """How matchering matched the mix, so that it can be done again."""
    if not results.ran("match"):
        return None
    values = results["match"].values
    return {name: values[name] for name in ("matchering", "sha256")}


def _replay(
    request: Request, decision: Decision, models: Sequence[Mapping[str, str]], match: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a replay sets: the decision before the amount, and every option that reaches a sample.

    The decision is the feedback loop's last, so the replay renders once.
    """
    pipeline = {**vars(request.config.pipeline), "renders": 1}
    for model in models:
        if model["stage"] == "separate":
            pipeline["separator"] = model["name"]
    return {
        "settings": decision.settings.changed(),
        "reasons": dict(decision.reasons),
        "pipeline": pipeline,
        "amount": request.amount,
        "strengths": asdict(request.strengths),
        "edits": asdict(request.edits),
        "codecs": {"checked": list(request.codec_plan.checked), "held": list(request.codec_plan.held)},
        "replaygain": request.replaygain,
        "dual_mono": request.dual_mono,
        "sample_rate": request.sample_rate,
        "seed": request.seed,
        "match": match,
    }
