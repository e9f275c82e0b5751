"""The report's section on the feedback loop: each render, its figures out of band, and its changes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixagent.pipeline.chain.parameters import GRAPHIC_HZ
from mixagent.pipeline.feedback import Aim, Change, Figures, Miss, misses
from mixagent.report.actions import hz_words
from mixagent.report.model import AimRow, ChangeRow, FeedbackSection, MissRow, RenderRow
from mixagent.report.words import number, parameter_label, parameter_value, place_label

if TYPE_CHECKING:
    from mixagent.pipeline.chain.parameters import ParameterSpace
    from mixagent.session.feedback import Rendered


def feedback_section(
    aims: Sequence[Aim], song: Figures, renders: Sequence[Rendered], kept: int, answerable: bool
) -> FeedbackSection:
    """The report's section `feedback`.

    Args:
        aims: steered figures with their bands.
        song: figures of the song as it came.
        renders: all of them, in order.
        kept: index of the one that is the master.
        answerable: whether something could still be moved when the loop ended.
    """
    return FeedbackSection(
        aims=tuple(_aim(aim) for aim in aims),
        kept=kept + 1,
        song=dict(song),
        renders=tuple(_render(number, render, aims, song) for number, render in enumerate(renders, 1)),
        ended=_ended(aims, song, renders, kept, answerable),
    )


def _render(number: int, render: Rendered, aims: Sequence[Aim], song: Figures) -> RenderRow:
    space = render.decision.settings.space
    changes = tuple(_change(change, space, render.figures) for change in render.changes)
    plain = [told for told, change in zip(changes, render.changes, strict=True) if not _band(change.miss)]
    bands = [change for change in render.changes if _band(change.miss)]
    return RenderRow(
        render=number,
        figures=dict(render.figures),
        deviation=render.deviation,
        out=tuple(
            MissRow(name=miss.aim.name, excess=miss.excess, words=miss_words(miss))
            for miss in misses(aims, render.figures, song)
        ),
        changes=changes,
        told=(*(told.words for told in plain), *_bands_words(bands, render.figures)),
    )


def _aim(aim: Aim) -> AimRow:
    low, high = (edge if math.isfinite(edge) else None for edge in aim.band)
    return AimRow(name=aim.name, label=aim.label, unit=aim.unit, low=low, high=high)


def _change(change: Change, space: ParameterSpace, after: Figures) -> ChangeRow:
    aim = change.miss.aim
    parameter = space[change.name]
    values = [parameter_value(v, parameter.unit, parameter.low < 0) for v in (change.before, change.after)]
    label = f"{place_label(parameter.where)} {parameter_label(change.name)}"
    came_to = f"then {number(after[aim.name])} {aim.unit}"
    return ChangeRow(
        name=change.name,
        before=change.before,
        after=change.after,
        aim=aim.name,
        words=f"{label} {values[0]} to {values[1]}: {miss_words(change.miss)}; {came_to}",
    )


_GRAPHIC = re.compile(r"(tone|width)_(\d+)")


def _band(miss: Miss) -> tuple[str, int] | None:
    """Of a miss of the graphic equaliser's, what was moved and the centre in Hz."""
    found = _GRAPHIC.fullmatch(miss.aim.name)
    return None if found is None else (found[1], int(found[2]))


def _bands_words(changes: Sequence[Change], after: Figures) -> list[str]:
    """Changes of the graphic equaliser: a sentence for neighbouring bands that went one way."""
    told = []
    for region in _neighbours([change.miss for change in changes]):
        moved = [change for change in changes if change.miss in region]
        by_db = max(abs(change.after - change.before) for change in moved)
        verb = "raised" if moved[0].after > moved[0].before else "lowered"
        left_db = max(abs(_off_db(miss, after[miss.aim.name])) for miss in region)
        equaliser = f"equaliser {verb} by up to {number(by_db)} dB more"
        told.append(f"{equaliser}: {_region_words(region)}; then at most {number(left_db)} dB off")
    return told


def _neighbours(missed: Sequence[Miss]) -> list[list[Miss]]:
    """Misses of the graphic equaliser's bands, those beside each other and out on one side together."""
    regions: list[list[Miss]] = []
    for miss in sorted((m for m in missed if _band(m)), key=lambda m: _band(m) or ("", 0)):
        last = regions[-1][-1] if regions else None
        (what, hz), (before, below) = _band(miss) or ("", 0), (last and _band(last)) or ("", 0)
        beside = what == before and GRAPHIC_HZ.index(hz) == GRAPHIC_HZ.index(below) + 1
        if last is not None and beside and (miss.excess > 0) == (last.excess > 0):
            regions[-1].append(miss)
        else:
            regions.append([miss])
    return regions


def _region_words(region: Sequence[Miss]) -> str:
    """Neighbouring bands in words: “tone at 31–63 Hz up to 2.2 dB under where it was to be”."""
    (what, low), (_, high) = (_band(miss) or ("", 0) for miss in (region[0], region[-1]))
    at = hz_words(low) if low == high else f"{hz_words(low)}–{hz_words(high)}"
    most_db = max(abs(_off_db(miss, miss.value)) for miss in region)
    side = "over" if region[0].excess > 0 else "under"
    return f"{what} at {at} up to {number(most_db)} dB {side} where it was to be"


def _off_db(miss: Miss, value: float) -> float:
    return miss.aim.excess(value, miss.song)


def missed_words(missed: Sequence[Miss]) -> str:
    """All that is out of band in one sentence."""
    plain = [miss_words(miss) for miss in missed if not _band(miss)]
    return "; ".join([*plain, *(_region_words(region) for region in _neighbours(missed))])


def miss_words(miss: Miss) -> str:
    """A figure, and past which bound it is: “pumping 1.6 dB, over 1.0”."""
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
    words = missed_words(left)
    why = "no render is left" if answerable else "nothing that may be moved answers for it"
    return f"{words}: {why}"


def feedback_lines(section: FeedbackSection | None) -> list[str]:
    """The loop's changes of the master, one line a change; none where the first render stood."""
    if section is None or len(section.renders) == 1:
        return []
    made = section.renders[1 : section.kept]
    lines = [f"Render {row.render}, {words}" for row in made for words in row.told]
    tried = section.renders[section.kept :]
    return [*lines, *([f"Feedback: {section.ended}"] if tried else [])]
