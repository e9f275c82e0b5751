"""`mixagent split` and `mixagent vocals`: songs, and folders of them, written as their stems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mixagent.cli import flags
from mixagent.cli.common import UNFINISHED, command, keywords, print_json
from mixagent.cli.flags import ENGINE, FILES, MAIN, Printing
from mixagent.cli.streams import is_stream, spooled
from mixagent.messages import print_line, say
from mixagent.pipeline.errors import EXIT_DONE, InputError, UsageError, option

if TYPE_CHECKING:
    from mixagent.options import SplitOptions
    from mixagent.report.split_model import SplitSong
    from mixagent.results import SplitResult

Stems = Annotated[
    str | None,
    typer.Option(
        help="2 (vocals, instrumental), 4 (vocals, drums, bass, other), 5 (and piano) or 6 (and guitar); "
        "5 and 6 take the Demucs model htdemucs_6s.",
        show_default="4, or all that --separator gives",
        rich_help_panel=MAIN,
    ),
]


@dataclass(frozen=True)
class SplitFlags:
    """The options of a split; see `mixagent.options.SplitOptions`."""

    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the files of one song; for a folder each of several.",
            show_default="beside each song",
            rich_help_panel=MAIN,
        ),
    ] = None
    format: flags.Format = "wav"
    bit_depth: Annotated[
        str | None,
        typer.Option(
            help="16, 24 or 32f: depth of wav and flac output.",
            show_default="32f; flac 24",
            rich_help_panel=FILES,
        ),
    ] = None
    sample_rate: Annotated[str, typer.Option(help="keep, 44100 or 48000.", rich_help_panel=FILES)] = "keep"
    normalise: Annotated[
        bool,
        typer.Option(
            "--normalise",
            help="One gain for all stems of a song: the highest peak comes to -1 dBFS.",
            rich_help_panel=FILES,
        ),
    ] = False
    shifts: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Average N runs, each on the song shifted at random.",
            rich_help_panel=ENGINE,
        ),
    ] = 1
    separator: flags.Separator = None
    device: flags.Device = "auto"
    seed: flags.Seed = 0
    no_cache: flags.NoCache = False


@command(interrupted=UNFINISHED)
def split(songs: flags.Songs, stems: Stems = None, *, given: SplitFlags, printing: Printing) -> int:
    """Split songs into stems and, where it is not silent, the residual; together they sum to the song.

    They go into SONG.stems as "SONG - 01 vocals.wav" and so on, tagged as the song is.
    A song that was split with these settings before is left as it is.
    """
    from mixagent import api

    return _split(api.split, songs, {**keywords(given), "stems": stems}, printing)


@command(interrupted=UNFINISHED)
def vocals(songs: flags.Songs, *, given: SplitFlags, printing: Printing) -> int:
    """Split songs into vocals and instrumental; the instrumental is the song minus the vocals.

    They go into SONG.vocals as "SONG - 01 vocals.wav" and so on, tagged as the song is.
    A song that was split with these settings before is left as it is.
    """
    from mixagent import api

    return _split(api.vocals, songs, keywords(given), printing)


def _split(
    function: Callable[..., SplitResult], songs: list[Path], options: dict[str, Any], printing: Printing
) -> int:
    from mixagent.cli.progress import shown_events

    if any(map(is_stream, songs)) and not options.get("output"):
        raise UsageError(
            f"a song in a pipe has no name: say where its stems go with {option('output')}", field="output"
        )
    on_song = None if printing.as_json else _show
    with spooled(songs) as files, shown_events(printing.quiet) as show:
        made = function(*files, on_event=show, on_song=on_song, **cast("SplitOptions", options))
    if printing.as_json:
        print_json(made.to_dict())
    for error in made.failed.values():
        say(error)
    return InputError.exit_code if made.failed else EXIT_DONE


def _show(song: SplitSong) -> None:
    """A line for each file on stdout; how it went and what to know on stderr."""
    say(f"{song.song}: {_how(song)}")
    for warning in song.warnings:
        say(f"{song.song}: {warning.text}")
    for name, path in song.files.items():
        sure = f" (confidence {song.stems[name].confidence:.2f})" if name in song.stems else ""
        print_line(f"{name}: {path}{sure}")


def _how(song: SplitSong) -> str:
    if song.status == "unchanged":
        return "was split with these settings before: left as it is"
    if song.from_cache:
        return f"{song.model.name}, taken from the cache"
    place = "CPU" if song.device == "cpu" else "GPU"
    peak = song.device_peak_bytes
    memory = "" if peak is None else f", whose memory held {peak / 1e9:.2f} GB at most"
    return f"{song.model.name}, {song.seconds:.1f} s on the {place}{memory}"
