"""Finished music as a band, not a curve: mean and spread of every measure, and how strictly a song is held.

The statistics (`checkpoints/finished_band`, made by `scripts/fit_band.py`) are of finished songs, weighted
by how much they move in time like what generators make: songs with voice, drums and bass. How much a song is
like them (`Kind`) also says how strictly it is held to the band: a drone, a chip tune or a chamber recording
has its own right to be elsewhere, unless it is far out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.finished.measures import (
    GROUPS,
    INDEX,
    KIND,
    MEASURES,
    TONE_HZ,
    Group,
    SongMeasures,
)
from mixagent.pipeline.types import Float64Array

SCHEMA = "mixagent.band/2"

FURTHEST = 4.0
"""Deviations count up to here in what is said of a group, so that no odd measure rules it."""

FURTHEST_FAULT = 12.0
"""Deviations count up to here in what is said of a single fault: what few finished songs have at all has its
outer edge far out, and is told only by how much further out a song is."""

JUDGED_HZ = (38.0, 13000.0)
"""Bands of tone outside of this say nothing of the whole: there is little to hear, or codecs cut it."""

JUDGED_WIDTH_HZ = (150.0, 13000.0)

BASS_HZ = (60.0, 110.0)
NO_BASS = -5.0
"""A song whose bass lies so many spreads under finished music's has none: a voice or an instrument alone, of
which no band of mixes says anything."""

LITTLE_BASS, PAUSES_DB = -1.5, -45.0
"""The same of a song with less bass than most that falls silent: for a tenth of the time no band comes within
so much of its loudness. Speech does, and one finished song in thirty."""

STRIKES_HZ = 0.2
"""A sound in which fewer onsets than this happen in a second is a drone or a pad: nothing strikes in it."""

DOUBTED, TRUSTED = 0.45, 0.8
"""Probabilities up to which a song is left alone, and from which on it is held to the band."""

SHORT_S, WHOLE_S = 5.0, 30.0
"""Seconds up to which a song says nothing of its kind, and from which on it says all."""

_LIMIT = 3.0
_LOWEST_SCORE, _HIGHEST_SCORE = -8.0, 4.0


@dataclass(frozen=True)
class Band:
    """Mean and spread of what songs measure.

    Attributes:
        name: what the songs are, for the report.
        songs: how many.
        mean, spread: one for each of `MEASURES`, in its unit; NaN where it says nothing. A spread is one
            standard deviation.
    """

    name: str
    songs: int
    mean: Float64Array
    spread: Float64Array

    def tells(self, group: Group) -> bool:
        """True if the band holds any of a group of measures."""
        return bool(np.isfinite(self.mean[GROUPS[group]]).any())

    def deviations(self, measures: SongMeasures) -> Float64Array:
        """The deviation of each measure, in spreads; NaN where song or band has none."""
        return np.asarray((measures.values - self.mean) / self.spread)


@dataclass(frozen=True)
class Kind:
    """A linear discriminant of `KIND`: how much a song moves in time like generated ones.

    Attributes:
        mean, spread: of the figures over finished music.
        direction: weights of the standardised figures.
        offset: subtracted, so that 0 is as likely the one as the other.
    """

    mean: Float64Array
    spread: Float64Array
    direction: Float64Array
    offset: float

    def score(self, kind: Float64Array) -> float:
        """The log-odds, within −8 and 4; `kind` as in `SongMeasures`."""
        standard = np.clip((kind - self.mean) / self.spread, -_LIMIT, _LIMIT)
        return float(np.clip(standard @ self.direction - self.offset, _LOWEST_SCORE, _HIGHEST_SCORE))


@dataclass(frozen=True)
class Trust:
    """Log-odds that a group of measures is to be corrected: bias + kind · score + deviation · RMS.

    They are those among as many songs that are to be corrected as ones that are not.
    """

    bias: float
    kind: float
    deviation: float

    def odds(self, score: float, deviation: float) -> float:
        """The log-odds of a song of that kind and so far out."""
        return self.bias + self.kind * score + self.deviation * deviation

    def of(self, score: float, deviation: float) -> float:
        """The trust in the band, 0 to 1."""
        share = 1 / (1 + math.exp(-self.odds(score, deviation)))
        return float(np.clip((share - DOUBTED) / (TRUSTED - DOUBTED), 0.0, 1.0))


@dataclass(frozen=True)
class FinishedMusic:
    """The shipped statistics.

    Attributes:
        band: of finished music.
        kind: says whether a song is of the kind that the band was weighted for.
        trust: by group, how strictly a song is held to the band.
        severity: the two slopes of a finding's log-odds against its deviation; see `findings.severity`.
        edges: by finding, the deviation of the outer edge, which hardly any finished song passes.
        quiet_db: of each band of `TONE_HZ` the `SongMeasures.quiet_db` that nine finished songs in ten stay
            under.
    """

    band: Band
    kind: Kind
    trust: Mapping[str, Trust]
    severity: tuple[float, float]
    edges: Mapping[str, float]
    quiet_db: Float64Array


@dataclass(frozen=True)
class Judgement:
    """A song held against a band.

    Attributes:
        measures: of the song.
        band: that it is held against.
        deviations: how far out each measure is, in spreads; NaN where there is none.
        score: log-odds that the song is of the kind that the band was made for.
        trust: by group, how far the band's word counts, 0 to 1.
        outside: by group the log-odds that it as a whole is not as finished music's, among as many songs of
            which it is as of which it is not; nothing of references.
        alone: whether it is a voice, an instrument or a drone alone, of which no band of mixes says anything.
        chosen: whether somebody chose the band for this song.
    """

    measures: SongMeasures
    band: Band
    deviations: Float64Array
    score: float
    trust: Mapping[Group, float]
    outside: Mapping[Group, float]
    alone: bool = False
    chosen: bool = False

    @property
    def alike(self) -> float:
        """The likeness of the song to the kind that the band was made for, 0 to 1."""
        return 1 / (1 + math.exp(-self.score))

    def of(self, group: Group) -> Float64Array:
        """The deviations of one group, in the order of the table."""
        return self.deviations[GROUPS[group]]

    def mean_of(self, names: Sequence[str]) -> float:
        """Mean deviation of some measures within ±`FURTHEST_FAULT`; 0 where the song has none of them."""
        found = self.deviations[[INDEX[name] for name in names]]
        found = found[np.isfinite(found)]
        return float(np.clip(found, -FURTHEST_FAULT, FURTHEST_FAULT).mean()) if found.size else 0.0


_JUDGED_BANDS: Mapping[Group, tuple[float, float]] = {"tone": JUDGED_HZ, "width": JUDGED_WIDTH_HZ}


def _judged(group: Group) -> NDArray[np.int64]:
    low, high = _JUDGED_BANDS.get(group, (0.0, math.inf))
    return np.array([k for k in GROUPS[group] if low <= (MEASURES[k].hz or low) <= high], np.int64)


JUDGED: Mapping[Group, NDArray[np.int64]] = MappingProxyType({group: _judged(group) for group in GROUPS})
"""The places of each group that say how far out the group as a whole is."""


def group_deviation(deviations: Float64Array, group: Group) -> float:
    """Root mean square deviation of a group's judged measures; 0 where the song has none.

    A narrow picture is not held against a song of another kind: voices keep finished records narrow, and
    there are few of them among the songs of the band.
    """
    return root_mean_square(np.maximum(deviations, 0.0) if group == "width" else deviations, group)


def root_mean_square(deviations: Float64Array, group: Group) -> float:
    """Root mean square of a group's judged deviations, on whichever side; 0 where the song has none."""
    found = deviations[JUDGED[group]]
    found = np.clip(found[np.isfinite(found)], -FURTHEST, FURTHEST)
    return float(np.sqrt(np.mean(found**2))) if found.size else 0.0


