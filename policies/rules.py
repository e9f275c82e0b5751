"""The rule-based settings: diagnosis in, parameters out. The baseline that a trained policy must beat.

Each rule answers one finding with the opposite of what the diagnosis holds to be the damage. Those
figures are estimates that are already shrunk by what natural songs measure, so a rule may answer a
finding that is too weak to be called found; what has no such estimate waits until it is. The scales
were chosen on the training songs only (`scripts/tune_rules.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mixagent.pipeline.chain.parameters import BELLS
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.diagnosis.diagnose import FOUND, NOWHERE, Diagnosis, Finding
from mixagent.pipeline.restoration.blinks import DEEPEST_DB
from mixagent.policies.base import Context, Decision

ANSWERED: Mapping[str, float] = MappingProxyType(
    {"mud": 0.1, "shimmer": 0.2, "holes": FOUND, "panning": 0.2, "flatness": FOUND}
)
"""Severity from which a finding is answered; lower where the answer is an estimate, shrunk already."""

RESONANCE_Q = 6.0
LEAST_DB = 0.3
"""Moves smaller than this are left out: nobody hears them."""

LEAST_AWAY_SHARE = 0.01
"""A band that is away for less of the song is left as it is."""

Move = tuple[str, float, str]
"""Parameter, value in its unit, reason."""


@dataclass(frozen=True)
class RuleScales:
    """The share of each measured excess that a rule takes back; 0 switches the rule off."""

    mud: float = 1.3
    resonance: float = 1.0
    shimmer: float = 1.0
    lines: float = 1.0
    air: float = 1.0
    gaps: float = 1.0
    blinks: float = 1.0
    lean: float = 1.0
    width: float = 1.3
    expand: float = 0.1


@dataclass(frozen=True)
class RulePolicy:
    """Turns each finding of the diagnosis into master settings."""

    scales: RuleScales = RuleScales()
    name: str = "rules"
    hears_stems: int = 0
    reads_features: bool = False

    def decide(self, context: Context) -> Decision:
        """Settings for the findings at hand; a finding under its `ANSWERED` moves nothing."""
        moves: dict[str, tuple[float, str]] = {}
        for kind, rule in _RULES.items():
            finding = context.diagnosis.finding(kind)
            if finding is None or finding.severity < ANSWERED[kind]:
                continue
            for name, value, reason in rule(finding, self.scales):
                moves[f"master.{name}"] = (value, reason)
        for kind, rule in _MEASURED.items():
            if (finding := context.diagnosis.finding(kind)) is not None and finding.place != NOWHERE:
                for name, value, reason in rule(finding, self.scales):
                    moves[f"master.{name}"] = (value, reason)
        for number, bell in enumerate(_strongest(context.diagnosis, self.scales), 1):
            for what, value in (("hz", bell.hz), ("db", bell.gain_db), ("q", bell.q)):
                moves[f"master.bell_{number}_{what}"] = (value, bell.reason)
        settings = context.space.settings({name: value for name, (value, _) in moves.items()})
        return Decision(settings, {name: reason for name, (_, reason) in moves.items()})


@dataclass(frozen=True)
class _Bell:
    hz: float
    gain_db: float
    q: float
    reason: str


def _strongest(diagnosis: Diagnosis, scales: RuleScales) -> list[_Bell]:
    """The narrow bells that do most, as many as the master has."""
    finding = diagnosis.finding("mud")
    if finding is None or finding.severity < ANSWERED["mud"]:
        return []
    return sorted(_resonances(finding, scales), key=lambda bell: bell.gain_db)[:BELLS]


def _resonances(finding: Finding, scales: RuleScales) -> Iterator[_Bell]:
    v = finding.values
    for index in range(int(v["resonance_count"])):
        hz, cut_db = v[f"resonance_{index}_hz"], scales.resonance * v[f"resonance_{index}_excess_db"]
        reason = f"a resonance stands {v[f'resonance_{index}_db']:.1f} dB out at {hz:.0f} Hz"
        if cut_db > LEAST_DB:
            yield _Bell(hz, -cut_db, RESONANCE_Q, reason)


def _mud(finding: Finding, scales: RuleScales) -> Iterator[Move]:
    excess_db = scales.mud * finding.values["likely_excess_db"]
    if excess_db > LEAST_DB:
        yield "eq_low_mid_db", -excess_db, f"200–500 Hz is likely {excess_db:.1f} dB too full"


def _shimmer(finding: Finding, scales: RuleScales) -> Iterator[Move]:
    v = finding.values
    excess_db = scales.shimmer * v["likely_excess_db"]
    if excess_db > LEAST_DB:
        yield "eq_brilliance_db", -excess_db, f"8–12 kHz is likely {excess_db:.1f} dB too bright"
    if finding.severity >= FOUND and v["line_db"] > 6.0 and v["line_count"] > 0:
        reason = f"{v['line_count']:.0f} steady lines, the strongest {v['line_db']:.1f} dB out"
        yield "resonance_cut_db", scales.lines * v["line_db"], reason


def _ends_and_blinks(finding: Finding, scales: RuleScales) -> Iterator[Move]:
    v = finding.values
    if v["missing_db"] > 6.0:
        missing = f"from there on {v['missing_db']:.0f} dB are missing"
        reason = f"the highs end at {v['cutoff_hz'] / 1000:.1f} kHz: {missing}"
        yield "extend_from_hz", v["cutoff_hz"], reason
        yield "extend_db", -6.0 + 6.0 * scales.air, reason
    if v.get("away_share", 0.0) > LEAST_AWAY_SHARE:
        low, high = (v[f"away_{end}_hz"] / 1000 for end in ("low", "high"))
        reason = f"{low:.1f}–{high:.1f} kHz blinks off {100 * v['away_share']:.0f} % of the time"
        yield "blink_fill_db", scales.blinks * DEEPEST_DB, reason


def _holes(finding: Finding, scales: RuleScales) -> Iterator[Move]:
    v = finding.values
    depths_db = [v[f"gap_{index}_db"] for index in range(int(v["gap_count"]))]
    if depths_db:
        places = ", ".join(f"{v[f'gap_{index}_hz'] / 1000:.1f}" for index in range(len(depths_db)))
        reason = f"gaps up to {max(depths_db):.0f} dB deep at {places} kHz"
        yield "gap_fill_db", scales.gaps * max(depths_db), reason


def _panning(finding: Finding, scales: RuleScales) -> Iterator[Move]:
    v = finding.values
    lean_db, wide_db = scales.lean * v["likely_lean_db"], scales.width * v["likely_excess_db"]
    if abs(lean_db) > LEAST_DB:
        side = "right" if lean_db > 0 else "left"
        reason = f"all bands and sources lean {abs(v['common_lean_db']):.1f} dB to the {side}"
        yield "balance_db", -lean_db, reason
    if wide_db > LEAST_DB:
        yield "width", db_to_amplitude(-wide_db), f"the sides are likely {wide_db:.1f} dB too loud"


def _flatness(finding: Finding, scales: RuleScales) -> Iterator[Move]:
    v = finding.values
    # Clipped tops are rebuilt before this; only what was pressed without clipping is left to expand.
    if v["crest_deficit_db"] > 0 and v["clipped_share"] < 1e-3:
        reason = f"peaks stand {v['crest_deficit_db']:.1f} dB less over their surroundings than usual"
        yield "expand_ratio", 1.0 + scales.expand * v["crest_deficit_db"], reason


_MEASURED: Mapping[str, Callable[[Finding, RuleScales], Iterator[Move]]] = {"holes": _ends_and_blinks}
"""Rules about what is there or is not, and does not wait for a severity."""

_RULES: Mapping[str, Callable[[Finding, RuleScales], Iterator[Move]]] = {
    "mud": _mud,
    "shimmer": _shimmer,
    "holes": _holes,
    "panning": _panning,
    "flatness": _flatness,
}
