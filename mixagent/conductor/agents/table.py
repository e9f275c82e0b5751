"""The one table of agents, in the order in which equals are heard."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mixagent.conductor.agents.base import Agent
from mixagent.conductor.agents.dynamics import DynamicsAgent
from mixagent.conductor.agents.eq import EqAgent
from mixagent.conductor.agents.opinion import STEMS_PROOF, OpinionAgent
from mixagent.conductor.agents.phase import PhaseAgent
from mixagent.conductor.agents.space import SpaceAgent

AGENTS: Mapping[str, Agent] = MappingProxyType(
    {
        agent.name: agent
        for agent in (
            OpinionAgent("reading", "a net that read the whole song would do so"),
            OpinionAgent("mix", "a net that heard the stems would do so", proof=STEMS_PROOF),
            PhaseAgent(),
            EqAgent(),
            DynamicsAgent(),
            SpaceAgent(),
        )
    }
)