def judge(measures: SongMeasures, against: Band | None = None, like: Judgement | None = None) -> Judgement:
    """A song held against finished music or, where one is given, against a band that somebody chose.

    Args:
        measures: of the song.
        against: the band that somebody chose.
        like: of another version of the song, which this one is held as strictly as.
    """
    music = finished_music_band()
    if against is not None:
        every: Mapping[Group, float] = MappingProxyType(dict.fromkeys(GROUPS, 1.0))
        deviations = against.deviations(measures)
        return Judgement(measures, against, deviations, _HIGHEST_SCORE, every, {}, chosen=True)
    deviations = music.band.deviations(measures)
    alone = _is_alone(measures, deviations) if like is None else like.alone
    own_score = _LOWEST_SCORE if alone else music.kind.score(measures.kind)
    score = own_score if like is None else like.score
    whole = min(max((measures.duration_s - SHORT_S) / (WHOLE_S - SHORT_S), 0.0), 1.0)
    certainty = 0.0 if alone else whole
    out = {group: group_deviation(deviations, group) for group in GROUPS}
    trust = {
        group: certainty * music.trust.get(group, music.trust["other"]).of(score, out[group])
        for group in GROUPS
    }
    told = {group: music.trust[group].odds(score, out[group]) for group in GROUPS if group in music.trust}
    return Judgement(
        measures,
        music.band,
        deviations,
        score,
        MappingProxyType(trust) if like is None else like.trust,
        MappingProxyType(told if certainty == 1.0 else {}),
        alone,
    )


