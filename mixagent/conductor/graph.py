"""The graph: nodes that take a state to the next, and the edges between them.

    plan → phase | eq | dynamics | space → render → grade → decide → plan …

A node is a function of the state and of the run's means; the state holds numbers and names alone, and what is
costly (renders) is found again in the studio. `runner` walks the graph, `with_langgraph` has LangGraph do it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Protocol

from mixagent.conductor.agents.base import NOTHING, Desk
from mixagent.conductor.agents.table import AGENTS
from mixagent.conductor.grading import verdict
from mixagent.conductor.state import Round, State
from mixagent.conductor.studio import Studio

END = "end"
START = "plan"
STEPS = (1.0, 0.5)
"""The shares of a move that are tried, one after the other, before its agent is heard no more."""

OVERALL = ("nisqa", "distillmos", "judge")
"""The scores of a voice as a whole; all that are known have to be as high as is asked."""

IDLE_ROUNDS = 2
"""So many rounds in a row that brought nothing end a run."""


class Adviser(Protocol):
    """Picks, orders and bounds the agents' moves, as a language model does; see `model`."""

    def order(self, state: State, concerns: Mapping[str, float]) -> tuple[str, ...]:
        """The agents to be heard, the first one next."""


@dataclass(frozen=True)
class Means:
    """What nodes work with.

    Attributes:
        studio: the song's loudest parts behind the chain.
        held: names of parameters that are not to be moved.
        renders: the most there are to be, the first one included.
        until: the opinion score of the voice at which there is nothing more to do; None for none.
        adviser: who orders the agents; None for the planner.
    """

    studio: Studio
    held: frozenset[str] = frozenset()
    renders: int = 12
    until: float | None = None
    adviser: Adviser | None = None


Node = Callable[[Means, State], State]


def plan(means: Means, state: State) -> State:
    """Who is heard next: the agent with the largest concern of those that may still try something."""
    if state.grade is None:
        grade = means.studio.hear(state.settings).grade
        state = replace(state, grade=grade, begun=grade, renders=state.renders + 1)
    assert state.grade is not None
    if reason := _over(means, state):
        return replace(state, over=reason, agenda=(), move=None)
    heard = means.studio.hear(state.settings)
    concerns = {
        name: agent.concern(heard) + _asked(agent.dimensions, state.grade.voice, means.until)
        for name, agent in AGENTS.items()
        if state.steps.get(name, STEPS[0]) > 0.0
    }
    open_ones = {name: far for name, far in concerns.items() if far > NOTHING}
    if not open_ones:
        return replace(state, over="nothing is left that an agent answers for", agenda=(), move=None)
    order = tuple(sorted(open_ones, key=lambda name: -open_ones[name]))
    if means.adviser is not None:
        order = means.adviser.order(state, open_ones)
    return replace(state, agenda=order, move=None, tried=None)


def propose(name: str, means: Means, state: State) -> State:
    """The agent's move; one that knows none is heard no more."""
    desk = Desk(
        means.studio,
        means.studio.hear(state.settings),
        state.settings,
        means.held,
        AGENTS[name].owns,
        state.steps.get(name, STEPS[0]),
    )
    move = AGENTS[name].propose(desk)
    if move is None:
        return replace(state, move=None, steps={**state.steps, name: 0.0})
    return replace(state, move=move)


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
    after = AGENTS[state.move.agent].concern(means.studio.hear(_tried(means, state)))
    kept, why = verdict(state.grade, state.tried, state.move, after)
    made = Round(state.move, state.tried, after, kept, why)
    return replace(state, rounds=(*state.rounds, made))


def decide(means: Means, state: State) -> State:
    """Keep the move or drop it; a dropped one is tried once more at half."""
    last = state.rounds[-1]
    name = last.move.agent
    if last.kept:
        reasons = {**state.reasons, **dict.fromkeys(last.move.values, last.move.reason)}
        settings = means.studio.settings({**state.settings, **last.move.values}).changed()
        kept = {key: why for key, why in reasons.items() if key in settings}
        return replace(
            state, settings=settings, reasons=kept, grade=last.grade, idle=0, move=None, tried=None
        )
    step = state.steps.get(name, STEPS[0])
    following = next((share for share in STEPS if share < step), 0.0)
    steps = {**state.steps, name: following}
    return replace(state, steps=steps, idle=state.idle + 1, move=None, tried=None)


NODES: Mapping[str, Node] = MappingProxyType(
    {
        "plan": plan,
        **{name: partial(propose, name) for name in AGENTS},
        "render": render,
        "grade": grade,
        "decide": decide,
    }
)

ROUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "plan": (*AGENTS, END),
        **dict.fromkeys(AGENTS, ("render", "plan")),
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
    if node in AGENTS:
        return "plan" if state.move is None else "render"
    return ROUTES[node][0]


def drawn() -> str:
    """The graph as a Mermaid flow chart."""
    edges = [f"    {node} --> {to}" for node, targets in ROUTES.items() for to in targets]
    return "\n".join(["flowchart LR", *edges])


def _over(means: Means, state: State) -> str:
    """Why the run is over; empty while it is not."""
    assert state.grade is not None
    overall = [state.grade.voice[name] for name in OVERALL if name in state.grade.voice]
    if means.until is not None and overall and min(overall) >= means.until:
        return f"the voice is graded {min(overall):.2f}"
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
