"""Statistics of finished records, and the deviation of a song from them.

For each pathology a few features are read from the song's fingerprint. The fitted statistics
(`checkpoints/finished_music`, made by `scripts/fit_finished_music.py`) hold their mean and spread
over finished music and, for each known mechanism of the pathology, the direction in which it moves
them against their covariance (Fisher's linear discriminant). A song's score is its distance along
that direction, in units of the distance that hardly any finished record passes.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.decibels import (
    amplitude_to_db,
    amplitudes_to_db,
    db_to_amplitude,
    db_to_power,
    power_to_db,
    powers_to_db,
)
from mixagent.pipeline.measure.fingerprint import (
    BAND_EDGES_HZ,
    FLOOR_DB,
    IMAGE_EDGES_HZ,
    LEANS_DB,
    WIDTHS_DB,
    Fingerprint,
)
from mixagent.pipeline.types import Float64Array

TONE_HZ = (
    *(63.0, 80.0, 100.0, 125.0, 160.0, 200.0, 250.0, 315.0, 400.0, 500.0, 630.0, 800.0, 1000.0),
    *(1250.0, 1600.0, 2000.0, 2500.0, 3150.0, 4000.0, 5000.0, 6300.0, 8000.0, 10000.0, 12500.0, 16000.0),
)
"""Nominal centres of the third octaves in which tone is compared."""

STANDARD_LIMIT = 8.0
"""Features count at most this many standard deviations, so that no odd record rules a score."""

_FINE_FLOOR_DB = -130.0
_LEAN_WIDTH_DB = 0.7


def third_octaves_db(fingerprint: Fingerprint) -> Float64Array:
    """Power of left plus right in the bands of `TONE_HZ`, in dB, shape (25,)."""
    both = fingerprint.left_power + fingerprint.right_power
    levels = [
        _band_db(fingerprint.low_power, fingerprint.low_bin_hz, hz)
        if hz <= 800
        else _band_db(both, fingerprint.bin_hz, hz)
        for hz in TONE_HZ
    ]
    return np.asarray(np.maximum(np.array(levels), FLOOR_DB))


def _band_db(power: Float64Array, bin_hz: float, centre_hz: float, width_octaves: float = 1 / 3) -> float:
    half = 2 ** (width_octaves / 2)
    low = round(centre_hz / half / bin_hz)
    high = max(round(centre_hz * half / bin_hz), low + 1)
    return power_to_db(float(power[low:high].sum()) + db_to_power(FLOOR_DB))


# --- fine structure --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """A long-term spectrum on a logarithmic axis: density in dB per Hz at `hz`."""

    hz: Float64Array
    level_db: Float64Array

    @property
    def steps_per_octave(self) -> float:
        """Points an octave."""
        return float(1 / np.log2(self.hz[1] / self.hz[0]))


def curve(power: Float64Array, bin_hz: float, low_hz: float, high_hz: float, per_octave: int = 12) -> Curve:
    """The spectrum smoothed over two steps of 1/`per_octave` octave."""
    count = max(int(per_octave * math.log2(high_hz / low_hz)), 2)
    hz = low_hz * 2 ** (np.arange(count + 1) / per_octave)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    reach = 2 ** (1 / per_octave)
    low = np.clip(np.round(hz / reach / bin_hz).astype(int), 0, len(power) - 1)
    high = np.clip(np.round(hz * reach / bin_hz).astype(int), low + 1, len(power))
    density = (sums[high] - sums[low]) / (high - low)
    return Curve(hz, powers_to_db(density + db_to_power(_FINE_FLOOR_DB)))


def prominence_db(curve: Curve, reach_octaves: float = 0.67) -> Float64Array:
    """The dB by which each point stands over the median of its surroundings."""
    reach = round(reach_octaves * curve.steps_per_octave)
    padded = np.pad(curve.level_db, reach, mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return np.asarray(curve.level_db - np.median(around, axis=1))


def dips(curve: Curve) -> list[tuple[float, float]]:
    """Gaps narrower than half an octave as (centre in Hz, depth in dB), the deepest first.

    The depth is against the lower of the two shoulders, so a slope or an edge is no gap.
    """
    step = curve.steps_per_octave
    inner, outer = round(0.25 * step), round(0.5 * step)
    level = curve.level_db
    depth = np.zeros_like(level)
    for k in range(outer, len(level) - outer):
        shoulder = min(level[k - outer : k - inner + 1].mean(), level[k + inner : k + outer + 1].mean())
        depth[k] = max(shoulder - level[k], 0.0)
    found: list[tuple[float, float]] = []
    while len(found) < 4:
        k = int(np.argmax(depth))
        found.append((float(curve.hz[k]), float(depth[k])))
        depth[max(k - outer, 0) : k + outer + 1] = 0.0
    return found


def resonance_curve(fingerprint: Fingerprint) -> Curve:
    """The low mids, 120 to 900 Hz, in steps of 1/12 octave."""
    return curve(fingerprint.low_power, fingerprint.low_bin_hz, 120, 900)


def gap_curve(fingerprint: Fingerprint) -> Curve:
    """500 Hz to 16 kHz in steps of 1/12 octave."""
    top_hz = min(16000.0, 0.45 * fingerprint.bin_hz * (len(fingerprint.left_power) - 1) * 2)
    return curve(fingerprint.left_power + fingerprint.right_power, fingerprint.bin_hz, 500, top_hz)


def lines_db(fingerprint: Fingerprint) -> tuple[Float64Array, Float64Array]:
    """Bins from 7 to 13 kHz as (Hz, level over the median of the 900 Hz around)."""
    both = fingerprint.left_power + fingerprint.right_power
    # Nothing stands above the Nyquist frequency of a low rate.
    both = np.pad(both, (0, max(round(13500 / fingerprint.bin_hz) + 2 - len(both), 0)))
    level = powers_to_db(both + db_to_power(_FINE_FLOOR_DB))
    reach = max(round(450 / fingerprint.bin_hz), 1)
    low = round(7000 / fingerprint.bin_hz)
    high = min(round(13000 / fingerprint.bin_hz), len(level) - reach - 1)
    around = np.lib.stride_tricks.sliding_window_view(level[low - reach : high + reach], 2 * reach + 1)
    hz = np.arange(low, low + len(around)) * fingerprint.bin_hz
    return np.asarray(hz), np.asarray(level[low : low + len(around)] - np.median(around, axis=1))


def cutoff_hz(fingerprint: Fingerprint) -> float:
    """The frequency at which the spectrum falls by 20 dB within 1/6 octave and stays down; else Nyquist."""
    nyquist_hz = fingerprint.bin_hz * (len(fingerprint.left_power) - 1)
    fine = curve(
        fingerprint.left_power + fingerprint.right_power, fingerprint.bin_hz, 2500, 0.97 * nyquist_hz, 24
    )
    level = fine.level_db
    highest_above = np.maximum.accumulate(level[::-1])[::-1]
    for k in range(12, len(level) - 5):
        if level[k - 3 : k + 1].mean() - highest_above[k + 5] > 20.0:
            return float(fine.hz[k + 1])
    return float(nyquist_hz)


# --- features --------------------------------------------------------------------------------------


def _mud(fingerprint: Fingerprint) -> dict[str, float]:
    tone = third_octaves_db(fingerprint)[: TONE_HZ.index(2000.0) + 1]
    features = {f"tone_{hz:.0f}": value for hz, value in zip(TONE_HZ, tone - tone.mean(), strict=False)}
    resonances = resonance_curve(fingerprint)
    inside = (resonances.hz > 180) & (resonances.hz < 550)
    standing = np.sort(prominence_db(resonances)[inside])[::-1]
    return features | {"resonance_1": float(standing[0]), "resonance_3": float(standing[:6].mean())}


def _shimmer(fingerprint: Fingerprint) -> dict[str, float]:
    start, stop = TONE_HZ.index(1000.0), TONE_HZ.index(6300.0) + 1
    tone = third_octaves_db(fingerprint)
    high = tone[start:] - tone[start:stop].mean()
    features = {
        f"tone_{hz:.0f}": value for hz, value in zip(TONE_HZ[start:], np.maximum(high, -50.0), strict=True)
    }
    _, standing = lines_db(fingerprint)
    standing = np.sort(standing)[::-1]
    spread = fingerprint.band_percentile_db(0.9) - fingerprint.band_percentile_db(0.3)
    metal, presence = _bands(7500, 13000), _bands(2000, 6500)
    return features | {
        "line_1": float(standing[0]),
        "line_share": float(np.mean(standing[: len(standing) // 10])),
        "line_spread": float(np.std(standing)),
        "steadiness": float(spread[metal].mean() - spread[presence].mean()),
        "flux": float(
            np.log(
                (fingerprint.band_flux_db[metal].mean() + 0.1)
                / (fingerprint.band_flux_db[presence].mean() + 0.1)
            )
        ),
        "flatness": float(
            fingerprint.band_flatness_db[metal].mean() - fingerprint.band_flatness_db[presence].mean()
        ),
    }


def _holes(fingerprint: Fingerprint) -> dict[str, float]:
    start = TONE_HZ.index(2000.0)
    tone = third_octaves_db(fingerprint)
    high = np.maximum(tone[start:] - tone[TONE_HZ.index(500.0) : start].mean(), -60.0)
    features = {f"tone_{hz:.0f}": value for hz, value in zip(TONE_HZ[start:], high, strict=True)}
    depths = [depth for _, depth in dips(gap_curve(fingerprint))]
    for name, low_hz, high_hz in (("mid", 1500, 4000), ("high", 4000, 8000), ("top", 8000, 14500)):
        inside = _bands(low_hz, high_hz)
        features[f"blinks_{name}"] = float(np.log10(fingerprint.band_blink_share[inside].mean() + 1e-3))
        features[f"flatness_{name}"] = float(fingerprint.band_flatness_db[inside].mean())
    return features | {
        "cutoff": math.log2(min(cutoff_hz(fingerprint), 16000.0) / 16000.0),
        "dip_1": depths[0],
        "dip_2": depths[1],
        "dip_34": depths[2] + depths[3],
    }


def _panning(fingerprint: Fingerprint) -> dict[str, float]:
    leans, common_db = lean_db(fingerprint), common_lean_db(fingerprint)
    balance = balance_db(fingerprint)
    apart = np.abs(leans - balance)
    widths, narrowest = width_db(fingerprint, common_db), narrowest_db(fingerprint)
    bands: dict[str, Float64Array] = {
        "width": widths,
        "side": 10 * _share(widths),
        "narrowest": narrowest,
        "least_side": 10 * _share(narrowest),
    }
    features = {
        f"{name}_{hz:.0f}": float(value)
        for name, values in bands.items()
        for hz, value in zip(IMAGE_EDGES_HZ, values, strict=False)
    }
    return features | {
        "balance": abs(balance),
        "lean_common": abs(common_db),
        "lean_mean": float(apart.mean()),
        "lean_most": float(apart.max()),
        "lean_steps": float(np.abs(np.diff(leans)).mean()),
        "lean_all": float(np.abs(leans).mean()),
    }


def _share(ratio_db: Float64Array) -> Float64Array:
    return np.asarray(1 / (1 + db_to_power(-ratio_db)))


def _flatness(fingerprint: Fingerprint) -> dict[str, float]:
    spread_up = fingerprint.band_percentile_db(0.95) - fingerprint.band_percentile_db(0.5)
    spread_down = fingerprint.band_percentile_db(0.5) - fingerprint.band_percentile_db(0.15)
    features = dict(peaks(fingerprint))
    for name, low_hz, high_hz in (("low", 60, 200), ("mid", 200, 2000), ("high", 2000, 8000)):
        inside = _bands(low_hz, high_hz)
        features[f"up_{name}"] = float(spread_up[inside].mean())
        features[f"down_{name}"] = float(min(spread_down[inside].mean(), 25.0))
        features[f"flux_{name}"] = float(fingerprint.band_flux_db[inside].mean())
    return features | {
        "top_share": math.log10(fingerprint.top_share + 1e-3),
        "flat_share": math.log10(fingerprint.flat_share + 1e-5),
    }


FEATURES: Mapping[str, Callable[[Fingerprint], dict[str, float]]] = MappingProxyType(
    {"mud": _mud, "shimmer": _shimmer, "holes": _holes, "panning": _panning, "flatness": _flatness}
)
"""For each pathology, what is compared with finished music."""


def _bands(low_hz: float, high_hz: float) -> NDArray[np.bool_]:
    centres = np.sqrt(BAND_EDGES_HZ[:-1] * BAND_EDGES_HZ[1:])
    return np.asarray((centres >= low_hz) & (centres < high_hz))


# --- image and dynamics ----------------------------------------------------------------------------


def balance_db(fingerprint: Fingerprint) -> float:
    """Power of the right channel against the left from 60 Hz to 14 kHz, within ±40 dB."""
    left = _sum(fingerprint.left_power, fingerprint, IMAGE_EDGES_HZ[0], IMAGE_EDGES_HZ[-1])
    right = _sum(fingerprint.right_power, fingerprint, IMAGE_EDGES_HZ[0], IMAGE_EDGES_HZ[-1])
    return _ratio_db(right, left)


def lean_db(fingerprint: Fingerprint) -> Float64Array:
    """Power of the right channel against the left per band of `IMAGE_EDGES_HZ`, within ±40 dB."""
    return np.array(
        [
            _ratio_db(
                _sum(fingerprint.right_power, fingerprint, low, high),
                _sum(fingerprint.left_power, fingerprint, low, high),
            )
            for low, high in itertools.pairwise(IMAGE_EDGES_HZ)
        ]
    )


def common_lean_db(fingerprint: Fingerprint) -> float:
    """The lean in which the bands and the sources agree, right positive; 0 where they do not.

    A lean put on the whole mix moves every band and every source alike: the median over the bands and the
    place where most sources stand. A record whose instruments stand to one side keeps others, the bass
    and the voice above all, in the middle.
    """
    smooth = np.exp(-0.5 * (np.arange(-4, 5) * 0.5 / _LEAN_WIDTH_DB) ** 2)
    stand_db = float(LEANS_DB[np.argmax(np.convolve(fingerprint.lean_histogram, smooth, "same"))])
    median_db = float(np.median(lean_db(fingerprint)))
    if stand_db * median_db <= 0:
        return 0.0
    return math.copysign(min(abs(stand_db), abs(median_db)), median_db)


def narrowest_db(fingerprint: Fingerprint) -> Float64Array:
    """Side against mid that a tenth of the frames stay under, per band of `IMAGE_EDGES_HZ`, from −40 dB.

    Where only what stands in the middle sounds, a record is narrow; a side made from the mid never is.
    """
    cumulated = np.cumsum(fingerprint.width_histogram, axis=1)
    under = np.sum(cumulated < 0.1 * np.maximum(cumulated[:, -1:], 1), axis=1)
    return np.asarray(np.maximum(WIDTHS_DB[np.minimum(under, len(WIDTHS_DB) - 1)], -40.0))


def width_db(fingerprint: Fingerprint, lean_removed_db: float = 0.0) -> Float64Array:
    """Power of the side against the mid per band of `IMAGE_EDGES_HZ`, within ±40 dB.

    With `lean_removed_db`, as if the right channel were lowered by so much against the left.
    """
    left = fingerprint.left_power * db_to_amplitude(lean_removed_db)
    right = fingerprint.right_power * db_to_amplitude(-lean_removed_db)
    both = left + right
    mid, side = both + 2 * fingerprint.cross_power, both - 2 * fingerprint.cross_power
    return np.array(
        [
            _ratio_db(_sum(side, fingerprint, low, high), _sum(mid, fingerprint, low, high))
            for low, high in itertools.pairwise(IMAGE_EDGES_HZ)
        ]
    )


def peaks(fingerprint: Fingerprint) -> dict[str, float]:
    """Peaks over power at several spans, in dB, in the loud half of the song."""
    peak, power = fingerprint.window_peak, fingerprint.window_power
    figures = {"plr": amplitude_to_db(float(peak.max(initial=0.0)) + 1e-6) + 20.0}
    for name, span in (("10ms", 1), ("50ms", 5), ("400ms", 40), ("3s", 300)):
        count = max(len(peak) // span, 1)
        tops = _folded(peak, span, count).max(axis=1)
        means = _folded(power, span, count).mean(axis=1)
        crest = amplitudes_to_db(tops + 1e-6) - powers_to_db(means + 1e-12)
        loud = means >= np.median(means)
        figures[f"crest_{name}"] = float(np.median(crest[loud]))
    tops = amplitudes_to_db(_folded(peak, 20, max(len(peak) // 20, 1)).max(axis=1) + 1e-6)
    figures["peak_spread"] = float(np.percentile(tops, 99) - np.percentile(tops, 50))
    return figures


def _folded(values: Float64Array, span: int, count: int) -> Float64Array:
    padded = np.pad(values, (0, max(span * count - len(values), 0)))
    return padded[: span * count].reshape(count, span)


def _sum(power: Float64Array, fingerprint: Fingerprint, low_hz: float, high_hz: float) -> float:
    low, high = round(low_hz / fingerprint.bin_hz), round(high_hz / fingerprint.bin_hz)
    return float(power[low : max(high, low + 1)].sum())


def _ratio_db(above: float, below: float) -> float:
    floor = db_to_power(FLOOR_DB)
    return float(np.clip(power_to_db((max(above, 0.0) + floor) / (max(below, 0.0) + floor)), -40, 40))


# --- statistics ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimator:
    """Predicts by how many dB a damage raised one figure: ridge regression on standardised features.

    Fitted on clean and damaged songs together, so it is shrunk by what cannot be known from the features;
    `threshold_db` is taken off as well, so that a clean song is hardly moved.
    """

    weights: Float64Array
    offset_db: float
    threshold_db: float

    def excess_db(self, standard: Float64Array) -> float:
        """The likely excess, 0 or more."""
        return max(self.offset_db + float(self.weights @ standard) - self.threshold_db, 0.0)


@dataclass(frozen=True)
class Population:
    """One pathology's features over finished music.

    Attributes:
        names: of the features.
        mean, spread: over finished music, robust.
        directions: per mechanism of the pathology, weights on the standardised features; divided so
            that the clean limit is 1.
        percentiles: per feature, its 5th, 50th and 95th percentile over finished music.
        estimator: of the figure that the pathology raises, where it raises one.
    """

    names: tuple[str, ...]
    mean: Float64Array
    spread: Float64Array
    directions: Mapping[str, Float64Array]
    percentiles: Mapping[str, tuple[float, float, float]]
    estimator: Estimator | None

    def standard(self, features: Mapping[str, float]) -> Float64Array:
        """The features in standard deviations from the mean, limited."""
        values = np.array([features[name] for name in self.names])
        return np.clip((values - self.mean) / self.spread, -STANDARD_LIMIT, STANDARD_LIMIT)

    def score(self, features: Mapping[str, float]) -> float:
        """The deviation: 0 is the mean of finished music, 1 the limit that hardly any passes."""
        standard = self.standard(features)
        return max(float(direction @ standard) for direction in self.directions.values())

    def excess_db(self, features: Mapping[str, float]) -> float:
        """The dB that the pathology likely added; 0 where it has no estimator."""
        return self.estimator.excess_db(self.standard(features)) if self.estimator else 0.0


@dataclass(frozen=True)
class FinishedMusic:
    """The statistics of finished music: tone (mean and covariance) and each pathology's features."""

    songs: int
    tone_mean_db: Float64Array
    tone_covariance: Float64Array
    populations: Mapping[str, Population]

    def expected_db(self, tone_db: Float64Array, unknown: NDArray[np.bool_]) -> Float64Array:
        """Predict the unknown bands of a tone curve from the known ones (conditional mean).

        Args:
            tone_db: levels in the bands of `TONE_HZ`, at any overall level.
            unknown: the bands to predict, shape (25,).

        Returns:
            Levels of the unknown bands at the same overall level.
        """
        known = ~unknown
        offset = float(np.mean(tone_db[known] - self.tone_mean_db[known]))
        covariance = self.tone_covariance + 0.5 * np.eye(len(TONE_HZ))
        apart = tone_db[known] - offset - self.tone_mean_db[known]
        weights = np.linalg.solve(covariance[np.ix_(known, known)], covariance[np.ix_(known, unknown)])
        return np.asarray(self.tone_mean_db[unknown] + offset + apart @ weights)


