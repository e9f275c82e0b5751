"""The judge of `benchmark_generated.py`: finished songs as a plain band, with nothing fitted or conditioned.

A song is measured in tone, width and punch. The band is the mean and the standard deviation of some finished
songs; a finished song that is judged is held against the others. The excess of a song is what lies beyond one
deviation, averaged over the measures. The measures are those of the product, the statistics are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixagent.pipeline.diagnosis.statistics import peaks
from mixagent.pipeline.finished.measures import NARROWEST_DB, TONE_HZ, WIDEST_DB, is_mono, tone_db
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.fingerprint import CREST_HZ, Fingerprint
from mixagent.pipeline.types import Float64Array

BAND_TONE_HZ = tuple(hz for hz in TONE_HZ if 40 <= hz <= 12500)
BAND_WIDTH_HZ = tuple(hz for hz in TONE_HZ if 160 <= hz <= 12500)
WINDOWS = ("crest_50ms", "crest_400ms", "crest_3s")
PUNCH = ("plr", "loudness_range", *(f"crest_{band}" for band in CREST_HZ), *WINDOWS)
"""The measures of dynamics, in dB but for the range, which is in LU."""

KINDS = ("tone", "width", "punch")

MOST_DB = 2.0
"""A song's share counts by its excess up to here, so that one song far out does not rule."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Judged:
    """The judge's measures of a song.

    Attributes:
        tone: mid and side together in `BAND_TONE_HZ`, in dB about their mean.
        width: side over mid in `BAND_WIDTH_HZ`, in dB within −30 and 12.
        punch: `PUNCH`.
        mono: the song has no width to be judged.
    """

    tone: Float64Array
    width: Float64Array
    punch: Float64Array
    mono: bool

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return {**{kind: np.round(getattr(self, kind), 4).tolist() for kind in KINDS}, "mono": self.mono}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Judged:
        """Read the result of `to_json`."""
        return cls(*(np.array(data[kind], np.float64) for kind in KINDS), bool(data["mono"]))


def judged(analysis: Analysis, fingerprint: Fingerprint) -> Judged:
    """The judge's measures of a song that is not silent."""
    mid, side = (
        np.array(levels[1:29]) for levels in (analysis.third_octave_mid_db, analysis.third_octave_side_db)
    )
    windows = peaks(fingerprint)
    return Judged(
        tone_db(mid, side)[[TONE_HZ.index(hz) for hz in BAND_TONE_HZ]],
        np.clip(side - mid, NARROWEST_DB, WIDEST_DB)[[TONE_HZ.index(hz) for hz in BAND_WIDTH_HZ]],
        np.array(
            [
                analysis.plr_db,
                analysis.loudness_range_lu,
                *fingerprint.band_crest_db,
                *(windows[name] for name in WINDOWS),
            ]
        ),
        is_mono(analysis),
    )


@dataclass(frozen=True)
class PlainBand:
    """Mean and standard deviation of each measure by kind; mono songs say nothing of width."""

    mean: Mapping[str, Float64Array]
    spread: Mapping[str, Float64Array]

    @classmethod
    def of(cls, songs: Sequence[Judged]) -> PlainBand:
        """The band of some songs."""
        values = {
            kind: np.array([getattr(song, kind) for song in songs if kind != "width" or not song.mono])
            for kind in KINDS
        }
        return cls(
            {kind: found.mean(axis=0) for kind, found in values.items()},
            {kind: found.std(axis=0) for kind, found in values.items()},
        )

    def excess(self, song: Judged, kind: str) -> float:
        """Mean over the measures of what lies beyond one deviation, in dB (LU for the range)."""
        apart = np.abs(getattr(song, kind) - self.mean[kind])
        return float(np.maximum(apart - self.spread[kind], 0.0).mean())


def bands_without_each(songs: Sequence[Judged]) -> list[PlainBand]:
    """For each song the band of all the others."""
    return [PlainBand.of([*songs[:k], *songs[k + 1 :]]) for k in range(len(songs))]


def share_removed(before: Float64Array, after: Float64Array) -> float:
    """Σ w · (1 − after/before) ÷ Σ w, w = min(before, `MOST_DB`); what is added to nothing counts too."""
    weights = np.minimum(before, MOST_DB)
    scale = np.minimum(1.0, MOST_DB / np.maximum(before, 1e-9))
    return float((scale * (before - after)).sum() / weights.sum()) if weights.sum() > 0 else float("nan")


def area_under_curve(above: Float64Array, below: Float64Array) -> float:
    """Share of the pairs in which the first is the greater; a tie is half a pair."""
    apart = above[:, None] - below[None, :]
    return float(((apart > 0) + 0.5 * (apart == 0)).mean())


def interval(
    figure: Callable[..., float], *samples: Sequence[Any] | Float64Array, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The bootstrap interval of a figure at `CONFIDENCE`, songs drawn anew within each sample."""
    random = np.random.default_rng(seed)
    arrays = [np.asarray(sample) for sample in samples]
    drawn = [
        figure(*(array[random.integers(0, len(array), len(array))] for array in arrays)) for _ in range(draws)
    ]
    low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
