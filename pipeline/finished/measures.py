"""The one table of a song's measures that are compared with finished music.

None of them depends on the song's level. All is read from its `Analysis` and its `Fingerprint`, so that
measuring costs no further pass over the audio.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from mixagent.pipeline.decibels import db_to_power, power_to_db, powers_to_db
from mixagent.pipeline.diagnosis.statistics import (
    dips,
    gap_curve,
    lean_db,
    lines_db,
    peaks,
    prominence_db,
    resonance_curve,
)
from mixagent.pipeline.dsp.third_octaves import EDGES_HZ, MUSIC, THIRD_OCTAVES_HZ
from mixagent.pipeline.figures import finite_or_none
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.fingerprint import (
    BAND_EDGES_HZ,
    CREST_HZ,
    IMAGE_EDGES_HZ,
    REFERENCE_LUFS,
    Fingerprint,
)
from mixagent.pipeline.measure.highs import find_highs
from mixagent.pipeline.types import Float64Array

Group = Literal["tone", "width", "balance", "punch", "range", "steadiness", "top", "texture", "lows"]

TONE_HZ = THIRD_OCTAVES_HZ[MUSIC]
"""Nominal centres of the third octaves in which a song is judged and corrected, 31.5 Hz to 16 kHz."""

WIDTH_HZ = THIRD_OCTAVES_HZ[6:29]
"""Those in which its width is judged, 100 Hz to 16 kHz."""

LOWEST_DB = -70.0
"""A level further than this under the mean of 100 Hz to 8 kHz counts as silence."""

NARROWEST_DB, WIDEST_DB = -30.0, 12.0
"""Side over mid counts between these: further out nobody hears a difference."""

MONO_DB = -40.0
"""Side over mid, in the widest of six bands, up to which a song has no width to be judged."""

TOP_HZ = 20000.0
"""Highs that reach so far, or that die out by themselves, are whole."""

LONGEST_RANGE_LU = 20.0
MOST_LOST_DB = 12.0

LEVEL = slice(TONE_HZ.index(100.0), TONE_HZ.index(8000.0) + 1)
"""The bands about whose mean in dB the tone is told."""

_BLINKS_HZ: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"mid": (1500, 4000), "high": (4000, 8000), "top": (8000, 14500)}
)
_METAL_HZ, _PRESENCE_HZ = (7500, 13000), (2000, 6500)
DEEPEST_WOBBLE_DB = 25.0
"""The end of the scale of how far the lows come and go: larger moves are measured as this."""

_TONE_EDGES_HZ = EDGES_HZ[MUSIC.start : MUSIC.stop + 1]
_ONSETS_OFFSET_HZ = 0.3
_QUIET_SHARE, _LOUD_SHARE = 0.1, 0.95
_STEADY_NOISE_DB = 6.5
"""Mean over `low_steady_power` of a noise: a bin's power is exponential, and a fifth of it under 0.223."""

_KIND_HZ = ((60, 150), (150, 400), (400, 1000), (1000, 2500), (2500, 6000), (6000, 13000))


@dataclass(frozen=True)
class Measure:
    """One figure by which a song is judged.

    Attributes:
        name: unique; ends in the centre of its band in Hz where it has one.
        group: measures of one group share their causes.
        unit: of the value.
        hz: centre of its band, None for what has no band.
    """

    name: str
    group: Group
    unit: str
    hz: float | None = None


def _table() -> tuple[Measure, ...]:
    def bands(group: Group, what: str) -> list[Measure]:
        return [Measure(f"{what}_{n}", group, "dB", math.sqrt(a * b)) for n, (a, b) in CREST_HZ.items()]

    def plain(group: Group, unit: str, *names: str) -> list[Measure]:
        return [Measure(name, group, unit) for name in names]

    return (
        *(Measure(f"tone_{int(hz)}", "tone", "dB", hz) for hz in TONE_HZ),
        *(Measure(f"width_{int(hz)}", "width", "dB", hz) for hz in WIDTH_HZ),
        *(Measure(f"lean_{int(hz)}", "balance", "dB", hz) for hz in IMAGE_EDGES_HZ[:-1]),
        *plain("balance", "dB", "mono_loss"),
        *plain("punch", "dB", "plr", "crest_3s", "crest_400ms", "crest_50ms"),
        *bands("punch", "crest"),
        *plain("range", "LU", "loudness_range", "section_contrast"),
        *bands("steadiness", "swing"),
        *plain("steadiness", "dB", "ducking"),
        *plain("top", "octaves", "bandwidth"),
        *plain("top", "log10", *(f"blinks_{name}" for name in _BLINKS_HZ), "away"),
        *plain("texture", "dB", "line", "lines", "top_steadiness", "top_noise", "resonance", "gap"),
        *plain("lows", "dB", "sub_wobble", "bass_wobble"),
    )


