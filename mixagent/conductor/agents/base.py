"""The interface of agents, and the helpers that they share."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Protocol

from mixagent.conductor.state import Move
from mixagent.conductor.studio import Heard, Studio

NOTHING = 0.25
"""A concern up to here, in dB, asks for nothing: nobody hears it."""


@dataclass(frozen=True)
class Desk:
    """What an agent may see when it is asked for a move.

    Attributes:
        studio: the song's parts behind the chain.
        heard: the render that stands.
        values: the settings that stand, without what is neutral.
        held: names of parameters that are not to be moved.
        owns: patterns of those that the agent answers for.
        step: the share of a move that is to be tried, 0 to 1.
    """

    studio: Studio
    heard: Heard
    values: Mapping[str, float]
    held: Collection[str]
    owns: tuple[str, ...]
    step: float = 1.0

    def may_move(self, name: str) -> bool:
        """True for a parameter that the chain has, that the agent answers for and that nobody holds."""
        there = name in self.studio.space and name not in self.held
        return there and any(fnmatch(name, pattern) for pattern in self.owns)

    def value(self, name: str) -> float:
        """The value that stands."""
        return self.values.get(name, self.studio.space[name].neutral)

    def moved(self, moves: Mapping[str, float]) -> dict[str, float]:
        """Values of those parameters that may move, with the step's share of these moves on top, in range."""
        values = {}
        for name, move in moves.items():
            if self.may_move(name):
                parameter = self.studio.space[name]
                wanted = self.value(name) + self.step * (move - parameter.neutral)
                values[name] = min(max(wanted, parameter.low), parameter.high)
        return values


def size(moves: Iterable[float]) -> float:
    """Root mean square of moves."""
    known = list(moves)
    return math.sqrt(sum(move**2 for move in known) / len(known)) if known else 0.0


class Agent(Protocol):
    """Answers for a few figures."""

    @property
    def name(self) -> str:
        """Its name in the graph."""

    @property
    def owns(self) -> tuple[str, ...]:
        """Patterns of the parameters that it may move."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Dimensions of a voice's opinion score that it is asked about where they are low."""

    def concern(self, heard: Heard) -> float:
        """How far its figures are from where they should be, in dB: 0 for nothing to do."""

    def propose(self, desk: Desk) -> Move | None:
        """A move that it expects to better its figures; None where it knows none."""
