"""Policies decide the settings for a song, all behind one interface."""

from pathlib import Path

from mixagent.policies.advice import UngatedRules
from mixagent.policies.band import BandPolicy
from mixagent.policies.base import Context, Decision, Policy
from mixagent.policies.mix_rules import MixRulePolicy
from mixagent.policies.mixing.policy import MixPolicy, is_mixing_checkpoint
from mixagent.policies.neutral import NeutralPolicy
from mixagent.policies.reading.policy import ReadingPolicy
from mixagent.policies.rules import RulePolicy

__all__ = [
    "ADVISERS",
    "POLICIES",
    "BandPolicy",
    "Context",
    "Decision",
    "MixPolicy",
    "MixRulePolicy",
    "NeutralPolicy",
    "Policy",
    "ReadingPolicy",
    "RulePolicy",
    "load_policy",
]

POLICIES: dict[str, type[Policy]] = {
    "mix": MixPolicy,
    "reading": ReadingPolicy,
    "band": BandPolicy,
    "mix_rules": MixRulePolicy,
    "rules": RulePolicy,
    "neutral": NeutralPolicy,
}
"""The policies that decide without an actor, by name."""

ADVISERS: dict[str, type[Policy]] = {**POLICIES, "ungated-rules": UngatedRules}
"""The policies that an actor may take advice from, by name."""


def load_policy(name: str) -> Policy:
    """The policy of this name: one of `POLICIES`, `learned` or another trained one, or a checkpoint's folder.

    Raises:
        UsageError: there is no such policy.
        ModelMissingError: a trained policy whose files cannot be used.
    """
    if name in ADVISERS:
        return ADVISERS[name]()
    if is_mixing_checkpoint(Path(name)):
        return MixPolicy(Path(name), name)
    from mixagent.policies.learned import load_learned

    return load_learned(name, ADVISERS)
