"""Moves: settings that a reference or a goal adds to what a policy decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mixagent.pipeline.chain.parameters import Parameter, Settings, switch_of


@dataclass(frozen=True)
class Move:
    """A parameter moved from where the policy left it.

    Attributes:
        name: of the parameter, `where.what_unit`.
        by: added where the parameter's scale is linear (in its unit), multiplied where it is
            logarithmic.
        reason: one short clause for the report.
    """

    name: str
    by: float
    reason: str


def moved(
    settings: Settings, reasons: Mapping[str, str], moves: Iterable[Move]
) -> tuple[Settings, dict[str, str]]:
    """The settings with every move made, clipped to the ranges, and the reasons with those of the moves.

    Moves of parameters that the space does not hold (a stem that was not separated) are left out, and so are
    those of a bell that works already, which would go elsewhere.
    """
    values, told = dict(settings.values), dict(reasons)
    asked = [move for move in moves if move.name in values]
    switches = {switch_of(move.name) for move in asked} - {None}
    taken = {name for name in switches if settings[str(name)] != settings.space[str(name)].neutral}
    for move in asked:
        if move.name in taken or switch_of(move.name) in taken:
            continue
        values[move.name] = _shifted(settings.space[move.name], values[move.name], move.by)
        before = told.get(move.name)
        told[move.name] = move.reason if before is None else f"{before}; {move.reason}"
    return settings.space.settings(values), told


def _shifted(parameter: Parameter, value: float, by: float) -> float:
    return value * by if parameter.scale == "log" else value + by
