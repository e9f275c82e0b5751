"""A goal in words, and the sections of a song, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mixagent.report.model import SectionRow, UnderstoodWords
from mixagent.report.words import clock, number


def goal_text(rows: Sequence[UnderstoodWords], notes: Sequence[str]) -> RenderableType:
    """Each piece that was understood, and lines on the rest."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Words", "For", "Means", "How much"):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(row.words, row.scope, row.means, how_much(row))
    shown: list[RenderableType] = [table] if rows else [Text("Nothing of it was understood.")]
    if any(row.needs_stems for row in rows):
        shown.append(Text("The song is taken apart into stems for this.", style="dim"))
    return Group(*shown, *(Text(f"! {line}", style="yellow") for line in notes))


def how_much(row: UnderstoodWords) -> str:
    """The figure that was named, or the steps."""
    if row.amount is not None:
        return row.amount.replace("-", "−")
    if row.direction in ("keep", "set"):
        return ""
    return f"{number(abs(row.steps), 1)} step{'' if abs(row.steps) == 1 else 's'}"


def section_lines(rows: Sequence[SectionRow]) -> list[str]:
    """A line for each section: its stretch, its name and how sure that is, and what it has by itself."""
    return [section_words(row) for row in rows]


def section_words(row: SectionRow) -> str:
    """One section in words."""
    sure = f", perhaps {row.likely}" if row.likely and row.likely != row.label else ""
    level = "" if row.lufs is None else f", {number(row.lufs, 1)} LUFS"
    differs = f": {'; '.join(row.differs)}" if row.differs else ""
    stretch = f"{clock(round(row.start_s))}–{clock(round(row.stop_s))}"
    return f"{stretch} {row.label} ({row.letter}){sure}{level}{differs}"
