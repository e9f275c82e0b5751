"""The report object: what was wrong, what was done and why, and the measures before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixagent import __version__
from mixagent.delivered import (
    codec_account,
    codecs_done,
    delivery_warnings,
    edits_account,
    edits_done,
    output_rows,
    platform_rows,
)
from mixagent.feedback_account import feedback_lines
from mixagent.pipeline.files import content_hash
from mixagent.pipeline.graph import Result, StageEvent
from mixagent.pipeline.parameters import Settings, switch_of
from mixagent.policies.base import Decision
from mixagent.reference_account import reference_words
from mixagent.report.words import (
    PROPERTIES,
    explanation,
    number,
    parameter_label,
    parameter_value,
    place_label,
)
from mixagent.stages import REPAIRS
from mixagent.stems_stages import stems_account, stems_warnings
from mixagent.wishes import Wishes, goal_words, wishes_account, wishes_warnings

if TYPE_CHECKING:
    from mixagent.session import Request

SCHEMA = "mixagent.report/1"

_FINALISER = ("gain_db", "max_reduction_db", "transients_lost_db", "tails_lowered_db", "renders")


def analysis_object(song: Path, decoded: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """What `mixagent analyze --json` prints."""
    return {
        "schema": "mixagent.analysis/1",
        "version": __version__,
        "input": {"path": str(song), **decoded["info"]},
        "analysis": measured["analysis"],
        "diagnosis": _faults(measured["diagnosis"]),
        "properties": _properties(measured["diagnosis"]),
        "translation": measured["translation"],
        "warnings": decoded["warnings"],
    }


def build_report(
    request: Request,
    results: Mapping[str, Result],
    events: Mapping[str, StageEvent],
    decision: Decision,
    applied: Settings,
    models: list[dict[str, str]],
    warnings: list[str],
    search: Mapping[str, Any] | None = None,
    wishes: Wishes | None = None,
    feedback: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The report object, schema `mixagent.report/1`; it holds all that a replay needs.

    Args:
        request: what was asked for.
        results: of every stage that ran, by name; without `finalise` the song was left untouched.
        events: how each stage ended.
        decision: what the policy chose, before the amount was applied.
        applied: the settings that were rendered.
        models: which model each neural stage used, and why.
        warnings: for the user, beside those of the decoder.
        search: the account of the search that bettered the policy's decision, where there was one.
        wishes: what came of references and goal, where there were any.
        feedback: the account of the feedback loop, where it was not left out.
    """
    decoded, heard = results["decode"].values, results["analyse"].values
    finish = results["finalise"].values if "finalise" in results else None
    after = results["measure"].values if "measure" in results else heard
    own, song = request.stems_in, _input(request, decoded["info"])
    outputs = output_rows(request, decoded["info"]["rate"])
    codecs = codec_account(request, finish)
    mixed = results["mix"].values if "mix" in results else None
    edits = edits_account(request, mixed, song["duration_s"])
    wishes = wishes or Wishes()
    wished = wishes_account(wishes, results, applied.space)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "input": song,
        "output": outputs[0],
        "outputs": outputs,
        "target": _target(request),
        "met": finish is None or finish["met"],
        "missed": None if finish is None or finish["met"] else finish["missed"],
        "summary": {
            "wrong": _wrong(_faults(heard["diagnosis"])),
            "done": [
                *_done(results, decision, applied, search, wished, feedback, finish),
                *edits_done(edits),
                *codecs_done(codecs),
            ],
        },
        "before": heard["analysis"],
        "after": after["analysis"],
        "diagnosis": _faults(heard["diagnosis"]),
        "diagnosis_after": _faults(after["diagnosis"]),
        "properties": _properties(heard["diagnosis"]),
        "platforms": platform_rows(after["analysis"]),
        "codecs": codecs,
        "translation": heard["translation"],
        "translation_after": after["translation"],
        "edits": edits,
        "stages": [_stage(event, results.get(name)) for name, event in events.items()],
        "models": models,
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
            *decoded["warnings"],
            *([] if own is None else stems_warnings(results, request.song)),
            *wishes_warnings(wishes, applied.space, request.target_named),
            *warnings,
            *delivery_warnings(after, codecs),
        ],
        "replay": _replay(request, decision, models, _match(results)),
    }


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


