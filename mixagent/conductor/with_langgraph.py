"""The same graph, run by LangGraph: the nodes and edges of `graph`, with checkpoints, retries and interrupts.

LangGraph keeps the state after every node in an SQLite file, so that a run that was cut off goes on from its
last node, and one that waits for a person's yes may wait in another process. What travels is the state as
JSON has it: numbers, names and words. Needs the extra `conductor`; see docs/conductor.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from mixagent.conductor.graph import END, NODES, ROUTES, START, Means, following
from mixagent.conductor.runner import MOST_NODES
from mixagent.conductor.state import Move, State, read_move
from mixagent.pipeline.errors import ModelMissingError

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

TRIES = 2
"""How often a node is tried that fails because of a file or a connection."""


class Held(TypedDict):
    """The one channel: a `State` as `to_json` gives it."""

    state: dict[str, Any]


Watch = Callable[[str, State], None]


def run(
    means: Means,
    state: State,
    watch: Watch | None = None,
    checkpoints: Path | None = None,
    thread: str = "conductor",
) -> State:
    """The state that the graph ends with, as `runner.run` gives it.

    Args:
        means: what the nodes work with; its `consent` is asked while LangGraph's interrupt holds the run.
        state: to begin with; a thread that was cut off goes on with its own.
        watch: called with each node's name and the state that it left.
        checkpoints: an SQLite file; None keeps them in memory.
        thread: the name of this run in the file.

    Raises:
        ModelMissingError: LangGraph is not installed.
    """
    with _langgraph(), _saver(checkpoints) as saver:
        from langgraph.types import Command

        graph = compiled(means, saver, watch)
        config: Any = {"configurable": {"thread_id": thread}, "recursion_limit": MOST_NODES}
        kept = graph.get_state(config)
        waiting = [each for task in kept.tasks for each in task.interrupts]
        ended: dict[str, Any] = {"__interrupt__": waiting}
        if not waiting:
            ended = graph.invoke(None if kept.next else _held(state), config)
        while ended.get("__interrupt__"):
            assert means.consent is not None
            said_yes = means.consent(read_move(ended["__interrupt__"][0].value))
            ended = graph.invoke(Command(resume=said_yes), config)
    return State.from_json(ended["state"])


def compiled(
    means: Means, saver: BaseCheckpointSaver[Any], watch: Watch | None = None
) -> CompiledStateGraph[Held, None, Held, Held]:
    """The graph as LangGraph compiles it; a move that wants a yes interrupts it in the node `consent`."""
    from langgraph.graph import StateGraph
    from langgraph.types import RetryPolicy

    asking = means if means.consent is None else replace(means, consent=_interrupted)
    graph = StateGraph(Held)
    for name in NODES:
        policy = RetryPolicy(max_attempts=TRIES, retry_on=OSError)
        graph.add_node(name, _node(name, asking, watch), retry_policy=policy)
        graph.add_conditional_edges(name, _edge(name), [_named(to) for to in ROUTES[name]])
    graph.set_entry_point(START)
    return graph.compile(checkpointer=saver)


class _Node(Protocol):
    def __call__(self, state: Held) -> Held: ...


def _node(name: str, means: Means, watch: Watch | None) -> _Node:
    def work(state: Held) -> Held:
        left = NODES[name](means, State.from_json(state["state"]))
        if watch:
            watch(name, left)
        return _held(left)

    return work


def _edge(name: str) -> Callable[[Held], str]:
    return lambda held: _named(following(name, State.from_json(held["state"])))


def _interrupted(move: Move) -> bool:
    """Stops the run until it is resumed with an answer. Nothing is rendered before it in its node."""
    from langgraph.types import interrupt

    return bool(interrupt(asdict(move)))


def _held(state: State) -> Held:
    return {"state": state.to_json()}


def _named(node: str) -> str:
    from langgraph.graph import END as LANGGRAPH_END

    return LANGGRAPH_END if node == END else node


@contextmanager
def _langgraph() -> Iterator[None]:
    """Inside, LangGraph is there and sends nothing to LangSmith."""
    os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"
    try:
        import langgraph.checkpoint.sqlite
        import langgraph.graph  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModelMissingError(
            f"{error.name} is not installed: pip install 'mixagent[conductor]'"
        ) from error
    yield


@contextmanager
def _saver(path: Path | None) -> Iterator[BaseCheckpointSaver[Any]]:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.sqlite import SqliteSaver

    if path is None:
        yield InMemorySaver()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with SqliteSaver.from_conn_string(str(path)) as saver:
        yield saver
