"""The state of a conductor's run: numbers, names and words alone, so that it can be put down anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Grade:
    """Figures of one render of the loudest parts.

    Attributes:
        blind: the blind reward, mean over the parts; −inf where the chain breaks.
        outside: by group of measures, how far the song lies outside of the inner edge of finished music, in
            spreads.
        stems: by role, the same of the stems that sound, about 1 at the outer edge; empty without stems.
        masked_db: how far the others lie over the voice at 1 to 5 kHz; None without a voice.
        lows_db: power under 150 Hz against the rest.
        mono_loss_db: fall of the lows' power when both channels are summed, against uncorrelated ones.
        voice: opinion scores of the voice by model and dimension, 1 to 5; empty without a voice or a model.
    """

    blind: float
    outside: Mapping[str, float]
    stems: Mapping[str, float] = field(default_factory=dict)
    masked_db: float | None = None
    lows_db: float = 0.0
    mono_loss_db: float = 0.0
    voice: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Proof:
    """What a move has to show beside its agent's own figure.

    Attributes:
        blind: by how much the blind reward has to rise. Less than the default is within what a dither moves.
        outside: by how many spreads, summed over the groups, the song has to come nearer to finished music.
        stems: the same of the stems, about 1 at the outer edge.
    """

    blind: float = 0.002
    outside: float = 0.0
    stems: float = 0.0


@dataclass(frozen=True)
class Move:
    """Values that an agent would like parameters to have.

    Attributes:
        agent: whose move it is.
        values: by parameter, in its unit.
        reason: one short clause.
        concern: the figure that the agent answers for, before the move.
        proof: what its render has to show.
    """

    agent: str
    values: Mapping[str, float]
    reason: str
    concern: float
    proof: Proof = field(default_factory=Proof)


@dataclass(frozen=True)
class Round:
    """A move that was rendered.

    Attributes:
        move: the move.
        grade: of its render.
        concern: the agent's figure after it.
        kept: whether it stands.
        why: what spoke for it or against it.
    """

    move: Move
    grade: Grade
    concern: float
    kept: bool
    why: str


@dataclass(frozen=True)
class State:
    """What is known between two nodes.

    Attributes:
        settings: those that stand, without what is neutral.
        reasons: by parameter.
        grade: of what stands; None before the first render.
        begun: the grade that the run began with.
        agenda: agents that are still to be heard, the next one first.
        steps: by agent, the share of its move that it tries, 0 to 1.
        move: what is to be rendered; None where nothing is.
        tried: the grade of the move's render; None before it.
        rounds: what was rendered, in order.
        renders: how many renders were made.
        idle: rounds in a row that brought nothing.
        over: why the run ended; empty while it goes on.
    """

    settings: Mapping[str, float]
    reasons: Mapping[str, str]
    grade: Grade | None = None
    begun: Grade | None = None
    agenda: tuple[str, ...] = ()
    steps: Mapping[str, float] = field(default_factory=dict)
    move: Move | None = None
    tried: Grade | None = None
    rounds: tuple[Round, ...] = ()
    renders: int = 0
    idle: int = 0
    over: str = ""

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> State:
        """Read the result of `to_json`."""
        fields = dict(data)
        for name in ("grade", "begun", "tried"):
            fields[name] = None if data[name] is None else Grade(**data[name])
        fields["move"] = None if data["move"] is None else _move(data["move"])
        fields["rounds"] = tuple(
            Round(**{**each, "move": _move(each["move"]), "grade": Grade(**each["grade"])})
            for each in data["rounds"]
        )
        return cls(**{**fields, "agenda": tuple(data["agenda"])})


def _move(data: Mapping[str, Any]) -> Move:
    return Move(**{**data, "proof": Proof(**data["proof"])})
