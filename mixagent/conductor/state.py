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
    """What a move has to show.

    Attributes:
        blind: by how much the blind reward has to rise. Less than the default is within what a dither moves.
        outside: by how many spreads, summed over the groups, the song has to come nearer to finished music.
        stems: the same of the stems, about 1 at the outer edge.
        own: the share of its agent's own figure that it has to undo.
    """

    blind: float = 0.002
    outside: float = 0.0
    stems: float = 0.0
    own: float = 0.1


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
        before: the values that its parameters had before it.
        led: whether a language model asked for it.
    """

    move: Move
    grade: Grade
    concern: float
    kept: bool
    why: str
    before: Mapping[str, float] = field(default_factory=dict)
    led: bool = False


@dataclass(frozen=True)
class Wish:
    """A move that a language model asks for.

    Attributes:
        agent: who is to make it; `graph.MODEL` for values of its own.
        share: of the agent's move, 0 to 1.
        values: of its own, by parameter, in its unit.
        why: in the model's words.
    """

    agent: str
    share: float
    values: Mapping[str, float]
    why: str


@dataclass(frozen=True)
class Exchange:
    """A question to a language model and its answer.

    Attributes:
        sent: the text that was new in it; it goes after what was sent and answered before.
        answered: the answer's text, cut where it was long.
        seconds: until it was there.
        tokens: of both, as the endpoint counts them, else estimated.
        error: why nothing could be made of it; empty where something could.
        ignored: calls in it that were not followed, each with the reason.
    """

    sent: str
    answered: str
    seconds: float
    tokens: int
    error: str = ""
    ignored: tuple[str, ...] = ()


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
        planned: why the planner's part ended; empty until a language model leads.
        planned_renders: renders that were made by then.
        wishes: moves that the model asked for and that are still to be tried, the next one first.
        exchanges: with the model, in order.
        declined: moves to which a person said no.
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
    planned: str = ""
    planned_renders: int = 0
    wishes: tuple[Wish, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    declined: tuple[Move, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> State:
        """Read the result of `to_json`."""
        fields = dict(data)
        for name in ("grade", "begun", "tried"):
            fields[name] = None if data[name] is None else Grade(**data[name])
        fields["move"] = None if data["move"] is None else read_move(data["move"])
        fields["rounds"] = tuple(
            Round(**{**each, "move": read_move(each["move"]), "grade": Grade(**each["grade"])})
            for each in data["rounds"]
        )
        fields["wishes"] = tuple(Wish(**each) for each in data["wishes"])
        fields["exchanges"] = tuple(
            Exchange(**{**each, "ignored": tuple(each["ignored"])}) for each in data["exchanges"]
        )
        fields["declined"] = tuple(map(read_move, data["declined"]))
        return cls(**{**fields, "agenda": tuple(data["agenda"])})


def read_move(data: Mapping[str, Any]) -> Move:
    """A move as `asdict` gives it."""
    return Move(**{**data, "proof": Proof(**data["proof"])})
