"""The default runner: it walks the graph until an edge leads to its end."""

from __future__ import annotations

from collections.abc import Callable

from mixagent.conductor.graph import END, NODES, START, Means, following
from mixagent.conductor.state import State

MOST_NODES = 1000
"""A graph that has not ended by then has a fault; a run of twelve renders takes some sixty nodes."""


def run(means: Means, state: State, watch: Callable[[str, State], None] | None = None) -> State:
    """The state that the graph ends with.

    Args:
        means: what the nodes work with.
        state: to begin with.
        watch: called with each node's name and the state that it left.

    Raises:
        RuntimeError: the graph does not end.
    """
    node = START
    for _ in range(MOST_NODES):
        state = NODES[node](means, state)
        if watch:
            watch(node, state)
        node = following(node, state)
        if node == END:
            return state
    raise RuntimeError("the conductor's graph does not end")
