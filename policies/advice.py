"""The advice that an actor gets: the rules' answer to every finding, however weak it is."""

from __future__ import annotations

from dataclasses import replace

from mixagent.pipeline.diagnosis.diagnose import FOUND, NOWHERE, Diagnosis
from mixagent.policies.base import Context, Decision
from mixagent.policies.rules import RulePolicy


class UngatedRules:
    """The rules as if every pathology had been found.

    The rules leave weak findings alone, because they cannot tell which of them to believe. An actor
    can: it sees the severities too, and takes over as much of each answer as the song bears out.
    """

    name = "ungated-rules"
    hears_stems = 0
    reads_features = False

    def decide(self, context: Context) -> Decision:
        """The rules' settings and reasons."""
        # What could not be looked for, in silence or in a single channel, was not measured.
        findings = tuple(
            finding if finding.place == NOWHERE else replace(finding, severity=max(finding.severity, FOUND))
            for finding in context.diagnosis.findings
        )
        return RulePolicy().decide(replace(context, diagnosis=Diagnosis(findings)))
