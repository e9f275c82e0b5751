"""`mixagent compare`: versions of a song side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import NoOverwrite, Printing, named_path
from mixagent.cli.streams import spooled
from mixagent.pipeline.errors import EXIT_DONE


@command()
def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="SONG",
            help="Two or more versions of a song; - is stdin.",
            parser=named_path,
            show_default=False,
        ),
    ],
    report: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write the report: .html is a page to switch between the versions and to test them blind, "
            ".json its figures. May be given twice.",
            show_default=False,
        ),
    ] = None,
    no_overwrite: NoOverwrite = False,
    *,
    printing: Printing,
) -> int:
    """Measure versions of a song side by side; with --report, listen to them level-matched and aligned."""
    from mixagent import api
    from mixagent.cli.progress import shown_events
    from mixagent.options import check_free
    from mixagent.report.tables import comparison_text

    reports = report or []
    if no_overwrite:
        check_free("report", reports)
    with spooled(files) as songs, shown_events(printing.quiet) as show:
        found = api.compare(*songs, report=reports, on_event=show).report
    if printing.as_json:
        print_json(found.to_dict())
    else:
        print_text(comparison_text(found.files))
    return EXIT_DONE
