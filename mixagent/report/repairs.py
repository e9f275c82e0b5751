"""The repairs of a song in words: what each did, and what of that was measured on the sound around it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.measure.changes import BandGain
from mixagent.report.actions import HEARD_DB, gains_words
from mixagent.report.model import ActionRow, RepairRow
from mixagent.report.words import number, percent, place_label

_MOST_BANDS = 3
_SELDOM = 0.05


def repair_title(row: RepairRow) -> str:
    """A repair by name, with the stem that it was on."""
    name = row.name[:1].upper() + row.name[1:].replace("_", " ")
    return name if row.stem is None else f"{name}, {place_label(row.stem).lower()}"


def done_words(row: RepairRow) -> str:
    """What a repair did, as one clause for the summary."""
    part = f", at {percent(row.amount)}" if row.applied and row.amount < 1.0 else ""
    return f"{row.done.rstrip('.')}{part}"


def work_words(row: RepairRow) -> str:
    """How long a repair took."""
    return "taken from the cache" if row.cached else f"{number(row.seconds)} s of work"


def measured_words(row: RepairRow, duration_s: float) -> list[str]:
    """What was measured of a repair, a clause each: bands, time, level."""
    if not row.applied or row.share is None:
        return []
    told = [gains_words(run) for run in _runs([band for band in row.bands if _is_told(band)])]
    whole = "the song" if row.stem is None else "the stem"
    if row.share < _SELDOM:
        seconds = row.share * duration_s
        peak = "" if row.peak_dbfs is None else f", by up to {number(row.peak_dbfs)} dBFS"
        return [*told, f"{number(seconds, 2 if seconds < 1 else 1)} s of {whole} changed{peak}"]
    told.append(f"{percent(row.share)} of the time changed")
    if row.level_db is not None:
        side = "under" if row.level_db < 0 else "over"
        told.append(f"the difference lies {number(abs(row.level_db), 0)} dB {side} {whole}")
    return told


def _is_told(band: BandGain) -> bool:
    return max(abs(band.mean_db), abs(band.most_db)) >= HEARD_DB


def _runs(bands: Sequence[BandGain]) -> list[tuple[BandGain, ...]]:
    """Neighbouring bands that went one way, at most so many, those that changed most, lowest first."""
    places = [(THIRD_OCTAVES_HZ.index(band.centre_hz), band) for band in bands]

    def together(item: tuple[int, tuple[int, BandGain]]) -> tuple[int, bool]:
        count, (place, band) = item
        return place - count, band.most_db > 0

    runs = [tuple(band for _, (_, band) in run) for _, run in groupby(enumerate(places), together)]
    most = sorted(runs, key=lambda run: -max(abs(band.mean_db) for band in run))[:_MOST_BANDS]
    return [run for run in runs if run in most]


def repair_actions(rows: Sequence[RepairRow], duration_s: float) -> list[ActionRow]:
    """The repairs that changed the sound, as actions."""
    return [_action(row, duration_s) for row in rows if row.applied]


def _action(row: RepairRow, duration_s: float) -> ActionRow:
    most = max(row.bands, key=lambda band: abs(band.most_db), default=None)
    centres = [band.centre_hz for band in row.bands]
    third = 2 ** (1 / 6)
    return ActionRow(
        what="repair",
        did="; ".join([done_words(row), *measured_words(row, duration_s)]),
        why=row.found.rstrip("."),
        low_hz=round(min(centres) / third, 1) if centres else None,
        high_hz=round(max(centres) * third, 1) if centres else None,
        change=round(float(np.mean([band.mean_db for band in row.bands])), 2) if centres else None,
        most=None if most is None else round(most.most_db, 2),
        most_hz=None if most is None else most.most_hz,
        unit="dB" if centres else "",
        answers=row.answers,
    )


def rejected_words(rows: Sequence[RepairRow]) -> list[str]:
    """The repairs that were tried and not taken, each with its reason."""
    return [f"{repair_title(row)} was left out: {row.done.rstrip('.')}" for row in rows if not row.applied]
