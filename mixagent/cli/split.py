"""`mixagent split` and `mixagent vocals`: songs, and folders of them, written as their stems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mixagent.cli.common import (
    FORMATS,
    AsJson,
    Device,
    NoCache,
    Quiet,
    Separation,
    choice,
    configured,
    named_path,
    print_json,
)
from mixagent.messages import say
from mixagent.pipeline.errors import EXIT_DONE, InputError

UNFINISHED = "songs that are finished are kept: the same command goes on from there"
"""What an interruption leaves."""

Songs = Annotated[
    list[Path],
    typer.Argument(
        metavar="SONG", help="Audio files, and folders of them.", parser=named_path, show_default=False
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Folder for the files of one song; for a folder each of several.",
        show_default="beside each song",
    ),
]
Format = Annotated[str, typer.Option("--format", help="wav, flac, mp3 or ogg.")]
BitDepth = Annotated[
    str | None,
    typer.Option(
        "--bit-depth", help="16, 24 or 32f: depth of wav and flac output.", show_default="32f; flac 24"
    ),
]
SampleRate = Annotated[str, typer.Option("--sample-rate", help="keep, 44100 or 48000.")]
Normalise = Annotated[
    bool,
    typer.Option("--normalise", help="One gain for all stems of a song: the highest peak comes to -1 dBFS."),
]
Shifts = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Average N runs, each on the song shifted at random."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the shifts and of the dither.")]


def split(
    songs: Songs,
    output: Output = None,
    stems: Annotated[
        str | None,
        typer.Option(
            help="2 (vocals, instrumental), 4 (vocals, drums, bass, other), 5 (and piano) or 6 (and guitar); "
            "5 and 6 take the Demucs model htdemucs_6s.",
            show_default="4, or all that --separator gives",
        ),
    ] = None,
    format: Format = "wav",
    bit_depth: BitDepth = None,
    sample_rate: SampleRate = "keep",
    normalise: Normalise = False,
    shifts: Shifts = 1,
    seed: Seed = 0,
    separator: Separation = None,
    device: Device = "auto",
    as_json: AsJson = False,
    no_cache: NoCache = False,
    quiet: Quiet = False,
) -> int:
    """Split songs into stems and, where it is not silent, the residual; together they sum to the song.

    They go into SONG.stems as "SONG - 01 vocals.wav" and so on, tagged as the song is.
    A song that was split with these settings before is left as it is.
    """
    from mixagent.pipeline.separation import STEM_SETS

    count = None if stems is None else int(choice("number of stems", stems, tuple(map(str, STEM_SETS))))
    options = _options(format, bit_depth, sample_rate, normalise, shifts, seed, separator, device, no_cache)
    return _split(songs, output, ".stems", {**options, "stems": count}, as_json, quiet)


def vocals(
    songs: Songs,
    output: Output = None,
    format: Format = "wav",
    bit_depth: BitDepth = None,
    sample_rate: SampleRate = "keep",
    normalise: Normalise = False,
    shifts: Shifts = 1,
    seed: Seed = 0,
    separator: Separation = None,
    device: Device = "auto",
    as_json: AsJson = False,
    no_cache: NoCache = False,
    quiet: Quiet = False,
) -> int:
    """Split songs into vocals and instrumental; the instrumental is the song minus the vocals.

    They go into SONG.vocals as "SONG - 01 vocals.wav" and so on, tagged as the song is.
    A song that was split with these settings before is left as it is.
    """
    options = _options(format, bit_depth, sample_rate, normalise, shifts, seed, separator, device, no_cache)
    return _split(songs, output, ".vocals", {**options, "stems": 2}, as_json, quiet)


def _options(
    format: str,
    bit_depth: str | None,
    sample_rate: str,
    normalise: bool,
    shifts: int,
    seed: int,
    separator: str | None,
    device: str,
    no_cache: bool,
) -> dict[str, Any]:
    """What a `SplitRequest` takes besides the song, its folder and the number of stems."""
    rate = choice("sample rate", sample_rate, ("keep", "44100", "48000"))
    return {
        "format": choice("format", format, FORMATS),
        "bit_depth": None if bit_depth is None else choice("bit depth", bit_depth, ("16", "24", "32f")),
        "sample_rate": None if rate == "keep" else int(rate),
        "normalise": normalise,
        "shifts": shifts,
        "seed": seed,
        "device": choice("device", device, ("auto", "cpu", "cuda")),
        "config": configured(None, separator),
        "use_cache": not no_cache,
    }


def _split(
    named: list[Path], output: Path | None, ending: str, options: dict[str, Any], as_json: bool, quiet: bool
) -> int:
    from mixagent.cli.progress import shown_progress
    from mixagent.song_files import find_songs, output_folders
    from mixagent.splitting.run import SplitRequest, split_songs

    songs = find_songs(named)
    folders = output_folders(songs, output, ending)
    requests = [
        SplitRequest(song.path, folder, **options) for song, folder in zip(songs, folders, strict=True)
    ]
    with shown_progress(quiet) as progress:
        outcome = split_songs(requests, progress, None if as_json else _show)
    if as_json:
        print_json(outcome)
    for failure in outcome["failed"]:
        say(failure["error"])
    return InputError.exit_code if outcome["failed"] else EXIT_DONE


def _show(song: Mapping[str, Any]) -> None:
    """A line for each file on stdout; how it went and what to know on stderr."""
    say(f"{song['song']}: {_how(song)}")
    for warning in song["warnings"]:
        say(f"{song['song']}: {warning['text']}")
    for name, path in song["files"].items():
        confidence = song["stems"].get(name, {}).get("confidence")
        sure = "" if confidence is None else f" (confidence {confidence:.2f})"
        # Not through typer, which would write past the progress bars.
        print(f"{name}: {path}{sure}", flush=True)


def _how(song: Mapping[str, Any]) -> str:
    if song["status"] == "unchanged":
        return "was split with these settings before: left as it is"
    if song["from_cache"]:
        return f"{song['model']['name']}, taken from the cache"
    place = "CPU" if song["device"] == "cpu" else "GPU"
    peak = song["device_peak_bytes"]
    memory = "" if peak is None else f", whose memory held {peak / 1e9:.2f} GB at most"
    return f"{song['model']['name']}, {song['seconds']:.1f} s on the {place}{memory}"
