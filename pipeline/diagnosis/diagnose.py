"""Diagnoses a song: the five pathologies of generated audio, and plain defects.

A pathology's severity says how far outside of finished music the song is (`finished_music`), so it
needs no fixed threshold and does not depend on the song's level: 0 is what finished records measure
on average, `FOUND` what hardly any of them passes, and 1 is approached but not reached. `values` hold
the figures that settings can be made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from mixagent.pipeline.decibels import db_to_power, power_to_db, powers_to_db
from mixagent.pipeline.diagnosis.statistics import (
    FEATURES,
    TONE_HZ,
    balance_db,
    common_lean_db,
    dips,
    finished_music,
    gap_curve,
    lean_db,
    lines_db,
    peaks,
    prominence_db,
    resonance_curve,
    shrunk_db,
    third_octaves_db,
    width_db,
)
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.fingerprint import BAND_EDGES_HZ, IMAGE_EDGES_HZ, Fingerprint, fingerprint
from mixagent.pipeline.measure.highs import find_highs
from mixagent.pipeline.measure.offset import LEAST_SHARE, offset_share, offset_words
from mixagent.pipeline.types import AudioSource, Float64Array

NOWHERE = "nowhere"
"""The place of what could not be looked for."""

FOUND = 0.3
"""Severity from which a finding counts."""

PATHOLOGIES = ("shimmer", "mud", "holes", "panning", "flatness")
DEFECTS = ("clipping", "hum", "noise", "mono", "silence", "glitches", "offset")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or is not: severity 0..1, where, the evidence, and figures."""

    kind: str
    severity: float
    place: str
    evidence: str
    values: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    def __reduce__(self) -> tuple[type[Finding], tuple[Any, ...]]:
        return Finding, (self.kind, self.severity, self.place, self.evidence, dict(self.values))


@dataclass(frozen=True)
class Diagnosis:
    """The five pathologies, always all of them, and the defects that were found."""

    findings: tuple[Finding, ...]

    def finding(self, kind: str) -> Finding | None:
        """The finding of a kind, or None where there is none."""
        return next((finding for finding in self.findings if finding.kind == kind), None)

    def severity(self, kind: str) -> float:
        """Severity of a kind, 0..1; 0 where there is no finding."""
        finding = self.finding(kind)
        return finding.severity if finding else 0.0

    def found(self, kind: str) -> bool:
        """True if a kind is severe enough to count."""
        return self.severity(kind) >= FOUND

    def to_json(self) -> list[dict[str, Any]]:
        """One object a finding; `found` says whether it counts."""
        return [
            {
                "kind": finding.kind,
                "severity": finding.severity,
                "found": finding.severity >= FOUND,
                "place": finding.place,
                "evidence": finding.evidence,
                "values": dict(finding.values),
            }
            for finding in self.findings
        ]

    @classmethod
    def from_json(cls, data: Sequence[Mapping[str, Any]]) -> Diagnosis:
        """The diagnosis that `to_json` wrote."""
        names = ("kind", "severity", "place", "evidence", "values")
        return cls(tuple(Finding(**{name: row[name] for name in names}) for row in data))


@dataclass(frozen=True)
class ToneDeviation:
    """The difference of a song's tone from the mean of finished music, at equal mean level.

    `hz`, `deviation_db` and `deviation_sigma` (in standard deviations over finished music) have one
    value for each third octave from 63 Hz to 16 kHz.
    """

    hz: tuple[float, ...]
    deviation_db: Float64Array
    deviation_sigma: Float64Array


def tone_deviation(analysis: Analysis) -> ToneDeviation:
    """The third octaves of mid and side together against finished music's mean curve."""
    power = {
        hz: db_to_power(mid) + db_to_power(side)
        for hz, mid, side in zip(
            analysis.third_octave_hz, analysis.third_octave_mid_db, analysis.third_octave_side_db, strict=True
        )
    }
    tone_db = powers_to_db(np.array([power[hz] + 1e-12 for hz in TONE_HZ]))
    music = finished_music()
    core = slice(TONE_HZ.index(100.0), TONE_HZ.index(8000.0) + 1)
    apart = tone_db - music.tone_mean_db
    apart -= apart[core].mean()
    return ToneDeviation(TONE_HZ, apart, apart / np.sqrt(np.diag(music.tone_covariance)))


