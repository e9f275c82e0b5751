"""A language model's ears and hands: one table of functions, made from the parameter table and the studio.

Ears are answered at once; `compare` costs a render, the others measure the one that stands. Hands become
wishes: moves that the graph renders, grades and keeps or drops like those of an agent. Repairs are no part of
it: the parts that are rendered are repaired already. Every function's JSON schema comes from its type hints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, cast

import numpy as np

from mixagent.conductor.agents.table import AGENTS
from mixagent.conductor.graph import MODEL, Means, concern
from mixagent.conductor.schemas import OneOf, Within, parameters_schema, read_arguments
from mixagent.conductor.state import Grade, State, Wish
from mixagent.conductor.studio import Heard
from mixagent.pipeline.chain.parameters import REPAIR, Parameter
from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.finished.measures import GROUPS, MEASURES, Group
from mixagent.pipeline.measure.masking import masked_db
from mixagent.pipeline.measure.stem_measures import ROLES, SCALARS, THIRDS, measures_of
from mixagent.pipeline.types import FloatArray

MOST_ACTION = 0.25
"""The share of its range, from neutral to an end, by which a move of the model's may shift a parameter."""

MOST_MOVED = 24
"""Parameters in a move of the model's."""

LEAST_SHARE = 0.1

Role = Annotated[str, OneOf(ROLES)]
Source = Annotated[str, OneOf(("mix", *ROLES))]
GroupName = Annotated[str, OneOf(tuple(GROUPS))]
AgentName = Annotated[str, OneOf(tuple(AGENTS))]
Share = Annotated[float, Within(LEAST_SHARE, 1.0)]


@dataclass(frozen=True)
class Value:
    """A parameter, and what it is to be or by how much it is to move, in its unit."""

    name: str
    value: float


Values = Annotated[list[Value], Within(1, MOST_MOVED)]


@dataclass(frozen=True)
class Bench:
    """What the tools work on: the run's means and the state that stands."""

    means: Means
    state: State

    @property
    def heard(self) -> Heard:
        """The render that stands."""
        return self.means.studio.hear(self.state.settings)

    def parameter(self, name: str) -> Parameter:
        """A parameter that may be moved.

        Raises:
            ValueError: there is none of this name, or it is held.
        """
        if name not in self.means.studio.space:
            raise ValueError(f"no parameter {name}")
        parameter = self.means.studio.space[name]
        if name in self.means.held or parameter.where == REPAIR:
            raise ValueError(f"{name} is held")
        return parameter

    def value(self, parameter: Parameter) -> float:
        """The value that stands."""
        return self.state.settings.get(parameter.name, parameter.neutral)

    def bounded(self, parameter: Parameter, wanted: float) -> float:
        """What of a wanted value one move may reach."""
        standing = parameter.action(self.value(parameter))
        wanted = parameter.action(wanted)
        return parameter.value(min(max(wanted, standing - MOST_ACTION), standing + MOST_ACTION))


# --- ears --------------------------------------------------------------------------------------------


def measure(bench: Bench, source: Source, part: Annotated[int, Within(0, 9)] | None) -> dict[str, Any]:
    """Levels by third octave in dB and other figures of the mix or a stem, in one part or the mean of all."""
    pairs = bench.heard.pairs
    if part is not None and part >= len(pairs):
        raise ValueError(f"there are {len(pairs)} parts, counted from 0")
    rows = [
        measures_of(pair.after.analysis, {} if pair.stems_after is None else pair.stems_after.analyses)
        for pair in (pairs if part is None else pairs[part : part + 1])
    ]
    if not rows:
        raise ValueError("the render that stands is silent")
    row = np.mean(rows, axis=0)[("mix", *ROLES).index(source)]
    return {"mid_db": _bands(row[:THIRDS]), "side_db": _bands(row[THIRDS : 2 * THIRDS]), **_scalars(row)}


def finished_music(bench: Bench, group: GroupName) -> dict[str, Any]:
    """How far each measure of a group lies from finished music's mean, in its standard deviations."""
    judgement = bench.heard.judgement
    if judgement is None:
        raise ValueError("the song was not held against finished music")
    found = {MEASURES[k].name: float(judgement.deviations[k]) for k in GROUPS[cast(Group, group)]}
    return {name: round(far, 2) for name, far in found.items() if math.isfinite(far)}


def masking(bench: Bench, stem: Role, by: Role) -> dict[str, Any]:
    """How far one stem's excitation lies over another's by third octave, in dB; over 0 it is masked."""
    rows = bench.heard.stems
    if rows is None or stem == by:
        raise ValueError("masking wants two stems of a song that was taken apart")
    powers = db_to_power(rows[1:, : 2 * THIRDS].astype(np.float64))
    both = (powers[:, :THIRDS] + powers[:, THIRDS:])[[ROLES.index(stem), ROLES.index(by)]]
    return {"masked_db": _bands(masked_db(both)[0])}


def parameters(bench: Bench, where: str) -> dict[str, Any]:
    """The parameters at a place: unit, range, neutral, value, purpose and what the last move of each did."""
    found = [each for each in bench.means.studio.space if each.where == where]
    if not found:
        raise ValueError(f"no place {where}")
    return {each.name: _row(bench, each) for each in found}