@cache
def finished_music() -> FinishedMusic:
    """The statistics that the package ships."""
    text = (
        resources.files("mixagent.checkpoints").joinpath("finished_music/statistics.json").read_text("utf-8")
    )
    return from_json(json.loads(text))


def from_json(data: Mapping[str, object]) -> FinishedMusic:
    """Statistics as `scripts/fit_finished_music.py` writes them."""
    raw: dict[str, dict[str, object]] = dict(data["populations"])  # type: ignore[call-overload]
    return FinishedMusic(
        songs=int(data["songs"]),  # type: ignore[call-overload]
        tone_mean_db=np.array(data["tone_mean_db"], np.float64),
        tone_covariance=np.array(data["tone_covariance"], np.float64),
        populations=MappingProxyType({kind: _population(row) for kind, row in raw.items()}),
    )


def _population(row: Mapping[str, object]) -> Population:
    directions: dict[str, list[float]] = dict(row["directions"])  # type: ignore[call-overload]
    percentiles: dict[str, tuple[float, float, float]] = dict(row["percentiles"])  # type: ignore[call-overload]
    return Population(
        names=tuple(percentiles),
        mean=np.array(row["mean"], np.float64),
        spread=np.array(row["spread"], np.float64),
        directions=MappingProxyType({name: np.array(w, np.float64) for name, w in directions.items()}),
        percentiles=MappingProxyType(percentiles),
        estimator=_estimator(row["estimator"]) if "estimator" in row else None,
    )


def _estimator(row: object) -> Estimator:
    data: dict[str, object] = dict(row)  # type: ignore[call-overload]
    weights = np.array(data["weights"], np.float64)
    return Estimator(weights, float(data["offset_db"]), float(data["threshold_db"]))  # type: ignore[arg-type]


def shrunk_db(measured_db: float, usual_db: float) -> float:
    """A measure that usually strays by `usual_db`, shrunk towards 0; nothing is left of what is usual.

    The non-negative garrote (Breiman 1995, Better Subset Regression): large values are hardly moved.
    """
    if abs(measured_db) <= usual_db:
        return 0.0
    return measured_db * (1.0 - (usual_db / measured_db) ** 2)