def diagnose(source: AudioSource, analysis: Analysis, known: Fingerprint | None = None) -> Diagnosis:
    """Find what is wrong, in one more pass over the source.

    Args:
        source: mono or stereo, the one that `analysis` measured.
        analysis: gives the loudness to which the song is brought before anything is judged.
        known: the source's fingerprint at that loudness, for a caller that has it: nothing is read.
    """
    if not math.isfinite(analysis.integrated_lufs):
        silent = Finding("silence", 1.0, "everywhere", "nothing passes the loudness gate at -70 LUFS", {})
        return Diagnosis((*(_absent(kind) for kind in PATHOLOGIES), silent))
    measured = known or fingerprint(source, analysis.integrated_lufs)
    describe: Mapping[str, _Describe] = {
        "shimmer": _shimmer,
        "mud": _mud,
        "holes": _holes,
        "panning": _panning,
        "flatness": _flatness,
    }
    pathologies = [_pathology(kind, describe[kind], measured, analysis) for kind in PATHOLOGIES]
    defects = [finding for find in _DEFECTS if (finding := find(measured, analysis)) is not None]
    return Diagnosis((*pathologies, *defects))


_Description = tuple[str, str, dict[str, float]]
_Describe = Callable[[Fingerprint, Analysis], _Description]

_TOO: Mapping[str, str] = {"mud": "full", "shimmer": "bright"}
_WORTH_SAYING_DB = 1.0


def _absent(kind: str) -> Finding:
    return Finding(kind, 0.0, NOWHERE, "there is nothing to hear", {})


def _pathology(kind: str, describe: _Describe, measured: Fingerprint, analysis: Analysis) -> Finding:
    place, evidence, values = describe(measured, analysis)
    if kind == "panning" and analysis.channels == 1:
        return Finding(kind, 0.0, NOWHERE, "one channel has no image", values)
    features = FEATURES[kind](measured)
    population = finished_music().populations[kind]
    score = population.score(features)
    likely_db = population.excess_db(features)
    values |= {"score": score, "likely_excess_db": likely_db}
    if kind in _TOO and likely_db >= _WORTH_SAYING_DB:
        evidence += f"; all measures together say {likely_db:.1f} dB too {_TOO[kind]}"
    finite = {name: float(round(value, 4)) for name, value in values.items() if math.isfinite(value)}
    return Finding(kind, round(_severity(score), 4), place, evidence, finite)


def _severity(score: float) -> float:
    """`FOUND` at a score of 1, strictly rising and never saturated, so that strengths stay ordered."""
    return float(1.0 - (1.0 - FOUND) ** max(score, 0.0))


def _usual(kind: str, feature: str) -> tuple[float, float, float]:
    """The feature's 5th, 50th and 95th percentile over finished records."""
    return finished_music().populations[kind].percentiles[feature]


# --- pathologies -----------------------------------------------------------------------------------


def _excess(
    tone_db: Float64Array, judged: tuple[float, float], left_out: tuple[float, float]
) -> tuple[Float64Array, Float64Array]:
    """Bands judged (Hz), and what they have over the prediction of all but those left out, in dB."""
    hz = np.array(TONE_HZ)
    unknown = (hz >= left_out[0]) & (hz <= left_out[1])
    inside = (hz[unknown] >= judged[0]) & (hz[unknown] <= judged[1])
    excess = tone_db[unknown] - finished_music().expected_db(tone_db, unknown)
    return hz[unknown][inside], excess[inside]


def _against(difference_db: float, more: str, less: str) -> str:
    return f"{abs(difference_db):.1f} dB {more if difference_db > 0 else less}"


