"""`mixagent restore`: the repairs alone, and `mixagent repairs`: which there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mixagent.cli import flags
from mixagent.cli.common import command, keywords, print_json, print_text
from mixagent.cli.flags import FILES, MAIN, Printing
from mixagent.cli.streams import goes_to_stdout, is_stream, sent, spooled
from mixagent.pipeline.errors import EXIT_DONE, UsageError, option

if TYPE_CHECKING:
    from mixagent.options import RestoreOptions


@dataclass(frozen=True)
class RestoreFlags:
    """The options of the repairs alone; see `mixagent.options.RestoreOptions`."""

    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the repaired song goes: wav, flac, mp3 or ogg; - is stdout.",
            show_default="SONG.restored.wav",
            rich_help_panel=MAIN,
        ),
    ] = None
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Run this repair alone (`mixagent repairs` lists them); one for stems takes the song apart. "
            "May be given many times.",
            show_default="all that are for the mix",
            rich_help_panel=MAIN,
        ),
    ] = None
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Leave this repair out. May be given many times.",
            show_default=False,
            rich_help_panel=MAIN,
        ),
    ] = None
    amounts: Annotated[
        list[str] | None,
        typer.Option(
            "--amount",
            metavar="NAME=SHARE",
            help="How much of a repair, 0 to 1, such as declick=0.5. May be given many times.",
            show_default="each repair's own, by what it finds",
            rich_help_panel=MAIN,
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what is found and what would be done; write nothing.", rich_help_panel=MAIN
        ),
    ] = False
    report: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write the report: .html is a page to hear and see each repair in, .json its figures; html "
            "or json alone is named by the output. May be given twice.",
            show_default=False,
            rich_help_panel=MAIN,
        ),
    ] = None
    bit_depth: Annotated[
        str | None,
        typer.Option(
            help="16, 24 or 32f: depth of wav and flac output.",
            show_default="the song's own; 32f in wav where rebuilt peaks lie over full scale",
            rich_help_panel=FILES,
        ),
    ] = None
    no_overwrite: flags.NoOverwrite = False
    separator: flags.Separator = None
    device: flags.Device = "auto"
    seed: flags.Seed = 0
    overrides: flags.Overrides = None
    no_cache: flags.NoCache = False


@command()
def restore(song: flags.Song, *, given: RestoreFlags, printing: Printing) -> int:
    """Repair a song and change nothing else: where no defect is found, the samples are the song's."""
    from mixagent import api
    from mixagent.cli.progress import shown_events
    from mixagent.options import with_restored
    from mixagent.report.tables import restored_text

    options = keywords(given)
    output = options.pop("output", None)
    outputs = {"output": [] if output is None else [output], "report": options.get("report")}
    if is_stream(song) and output is None and not given.dry_run:
        raise UsageError(
            f"a song in a pipe has no name: say where it goes with {option('output')}", field="output"
        )
    to_stderr = goes_to_stdout(outputs)
    with spooled([song]) as files, sent(outputs) as own, shown_events(printing.quiet) as show:
        named = {**options, "output": own["output"][0]} if own["output"] else options
        wanted = with_restored(song, cast("RestoreOptions", named))
        made = api.restore(files[0], on_event=show, **wanted)
    if printing.as_json:
        print_json(made.to_dict(), to_stderr=to_stderr)
    else:
        print_text(restored_text(made.report), to_stderr=to_stderr)
    return EXIT_DONE


@command()
def repairs(as_json: flags.AsJson = False) -> int:
    """List the repairs: what each is for, its parameter, and whether its model is here."""
    from mixagent.report.tables import repairs_text
    from mixagent.restoring.known import known_repairs

    known = known_repairs()
    if as_json:
        print_json(known.to_dict())
    else:
        print_text(repairs_text(known))
    return EXIT_DONE
