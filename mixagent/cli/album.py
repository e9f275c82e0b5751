"""`mixagent album`: the songs of an album mastered together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mixagent.cli import flags
from mixagent.cli.common import UNFINISHED, command, keywords, print_json, print_text
from mixagent.cli.flags import ALBUM, MAIN, Printing
from mixagent.messages import print_line, say
from mixagent.pipeline.errors import EXIT_DONE, EXIT_TARGET_MISSED, InputError

if TYPE_CHECKING:
    from mixagent.options import AlbumOptions
    from mixagent.report.album_model import AlbumReport, AlbumSong

Songs = Annotated[
    list[Path],
    typer.Argument(
        metavar="DIR",
        help="The album's folder, or its audio files.",
        parser=flags.named_path,
        show_default=False,
    ),
]


@dataclass(frozen=True)
class AlbumFlags:
    """The options of an album; see `mixagent.options.AlbumOptions`."""

    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the masters.",
            show_default="DIR.mastered",
            rich_help_panel=MAIN,
        ),
    ] = None
    album_loudness: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="Loudness of all songs as one programme: a target's name, or LUFS such as -11.5.",
            rich_help_panel=MAIN,
        ),
    ] = "streaming"
    amount: flags.Amount = 1.0
    format: flags.Format = "wav"
    within: Annotated[
        float,
        typer.Option(
            metavar="LU",
            help="How far a song may lie from the album's loudness, 0 to 20: levels are kept to half of it "
            "and bent towards it from there on; 0 makes all songs equally loud.",
            rich_help_panel=ALBUM,
        ),
    ] = 6.0
    tone: Annotated[
        float,
        typer.Option(
            help="Share of its way to the album's mean tone that each song goes, 0 to 1, 1.5 dB a band "
            "at most.",
            show_default="1/3",
            rich_help_panel=ALBUM,
        ),
    ] = 1 / 3
    cue: Annotated[
        Path | None,
        typer.Option(
            help="Cue sheet with the order, the titles and the pauses.",
            show_default="numbers in tags and names",
            rich_help_panel=ALBUM,
        ),
    ] = None
    write_cue: Annotated[
        bool,
        typer.Option("--write-cue", help="Write album.cue beside the masters.", rich_help_panel=ALBUM),
    ] = False
    gap: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Seconds of silence that the written sheet puts between songs, 0 to 60.",
            show_default="as --cue has it, else none",
            rich_help_panel=ALBUM,
        ),
    ] = None
    ceiling: flags.Ceiling = None
    bit_depth: flags.MasterBitDepth = "24"
    sample_rate: flags.MasterSampleRate = "keep"
    replaygain: flags.ReplayGain = False
    separator: flags.Separator = None
    policy: flags.Policy = None
    device: flags.Device = "auto"
    seed: flags.Seed = 0
    overrides: flags.Overrides = None


@command(interrupted=UNFINISHED)
def album(songs: Songs, *, given: AlbumFlags, printing: Printing) -> int:
    """Master an album as one: one loudness for all of it, the songs' levels against each other kept.

    The masters go into DIR.mastered with the songs' names and tags, beside album.html and album.json.
    A song that was mastered this way before is left as it is.
    """
    from mixagent import api
    from mixagent.cli.progress import shown_events
    from mixagent.report.album_text import album_text

    options = cast("AlbumOptions", keywords(given))
    on_song = None if printing.as_json else _show
    with shown_events(printing.quiet) as show:
        report = api.album(*songs, on_event=show, on_song=on_song, **options).report
    if printing.as_json:
        print_json(report.to_dict())
    else:
        print_text(album_text(report))
    for failure in report.failed:
        say(failure.error)
    return _exit_code(report)


def _exit_code(report: AlbumReport) -> int:
    if report.failed:
        return InputError.exit_code
    return EXIT_DONE if report.met else EXIT_TARGET_MISSED


def _show(song: AlbumSong) -> None:
    """How a song went on stderr, its file on stdout."""
    state = {
        "unchanged": "was mastered this way before: left as it is",
        "untouched": "silent: given back as it is",
        "mastered": "mastered" if song.met else f"target missed: {song.missed}",
    }[song.status]
    say(f"{song.song}: {state}")
    for warning in song.warnings:
        say(f"{song.song}: {warning}")
    print_line(song.master)
