"""The rule policy: each finding answered by its opposite, with a reason, and nothing else moved."""

from __future__ import annotations

import numpy as np
import pytest

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import FOUND, Diagnosis, Finding
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.types import Audio
from mixagent.policies import POLICIES, load_policy
from mixagent.policies.base import Context, Decision, Recorded
from mixagent.policies.rules import ANSWERED

VALUES = {
    "mud": {"likely_excess_db": 5.0, "resonance_count": 0.0},
    "shimmer": {"likely_excess_db": 6.0, "line_db": 12.0, "line_count": 4.0},
    "holes": {"cutoff_hz": 11000.0, "missing_db": 25.0, "gap_count": 0.0},
    "panning": {"likely_lean_db": 4.0, "common_lean_db": 4.5, "likely_excess_db": 5.0},
    "flatness": {"crest_deficit_db": 3.0, "clipped_share": 0.0},
}
RESONANCES = {
    f"resonance_{index}_{what}": value + index
    for index in range(3)
    for what, value in (("hz", 230.0), ("db", 12.0), ("excess_db", 9.0))
}


def _context(severities: dict[str, float], values: dict[str, dict[str, float]] = VALUES) -> Context:
    findings = tuple(
        Finding(kind, severities.get(kind, 0.0), "here", "measured", figures)
        for kind, figures in values.items()
    )
    noise = np.random.default_rng(0).standard_normal((2, 44100)).astype(np.float32) * 0.1
    space = ParameterSpace.for_stems(("vocals", "accompaniment"))
    return Context(analyse(Audio(noise, 44100)), {}, Diagnosis(findings), TARGETS["streaming"], space)


def _decide(severities: dict[str, float]) -> Decision:
    return load_policy("rules").decide(_context(severities))


def test_a_song_without_findings_is_left_alone() -> None:
    weak = {kind: least - 0.01 for kind, least in ANSWERED.items()}
    whole = VALUES | {"holes": VALUES["holes"] | {"cutoff_hz": 22050.0, "missing_db": 0.0}}
    assert load_policy("rules").decide(_context(weak, whole)).settings.changed() == {}


def test_an_end_and_a_blink_are_facts_that_wait_for_no_severity() -> None:
    away = {"away_share": 0.15, "away_low_hz": 12000.0, "away_high_hz": 15500.0}
    settings = load_policy("rules").decide(_context({}, {"holes": VALUES["holes"] | away})).settings
    assert settings.changed() == {"master.extend_from_hz": 11000.0, "master.blink_fill_db": 48.0}


def test_no_rule_waits_longer_than_for_a_finding_that_counts() -> None:
    assert set(ANSWERED) == set(VALUES)
    assert max(ANSWERED.values()) <= FOUND


@pytest.mark.parametrize("kind", ["mud", "shimmer", "panning"])
def test_nothing_is_moved_where_the_estimate_is_nothing(kind: str) -> None:
    nothing = {kind: dict.fromkeys(VALUES[kind], 0.0)}
    assert load_policy("rules").decide(_context({kind: 0.6}, nothing)).settings.changed() == {}


def test_each_resonance_gets_a_bell_of_what_it_has_too_much() -> None:
    values = {"mud": VALUES["mud"] | RESONANCES | {"resonance_count": 3.0}}
    settings = load_policy("rules").decide(_context({"mud": 0.6}, values)).settings
    gains = {settings[f"master.bell_{n}_hz"]: settings[f"master.bell_{n}_db"] for n in (1, 2, 3)}
    assert gains == {230.0: -9.0, 231.0: -10.0, 232.0: -11.0}
    assert settings["master.bell_4_db"] == 0.0


def test_peaks_that_were_clipped_are_not_expanded_on_top_of_their_repair() -> None:
    clipped = {"flatness": VALUES["flatness"] | {"clipped_share": 0.02}}
    assert _decide({"flatness": 0.6}).settings["master.expand_ratio"] > 1.0
    assert load_policy("rules").decide(_context({"flatness": 0.6}, clipped)).settings.changed() == {}


@pytest.mark.parametrize(
    ("kind", "parameter", "sign"),
    [
        ("mud", "master.eq_low_mid_db", -1),
        ("shimmer", "master.eq_brilliance_db", -1),
        ("shimmer", "master.resonance_cut_db", +1),
        ("panning", "master.balance_db", -1),
        ("flatness", "master.expand_ratio", +1),
    ],
)
def test_a_finding_moves_its_parameter_against_what_was_measured(
    kind: str, parameter: str, sign: int
) -> None:
    assert np.sign(_decide({kind: 0.6}).settings[parameter]) == sign


def test_a_cut_off_is_extended_from_where_the_spectrum_ends() -> None:
    settings = _decide({"holes": 0.6}).settings
    assert settings["master.extend_from_hz"] == pytest.approx(11000.0)


def test_too_wide_a_picture_is_narrowed() -> None:
    assert 0.0 < _decide({"panning": 0.6}).settings["master.width"] < 1.0


def test_every_move_has_a_reason_and_nothing_else_has() -> None:
    decision = _decide(dict.fromkeys(VALUES, 0.6))
    assert decision.settings.changed().keys() <= decision.reasons.keys()
    assert all(decision.reasons.values())


def test_one_finding_moves_nothing_that_belongs_to_another() -> None:
    alone = {kind: _context({kind: 0.6}, {kind: values}) for kind, values in VALUES.items()}
    moved = {kind: set(load_policy("rules").decide(alone[kind]).settings.changed()) for kind in VALUES}
    kinds = list(VALUES)
    for number, kind in enumerate(kinds):
        for other in kinds[number + 1 :]:
            assert not moved[kind] & moved[other]


def test_wild_figures_stay_within_the_ranges_of_the_table() -> None:
    wild = {kind: dict.fromkeys(figures, 1000.0) for kind, figures in VALUES.items()}
    wild["flatness"]["clipped_share"] = 0.0
    wild["mud"] |= dict.fromkeys(RESONANCES, 1000.0) | {"resonance_count": 3.0}
    wild["holes"] |= {"gap_count": 1.0, "gap_0_hz": 5000.0, "gap_0_db": 400.0}
    context = _context(dict.fromkeys(VALUES, 0.9), wild)
    settings = load_policy("rules").decide(context).settings
    assert all(p.low <= settings[p.name] <= p.high for p in context.space)


def test_equal_contexts_give_equal_decisions() -> None:
    assert _decide({"mud": 0.5}) == _decide({"mud": 0.5})


def test_neutral_changes_nothing_whatever_is_found() -> None:
    decision = load_policy("neutral").decide(_context(dict.fromkeys(VALUES, 0.9)))
    assert decision.settings.changed() == {}


def test_a_recorded_policy_decides_what_was_recorded() -> None:
    recorded = Recorded("rules", {"master.eq_air_db": 1.5}, {"master.eq_air_db": "because"})
    decision = recorded.decide(_context({}))
    assert decision.settings.changed() == {"master.eq_air_db": 1.5}
    assert decision.reasons == {"master.eq_air_db": "because"}


def test_policies_are_loaded_by_their_names_and_no_others() -> None:
    assert all(load_policy(name).name == name for name in POLICIES)
    with pytest.raises(UsageError, match="rules, neutral"):
        load_policy("magic")