MEASURES = _table()
"""Every measure, in the order of `SongMeasures.values`."""

INDEX: Mapping[str, int] = MappingProxyType({measure.name: k for k, measure in enumerate(MEASURES)})

GROUPS: Mapping[Group, NDArray[np.int64]] = MappingProxyType(
    {
        group: np.array([k for k, m in enumerate(MEASURES) if m.group == group], np.int64)
        for group in dict.fromkeys(measure.group for measure in MEASURES)
    }
)
"""The places of each group in the table."""

_KIND_VALUES = ("lines", "top_noise", "blinks_high", "ducking", "resonance")

KIND = (
    "onsets",
    "sharpness",
    *(f"{what}_{low}" for low, _ in _KIND_HZ for what in ("noise", "flux", "up", "down")),
    *_KIND_VALUES,
)
"""What a song says of its own kind: how it moves in time, and its grain. Neither width nor level changes
them, nor an equaliser unless it is narrow."""


def _unknown() -> Float64Array:
    return np.full(len(TONE_HZ), math.nan)


@dataclass(frozen=True)
class SongMeasures:
    """The measures of one song.

    Attributes:
        values: one for each of `MEASURES`; NaN where the song has no such thing, as the width of a mono song.
        kind: one for each of `KIND`.
        duration_s: length of what was measured.
        quiet_db: level of each band of `TONE_HZ` in the song's quiet moments, against the song's loudness: a
            tenth of its frames are quieter. NaN where it is not known.
        moves_db: by how much more each band's level moves in time than that of a steady noise does. A kick
            moves within a beat and a bass from note to note; rumble, hum and hiss move neither way.
    """

    values: Float64Array
    kind: Float64Array
    duration_s: float = math.inf
    quiet_db: Float64Array = field(default_factory=_unknown)
    moves_db: Float64Array = field(default_factory=_unknown)

    def __getitem__(self, name: str) -> float:
        return float(self.values[INDEX[name]])

    @property
    def onsets_hz(self) -> float:
        """Onsets in a second."""
        return math.exp(self.kind[KIND.index("onsets")]) - _ONSETS_OFFSET_HZ

    def of(self, group: Group) -> Float64Array:
        """The values of one group, in the order of the table."""
        return self.values[GROUPS[group]]

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it; what is not there is null."""
        values = {m.name: finite_or_none(v, 4) for m, v in zip(MEASURES, self.values, strict=True)}
        rows = {name: [finite_or_none(v, 4) for v in getattr(self, name)] for name in ("kind", *_BY_BAND)}
        return {"values": values, **rows, "duration_s": finite_or_none(self.duration_s, 4)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SongMeasures:
        """Read the result of `to_json`; how the bands move may be missing.

        Raises:
            KeyError, TypeError, ValueError: anything else.
        """
        values = [data["values"][measure.name] for measure in MEASURES]
        kind = np.array(data["kind"], np.float64)
        if kind.shape != (len(KIND),) or not np.isfinite(kind).all():
            raise ValueError("the measures of the song's kind are not these")
        duration_s = data["duration_s"]
        by_band = {name: _numbers(data[name]) for name in _BY_BAND if name in data}
        if any(row.shape != (len(TONE_HZ),) for row in by_band.values()):
            raise ValueError("how the song's bands move is not told of these bands")
        return cls(_numbers(values), kind, math.inf if duration_s is None else float(duration_s), **by_band)


_BY_BAND = ("quiet_db", "moves_db")


def _numbers(values: Iterable[float | None]) -> Float64Array:
    return np.array([math.nan if v is None else float(v) for v in values])


def measure_song(analysis: Analysis, fingerprint: Fingerprint) -> SongMeasures:
    """The measures of a song that is not silent.

    Args:
        analysis: of the song.
        fingerprint: of the song, at its loudness.
    """
    values = {
        **_tone_and_width(analysis),
        **_balance(analysis, fingerprint),
        **_dynamics(analysis, fingerprint),
        **_top(fingerprint),
        **_lows(fingerprint),
    }
    kind = [*_kind(analysis, fingerprint), *(values[name] for name in _KIND_VALUES)]
    return SongMeasures(
        np.array([values[m.name] for m in MEASURES]),
        np.array(kind),
        analysis.duration_s,
        _at_tones(fingerprint.band_percentile_db(_QUIET_SHARE) - REFERENCE_LUFS),
        _moves_db(fingerprint),
    )


def tone_db(mid_db: Float64Array, side_db: Float64Array) -> Float64Array:
    """Tone in each of `TONE_HZ` from the levels of mid and side there: both together, about their mean.

    The mean is that of 100 Hz to 8 kHz in dB, so that the tone does not depend on the level.
    """
    both = powers_to_db(db_to_power(mid_db) + db_to_power(side_db))
    return np.asarray(np.maximum(both - both[LEVEL].mean(), LOWEST_DB))


def beyond_end(bandwidth: float) -> NDArray[np.bool_]:
    """Marks those of `TONE_HZ` that reach beyond the end of a spectrum, by its measure `bandwidth`."""
    return np.asarray(np.array(TONE_HZ) * 2 ** (1 / 6) > 16000.0 * 2**bandwidth)


def is_mono(analysis: Analysis) -> bool:
    """True if the song has no side to speak of."""
    return analysis.channels == 1 or max(analysis.side_ratio_db.values()) <= MONO_DB


def _tone_and_width(analysis: Analysis) -> dict[str, float]:
    mid, side = (
        np.array(levels[1:29]) for levels in (analysis.third_octave_mid_db, analysis.third_octave_side_db)
    )
    width = np.clip(side - mid, NARROWEST_DB, WIDEST_DB)[-len(WIDTH_HZ) :]
    if is_mono(analysis):
        width = np.full(len(WIDTH_HZ), math.nan)
    tone = zip(TONE_HZ, tone_db(mid, side), strict=True)
    return {f"tone_{int(hz)}": float(v) for hz, v in tone} | {
        f"width_{int(hz)}": float(v) for hz, v in zip(WIDTH_HZ, width, strict=True)
    }


def _balance(analysis: Analysis, fingerprint: Fingerprint) -> dict[str, float]:
    leans = np.full(len(IMAGE_EDGES_HZ) - 1, math.nan) if is_mono(analysis) else lean_db(fingerprint)
    mono_loss = math.nan if is_mono(analysis) else min(analysis.mono_fold_loss_db, MOST_LOST_DB)
    lean = {f"lean_{int(hz)}": float(v) for hz, v in zip(IMAGE_EDGES_HZ, leans, strict=False)}
    return lean | {"mono_loss": mono_loss}


def _dynamics(analysis: Analysis, fingerprint: Fingerprint) -> dict[str, float]:
    figures = peaks(fingerprint)
    loud = [lufs for lufs in analysis.short_term_lufs if lufs > analysis.integrated_lufs - 20.0]
    up = fingerprint.band_percentile_db(0.95) - fingerprint.band_percentile_db(0.5)
    crests = zip(CREST_HZ, fingerprint.band_crest_db, strict=True)
    return {
        "plr": analysis.plr_db,
        **{name: figures[name] for name in ("crest_3s", "crest_400ms", "crest_50ms")},
        **{f"crest_{name}": float(value) for name, value in crests},
        "loudness_range": min(analysis.loudness_range_lu, LONGEST_RANGE_LU),
        "section_contrast": float(np.std(loud)) if len(loud) > 8 else math.nan,
        "ducking": fingerprint.ducking_db,
        **{f"swing_{name}": float(up[_bands(low, high)].mean()) for name, (low, high) in CREST_HZ.items()},
    }


def _top(fingerprint: Fingerprint) -> dict[str, float]:
    _, lines = lines_db(fingerprint)
    lines = np.sort(lines)[::-1]
    spread = fingerprint.band_percentile_db(0.9) - fingerprint.band_percentile_db(0.3)
    flatness = fingerprint.band_flatness_db
    metal, presence = _bands(*_METAL_HZ), _bands(*_PRESENCE_HZ)
    resonances = resonance_curve(fingerprint)
    both = fingerprint.left_power + fingerprint.right_power
    highs = find_highs(both, fingerprint.log_power_db, fingerprint.bin_hz)
    inside = (resonances.hz > 120) & (resonances.hz < 800)
    blinks = {
        f"blinks_{name}": math.log10(float(fingerprint.band_blink_share[_bands(low, high)].mean()) + 1e-3)
        for name, (low, high) in _BLINKS_HZ.items()
    }
    return blinks | {
        "bandwidth": math.log2(min(highs.end_hz if highs.cliff else TOP_HZ, TOP_HZ) / 16000.0),
        "away": math.log10(float(fingerprint.away_share.max(initial=0.0)) + 1e-3),
        "line": float(lines[0]),
        "lines": float(np.mean(lines[: len(lines) // 10])),
        "top_steadiness": float(spread[metal].mean() - spread[presence].mean()),
        "top_noise": float(flatness[metal].mean() - flatness[presence].mean()),
        "resonance": float(prominence_db(resonances)[inside].max()),
        "gap": dips(gap_curve(fingerprint))[0][1],
    }


def _lows(fingerprint: Fingerprint) -> dict[str, float]:
    hz = np.arange(len(fingerprint.low_power)) * fingerprint.low_bin_hz

    def wobble_db(low_hz: float, high_hz: float) -> float:
        inside = (hz >= low_hz) & (hz < high_hz)
        mean, steady = (
            float(power[inside].sum()) + 1e-11
            for power in (fingerprint.low_power, fingerprint.low_steady_power)
        )
        return min(power_to_db(mean / steady), DEEPEST_WOBBLE_DB)

    return {"sub_wobble": wobble_db(30, 60), "bass_wobble": wobble_db(60, 120)}


def _moves_db(fingerprint: Fingerprint) -> Float64Array:
    """Each band's moves beyond a steady noise, in dB: from frame to frame, under 1 kHz also in 0.75 s."""
    frames_db = fingerprint.band_percentile_db(_LOUD_SHARE) - fingerprint.band_percentile_db(_QUIET_SHARE)
    moves_db = _at_tones(frames_db - _noise_spread_db(fingerprint.bin_hz))
    hz = np.arange(len(fingerprint.low_power)) * fingerprint.low_bin_hz
    for band, (low_hz, high_hz) in enumerate(pairwise(_TONE_EDGES_HZ)):
        inside = (hz >= low_hz) & (hz < high_hz)
        mean, steady = (
            float(power[inside].sum()) + 1e-11
            for power in (fingerprint.low_power, fingerprint.low_steady_power)
        )
        if high_hz <= hz[-1]:
            moves_db[band] = max(moves_db[band], power_to_db(mean / steady) - _STEADY_NOISE_DB)
    return moves_db


