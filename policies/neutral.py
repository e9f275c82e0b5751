"""The policy that changes nothing: the baseline under every other one."""

from __future__ import annotations

from mixagent.policies.base import Context, Decision


class NeutralPolicy:
    """Every parameter at neutral, so that only the finaliser works."""

    name = "neutral"
    hears_stems = 0
    reads_features = False

    def decide(self, context: Context) -> Decision:
        """Neutral settings and no reasons."""
        return Decision(context.space.settings(), {})