def _mud(measured: Fingerprint, analysis: Analysis) -> _Description:
    hz, excess = _excess(third_octaves_db(measured), (200, 500), (200, 500))
    mean, most = float(excess.mean()), float(excess.max())
    center_hz = float(2 ** np.average(np.log2(hz), weights=np.maximum(excess, 0.0) + 1e-3))
    standing = _resonances(measured)
    strongest_hz, strongest_db = standing[0]
    usual = _usual("mud", "resonance_1")[2]
    resonances = [(peak_hz, peak_db) for peak_hz, peak_db in standing if peak_db > usual]
    half = float(np.sum(excess > 0.5 * max(most, 1e-3))) / 3
    width = 1 / 6 if resonances else max(half, 1 / 3)
    values = {
        "excess_db": mean,
        "excess_most_db": most,
        "center_hz": strongest_hz if resonances else center_hz,
        "q": float(np.sqrt(2**width) / (2**width - 1)),
        "resonant": float(bool(resonances)),
        "resonance_db": strongest_db,
        "resonance_hz": strongest_hz,
        "resonance_count": float(len(resonances)),
        "tilt_db": float(excess[:2].mean() - excess[-2:].mean()),
    }
    for index, (peak_hz, peak_db) in enumerate(resonances):
        values |= {f"resonance_{index}_hz": peak_hz, f"resonance_{index}_db": peak_db}
        values[f"resonance_{index}_excess_db"] = shrunk_db(peak_db, usual)
    evidence = f"200–500 Hz is {_against(mean, 'fuller', 'leaner')} than the rest of the song predicts"
    if resonances:
        evidence += f"; {strongest_hz:.0f} Hz stands {strongest_db:.1f} dB out"
    return f"200–500 Hz, most at {values['center_hz']:.0f} Hz", evidence, values


def _resonances(measured: Fingerprint, most: int = 3) -> list[tuple[float, float]]:
    """Peaks of 180 to 550 Hz over 1/6 octave apart as (Hz, dB over their surroundings), highest first."""
    curve = resonance_curve(measured)
    inside = (curve.hz > 180) & (curve.hz < 550)
    standing = np.where(inside, prominence_db(curve), -np.inf)
    top = standing[1:-1]
    top = np.where((top >= standing[:-2]) & (top >= standing[2:]), top, -np.inf)
    reach = round(curve.steps_per_octave / 6)
    found: list[tuple[float, float]] = []
    while len(found) < most and np.any(np.isfinite(top)):
        k = int(np.argmax(top))
        found.append((float(curve.hz[k + 1]), float(top[k])))
        top[max(k - reach, 0) : k + reach + 1] = -np.inf
    return found


def _shimmer(measured: Fingerprint, analysis: Analysis) -> _Description:
    hz, excess = _excess(third_octaves_db(measured), (8000, 12500), (8000, 16000))
    lines_hz, standing = lines_db(measured)
    count = sum(
        1
        for k in range(1, len(standing) - 1)
        if standing[k] > 6 and standing[k] == max(standing[k - 1 : k + 2])
    )
    strongest = int(np.argmax(standing))
    mean = float(excess.mean())
    center_hz = float(2 ** np.average(np.log2(hz), weights=np.maximum(excess, 0.0) + 1e-3))
    values = {
        "excess_db": mean,
        "excess_most_db": float(excess.max()),
        "center_hz": center_hz,
        "line_db": float(standing[strongest]),
        "line_count": float(count),
        "line_hz": float(lines_hz[strongest]),
    }
    evidence = f"8–12 kHz is {_against(mean, 'brighter', 'duller')} than the bands below predict"
    if count:
        evidence += f"; {count} steady {'tone rings' if count == 1 else 'tones ring'} in it"
    return f"8–12 kHz, most at {center_hz / 1000:.1f} kHz", evidence, values


def _holes(measured: Fingerprint, analysis: Analysis) -> _Description:
    highs = find_highs(measured.left_power + measured.right_power, measured.log_power_db, measured.bin_hz)
    cut_hz = highs.end_hz if highs.cliff else measured.bin_hz * (len(measured.left_power) - 1)
    gaps = [(hz, depth) for hz, depth in dips(gap_curve(measured)) if depth > 6.0 and hz < 0.85 * cut_hz]
    inside = (BAND_EDGES_HZ[:-1] > 2000) & (BAND_EDGES_HZ[1:] < 14000)
    values = {
        "cutoff_hz": cut_hz,
        "missing_db": highs.missing_db if highs.is_short else 0.0,
        "gap_count": float(len(gaps)),
        "blink_share": float(measured.band_blink_share[inside].mean()),
    }
    away = np.flatnonzero(measured.away_share > 0)
    if away.size:
        values["away_share"] = float(measured.away_share.max())
        values["away_low_hz"] = float(measured.away_hz[away[0]])
        values["away_high_hz"] = float(measured.away_hz[away[-1] + 1])
    for index, (hz, depth) in enumerate(gaps):
        values |= {f"gap_{index}_hz": hz, f"gap_{index}_db": depth}
    where = [f"{hz / 1000:.1f} kHz" for hz, _ in gaps]
    where += [f"above {cut_hz / 1000:.1f} kHz"] if highs.is_short else []
    return ", ".join(where) or "2–14 kHz", _holes_evidence(values), values


