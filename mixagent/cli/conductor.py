"""`mixagent conductor …`: what `master --conductor` is made of."""

from __future__ import annotations

from mixagent.cli.common import command, print_json, print_lines, print_text
from mixagent.cli.flags import AsJson
from mixagent.pipeline.errors import EXIT_DONE


@command()
def graph(as_json: AsJson = False) -> int:
    """Draw the conductor's graph as a Mermaid flow chart."""
    from mixagent.conductor.graph import END, ROUTES, START, drawn

    if as_json:
        routes = {node: list(targets) for node, targets in ROUTES.items()}
        print_json({"schema": "mixagent.conductor.graph/1", "start": START, "end": END, "routes": routes})
    else:
        print_text(drawn())
    return EXIT_DONE


@command()
def agents(as_json: AsJson = False) -> int:
    """List the agents: what each answers for, and the parameters that it may move."""
    from mixagent.conductor.agents.table import AGENTS

    rows = [
        {
            "name": name,
            "answers_for": (type(agent).concern.__doc__ or "").splitlines()[0],
            "owns": list(agent.owns),
            "voice_dimensions": list(agent.dimensions),
        }
        for name, agent in AGENTS.items()
    ]
    if as_json:
        print_json({"schema": "mixagent.conductor.agents/1", "agents": rows})
    else:
        print_lines(f"{row['name']}: {row['answers_for']} Moves {_listed(row['owns'])}." for row in rows)
    return EXIT_DONE


@command()
def tools(as_json: AsJson = False) -> int:
    """List the tools that a language model may call, with the schemas of their arguments."""
    from mixagent.conductor.tools import TOOLS

    if as_json:
        rows = [
            {"name": name, "purpose": tool.purpose, "is_move": tool.is_hand, "arguments": tool.schema}
            for name, tool in TOOLS.items()
        ]
        print_json({"schema": "mixagent.conductor.tools/1", "tools": rows})
    else:
        print_lines(
            f"{name}({', '.join(tool.schema['properties'])}): {tool.purpose}" for name, tool in TOOLS.items()
        )
    return EXIT_DONE


def _listed(names: object) -> str:
    assert isinstance(names, list)
    return "any" if names == ["*"] else ", ".join(names)
