"""The moves that settings would make, in words, where nothing was rendered that could be measured."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mixagent.pipeline.chain.parameters import GRAPHIC_HZ, Settings
from mixagent.report.actions import hz_words
from mixagent.report.words import number, parameter_label, parameter_value, place_label

_GRAPHIC = re.compile(r"graphic\.(tone|width|balance)_(\d+)_db")
_NAMES = {"tone": "Tone", "width": "Sides", "balance": "Balance"}


def planned_moves(settings: Settings, reasons: Mapping[str, str]) -> list[str]:
    """A line for each move; neighbouring bands of the graphic equaliser that go one way are one.

    Args:
        settings: that are to be rendered.
        reasons: by parameter name.
    """
    changed = settings.changed()
    graphic = [line for what in _NAMES for line in _graphic_lines(what, changed, reasons)]
    others = [name for name in changed if not _GRAPHIC.fullmatch(name)]
    return [*graphic, *(_line(settings, name, reasons) for name in others)]


def _graphic_lines(what: str, changed: Mapping[str, float], reasons: Mapping[str, str]) -> list[str]:
    moves = [changed.get(f"graphic.{what}_{hz}_db", 0.0) for hz in GRAPHIC_HZ]
    lines, start = [], 0
    for end in range(1, len(moves) + 1):
        if end < len(moves) and moves[start] * moves[end] > 0:
            continue
        if moves[start]:
            lines.append(_region(what, start, end, moves, reasons))
        start = end
    return lines


def _region(what: str, start: int, end: int, moves: list[float], reasons: Mapping[str, str]) -> str:
    most = max(range(start, end), key=lambda band: abs(moves[band]))
    low, high = hz_words(GRAPHIC_HZ[start]), hz_words(GRAPHIC_HZ[end - 1])
    where = low if start == end - 1 else f"{low}–{high}"
    verb = "raised" if moves[most] > 0 else "lowered"
    if what == "balance":
        verb = "moved to the right" if moves[most] > 0 else "moved to the left"
    reason = reasons.get(f"graphic.{what}_{GRAPHIC_HZ[most]}_db")
    return f"{_NAMES[what]} at {where} {verb} by up to {number(abs(moves[most]))} dB{_because(reason)}"


def _line(settings: Settings, name: str, reasons: Mapping[str, str]) -> str:
    parameter = settings.space[name]
    value = parameter_value(settings[name], parameter.unit, parameter.low < 0)
    label = f"{place_label(parameter.where)} {parameter_label(name)}"
    return f"{label[:1].upper()}{label[1:]} {value}{_because(reasons.get(name))}"


def _because(reason: str | None) -> str:
    return "" if reason is None else f": {reason}"
