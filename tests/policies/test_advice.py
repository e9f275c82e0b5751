"""The advice that an actor gets: an answer to every finding, however weak."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import Diagnosis, Finding, diagnose
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.types import Audio
from mixagent.policies import load_policy
from mixagent.policies.base import Context


def _context(severity: float) -> Context:
    """Noise whose spectrum is said to have a gap of 9 dB, more or less surely."""
    noise = np.random.default_rng(0).standard_normal((2, 44100)).astype(np.float32) * 0.1
    audio = Audio(noise, 44100)
    analysis = analyse(audio)
    gap = {"gap_count": 1.0, "gap_0_hz": 3000.0, "gap_0_db": 9.0}
    values = {"cutoff_hz": 22050.0, "missing_db": 0.0, "blink_share": 0.0, **gap}
    holes = Finding("holes", severity, "the top", "measured", values)
    space = ParameterSpace.for_stems(())
    diagnosis = diagnose(audio, analysis)
    others = tuple(f for f in diagnosis.findings if f.kind != "holes")
    context = Context(analysis, {}, diagnosis, TARGETS["streaming"], space)
    return replace(context, diagnosis=Diagnosis((*others, holes)))


def test_a_weak_finding_is_answered_too() -> None:
    assert load_policy("rules").decide(_context(0.05)).settings["master.gap_fill_db"] == 0.0
    assert load_policy("ungated-rules").decide(_context(0.05)).settings["master.gap_fill_db"] == 9.0


def test_a_finding_that_counts_is_answered_as_the_rules_do() -> None:
    name = "master.gap_fill_db"
    rules, ungated = (load_policy(policy).decide(_context(0.9)) for policy in ("rules", "ungated-rules"))
    assert rules.settings[name] == ungated.settings[name]
    assert rules.reasons[name] == ungated.reasons[name]


def test_what_could_not_be_looked_for_is_not_answered() -> None:
    tone = (0.1 * np.sin(np.arange(88200) * 0.03)).astype(np.float32)
    for samples in (tone[None], np.zeros((2, 88200), np.float32)):
        audio = Audio(samples, 44100)
        analysis = analyse(audio)
        space = ParameterSpace.for_stems(())
        context = Context(analysis, {}, diagnose(audio, analysis), TARGETS["streaming"], space)
        settings = load_policy("ungated-rules").decide(context).settings
        assert (settings["master.balance_db"], settings["master.width"]) == (0.0, 1.0)
