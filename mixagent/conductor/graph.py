"""The graph: nodes that take a state to the next, and the edges between them.

    plan → phase | eq | dynamics | space | model → consent → render → grade → decide → plan …

A node is a function of the state and of the run's means; the state holds numbers and names alone, and what is
costly (renders) is found again in the studio. `runner` walks the graph, `with_langgraph` has LangGraph do it.

The planner goes first and to its end: what it comes to is the least that a run gives. A language model, where
there is one, leads from there, and its moves pass the same grade.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Protocol

from mixagent.conductor.agents.base import NOTHING, Desk
from mixagent.conductor.agents.opinion import OpinionAgent
from mixagent.conductor.agents.table import AGENTS
from mixagent.conductor.grading import verdict
from mixagent.conductor.state import Exchange, Grade, Move, Proof, Round, State, Wish
from mixagent.conductor.studio import Heard, Studio

END = "end"
START = "plan"
MODEL = "model"
"""The node in which a language model leads, and the agent of moves that are its own."""

MODEL_PROOF = Proof(blind=0.015, outside=0.05, own=0.0)
"""What a model asks for need not be what an agent answers for: it is enough that their figures do not rise.
Reward and band both have to speak for it, half as clearly as for a second opinion: its moves are bounded."""

STEPS = (1.0, 0.5)
"""The shares of a move that are tried, one after the other, before its agent is heard no more."""

OVERALL = ("nisqa", "distillmos", "judge")
"""The scores of a voice as a whole; all that are known have to be as high as is asked."""

IDLE_ROUNDS = 2
"""So many rounds in a row that brought nothing end a run."""


@dataclass(frozen=True)
class Advice:
    """A model's answer.

    Attributes:
        wishes: moves to be tried in this order; empty where it has nothing more to ask for.
        exchanges: that it took.
        renders: that were made to answer its questions.
    """

    wishes: tuple[Wish, ...]
    exchanges: tuple[Exchange, ...]
    renders: int = 0


class Adviser(Protocol):
    """Leads after the planner, as a language model does; see `model`."""

    def advise(self, means: Means, state: State) -> Advice:
        """Moves to try from this state on; it raises nothing but what cancels the run."""


@dataclass(frozen=True)
class Means:
    """What nodes work with.

    Attributes:
        studio: the song's loudest parts behind the chain.
        held: names of parameters that are not to be moved.
        renders: the most there are to be, the first one included.
        until: the opinion score of the voice at which there is nothing more to do; None for none.
        adviser: who leads after the planner; None for nobody.
        led_renders: the most that there are to be after the planner's.
        consent: asked for a person's yes before a move's first render; None where nobody is asked.
    """

    studio: Studio
    held: frozenset[str] = frozenset()
    renders: int = 12
    until: float | None = None
    adviser: Adviser | None = None
    led_renders: int = 4
    consent: Callable[[Move], bool] | None = None


Node = Callable[[Means, State], State]


def plan(means: Means, state: State) -> State:
    """Who is heard next: the agent with the largest concern of those that may still try something."""
    if state.grade is None:
        grade = means.studio.hear(state.settings).grade
        state = replace(state, grade=grade, begun=grade, renders=state.renders + 1)
    assert state.grade is not None
    if state.planned:
        return _led(means, state)
    if reason := _over(means, state):
        return _planned(means, state, reason)
    heard = means.studio.hear(state.settings)
    concerns = {
        name: agent.concern(heard) + _asked(agent.dimensions, state.grade.voice, means.until)
        for name, agent in AGENTS.items()
        if state.steps.get(name, STEPS[0]) > 0.0
    }
    open_ones = {name: far for name, far in concerns.items() if far > NOTHING}
    if not open_ones:
        return _planned(means, state, "nothing is left that an agent answers for")
    order = tuple(sorted(open_ones, key=lambda name: -open_ones[name]))
    return replace(state, agenda=order, move=None, tried=None)


def propose(name: str, means: Means, state: State) -> State:
    """The agent's move; one that knows none is heard no more."""
    move = _proposed(name, means, state, state.steps.get(name, STEPS[0]))
    if move is None:
        return replace(state, move=None, steps={**state.steps, name: 0.0})
    return replace(state, move=move)


def lead(means: Means, state: State) -> State:
    """The next move that the model asks for; it is asked for more where none are left."""
    assert means.adviser is not None
    if not state.wishes:
        advice = means.adviser.advise(means, state)
        state = replace(
            state,
            wishes=advice.wishes,
            exchanges=(*state.exchanges, *advice.exchanges),
            renders=state.renders + advice.renders,
        )
        if not advice.wishes:
            return replace(state, over=state.planned, move=None)
    wish, *rest = state.wishes
    return replace(state, wishes=tuple(rest), move=_wished(means, state, wish))


def consent(means: Means, state: State) -> State:
    """A person's yes to the move, where one is asked for; half of a move is not asked for again."""
    assert state.move is not None
    move, is_half = state.move, state.steps.get(state.move.agent, STEPS[0]) < STEPS[0]
    if means.consent is None or (is_half and not state.planned) or means.consent(move):
        return state
    steps = {**state.steps, move.agent: 0.0}
    return replace(state, move=None, steps=steps, declined=(*state.declined, move))


def render(means: Means, state: State) -> State:
    """The move, rendered."""
    assert state.move is not None
    heard = means.studio.hear(_tried(means, state))
    return replace(state, tried=heard.grade, renders=state.renders + 1)