def _holes_evidence(values: Mapping[str, float]) -> str:
    clauses = []
    if values["missing_db"] > 0:
        clauses.append(f"the highs end at {values['cutoff_hz'] / 1000:.1f} kHz")
    if values["gap_count"]:
        count = f"{values['gap_count']:.0f} gaps, the deepest" if values["gap_count"] > 1 else "one gap of"
        clauses.append(f"{count} {values['gap_0_db']:.0f} dB")
    if values.get("away_share", 0.0) > 0.01:
        low, high = (values[f"away_{end}_hz"] / 1000 for end in ("low", "high"))
        clauses.append(f"{low:.1f}–{high:.1f} kHz blinks off {100 * values['away_share']:.0f} % of the time")
    elif len(clauses) < 2 and values["blink_share"] > 0.02:
        clauses.append(f"bands drop out {100 * values['blink_share']:.0f} % of the time")
    return "; ".join(clauses) or "no gap and no early end of the highs"


def _panning(measured: Fingerprint, analysis: Analysis) -> _Description:
    leans, balance, common_db = lean_db(measured), balance_db(measured), common_lean_db(measured)
    widths = width_db(measured, common_db)
    excess = widths - np.array([_usual("panning", f"width_{hz:.0f}")[1] for hz in IMAGE_EDGES_HZ[:-1]])
    values = {
        "balance_db": balance,
        "lean_spread_db": float(np.std(leans)),
        "lean_most_db": float(np.abs(leans - balance).max()),
        "width_excess_db": float(excess[2:].mean()),
        "correlation": analysis.correlation,
        "common_lean_db": common_db,
        "likely_lean_db": shrunk_db(common_db, _usual("panning", "lean_common")[2]),
    }
    for hz, lean, wide in zip(IMAGE_EDGES_HZ[:-1], leans, excess, strict=True):
        values |= {f"lean_{hz:.0f}_db": float(lean), f"width_excess_{hz:.0f}_db": float(wide)}
    worst = int(np.argmax(np.abs(leans - balance)))
    place = f"most at {IMAGE_EDGES_HZ[worst]:.0f}–{IMAGE_EDGES_HZ[worst + 1]:.0f} Hz"
    return place, _panning_evidence(values), values


def _panning_evidence(values: Mapping[str, float]) -> str:
    if abs(values["balance_db"]) < 0.5:
        balance = "the picture stands in the middle"
    else:
        balance = f"the picture leans {_against(values['balance_db'], 'to the right', 'to the left')}"
    if values["lean_most_db"] > _usual("panning", "lean_most")[2]:
        return f"{balance}; one band leans {values['lean_most_db']:.1f} dB away from the rest"
    return f"{balance}; the sides are {_against(values['width_excess_db'], 'louder', 'quieter')} than usual"


def _flatness(measured: Fingerprint, analysis: Analysis) -> _Description:
    population = finished_music().populations["flatness"]
    figures = peaks(measured)
    values = {
        "plr_db": analysis.plr_db,
        "plr_deficit_db": population.percentiles["plr"][1] - figures["plr"],
        "crest_deficit_db": population.percentiles["crest_400ms"][1] - figures["crest_400ms"],
        "psr_db": figures["crest_3s"],
        "range_lu": analysis.loudness_range_lu,
        "clip_dbfs": analysis.sample_peak_dbfs,
        "clipped_share": measured.flat_share,
        "top_share": measured.top_share,
    }
    low, _, high = _usual("flatness", "crest_400ms")
    evidence = (
        f"peaks stand {figures['crest_400ms']:.1f} dB over the music around them; "
        f"finished records have {low:.0f} to {high:.0f} dB"
    )
    return "the loud half of the song", evidence, values


# --- defects ---------------------------------------------------------------------------------------


def _clipping(measured: Fingerprint, analysis: Analysis) -> Finding | None:
    per_second = analysis.clipped_runs / max(analysis.duration_s, 1e-3)
    severity = 1.0 - math.exp(-per_second / 1.5)
    if severity < 0.05:
        return None
    runs, peak_dbfs = analysis.clipped_runs, analysis.sample_peak_dbfs
    evidence = f"{runs} flat tops at {peak_dbfs:.1f} dBFS, {per_second:.1f} a second"
    values = {"runs": float(runs), "clip_dbfs": peak_dbfs}
    return Finding("clipping", severity, "throughout", evidence, values)


