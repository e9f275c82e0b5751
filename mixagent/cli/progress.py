"""Progress on stderr: a bar for each stage at work, none where stderr is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from mixagent.messages import printable
from mixagent.pipeline.types import ShowProgress
from mixagent.types import Event, OnEvent


@contextmanager
def shown_progress(quiet: bool) -> Iterator[ShowProgress]:
    """A callback that draws bars on stderr while the context lasts."""
    console = Console(stderr=True)
    # Colours may be forced into a file; bars that are drawn over each other are of no use in one.
    if quiet or not sys.stderr.isatty() or console.is_dumb_terminal:
        yield _silent
        return
    name = TextColumn("{task.description:<12}", markup=False)
    columns = name, BarColumn(bar_width=32), TimeElapsedColumn()
    # What is printed to the same terminal goes above the bars; to a file or a pipe it goes as it is.
    shared = sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=shared) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(printable(stage), total=1.0)
            elif share < bars.tasks[tasks[stage]].completed:
                bars.reset(tasks[stage])
            bars.update(tasks[stage], completed=share)

        yield show


@contextmanager
def shown_events(quiet: bool) -> Iterator[OnEvent]:
    """The same for the library's events."""

    def show(event: Event) -> None:
        progress(event.stage, event.share)

    with shown_progress(quiet) as progress:
        yield show


def _silent(_stage: str, _share: float) -> None:
    return None
