"""The repairs on a page: a picture of where each changed most, and a side of the player with that alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.measure.meters import momentary_lufs
from mixagent.pipeline.types import AudioSource, Combination
from mixagent.report import charts
from mixagent.report.listening import Excerpt
from mixagent.report.model import RepairRow
from mixagent.report.player import Side
from mixagent.report.repairs import measured_words, repair_title
from mixagent.report.sounds import RepairSound
from mixagent.report.spectrogram import CHANGE_DB, HIGH_HZ, LOW_HZ, RANGE_DB, Spectrograms, spectrograms
from mixagent.report.words import clock

QUIET_LUFS, RAISED_TO_LUFS = -40.0, -30.0
"""What was changed is raised where its loudest 400 ms are quieter than the first, towards the second."""

_HIGHEST_DBFS = -1.0
_LETTERS = "CDEFGHIJK"
_COLOURS = (3, 4, 5, 6, 7, 8, 9, 10, 1)
_PICTURE_FRAME = 2048


@dataclass(frozen=True)
class Pictures:
    """Spectrograms of the passage with the ticks of their axes and the spans of their colours in dB."""

    images: Spectrograms
    x_ticks: tuple[charts.Tick, ...]
    y_ticks: tuple[charts.Tick, ...]
    range_db: int
    change_db: int


@dataclass(frozen=True)
class RepairShown:
    """A repair on the page.

    Attributes:
        row: of the report.
        title: its name.
        measured: clauses.
        passage: where it changed most, as the song's time; empty where it changed nothing.
        pictures: of that passage; None where nothing of it can be seen.
        solo: name of its side in the player; None where it has none.
        loop_s: the passage in the player's time; None where it is not on the page.
        raised_db: by how much the solo is louder than it is in the song.
    """

    row: RepairRow
    title: str
    measured: tuple[str, ...]
    passage: str
    pictures: Pictures | None
    solo: str | None
    loop_s: tuple[float, float] | None
    raised_db: int


@dataclass(frozen=True)
class Solo:
    """What a repair changed, alone, as a side of the player, raised by whole decibels."""

    side: Side
    raised_db: int


def solos(rows: Sequence[RepairRow], sounds: Mapping[str, RepairSound]) -> dict[str, Solo]:
    """A side of the player for each repair that changed something, by the stage that it was."""
    heard = [row for row in rows if row.applied and row.share and row.stage in sounds]
    places = zip(heard, _LETTERS, _COLOURS, strict=False)
    return {row.stage: _solo(row, sounds[row.stage], letter, k) for row, letter, k in places}


def _solo(row: RepairRow, sound: RepairSound, letter: str, colour: int) -> Solo:
    raised_db = _raise_db(sound.difference, row.peak_dbfs)
    source = sound.difference
    if raised_db:
        source = Combination(((db_to_amplitude(float(raised_db)), source),))
    title = repair_title(row)
    label = f"{title} alone, +{raised_db} dB" if raised_db else f"{title} alone"
    side = Side(f"solo-{letter.lower()}", letter, label, f"side-{colour}", source, None, raised_db)
    return Solo(side, raised_db)


def _raise_db(difference: AudioSource, peak_dbfs: float | None) -> int:
    """Whole decibels by which a difference is raised to be heard; 0 where it is loud enough."""
    loudest = float(np.max(momentary_lufs(difference), initial=-np.inf))
    if loudest >= QUIET_LUFS or peak_dbfs is None:
        return 0
    room_db = _HIGHEST_DBFS - peak_dbfs
    wanted_db = RAISED_TO_LUFS - loudest
    return max(int(min(room_db, wanted_db)), 0)


def repairs_shown(
    rows: Sequence[RepairRow],
    sounds: Mapping[str, RepairSound],
    sides: Mapping[str, Solo],
    excerpt: Excerpt | None,
    start_s: float,
    duration_s: float,
) -> list[RepairShown]:
    """The repairs for the page, those that were rejected among them.

    Args:
        rows: of the report.
        sounds: by stage.
        sides: their sides of the player, by stage.
        excerpt: the part that the player holds, in the page's time; None where there is none.
        start_s: where the page's time begins in the song.
        duration_s: of the song.
    """
    return [
        RepairShown(
            row=row,
            title=repair_title(row),
            measured=tuple(measured_words(row, duration_s)),
            passage="" if row.passage is None else _span(row.passage.start_s, row.passage.stop_s),
            pictures=_pictures(row, sounds.get(row.stage)),
            solo=sides[row.stage].side.name if row.stage in sides else None,
            loop_s=_loop(row, excerpt, start_s),
            raised_db=sides[row.stage].raised_db if row.stage in sides else 0,
        )
        for row in rows
    ]


def _span(start_s: float, stop_s: float) -> str:
    return f"{clock(start_s)}–{clock(stop_s)}"


def _loop(row: RepairRow, excerpt: Excerpt | None, start_s: float) -> tuple[float, float] | None:
    """The passage in the player, cut to what it holds; None where that is less than a second."""
    if row.passage is None or excerpt is None:
        return None
    begin = max(row.passage.start_s - start_s - excerpt.start_s, 0.0)
    end = min(row.passage.stop_s - start_s, excerpt.stop_s) - excerpt.start_s
    return (round(begin, 3), round(end, 3)) if end - begin >= 1.0 else None


def _pictures(row: RepairRow, sound: RepairSound | None) -> Pictures | None:
    if sound is None or row.passage is None or not row.applied:
        return None
    images = spectrograms(sound.before, sound.after, (0.0, 0.0), _PICTURE_FRAME)
    if images is None or not images.is_changed:
        return None
    return Pictures(
        images,
        charts.time_ticks(row.passage.start_s, row.passage.stop_s),
        charts.height_ticks(LOW_HZ, HIGH_HZ),
        round(RANGE_DB),
        round(CHANGE_DB),
    )