def compare(bench: Bench, values: Values) -> dict[str, Any]:
    """A render with these values beside the one that stands, without keeping them. Costs a render."""
    tried = bench.means.studio.hear({**bench.state.settings, **moved(bench, values)})
    assert bench.state.grade is not None
    return {"stands": figures(bench.state.grade), "tried": figures(tried.grade)}


# --- hands -------------------------------------------------------------------------------------------


def ask_agent(bench: Bench, agent: AgentName, share: Share, why: str) -> Wish:
    """Have an agent make its next move, or a share of it."""
    return Wish(agent, share, {}, why)


def set_values(bench: Bench, values: Values, why: str) -> Wish:
    """Set parameters; one move goes a quarter of the way from neutral to an end of the range at most."""
    return Wish(MODEL, 1.0, moved(bench, values), why)


def nudge(bench: Bench, values: Values, why: str) -> Wish:
    """Move parameters by so much in their unit, within the same bounds."""
    wanted = [Value(each.name, bench.value(bench.parameter(each.name)) + each.value) for each in values]
    return Wish(MODEL, 1.0, moved(bench, wanted), why)


def undo(bench: Bench, round_number: Annotated[int, Within(1, 99)], why: str) -> Wish:
    """Put the parameters of a round that was kept back to where they were before it."""
    rounds = bench.state.rounds
    if round_number > len(rounds) or not rounds[round_number - 1].kept:
        raise ValueError(f"round {round_number} was not kept")
    return Wish(MODEL, 1.0, dict(rounds[round_number - 1].before), why)


# --- the table ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tool:
    """A function that a model may call.

    Attributes:
        run: takes a bench, and arguments as `schema` has them.
        is_hand: whether it gives a wish.
        renders: how many renders it makes.
    """

    run: Callable[..., Any]
    is_hand: bool = False
    renders: int = 0

    @property
    def name(self) -> str:
        """As the model calls it."""
        return self.run.__name__

    @property
    def purpose(self) -> str:
        """One sentence."""
        return (self.run.__doc__ or "").splitlines()[0]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of its arguments."""
        return parameters_schema(self.run)

    def call(self, bench: Bench, given: object) -> Any:
        """Its result for arguments from JSON.

        Raises:
            ValueError: arguments that it does not take, or that mean nothing here; it says why.
        """
        return self.run(bench, **read_arguments(self.run, given))


EARS: tuple[Callable[..., Any], ...] = (measure, finished_music, masking, parameters)
HANDS: tuple[Callable[..., Wish], ...] = (ask_agent, set_values, nudge, undo)

TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        tool.name: tool
        for tool in (
            *(Tool(run) for run in EARS),
            Tool(compare, renders=1),
            *(Tool(run, is_hand=True) for run in HANDS),
        )
    }
)
"""Every tool by its name."""


def moved(bench: Bench, values: Iterable[Value]) -> dict[str, float]:
    """The values that a move may come to.

    Raises:
        ValueError: a parameter that does not exist or is held.
    """
    wanted = {each.name: (bench.parameter(each.name), each.value) for each in values}
    return {name: bench.bounded(parameter, value) for name, (parameter, value) in wanted.items()}


def figures(grade: Grade) -> dict[str, Any]:
    """A grade as a model reads it; the further out of finished music or the more masked, the worse."""
    return {
        "reward": _rounded(grade.blind, 3),
        "outside_of_finished_music": {name: _rounded(far) for name, far in grade.outside.items()},
        "stems_outside": {name: _rounded(far) for name, far in grade.stems.items()},
        "voice_masked_db": None if grade.masked_db is None else _rounded(grade.masked_db, 1),
        "lows_db": _rounded(grade.lows_db, 1),
        "lows_lost_in_mono_db": _rounded(grade.mono_loss_db, 1),
        "voice_opinion": {name: _rounded(score) for name, score in grade.voice.items()},
    }


def concerns(heard: Heard) -> dict[str, float]:
    """By agent the figure that it answers for, in dB."""
    return {name: round(concern(name, heard), 2) for name in AGENTS}


def _row(bench: Bench, parameter: Parameter) -> dict[str, Any]:
    last = [each for each in bench.state.rounds if parameter.name in each.move.values]
    did = f"{'kept' if last[-1].kept else 'dropped'}: {last[-1].why}" if last else None
    return {
        "unit": parameter.unit,
        "low": parameter.low,
        "neutral": parameter.neutral,
        "high": parameter.high,
        "value": round(bench.value(parameter), 2),
        "held": parameter.name in bench.means.held,
        "purpose": parameter.purpose,
        "last": did,
    }


def _bands(levels: FloatArray | np.ndarray[Any, Any]) -> dict[str, float]:
    return {f"{hz:g}": _rounded(level, 1) or 0.0 for hz, level in zip(THIRD_OCTAVES_HZ, levels, strict=True)}


def _scalars(row: FloatArray) -> dict[str, float | None]:
    return {name: _rounded(value) for name, value in zip(SCALARS, row[2 * THIRDS :], strict=True)}


def _rounded(value: float, digits: int = 2) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None
