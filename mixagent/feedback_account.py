"""What the report says of the feedback loop: each render, what of it was out of band, what was changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mixagent.pipeline.feedback import Aim, Change, Figures, Miss, misses
from mixagent.report.words import number, parameter_label, parameter_value, place_label

if TYPE_CHECKING:
    from mixagent.pipeline.parameters import ParameterSpace
    from mixagent.revising import Rendered


def feedback_account(
    aims: Sequence[Aim], song: Figures, renders: Sequence[Rendered], kept: int
) -> dict[str, Any]:
    """The report's entry `feedback`.

    Args:
        aims: what was steered.
        song: what was measured of the song as it came.
        renders: all of them, in order.
        kept: index of the one that is the master.
    """
    return {
        "kept": kept + 1,
        "song": dict(song),
        "renders": [_render(number, render, aims, song) for number, render in enumerate(renders, 1)],
        "ended": _ended(aims, song, renders, kept),
    }


def _render(number: int, render: Rendered, aims: Sequence[Aim], song: Figures) -> dict[str, Any]:
    space = render.decision.settings.space
    return {
        "render": number,
        "figures": dict(render.figures),
        "deviation": render.deviation,
        "out": [_miss(miss) for miss in misses(aims, render.figures, song)],
        "changes": [_change(change, space, render.figures) for change in render.changes],
    }


def _miss(miss: Miss) -> dict[str, Any]:
    aim = miss.aim
    low, high = (edge if math.isfinite(edge) else None for edge in aim.band)
    return {
        "name": aim.name,
        "unit": aim.unit,
        "value": miss.value,
        "song": miss.song,
        "low": low,
        "high": high,
        "words": miss_words(miss),
    }


def _change(change: Change, space: ParameterSpace, after: Figures) -> dict[str, Any]:
    aim = change.miss.aim
    parameter = space[change.name]
    values = [parameter_value(v, parameter.unit, parameter.low < 0) for v in (change.before, change.after)]
    label = f"{place_label(parameter.where)} {parameter_label(change.name)}"
    came_to = f"then {number(after[aim.name])} {aim.unit}"
    return {
        "name": change.name,
        "before": change.before,
        "after": change.after,
        "aim": aim.name,
        "words": f"{label} {values[0]} to {values[1]}: {miss_words(change.miss)}; {came_to}",
    }


def miss_words(miss: Miss) -> str:
    """What was measured, and past which bound: “pumping 1.6 dB, over 1.0”."""
    aim = miss.aim
    side, bound = (
        ("over", miss.value - miss.excess) if miss.excess > 0 else ("under", miss.value - miss.excess)
    )
    return f"{aim.label} {number(miss.value)} {aim.unit}, {side} {number(miss.value - miss.excess)}"


def change_words(change: Change) -> str:
    """Why the loop moved a parameter, for its row in the report."""
    return f"feedback: {miss_words(change.miss)}"


def _ended(aims: Sequence[Aim], song: Figures, renders: Sequence[Rendered], kept: int) -> str:
    left = misses(aims, renders[kept].figures, song)
    if kept < len(renders) - 1:
        return f"render {len(renders)} came no closer, so render {kept + 1} was kept"
    if not left:
        return "all that is steered is in band"
    words = "; ".join(miss_words(miss) for miss in left)
    return f"left as it is, since nothing that was decided answers for it: {words}"


def feedback_lines(account: Mapping[str, Any] | None) -> list[str]:
    """What the loop changed in the master, one line a change; none where the first render stood."""
    if account is None or len(account["renders"]) == 1:
        return []
    made = account["renders"][1 : account["kept"]]
    lines = [f"Render {row['render']}, {change['words']}" for row in made for change in row["changes"]]
    tried = account["renders"][account["kept"] :]
    return [*lines, *([f"Feedback: {account['ended']}"] if tried else [])]
