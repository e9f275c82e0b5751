"""The repairs on a page: a picture of where each changed most, and a side of the player with that alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.measure.meters import momentary_lufs
from mixagent.pipeline.types import AudioSource, Combination, FloatArray, View, blocks
from mixagent.report import charts
from mixagent.report.listening import Excerpt
from mixagent.report.model import RepairRow
from mixagent.report.player import Side
from mixagent.report.repairs import measured_words, repair_title, work_words
from mixagent.report.sounds import RepairSound
from mixagent.report.spectrogram import CHANGE_DB, HIGH_HZ, LOW_HZ, RANGE_DB, Spectrograms, spectrograms
from mixagent.report.words import clock

QUIET_LUFS, RAISED_TO_LUFS = -40.0, -30.0
"""What was changed is raised where its loudest 400 ms are quieter than the first, towards the second."""

HEARD_LUFS = -70.0
"""What was changed cannot be heard where its loudest 400 ms are quieter, as with an offset from zero."""

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
        work: how long it took, in words.
        measured: clauses.
        passage: where it changed most, as the song's time; empty where it changed nothing.
        pictures: of that passage; None where nothing of it can be seen, or heard.
        solo: name of its side in the player; None where it cannot be heard.
        loop_s: the passage in the player's time; None where it is not on the page.
        raised_db: by how much the solo is louder than it is in the song.
    """

    row: RepairRow
    title: str
    work: str
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
    """A side of the player for each repair that can be heard, by the stage that it was."""
    changed = [row for row in rows if row.applied and row.stage in sounds]
    loudest = {row.stage: _loudest_lufs(sounds[row.stage].difference) for row in changed}
    heard = [row for row in changed if loudest[row.stage] >= HEARD_LUFS]
    places = zip(heard, _LETTERS, _COLOURS, strict=False)
    return {
        row.stage: _solo(row, sounds[row.stage].difference, loudest[row.stage], letter, f"side-{colour}")
        for row, letter, colour in places
    }


@dataclass(frozen=True)
class _Centred(View):
    """A source less the mean of each channel: an offset is not heard, but for the jump where it begins."""

    mean: FloatArray

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` of the source without its offset."""
        return self.source.read(start, stop) - self.mean


def _loudest_lufs(source: AudioSource) -> float:
    total = sum(block.sum(axis=1, keepdims=True, dtype=np.float64) for block in blocks(source))
    mean = np.asarray(total / max(source.frames, 1), np.float32)
    return float(np.max(momentary_lufs(_Centred(source, mean)), initial=-np.inf))


def _solo(row: RepairRow, difference: AudioSource, loudest_lufs: float, letter: str, colour: str) -> Solo:
    raised_db, label = _raise_db(loudest_lufs, row.peak_dbfs), repair_title(row)
    if raised_db:
        difference = Combination(((db_to_amplitude(float(raised_db)), difference),))
        label = f"{label} +{raised_db} dB"
    return Solo(Side(f"solo-{letter.lower()}", letter, label, colour, difference, None, raised_db), raised_db)


def _raise_db(loudest_lufs: float, peak_dbfs: float | None) -> int:
    """Whole decibels by which a difference is raised to be heard well; 0 where it is loud enough."""
    if loudest_lufs >= QUIET_LUFS or peak_dbfs is None:
        return 0
    return max(int(min(_HIGHEST_DBFS - peak_dbfs, RAISED_TO_LUFS - loudest_lufs)), 0)


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
            work=work_words(row),
            measured=tuple(measured_words(row, duration_s)),
            passage="" if row.passage is None else _span(row.passage.start_s, row.passage.stop_s),
            pictures=_pictures(row, sounds[row.stage]) if row.stage in sides else None,
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


def _pictures(row: RepairRow, sound: RepairSound) -> Pictures | None:
    if row.passage is None:
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