def _faults(diagnosis: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [finding for finding in diagnosis if finding["kind"] not in PROPERTIES]


def _properties(diagnosis: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the song is, rather than what is wrong with it."""
    return [{k: f[k] for k in ("kind", "evidence")} for f in diagnosis if f["kind"] in PROPERTIES]


def _wrong(diagnosis: list[dict[str, Any]]) -> list[str]:
    found = sorted((f for f in _faults(diagnosis) if f["found"]), key=lambda f: -f["severity"])
    return [f"{explanation(f['kind']).name} ({f['place']}): {f['evidence']}" for f in found]


def _done(
    results: Mapping[str, Result],
    decision: Decision,
    applied: Settings,
    search: Mapping[str, Any] | None,
    wished: Mapping[str, Any],
    feedback: Mapping[str, Any] | None,
    finish: Mapping[str, Any] | None,
) -> list[str]:
    if finish is None:
        return ["Nothing: at amount 0 the song is given back as it was."]
    restored = [results[name].values["why"] for name in (*REPAIRS, "denoise") if _ran(results, name)]
    tried = [] if search is None else [_tried(search)]
    goal, reference = wished["goal"], wished["reference"]
    understood = [] if goal is None else [goal_words(goal)]
    matched = [] if reference is None else [reference_words(reference)]
    moved = [*_moves(decision, applied), *matched, *feedback_lines(feedback)]
    return [*restored, *tried, *understood, *moved, _finished(finish)]


def _tried(search: Mapping[str, Any]) -> str:
    parts = len(search["segments_s"])
    before, after = (number(search[f"blind_{when}"], 3, sign=True) for when in ("before", "after"))
    of = f"{parts} parts" if parts > 1 else "a part"
    return f"{search['renders']} settings tried on {of} of the song: blind reward {before} to {after}"


def _ran(results: Mapping[str, Result], name: str) -> bool:
    return name in results and not results[name].skipped


def _moves(decision: Decision, applied: Settings) -> list[str]:
    """One sentence for each reason, with every parameter that it moved."""
    moved: dict[str, list[str]] = {}
    changed = applied.changed()
    for name in changed:
        if switch_of(name) not in changed:
            reason = decision.reasons.get(name, "as recorded")
            moved.setdefault(reason, []).append(_moved(applied, name))
    return [f"{', '.join(words)}: {reason}" for reason, words in moved.items()]


def _moved(applied: Settings, name: str) -> str:
    """A parameter's value, and in brackets those that shape the effect which it switches on."""
    parameter = applied.space[name]
    words = f"{place_label(parameter.where)} {parameter_label(name)} {_value(applied, name)}"
    shaped = [_value(applied, p.name) for p in applied.space if switch_of(p.name) == name]
    return f"{words} ({', '.join(shaped)})" if shaped else words


def _value(applied: Settings, name: str) -> str:
    parameter = applied.space[name]
    value = parameter_value(applied[name], parameter.unit, parameter.low < 0)
    return f"Q {value}" if name.endswith("_q") else value


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


def _match(results: Mapping[str, Result]) -> dict[str, Any] | None:
    """How the mix was matched to references, so that it can be done again."""
    if not _ran(results, "match"):
        return None
    values = results["match"].values
    return {name: values[name] for name in ("curve", "matchering", "sha256") if name in values}


def _replay(
    request: Request, decision: Decision, models: list[dict[str, str]], match: Mapping[str, Any] | None
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
        "sample_rate": request.sample_rate,
        "seed": request.seed,
        "match": match,
    }
