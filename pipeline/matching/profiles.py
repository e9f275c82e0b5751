"""Profiles: measures of songs without their audio, which a master is brought towards.

A profile has the measures by which every song is judged (`pipeline.finished.measures`), each with mean and
spread over its songs, and their loudness. No measure but `integrated_lufs` depends on the level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from mixagent.pipeline.finished.measures import INDEX, MEASURES, TONE_HZ, WIDTH_HZ, SongMeasures
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.types import Float64Array

SCHEMA, OLDER = "mixagent.profile/2", "mixagent.profile/1"

DISTANCE_HZ = (40.0, 12500.0)
WIDTH_DISTANCE_HZ = (160.0, 12500.0)
"""The third octaves over which distances in tone and width are taken."""


class OlderProfileError(ValueError):
    """A profile that was made before profiles had all measures."""


@dataclass(frozen=True)
class AnalysedSong:
    """The analysis and measures of one song."""

    analysis: Analysis
    measures: SongMeasures


@dataclass(frozen=True)
class Statistic:
    """Mean and standard deviation over the songs of a profile, in the unit of what was measured."""

    mean: float
    spread: float


@dataclass(frozen=True)
class Profile:
    """The measures of one song, or statistics of many.

    Attributes:
        name: what to call it.
        about: what the songs are, in one line; may be empty.
        songs: SHA-256 of each file that it was made from, in hex.
        integrated_lufs: programme loudness.
        measures: of `MEASURES` by name, each over the songs that have it; what none has, as width where
            all are mono, is not there.
    """

    name: str
    about: str
    songs: tuple[str, ...]
    integrated_lufs: Statistic
    measures: Mapping[str, Statistic]

    @property
    def stereo(self) -> bool:
        """True if it says anything of width."""
        return any(name.startswith("width_") for name in self.measures)

    @property
    def means(self) -> Float64Array:
        """The means, one for each of `MEASURES`; NaN where there is none."""
        return np.array(
            [self.measures[m.name].mean if m.name in self.measures else math.nan for m in MEASURES]
        )

    @property
    def spreads(self) -> Float64Array:
        """The spreads in the same order."""
        return np.array(
            [self.measures[m.name].spread if m.name in self.measures else math.nan for m in MEASURES]
        )

    def to_json(self) -> dict[str, Any]:
        """The profile as `from_json` reads it: numbers alone."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "about": self.about,
            "songs": list(self.songs),
            "integrated_lufs": asdict(self.integrated_lufs),
            "measures": {name: asdict(statistic) for name, statistic in self.measures.items()},
        }


def profile_of(name: str, songs: Mapping[str, AnalysedSong], about: str = "") -> Profile:
    """The profile of songs by the SHA-256 of each.

    Raises:
        ValueError: no song.
    """
    if not songs:
        raise ValueError("a profile needs a song")
    values = np.array([song.measures.values for song in songs.values()])
    told = ((m.name, column[np.isfinite(column)]) for m, column in zip(MEASURES, values.T, strict=True))
    return Profile(
        name,
        about,
        tuple(songs),
        _statistic([song.analysis.integrated_lufs for song in songs.values()]),
        MappingProxyType({name: _statistic(column) for name, column in told if column.size}),
    )


def blended(parts: Sequence[tuple[float, Profile]]) -> Profile:
    """Profiles mixed by weight (positive, at any scale): weighted means of means and of variances.

    What says nothing of a measure has no weight there.
    """
    told = {
        m.name: [(weight, p.measures[m.name]) for weight, p in parts if m.name in p.measures]
        for m in MEASURES
    }
    return Profile(
        " and ".join(dict.fromkeys(profile.name for _, profile in parts)),
        "; ".join(profile.about or profile.name for _, profile in parts),
        tuple(dict.fromkeys(song for _, profile in parts for song in profile.songs)),
        _mixed([(weight, profile.integrated_lufs) for weight, profile in parts]),
        MappingProxyType({name: _mixed(statistics) for name, statistics in told.items() if statistics}),
    )


def tone_distance_db(song: SongMeasures, reference: Profile) -> float:
    """The distance of two tones: RMS over the third octaves, at the gain that brings them closest."""
    return float(np.std(_apart(song, reference, "tone", TONE_HZ, DISTANCE_HZ)))


def width_distance_db(song: SongMeasures, reference: Profile) -> float | None:
    """The distance of two widths: RMS of side over mid over the third octaves; None where one is mono."""
    apart = _apart(song, reference, "width", WIDTH_HZ, WIDTH_DISTANCE_HZ)
    return float(np.sqrt(np.mean(apart**2))) if np.isfinite(apart).all() else None


def _apart(
    song: SongMeasures, reference: Profile, what: str, bands_hz: Sequence[float], span_hz: tuple[float, float]
) -> Float64Array:
    places = [INDEX[f"{what}_{int(hz)}"] for hz in bands_hz if span_hz[0] <= hz <= span_hz[1]]
    return np.asarray((song.values - reference.means)[places])


def from_json(data: Mapping[str, Any]) -> Profile:
    """The profile that `Profile.to_json` wrote.

    Raises:
        OlderProfileError: one of schema 1.
        KeyError, TypeError, ValueError: anything else.
    """
    if data["schema"] == OLDER:
        raise OlderProfileError(f"of schema {OLDER}")
    if data["schema"] != SCHEMA:
        raise ValueError(f"not schema {SCHEMA}")
    measures = {name: _checked(Statistic(**row)) for name, row in data["measures"].items()}
    if not {f"tone_{int(hz)}" for hz in TONE_HZ} <= measures.keys() <= INDEX.keys():
        raise ValueError("these are not the measures of a profile")
    return Profile(
        str(data["name"]),
        str(data["about"]),
        tuple(map(str, data["songs"])),
        _checked(Statistic(**data["integrated_lufs"])),
        MappingProxyType(measures),
    )


def _checked(statistic: Statistic) -> Statistic:
    mean, spread = float(statistic.mean), float(statistic.spread)
    if not (math.isfinite(mean) and math.isfinite(spread) and abs(mean) <= 200.0 and spread >= 0.0):
        raise ValueError("a number is out of its range")
    return Statistic(mean, spread)


def _statistic(values: Sequence[float] | Float64Array) -> Statistic:
    return Statistic(round(float(np.mean(values)), 3), round(float(np.std(values)), 3))


def _mixed(parts: Sequence[tuple[float, Statistic]]) -> Statistic:
    weights = np.array([weight for weight, _ in parts])
    mean = np.average([each.mean for _, each in parts], weights=weights)
    variance = np.average([each.spread**2 for _, each in parts], weights=weights)
    return Statistic(float(mean), float(np.sqrt(variance)))
