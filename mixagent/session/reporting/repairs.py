"""The rows of the repairs for a report, and their sound for its page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mixagent.pipeline.chain.edits import Span, section
from mixagent.pipeline.graph.runner import StageEvent
from mixagent.pipeline.measure.changes import BandGain
from mixagent.pipeline.restoration.table import REPAIRS, Repair
from mixagent.pipeline.types import AudioSource, Combination
from mixagent.report.model import ModelRow, Passage, RepairRow
from mixagent.report.sounds import RepairSound
from mixagent.session.results import Results, repair_stage, repair_stages


def repair_rows(
    results: Results,
    events: Mapping[str, StageEvent],
    amounts: Mapping[str, float],
    found: Collection[str],
) -> tuple[RepairRow, ...]:
    """A row for each repair that found its defect, in their order.

    Args:
        results: of the repairs and, where something was changed, of `restored`.
        events: how each stage ended, by its name.
        amounts: of the repairs in what was made, 0..1 by name.
        found: names of the findings of the song as it came.
    """
    return tuple(
        _row(results, repair, stem, events[stage], amounts.get(repair.name, 0.0), found)
        for repair in REPAIRS.values()
        for stem, stage in repair_stages(repair)
        if results.ran(stage)
    )


def _row(
    results: Results,
    repair: Repair,
    stem: str | None,
    event: StageEvent,
    wanted: float,
    found: Collection[str],
) -> RepairRow:
    stage = repair_stage(repair.name, stem)
    values = results[stage].values
    changed = results.changed(stage)
    amount = wanted if changed else 0.0
    measured = _changes(results).get(stage, {})
    return RepairRow(
        name=repair.name,
        stem=stem,
        stage=stage,
        applied=amount > 0.0,
        found=values["found"],
        done="None of it was wanted: its amount is 0." if changed and not amount else values["why"],
        amount=round(amount, 4),
        seconds=round(event.seconds, 3),
        cached=event.status == "cached",
        answers=tuple(name for name in repair.answers if amount and name in found),
        share=measured.get("share"),
        level_db=measured.get("level_db"),
        peak_dbfs=measured.get("peak_dbfs"),
        bands=tuple(BandGain(**gain) for gain in measured.get("bands", ())),
        passage=_passage(measured),
        values=values["values"],
    )


def _changes(results: Results) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = (
        results["restored"].values["changes"] if results.ran("restored") else {}
    )
    return found


def _passage(measured: Mapping[str, Any]) -> Passage | None:
    if not measured:
        return None
    start_s, stop_s = measured["passage_s"]
    return Passage(start_s=start_s, stop_s=stop_s)


def repair_models(results: Results) -> list[ModelRow]:
    """The models of the repairs that worked with one."""
    return [
        ModelRow(stage=stage, name=name, why=results[stage].values["why"])
        for repair in REPAIRS.values()
        for _, stage in repair_stages(repair)
        if results.ran(stage)
        for name in repair.models
    ]


def repair_sounds(
    results: Results, amounts: Mapping[str, float], span: Span | None = None
) -> dict[str, RepairSound]:
    """The sound of each repair that changed something, by its stage.

    Args:
        results: of the repairs and of `restored`.
        amounts: of the repairs, 0..1 by name.
        span: the part of the song that the page is of; None for all of it.
    """
    changes = _changes(results)
    sounds = {}
    for step in results.repair_steps(amounts):
        passage = Span(*changes[step.stage]["passage_s"])
        difference: AudioSource = Combination(((1.0, step.after), (-1.0, step.before)))
        sounds[step.stage] = RepairSound(
            before=section(step.before, passage),
            after=section(step.after, passage),
            difference=difference if span is None else section(difference, span),
        )
    return sounds
