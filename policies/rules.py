"""The rule-based settings: diagnosis in, parameters out. The baseline that a trained policy must beat.

Each rule answers one finding with the opposite of what was measured, scaled down because the
measure is an estimate: what the diagnosis calls an excess is partly the song itself. The scales
were chosen on the training songs only (`scripts/tune_rules.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mixagent.pipeline.diagnosis import FOUND, Diagnosis, Finding
from mixagent.pipeline.parameters import BELLS
from mixagent.policies.base import Context, Decision

RESONANCE_Q = 6.0

Move = tuple[str, float, str]
"""Parameter, value in its unit, reason."""


@dataclass(frozen=True)
class RuleScales:
    """How much of each measured excess a rule takes back; 0 switches the rule off."""

    mud: float = 0.5
    resonance: float = 0.5
    shimmer: float = 0.5
    lines: float = 1.0
    air: float = 1.0
    gaps: float = 1.0
    lean: float = 1.0
    width: float = 0.5
    attack: float = 0.25
    expand: float = 0.03


@dataclass(frozen=True)
class RulePolicy:
    """Turns each finding of the diagnosis into master settings."""

    scales: RuleScales = RuleScales()
    name: str = "rules"

    def decide(self, context: Context) -> Decision:
        """Settings for the findings at hand; a finding under `FOUND` moves nothing."""
        moves: dict[str, tuple[float, str]] = {}
        for kind, rule in _RULES.items():
            finding = context.diagnosis.finding(kind)
            if finding is None or finding.severity < FOUND:
                continue
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
    if finding is None or finding.severity < FOUND:
        return []
    return sorted(_resonances(finding, scales), key=lambda bell: bell.gain_db)[:BELLS]


def _resonances(finding: Finding, scales: RuleScales) -> Iterator[_Bell]:
    v = finding.values
    if v["resonant"]:
        reason = f"a resonance stands {v['resonance_db']:.1f} dB out at {v['resonance_hz']:.0f} Hz"
        yield _Bell(v["resonance_hz"], -scales.resonance * v["resonance_db"], RESONANCE_Q, reason)


def _mud(finding: Finding, scales: RuleScales) -> Iterator[Move]:
    v = finding.values
    excess_db = v["excess_db"]
    if excess_db > 0:
        reason = f"200–500 Hz stands {excess_db:.1f} dB over what the bands around it predict"
        yield "eq_low_mid_db", -scales.mud * excess_db, reason


def _shimmer(finding: Finding, scales: RuleScales) -> Iterator[Move]:
    v = finding.values
    if v["excess_db"] > 0:
        reason = f"8–12 kHz stands {v['excess_db']:.1f} dB over what the bands below predict"
        yield "eq_brilliance_db", -scales.shimmer * v["excess_db"], reason
    if v["line_db"] > 6.0 and v["line_count"] > 0:
        reason = f"{v['line_count']:.0f} steady lines, the strongest {v['line_db']:.1f} dB out"
        yield "resonance_cut_db", scales.lines * v["line_db"], reason


def _holes(finding: Finding, scales: RuleScales) -> Iterator[Move]:
    v = finding.values
    if v["missing_db"] > 6.0:
        reason = f"nothing above {v['cutoff_hz'] / 1000:.1f} kHz, {v['missing_db']:.0f} dB less than usual"
        yield "extend_from_hz", v["cutoff_hz"], reason
        yield "extend_db", -6.0 + 6.0 * scales.air, reason
    depths_db = [v[f"gap_{index}_db"] for index in range(int(v["gap_count"]))]
    if depths_db:
        places = ", ".join(f"{v[f'gap_{index}_hz'] / 1000:.1f}" for index in range(len(depths_db)))
        reason = f"gaps up to {max(depths_db):.0f} dB deep at {places} kHz"
        yield "gap_fill_db", scales.gaps * max(depths_db), reason


def _panning(finding: Finding, scales: RuleScales) -> Iterator[Move]:
    v = finding.values
    side = "right" if v["balance_db"] > 0 else "left"
    reason = f"the picture leans {abs(v['balance_db']):.1f} dB to the {side}"
    if abs(v["balance_db"]) > 1.0:
        yield "balance_db", -scales.lean * v["balance_db"], reason
    if v["width_excess_db"] > 2.0:
        reason = f"the sides are {v['width_excess_db']:.1f} dB wider than finished records"
        yield "width", 10 ** (-scales.width * v["width_excess_db"] / 20), reason


def _flatness(finding: Finding, scales: RuleScales) -> Iterator[Move]:
    deficit_db = finding.values["crest_deficit_db"]
    if deficit_db > 0:
        reason = f"peaks stand {deficit_db:.1f} dB less over their surroundings than usual"
        yield "transient_attack_db", scales.attack * deficit_db, reason
        yield "expand_ratio", 1.0 + scales.expand * deficit_db, reason


_RULES: Mapping[str, Callable[[Finding, RuleScales], Iterator[Move]]] = {
    "mud": _mud,
    "shimmer": _shimmer,
    "holes": _holes,
    "panning": _panning,
    "flatness": _flatness,
}
