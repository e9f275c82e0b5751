"""`mixagent replay`: a report's master rendered again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import Printing
from mixagent.pipeline.errors import EXIT_DONE, EXIT_TARGET_MISSED


@command()
def replay(
    report: Annotated[
        Path, typer.Argument(help="A report written by --report REPORT.json.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where the master goes.", show_default="as the report says"),
    ] = None,
    song: Annotated[Path | None, typer.Option(help="The song, if it has moved.")] = None,
    stems_in: Annotated[
        Path | None, typer.Option("--stems-in", metavar="DIR", help="The stems' folder, if they have moved.")
    ] = None,
    *,
    printing: Printing,
) -> int:
    """Render a master again from its report; the same bytes, or exit code 4 and a word on what changed."""
    from mixagent import api
    from mixagent.cli.progress import shown_events

    with shown_events(printing.quiet) as show:
        made = api.replay(report, output=output, song=song, stems_in=stems_in, on_event=show)
    if printing.as_json:
        print_json(made.to_dict())
    else:
        print_text(made.verdict)
    return EXIT_DONE if made.identical else EXIT_TARGET_MISSED
