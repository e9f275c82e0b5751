"""`mixagent album`: the songs of an album mastered together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixagent.cli.common import (
    FORMATS,
    AsJson,
    Device,
    Overrides,
    Quiet,
    Separation,
    choice,
    configured,
    named_path,
    print_json,
    print_text,
)
from mixagent.messages import print_line, say
from mixagent.pipeline.errors import EXIT_DONE, EXIT_TARGET_MISSED, InputError, UsageError

if TYPE_CHECKING:
    from mixagent.report.album_model import AlbumReport, AlbumSong

MADE_ENDING = ".mastered"

_WIDEST_LU = 20.0
_LONGEST_GAP_S = 60.0


def album(
    songs: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR",
            help="The album's folder, or its audio files.",
            parser=named_path,
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the masters.", show_default="DIR.mastered"),
    ] = None,
    album_loudness: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="Loudness of all songs as one programme: a target's name, or LUFS such as -11.5.",
        ),
    ] = "streaming",
    ceiling: Annotated[
        float | None, typer.Option(help="True-peak ceiling of every song in dBTP.", show_default="-1.0")
    ] = None,
    within: Annotated[
        float,
        typer.Option(
            metavar="LU",
            help="How far a song may lie from the album's loudness: levels are kept to half of it and bent "
            "towards it from there on; 0 makes all songs equally loud.",
        ),
    ] = 6.0,
    tone: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of its way to the album's mean tone that each song goes, 1.5 dB a band at most.",
            show_default="1/3",
        ),
    ] = 1 / 3,
    cue: Annotated[
        Path | None,
        typer.Option(
            help="Cue sheet with the order, the titles and the pauses.",
            show_default="numbers in tags and names",
        ),
    ] = None,
    write_cue: Annotated[
        bool, typer.Option("--write-cue", help="Write album.cue beside the masters.")
    ] = False,
    gap: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Seconds of silence that the written sheet puts between songs.",
            show_default="as --cue has it, else none",
        ),
    ] = None,
    replaygain: Annotated[
        bool,
        typer.Option("--replaygain", help="Tag the masters with the ReplayGain 2.0 of song and album."),
    ] = False,
    amount: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="How much of each song's correction.")
    ] = 1.0,
    format: Annotated[str, typer.Option(help="wav, flac, mp3 or ogg.")] = "wav",
    bit_depth: Annotated[str, typer.Option(help="16, 24 or 32f: depth of wav and flac output.")] = "24",
    sample_rate: Annotated[str, typer.Option(help="keep, 44100, 48000 or 96000.")] = "keep",
    separator: Separation = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="band, rules, neutral, learned, or a trained policy's name or folder.", show_default="band"
        ),
    ] = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the dither.")] = 0,
    overrides: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Master an album as one: one loudness for all of it, the songs' levels against each other kept.

    The masters go into DIR.mastered with the songs' names and tags, beside album.html and album.json.
    A song that was mastered this way before is left as it is.
    """
    from mixagent.albums.order import ordered
    from mixagent.albums.run import AlbumRequest, master_album
    from mixagent.cli.progress import shown_progress
    from mixagent.pipeline.finaliser.targets import loudness_target
    from mixagent.report.album_text import album_text
    from mixagent.song_files import find_songs, without_made

    folder = output or _folder(songs)
    rate = choice("sample rate", sample_rate, ("keep", "44100", "48000", "96000"))
    request = AlbumRequest(
        order=ordered(without_made(find_songs(songs), folder), cue),
        folder=folder,
        target=loudness_target(album_loudness, ceiling),
        bound_lu=_within("--within", within, _WIDEST_LU, "LU"),
        tone_share=_within("--tone", tone, 1.0, ""),
        format=choice("format", format, FORMATS),
        bit_depth=choice("bit depth", bit_depth, ("16", "24", "32f")),
        sample_rate=None if rate == "keep" else int(rate),
        amount=_amount(amount),
        device=choice("device", device, ("auto", "cpu", "cuda")),
        seed=seed,
        config=configured(overrides, separator, policy),
        replaygain=replaygain,
        write_cue=write_cue,
        gap_s=None if gap is None else _gap(gap, write_cue),
    )
    with shown_progress(quiet) as progress:
        report = master_album(request, progress, None if as_json else _show)
    if as_json:
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


def _folder(named: list[Path]) -> Path:
    """`DIR.mastered` beside the folder that was named, or beside that of the first song."""
    first = named[0].absolute()
    folder = first if first.is_dir() else first.parent
    folder = folder.resolve()
    return folder.with_name(f"{folder.name or 'album'}{MADE_ENDING}")


def _amount(value: float) -> float:
    if not value > 0.0:
        raise UsageError("--amount 0 leaves an album as it is: --policy neutral levels it and nothing else")
    return value


def _within(option: str, value: float, most: float, unit: str) -> float:
    if not 0.0 <= value <= most:
        raise UsageError(f"{option} {value:g} is out of range 0 to {most:g} {unit}".rstrip())
    return value


def _gap(value: float, write_cue: bool) -> float:
    if not write_cue:
        raise UsageError("--gap is for the sheet that --write-cue writes: the songs' own pauses are kept")
    if not math.isfinite(value):
        raise UsageError("--gap is not a number: give seconds")
    return _within("--gap", value, _LONGEST_GAP_S, "s")


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
