"""The stems of a mix for a report: a row each, and their sound for its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mixagent.pipeline.chain.edits import Span, section
from mixagent.pipeline.chain.parameters import BUSES, Settings, repair_amounts, switch_of
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.changes import BandGain, StemChange
from mixagent.pipeline.separation.presence import FAINT_LU, THERE, level_lu, stems_there
from mixagent.pipeline.types import AudioSource, Stems, blocks
from mixagent.policies.base import Decision
from mixagent.report.model import StripRow
from mixagent.report.sounds import MixSound, StemSound
from mixagent.report.strips import changed_words
from mixagent.report.words import number, parameter_label, parameter_value, percent, place_label
from mixagent.session.results import Results
from mixagent.session.stages import restored_stems, stems_part

DOUBTFUL = 0.6
"""Less of a stem than this is expected to be its own: what moves it moves others."""

RESIDUAL = "residual"
_RESIDUAL_DBFS = -60.0
_EFFECTS = ("reverb", "delay")
_OFF_DB = -60.0


def strip_rows(results: Results, decision: Decision, applied: Settings) -> tuple[StripRow, ...]:
    """A row for each stem; none where no stems were made.

    Args:
        results: of the hearing stages, and of `strips` where a report was asked for.
        decision: with the reasons.
        applied: what is rendered of it.
    """
    if not ("stems" in results or "separate" in results):
        return ()
    measured = results["strips"].values if results.ran("strips") else {}
    doubts = _doubts(results, measured.get("confidence", {}))
    return tuple(
        _row(name, measured, decision, applied, doubts[name]) for name in results.stem_source.values["parts"]
    )


def _row(
    name: str, measured: Mapping[str, Any], decision: Decision, applied: Settings, doubt: str | None
) -> StripRow:
    moved = list(_moved(name, applied))
    change = measured.get("changes", {}).get(name)
    told = None if change is None else _change(change)
    did = _set_words(moved, applied) if told is None else changed_words(told)
    reasons = (decision.reasons.get(parameter) for parameter in moved)
    return StripRow(
        stem=name,
        confidence=measured.get("confidence", {}).get(name),
        did=(*did, *_sends(name, applied)) if moved else (),
        why=tuple(dict.fromkeys(reason for reason in reasons if reason)),
        left=doubt if moved or doubt else "left alone: nothing was set for it",
        lufs=None if change is None else tuple(change["lufs"]),
        width_db=None if told is None else told.width_db,
        crest_db=None if told is None else told.crest_db,
        bands=() if told is None else told.bands,
    )


def _moved(name: str, applied: Settings) -> Iterator[str]:
    """The parameters of a stem's strip and bus that do something."""
    places = {name, BUSES.get(name)}
    for parameter in applied.without_idle().changed():
        if applied.space[parameter].where in places:
            yield parameter


def _change(values: Mapping[str, Any]) -> StemChange:
    was, now = (-np.inf if lufs is None else float(lufs) for lufs in values["lufs"])
    bands = tuple(BandGain(**band) for band in values["bands"])
    return StemChange((was, now), values["width_db"], values["crest_db"], bands)


def _set_words(moved: list[str], applied: Settings) -> list[str]:
    """What was set, for a stem that nobody measured."""
    told = []
    for name in moved:
        parameter = applied.space[name]
        if switch_of(name) is None and parameter.name.split(".")[1].removesuffix("_send_db") not in _EFFECTS:
            value = parameter_value(applied[name], parameter.unit, parameter.low < 0)
            bus = f"{place_label(parameter.where)} " if parameter.where in BUSES.values() else ""
            told.append(f"{bus}{parameter_label(name)} {value}")
    return told


def _sends(name: str, applied: Settings) -> list[str]:
    levels = {effect: applied[f"{name}.{effect}_send_db"] for effect in _EFFECTS}
    return [
        f"sent to the {effect} at {parameter_value(level, 'dB')}"
        for effect, level in levels.items()
        if level > _OFF_DB
    ]


def _doubts(results: Results, confidences: Mapping[str, float]) -> dict[str, str | None]:
    """What speaks against moving each stem, in words; None where nothing does."""
    mix = results.repaired_heard.analysis
    stems = {
        name: Analysis.from_json(results[f"hear {name}"].values["analysis"])
        for name in results.stem_source.values["parts"]
    }
    there = stems_there(stems, mix, confidences)
    own = "stems" in results
    return {
        name: _doubt(level_lu(stem, mix), 1.0 if own else there[name], confidences.get(name, 1.0))
        for name, stem in stems.items()
    }


def _doubt(level: float, there: float, confidence: float) -> str | None:
    if level <= FAINT_LU:
        return f"it is not there: it lies {number(-level, 0)} LU or more under the mix"
    if there < THERE:
        return f"it is not surely there: {percent(there)} speaks for it"
    if confidence < DOUBTFUL:
        return f"it is doubtful: {percent(1 - confidence)} of it may be other stems"
    return None


def mix_sound(results: Results, applied: Settings, part: Span | None) -> MixSound | None:
    """The passage of the mix that a page plays, stem by stem; None where nobody asked for it.

    Args:
        results: of `strips`, and of what it needs.
        applied: what was rendered.
        part: of the song that was rendered; None for all of it.
    """
    if not results.ran("strips"):
        return None
    values = results["strips"].values
    passage, whole = Span(*values["passage_s"]), restored_stems(results, repair_amounts(applied.changed()))
    stems = whole if part is None else stems_part(whole, part)
    was, now = values["lufs"]
    return MixSound(
        start_s=passage.start_s + (0.0 if part is None else part.start_s),
        lufs=(was, now),
        stems={**_stem_sounds(results, stems, passage), **_rest(stems, passage)},
    )


def _stem_sounds(results: Results, stems: Stems, passage: Span) -> dict[str, StemSound]:
    values, sounds = results["strips"].values, {}
    for name, part in stems.parts.items():
        before: AudioSource = section(part, passage)
        if name in values["after"]:
            after = results["strips"].audio("after", name)
            was, now = values["changes"][name]["lufs"]
            sounds[name] = StemSound(before, after, (was, now))
        else:
            sounds[name] = StemSound(before, before)
    return sounds


def _rest(stems: Stems, passage: Span) -> dict[str, StemSound]:
    """What the stems leave of the mix, where that can be heard."""
    rest = section(stems.residual, passage)
    peak = max((float(np.abs(block).max(initial=0.0)) for block in blocks(rest)), default=0.0)
    return {RESIDUAL: StemSound(rest, rest)} if peak > db_to_amplitude(_RESIDUAL_DBFS) else {}