def _noise_spread_db(bin_hz: float) -> Float64Array:
    """The spread in dB between the same shares of the frames of a steady noise, alike in both channels.

    The power of a band of K independent bins has 2 K degrees of freedom; the bins of a Hann window go by
    one and a half.
    """
    freedom = np.maximum(np.diff(BAND_EDGES_HZ) / (1.5 * bin_hz), 1.0)
    loud, quiet = (gammaincinv(freedom, share) for share in (_LOUD_SHARE, _QUIET_SHARE))
    return np.asarray(powers_to_db(loud / quiet))


def _at_tones(bands: Float64Array) -> Float64Array:
    """Figures of the fingerprint's bands at `TONE_HZ`."""
    centres = np.sqrt(BAND_EDGES_HZ[:-1] * BAND_EDGES_HZ[1:])
    return np.interp(np.log(TONE_HZ), np.log(centres), bands)


def _kind(analysis: Analysis, fingerprint: Fingerprint) -> list[float]:
    middle = fingerprint.band_percentile_db(0.5)
    up = fingerprint.band_percentile_db(0.95) - middle
    down = np.minimum(middle - fingerprint.band_percentile_db(0.15), 25.0)
    onsets_hz = analysis.transient_density_hz
    rows = [math.log(onsets_hz + _ONSETS_OFFSET_HZ), min(analysis.transient_sharpness_db, 25.0)]
    for low, high in _KIND_HZ:
        inside = _bands(low, high)
        figures = (fingerprint.band_flatness_db, fingerprint.band_flux_db, up, down)
        rows += [float(figure[inside].mean()) for figure in figures]
    return rows


def _bands(low_hz: float, high_hz: float) -> NDArray[np.bool_]:
    centres = np.sqrt(BAND_EDGES_HZ[:-1] * BAND_EDGES_HZ[1:])
    return np.asarray((centres >= low_hz) & (centres < high_hz))