def _hum(measured: Fingerprint, analysis: Analysis) -> Finding | None:
    level = powers_to_db(measured.low_steady_power + 1e-14)
    best: tuple[float, float, int] = (0.0, 0.0, 0)
    for mains_hz in (50.0, 60.0):
        lines = [_line_db(level, measured.low_bin_hz, mains_hz * k) for k in range(1, 9)]
        standing = [line for line in lines if line > 12.0]
        if len(standing) >= 4 and max(lines[:2]) > 12.0 and sum(standing) > best[0]:
            best = (sum(standing), mains_hz, len(standing))
    if not best[2]:
        return None
    severity = 1.0 - math.exp(-best[0] / 120.0)
    evidence = f"{best[2]} harmonics of {best[1]:.0f} Hz sound through 80 % of the song"
    values = {"mains_hz": best[1], "harmonics": float(best[2]), "line_db": best[0] / best[2]}
    return Finding("hum", severity, f"{best[1]:.0f} Hz and harmonics", evidence, values)


def _line_db(level: Float64Array, bin_hz: float, hz: float) -> float:
    """The dB by which a line within 1.5 bins of `hz` stands over the 15 Hz on both sides."""
    centre, reach = round(hz / bin_hz), max(round(15 / bin_hz), 3)
    if centre + reach >= len(level) or level[centre - 1 : centre + 2].max() < -75.0:
        return 0.0
    around = np.concatenate([level[centre - reach : centre - 2], level[centre + 3 : centre + reach]])
    return float(level[centre - 1 : centre + 2].max() - np.median(around))


def _noise(measured: Fingerprint, analysis: Analysis) -> Finding | None:
    lowest, low = measured.band_percentile_db(0.01), measured.band_percentile_db(0.08)
    usual = measured.band_percentile_db(0.7)
    inside = (BAND_EDGES_HZ[:-1] >= 2000) & (BAND_EDGES_HZ[1:] <= 12800)
    steady = inside & (low - lowest < 2.1) & (usual - low > 6.0) & (lowest > -85.0)
    if steady.sum() < 0.7 * inside.sum():
        return None
    floor_db = power_to_db(float(np.sum(db_to_power(low[steady])))) + 20.0
    severity = float(np.clip((floor_db + 70.0) / 40.0, 0.0, 1.0))
    if severity < 0.05:
        return None
    evidence = f"a steady hiss lies {-floor_db:.0f} dB under the music"
    return Finding("noise", severity, "2–12 kHz", evidence, {"floor_db": floor_db})


def _mono(measured: Fingerprint, analysis: Analysis) -> Finding | None:
    if analysis.channels == 1:
        return Finding("mono", 1.0, "everywhere", "the file has one channel", {"side_db": -120.0})
    side = float(width_db(measured).max())
    if side > -35.0:
        return None
    return Finding(
        "mono", 1.0, "everywhere", f"the sides lie {-side:.0f} dB under the mid or deeper", {"side_db": side}
    )


def _glitches(measured: Fingerprint, analysis: Analysis) -> Finding | None:
    times = sorted((*measured.click_s, *measured.dropout_s))
    if not times:
        return None
    per_minute = 60 * len(times) / max(analysis.duration_s, 1e-3)
    severity = 1.0 - math.exp(-per_minute / 6.0)
    place = ", ".join(f"{int(t // 60)}:{t % 60:04.1f}" for t in times[:8]) + (" …" if len(times) > 8 else "")
    evidence = f"clicks: {len(measured.click_s)}; dropouts: {len(measured.dropout_s)}"
    counts = {"clicks": float(len(measured.click_s)), "dropouts": float(len(measured.dropout_s))}
    return Finding("glitches", severity, place, evidence, counts)


def _offset(measured: Fingerprint, analysis: Analysis) -> Finding | None:
    share = offset_share(analysis.dc, analysis.sample_peak_dbfs)
    if share < LEAST_SHARE:
        return None
    severity = _severity(share / LEAST_SHARE)
    evidence = f"the wave lies {offset_words(analysis.dc)} from zero, {100 * share:.1f} % of its highest peak"
    values = {f"offset_{channel}": float(mean) for channel, mean in enumerate(analysis.dc)}
    return Finding("offset", severity, "throughout", evidence, {"share": share, **values})


_DEFECTS = (_clipping, _hum, _noise, _mono, _glitches, _offset)
