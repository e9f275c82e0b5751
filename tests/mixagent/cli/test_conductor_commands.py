"""`mixagent conductor` shows the graph, the agents and the tools from the tables that run."""

import json

from mixagent.conductor.agents.table import AGENTS
from mixagent.conductor.graph import NODES, ROUTES
from mixagent.conductor.tools import TOOLS


def test_the_graph_is_drawn_edge_by_edge(mixagent):
    drawn = mixagent("conductor", "graph").out.splitlines()
    assert drawn[0] == "flowchart LR"
    assert len(drawn) == 1 + sum(map(len, ROUTES.values()))
    told = json.loads(mixagent("conductor", "graph", "--json").out)
    assert told["routes"].keys() == NODES.keys()


def test_every_agent_says_what_it_answers_for(mixagent):
    lines = mixagent("conductor", "agents").out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(AGENTS)
    told = json.loads(mixagent("conductor", "agents", "--json").out)["agents"]
    assert all(row["answers_for"].endswith(".") and row["owns"] for row in told)


def test_every_tool_has_a_purpose_and_a_schema(mixagent):
    lines = mixagent("conductor", "tools").out.splitlines()
    assert [line.split("(")[0] for line in lines] == list(TOOLS)
    for row in json.loads(mixagent("conductor", "tools", "--json").out)["tools"]:
        assert row["purpose"].endswith(".")
        assert row["arguments"]["required"] == list(row["arguments"]["properties"])
