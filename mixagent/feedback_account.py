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
    aims: Sequence[Aim], song: Figures, renders: Sequence[Rendered], kept: int, answerable: bool
) -> dict[str, Any]:
    """The report's entry `feedback`.

    Args:
        aims: what was steered.
        song: what was measured of the song as it came.
        renders: all of them, in order.
        kept: index of the one that is the master.
        answerable: whether something could still be moved when the loop ended.
    """
    return {
        "aims": [_aim(aim) for aim in aims],
        "kept": kept + 1,
        "song": dict(song),
        "renders": [_render(number, render, aims, song) for number, render in enumerate(renders, 1)],
        "ended": _ended(aims, song, renders, kept, answerable),
    }


def _render(number: int, render: Rendered, aims: Sequence[Aim], song: Figures) -> dict[str, Any]:
    space = render.decision.settings.space
    return {
        "render": number,
        "figures": dict(render.figures),
        "deviation": render.deviation,
        "out": [
            {"name": miss.aim.name, "excess": miss.excess, "words": miss_words(miss)}
            for miss in misses(aims, render.figures, song)
        ],
        "changes": [_change(change, space, render.figures) for change in render.changes],
    }


def _aim(aim: Aim) -> dict[str, Any]:
    low, high = (edge if math.isfinite(edge) else None for edge in aim.band)
    return {"name": aim.name, "label": aim.label, "unit": aim.unit, "low": low, "high": high}


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
    side = "over" if miss.excess > 0 else "under"
    return f"{aim.label} {number(miss.value)} {aim.unit}, {side} {number(miss.value - miss.excess)}"


def change_words(change: Change) -> str:
    """Why the loop moved a parameter, for its row in the report."""
    return f"feedback: {miss_words(change.miss)}"


def _ended(
    aims: Sequence[Aim], song: Figures, renders: Sequence[Rendered], kept: int, answerable: bool
) -> str:
    left = misses(aims, renders[kept].figures, song)
    if kept < len(renders) - 1:
        return f"render {len(renders)} came no closer, so render {kept + 1} stands"
    if not left:
        return "all that is steered is in band"
    words = "; ".join(miss_words(miss) for miss in left)
    why = "no render is left" if answerable else "nothing that may be moved answers for it"
    return f"{words}: {why}"


def feedback_lines(account: Mapping[str, Any] | None) -> list[str]:
    """What the loop changed in the master, one line a change; none where the first render stood."""
    if account is None or len(account["renders"]) == 1:
        return []
    made = account["renders"][1 : account["kept"]]
    lines = [f"Render {row['render']}, {change['words']}" for row in made for change in row["changes"]]
    tried = account["renders"][account["kept"] :]
    return [*lines, *([f"Feedback: {account['ended']}"] if tried else [])]
