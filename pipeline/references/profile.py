"""What songs measure, without their audio: the profile that a master is brought towards.

Levels in the bands are relative to the song's integrated loudness, so that a profile says nothing of
level but in `integrated_lufs`. Several songs give a mean and a spread: what differs between them is no
target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.analysis import THIRD_OCTAVES_HZ, Analysis

Float64Array = NDArray[np.float64]

SCHEMA = "mixagent.profile/1"

FLOOR_DB = -90.0
"""Lowest level of a band against the song's loudness; what is lower is silence."""

MONO_DB = -40.0
"""Side over mid, in the loudest band of the side, from which on a song counts as stereo."""


@dataclass(frozen=True)
class Statistic:
    """Mean and standard deviation over the songs of a profile, in the unit of what was measured."""

    mean: float
    spread: float


@dataclass(frozen=True)
class Profile:
    """What one song measures, or many.

    Attributes:
        name: what to call it.
        about: what the songs are, in one line; may be empty.
        songs: SHA-256 of each file that it was made from, in hex.
        integrated_lufs: programme loudness.
        loudness_range_lu: EBU Tech 3342.
        plr_db: peak to loudness ratio.
        crest_db: true peak over RMS.
        mid_db: level of (L + R)/2 in each of `THIRD_OCTAVES_HZ`, in dB over the integrated loudness,
            not under `FLOOR_DB`.
        side_db: the same of (L − R)/2.
        width_db: side over mid in each third octave, over the songs that are stereo; empty where none is.
    """

    name: str
    about: str
    songs: tuple[str, ...]
    integrated_lufs: Statistic
    loudness_range_lu: Statistic
    plr_db: Statistic
    crest_db: Statistic
    mid_db: tuple[Statistic, ...]
    side_db: tuple[Statistic, ...]
    width_db: tuple[Statistic, ...]

    @property
    def tone_db(self) -> Float64Array:
        """Mid and side together in each third octave, shape (30,)."""
        return summed_db(means(self.mid_db), means(self.side_db))

    @property
    def stereo(self) -> bool:
        """Whether it says anything of width."""
        return bool(self.width_db)

    def to_json(self) -> dict[str, Any]:
        """The profile as `from_json` reads it: numbers alone."""
        figures = {name: asdict(getattr(self, name)) for name in _FIGURES}
        bands = {name: _columns(getattr(self, name)) for name in _BANDS}
        return {
            "schema": SCHEMA,
            "name": self.name,
            "about": self.about,
            "songs": list(self.songs),
            **figures,
            "third_octave_hz": list(THIRD_OCTAVES_HZ),
            **bands,
        }


_FIGURES = ("integrated_lufs", "loudness_range_lu", "plr_db", "crest_db")
_BANDS = ("mid_db", "side_db", "width_db")
assert {"name", "about", "songs", *_FIGURES, *_BANDS} == {field.name for field in fields(Profile)}


def profile_of(name: str, analyses: Mapping[str, Analysis], about: str = "") -> Profile:
    """The profile of songs that were analysed, by the SHA-256 of each.

    Raises:
        ValueError: no song, or a silent one.
    """
    songs = list(analyses.values())
    if not songs or any(song.integrated_lufs == -math.inf for song in songs):
        raise ValueError("a profile needs a song, and none that is silent")
    stereo = [song for song in songs if max(song.side_ratio_db.values()) > MONO_DB]
    figures: dict[str, Any] = {
        figure: _statistic([getattr(song, figure) for song in songs]) for figure in _FIGURES
    }
    return Profile(
        name,
        about,
        tuple(analyses),
        **figures,
        mid_db=_statistics([_over_loudness(song, song.third_octave_mid_db) for song in songs]),
        side_db=_statistics([_over_loudness(song, song.third_octave_side_db) for song in songs]),
        width_db=_statistics([_widths_db(song) for song in stereo]),
    )


def blended(name: str, parts: Sequence[tuple[float, Profile]]) -> Profile:
    """Profiles mixed by weight (positive, at any scale): weighted means of means and of variances.

    What says nothing of width has no weight there.
    """
    mixed: dict[str, Any] = {
        **{name: _mixed([(w, getattr(profile, name)) for w, profile in parts]) for name in _FIGURES},
        **{name: _mixed_bands([(w, getattr(profile, name)) for w, profile in parts]) for name in _BANDS},
    }
    about = "; ".join(profile.about or profile.name for _, profile in parts)
    return Profile(name, about, tuple(dict.fromkeys(s for _, p in parts for s in p.songs)), **mixed)