def grade(means: Means, state: State) -> State:
    """What the move's render is worth beside what stands, as a round."""
    assert state.move is not None
    assert state.tried is not None
    assert state.grade is not None
    after = concern(state.move.agent, means.studio.hear(_tried(means, state)))
    kept, why = verdict(state.grade, state.tried, state.move, after)
    standing = means.studio.settings(state.settings)
    before = {name: standing[name] for name in state.move.values}
    made = Round(state.move, state.tried, after, kept, why, before, bool(state.planned))
    return replace(state, rounds=(*state.rounds, made))


def decide(means: Means, state: State) -> State:
    """Keep the move or drop it; a dropped one of the planner's is tried once more at half."""
    last = state.rounds[-1]
    name = last.move.agent
    if last.kept:
        reasons = {**state.reasons, **dict.fromkeys(last.move.values, last.move.reason)}
        settings = means.studio.settings({**state.settings, **last.move.values}).changed()
        kept = {key: why for key, why in reasons.items() if key in settings}
        return replace(
            state, settings=settings, reasons=kept, grade=last.grade, idle=0, move=None, tried=None
        )
    if last.led:
        return replace(state, move=None, tried=None)
    step = state.steps.get(name, STEPS[0])
    following = next((share for share in STEPS if share < step), 0.0)
    steps = {**state.steps, name: following}
    return replace(state, steps=steps, idle=state.idle + 1, move=None, tried=None)


NODES: Mapping[str, Node] = MappingProxyType(
    {
        "plan": plan,
        **{name: partial(propose, name) for name in AGENTS},
        MODEL: lead,
        "consent": consent,
        "render": render,
        "grade": grade,
        "decide": decide,
    }
)

ROUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "plan": (*AGENTS, MODEL, END),
        **dict.fromkeys((*AGENTS, MODEL), ("consent", "plan")),
        "consent": ("render", "plan"),
        "render": ("grade",),
        "grade": ("decide",),
        "decide": ("plan",),
    }
)
"""Where each node may lead."""


def following(node: str, state: State) -> str:
    """Where a node leads with the state that it left."""
    if node == "plan":
        return END if state.over else state.agenda[0]
    if state.move is None and "plan" in ROUTES[node]:
        return "plan"
    return ROUTES[node][0]


def drawn() -> str:
    """The graph as a Mermaid flow chart."""
    edges = [f"    {node} --> {to}" for node, targets in ROUTES.items() for to in targets]
    return "\n".join(["flowchart LR", *edges])


def concern(name: str, heard: Heard) -> float:
    """The figure that an agent answers for; of the model the sum of those that measure the render."""
    if name != MODEL:
        return AGENTS[name].concern(heard)
    measuring = [agent for agent in AGENTS.values() if not isinstance(agent, OpinionAgent)]
    return sum(max(agent.concern(heard) - NOTHING, 0.0) for agent in measuring)


def _proposed(name: str, means: Means, state: State, step: float) -> Move | None:
    """What an agent would do from this state, or a share of it."""
    agent, heard = AGENTS[name], means.studio.hear(state.settings)
    return agent.propose(Desk(means.studio, heard, state.settings, means.held, agent.owns, step))


def _planned(means: Means, state: State, reason: str) -> State:
    """The end of the planner's part: of the run too, unless a model leads and the objective is not met."""
    if means.adviser is None or _is_met(means, state):
        return replace(state, over=reason, agenda=(), move=None)
    led = replace(state, planned=reason, planned_renders=state.renders)
    return replace(led, agenda=(MODEL,), move=None, tried=None)


def _led(means: Means, state: State) -> State:
    """The model's part goes on until it asks for nothing, or nothing is left to try it with."""
    made = state.renders - state.planned_renders
    over = state.over or (state.planned if made >= means.led_renders or _is_met(means, state) else "")
    return replace(state, over=over, agenda=() if over else (MODEL,), move=None, tried=None)


def _wished(means: Means, state: State, wish: Wish) -> Move | None:
    if wish.agent != MODEL:
        move = _proposed(wish.agent, means, state, wish.share)
        return move and replace(move, reason=f"{move.reason}; {wish.why}" if wish.why else move.reason)
    heard = means.studio.hear(state.settings)
    standing = means.studio.settings(state.settings)
    moved = {name: value for name, value in wish.values.items() if value != standing[name]}
    return Move(MODEL, moved, wish.why, concern(MODEL, heard), MODEL_PROOF) if moved else None


def _overall(found: Grade) -> list[float]:
    return [found.voice[name] for name in OVERALL if name in found.voice]


def _is_met(means: Means, state: State) -> bool:
    """True where the voice has the opinion score that was asked for."""
    assert state.grade is not None
    overall = _overall(state.grade)
    return means.until is not None and bool(overall) and min(overall) >= means.until


def _over(means: Means, state: State) -> str:
    """Why the run is over; empty while it is not."""
    assert state.grade is not None
    if _is_met(means, state):
        return f"the voice is graded {min(_overall(state.grade)):.2f}"
    if state.renders >= means.renders:
        return f"{state.renders} renders were made"
    if state.idle >= IDLE_ROUNDS * len(STEPS):
        return f"{state.idle} rounds in a row brought nothing"
    return ""


def _asked(dimensions: tuple[str, ...], voice: Mapping[str, float], until: float | None) -> float:
    """How far a voice's opinion in these dimensions is under what is asked for; 0 where nothing is."""
    if until is None:
        return 0.0
    low = [until - voice[name] for name in dimensions if name in voice]
    return max([0.0, *low])


def _tried(means: Means, state: State) -> dict[str, float]:
    assert state.move is not None
    return means.studio.settings({**state.settings, **state.move.values}).changed()
