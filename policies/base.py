"""The interface of policies: from a song's analysis to settings, with a reason for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mixagent.envs.context import Context
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.errors import UsageError

__all__ = ["Context", "Decision", "Policy", "Recorded", "with_overrides"]


@dataclass(frozen=True)
class Decision:
    """Settings, and by parameter name why a value is not neutral (one short clause each)."""

    settings: Settings
    reasons: Mapping[str, str]


def with_overrides(decision: Decision, values: Mapping[str, float], reason: str) -> Decision:
    """The decision with some parameters at other values, which are put down to a reason.

    Raises:
        UsageError: a parameter that the chain at hand does not have.
    """
    if not values:
        return decision
    space = decision.settings.space
    missing = next((name for name in values if name not in space), None)
    if missing is not None:
        there = ", ".join(dict.fromkeys(parameter.where for parameter in space))
        raise UsageError(f"{missing} cannot be set: this song's chain has {there}")
    settings = space.settings({**decision.settings.values, **values})
    return Decision(settings, {**decision.reasons, **dict.fromkeys(values, reason)})


class Policy(Protocol):
    """Decides every parameter of the chain for one song."""

    @property
    def name(self) -> str:
        """The name under which the report says who decided."""

    @property
    def hears_stems(self) -> int:
        """The number of stems that it reads or sets; where none are, no song is taken apart for a master."""

    @property
    def reads_features(self) -> bool:
        """True if it reads `Context.features`, which cost a pass over the song and each of its stems."""

    def decide(self, context: Context) -> Decision:
        """The settings for this song. Deterministic."""


@dataclass(frozen=True)
class Recorded:
    """The policy of a replay: it decides what was decided before.

    `values` are the settings that were not neutral, in their units.
    """

    name: str
    values: Mapping[str, float]
    reasons: Mapping[str, str]
    hears_stems: int = 0
    reads_features: bool = False

    def decide(self, context: Context) -> Decision:
        """The recorded settings."""
        return Decision(context.space.settings(self.values), self.reasons)