def _is_alone(measures: SongMeasures, deviations: Float64Array) -> bool:
    places = [k for k in GROUPS["tone"] if BASS_HZ[0] <= (MEASURES[k].hz or 0.0) <= BASS_HZ[1]]
    bass = float(deviations[places].mean())
    known = measures.quiet_db[np.isfinite(measures.quiet_db)]
    pauses = known.size > 0 and float(known.max()) < PAUSES_DB
    return bass < NO_BASS or (pauses and bass < LITTLE_BASS) or measures.onsets_hz < STRIKES_HZ


@cache
def finished_music_band() -> FinishedMusic:
    """The statistics that ship."""
    file = resources.files("mixagent.checkpoints").joinpath("finished_band/statistics.json")
    return from_json(json.loads(file.read_text(encoding="utf-8")))


def from_json(data: Mapping[str, Any]) -> FinishedMusic:
    """The statistics that `to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: anything else.
    """
    if data["schema"] != SCHEMA or data["kind"]["names"] != list(KIND):
        raise ValueError(f"not schema {SCHEMA}")
    measures = data["measures"]
    mean, spread = (
        np.array([_number(measures[m.name][k]) for m in MEASURES], np.float64) for k in ("mean", "spread")
    )
    kind = data["kind"]
    return FinishedMusic(
        Band(str(data["name"]), int(data["songs"]), mean, spread),
        Kind(
            np.array(kind["mean"], np.float64),
            np.array(kind["spread"], np.float64),
            np.array(kind["direction"], np.float64),
            float(kind["offset"]),
        ),
        MappingProxyType({group: Trust(**values) for group, values in data["trust"].items()}),
        (float(data["severity"][0]), float(data["severity"][1])),
        MappingProxyType({str(name): float(edge) for name, edge in data["edges"].items()}),
        np.array([float(data["quiet_db"][f"{int(hz)}"]) for hz in TONE_HZ]),
    )


def to_json(music: FinishedMusic) -> dict[str, Any]:
    """As `from_json` reads it: numbers alone."""
    rows = zip(MEASURES, music.band.mean, music.band.spread, strict=True)
    kind = music.kind
    return {
        "schema": SCHEMA,
        "name": music.band.name,
        "songs": music.band.songs,
        "measures": {
            m.name: {"mean": round(float(mean), 4), "spread": round(float(spread), 4)}
            for m, mean, spread in rows
        },
        "kind": {
            "names": list(KIND),
            **{k: np.round(getattr(kind, k), 5).tolist() for k in ("mean", "spread", "direction")},
            "offset": round(kind.offset, 5),
        },
        "trust": {group: {k: round(v, 4) for k, v in vars(t).items()} for group, t in music.trust.items()},
        "severity": [round(slope, 4) for slope in music.severity],
        "edges": {name: round(edge, 4) for name, edge in music.edges.items()},
        "quiet_db": {f"{int(hz)}": round(float(v), 2) for hz, v in zip(TONE_HZ, music.quiet_db, strict=True)},
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