def shifted(profile: Profile, tone_db: Float64Array, width_db: float) -> Profile:
    """The profile with its tone changed by so much in each third octave, and its side by so much more."""

    def raised(bands: Sequence[Statistic], by_db: Float64Array) -> tuple[Statistic, ...]:
        return tuple(replace(band, mean=band.mean + by) for band, by in zip(bands, by_db, strict=True))

    return replace(
        profile,
        mid_db=raised(profile.mid_db, tone_db),
        side_db=raised(profile.side_db, tone_db + width_db),
        width_db=raised(profile.width_db, np.full(tone_db.size, width_db)) if profile.stereo else (),
    )


def means(statistics: Sequence[Statistic]) -> Float64Array:
    """The means alone."""
    return np.array([each.mean for each in statistics])


def spreads(statistics: Sequence[Statistic]) -> Float64Array:
    """The standard deviations alone."""
    return np.array([each.spread for each in statistics])


def summed_db(a_db: Float64Array, b_db: Float64Array) -> Float64Array:
    """Level of the powers of both together."""
    return np.asarray(10 * np.log10(10 ** (a_db / 10) + 10 ** (b_db / 10)))


def tone_distance_db(a: Profile, b: Profile, low_hz: float = 40.0, high_hz: float = 12500.0) -> float:
    """How far two tones are apart: RMS over the third octaves, at the gain that brings them closest."""
    inside = [low_hz <= hz <= high_hz for hz in THIRD_OCTAVES_HZ]
    return float(np.std((a.tone_db - b.tone_db)[inside]))


def width_distance_db(
    a: Profile, b: Profile, low_hz: float = 160.0, high_hz: float = 12500.0
) -> float | None:
    """How far two widths are apart: RMS of side over mid over the third octaves; None where one is mono."""
    if not (a.stereo and b.stereo):
        return None
    inside = [low_hz <= hz <= high_hz for hz in THIRD_OCTAVES_HZ]
    return float(np.sqrt(np.mean((means(a.width_db) - means(b.width_db))[inside] ** 2)))


def from_json(data: Mapping[str, Any]) -> Profile:
    """The profile that `Profile.to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: anything else.
    """
    if data["schema"] != SCHEMA or tuple(data["third_octave_hz"]) != THIRD_OCTAVES_HZ:
        raise ValueError(f"not schema {SCHEMA}")
    values: dict[str, Any] = {
        **{name: _checked(Statistic(**data[name])) for name in _FIGURES},
        **{name: _rows(data[name]) for name in _BANDS},
    }
    if not values["mid_db"] or not values["side_db"]:
        raise ValueError("no bands")
    return Profile(str(data["name"]), str(data["about"]), tuple(map(str, data["songs"])), **values)


def _columns(statistics: Sequence[Statistic]) -> dict[str, list[float]]:
    return {"mean": means(statistics).tolist(), "spread": spreads(statistics).tolist()}


def _rows(columns: Mapping[str, Sequence[float]]) -> tuple[Statistic, ...]:
    pairs = zip(columns["mean"], columns["spread"], strict=True)
    rows = tuple(_checked(Statistic(mean, spread)) for mean, spread in pairs)
    if len(rows) not in (0, len(THIRD_OCTAVES_HZ)):
        raise ValueError(f"{len(rows)} bands")
    return rows


def _checked(statistic: Statistic) -> Statistic:
    mean, spread = float(statistic.mean), float(statistic.spread)
    if not (math.isfinite(mean) and math.isfinite(spread) and abs(mean) <= 200.0 and spread >= 0.0):
        raise ValueError("a number is out of its range")
    return Statistic(mean, spread)


def _over_loudness(song: Analysis, levels_db: Sequence[float]) -> Float64Array:
    return np.asarray(np.maximum(np.array(levels_db) - song.integrated_lufs, FLOOR_DB))


def _widths_db(song: Analysis) -> Float64Array:
    mid, side = (
        _over_loudness(song, song.third_octave_mid_db),
        _over_loudness(song, song.third_octave_side_db),
    )
    return np.asarray(np.clip(side - mid, MONO_DB, -MONO_DB))


def _statistic(values: Sequence[float]) -> Statistic:
    return Statistic(round(float(np.mean(values)), 3), round(float(np.std(values)), 3))


def _statistics(songs: Sequence[Float64Array]) -> tuple[Statistic, ...]:
    return tuple(_statistic(band) for band in zip(*songs, strict=True))


def _mixed(parts: Sequence[tuple[float, Statistic]]) -> Statistic:
    weights = np.array([weight for weight, _ in parts])
    mean = np.average([each.mean for _, each in parts], weights=weights)
    variance = np.average([each.spread**2 for _, each in parts], weights=weights)
    return Statistic(float(mean), float(np.sqrt(variance)))


def _mixed_bands(parts: Sequence[tuple[float, tuple[Statistic, ...]]]) -> tuple[Statistic, ...]:
    told = [(weight, bands) for weight, bands in parts if bands]
    count = len(told[0][1]) if told else 0
    return tuple(_mixed([(weight, bands[band]) for weight, bands in told]) for band in range(count))
