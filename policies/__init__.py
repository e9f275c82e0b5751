"""What decides the settings for a song: every policy behind one interface."""

from mixagent.policies.base import Context, Decision, Policy
from mixagent.policies.neutral import NeutralPolicy
from mixagent.policies.rules import RulePolicy

__all__ = ["POLICIES", "Context", "Decision", "NeutralPolicy", "Policy", "RulePolicy", "load_policy"]

POLICIES: dict[str, type[Policy]] = {"rules": RulePolicy, "neutral": NeutralPolicy}
"""The policies that need no training, by name."""


def load_policy(name: str) -> Policy:
    """The policy of this name: one of `POLICIES`, `learned` or another trained one, or a checkpoint's folder.

    Raises:
        UsageError: there is no such policy.
        ModelMissingError: a trained policy whose files cannot be used.
    """
    if name in POLICIES:
        return POLICIES[name]()
    from mixagent.policies.learned import load_learned

    return load_learned(name, POLICIES)
