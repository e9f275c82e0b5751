"""What decides the settings for a song: every policy behind one interface."""

from mixagent.pipeline.errors import UsageError
from mixagent.policies.base import Context, Decision, Policy
from mixagent.policies.neutral import NeutralPolicy
from mixagent.policies.rules import RulePolicy

__all__ = ["POLICIES", "Context", "Decision", "NeutralPolicy", "Policy", "RulePolicy", "load_policy"]

POLICIES: dict[str, type[Policy]] = {"rules": RulePolicy, "neutral": NeutralPolicy}


def load_policy(name: str) -> Policy:
    """The policy of this name.

    Raises:
        UsageError: no policy has this name.
    """
    if name not in POLICIES:
        raise UsageError(f"no policy is called {name!r}: choose one of {', '.join(POLICIES)}")
    return POLICIES[name]()
