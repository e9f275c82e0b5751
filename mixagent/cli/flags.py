"""The flags that commands share: each is declared once, and bundles of them are dataclasses.

The fields of a bundle have the names that the library gives its options (see `mixagent.options`), which
also says what they may be; here is how they are written and what their help says, panel by panel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mixagent.pipeline.errors import InputError

MAIN = "Main"
LOUDNESS = "Loudness"
STRENGTHS = "How much, in each respect"
REFERENCES = "Other references"
TRACKS = "Tracks of your own"
FILES = "Edits and files"
CODECS = "Lossy codecs"
ENGINE = "How it works"
PRINTING = "What is printed"
ALBUM = "Album"


def named_path(text: str) -> Path:
    """A path that was given; an empty one would be the current folder.

    Raises:
        InputError: it is empty.
    """
    if not text:
        raise InputError("a song without a name was given: name audio files or folders", field="song")
    return Path(text)


def _files(metavar: str, text: str) -> Any:
    return typer.Argument(metavar=metavar, help=text, parser=named_path, show_default=False)


Song = Annotated[
    Path, _files("SONG", "Audio file: wav, flac, mp3, ogg, aiff, or m4a with ffmpeg; - is stdin.")
]

Songs = Annotated[list[Path], _files("SONG", "Audio files, and folders of them; - is stdin.")]
Format = Annotated[
    str,
    typer.Option("--format", help="wav, flac, mp3 or ogg.", rich_help_panel=MAIN),
]
MasterBitDepth = Annotated[
    str,
    typer.Option("--bit-depth", help="16, 24 or 32f: depth of wav and flac output.", rich_help_panel=FILES),
]
MasterSampleRate = Annotated[
    str, typer.Option("--sample-rate", help="keep, 44100, 48000 or 96000.", rich_help_panel=FILES)
]
DualMono = Annotated[
    bool,
    typer.Option(
        "--dual-mono",
        help="Count the loudness of a song of one channel as of two, as it plays.",
        rich_help_panel=LOUDNESS,
    ),
]
Amount = Annotated[
    float,
    typer.Option(
        "--amount",
        help="How much of the correction: 1 all of it, 0 gives the song back untouched.",
        rich_help_panel=MAIN,
    ),
]
Ceiling = Annotated[
    float | None,
    typer.Option(
        "--ceiling",
        help="True-peak ceiling in dBTP, -20 to 0.",
        show_default="-1.0",
        rich_help_panel=LOUDNESS,
    ),
]
ReplayGain = Annotated[
    bool,
    typer.Option("--replaygain", help="Tag the files with their ReplayGain 2.0.", rich_help_panel=FILES),
]
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="band, mix (sets the strips of four stems), mix_rules, reading, rules, neutral, learned, or a "
        "trained policy's name or folder.",
        show_default="band",
        rich_help_panel=ENGINE,
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(
        "--separator",
        help="auto, embedded, spleeter, none, or a Demucs model.",
        show_default="auto",
        rich_help_panel=ENGINE,
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.", rich_help_panel=ENGINE)]
Seed = Annotated[
    int, typer.Option("--seed", help="0 or more: of whatever is drawn at random.", rich_help_panel=ENGINE)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value of conf/, e.g. pipeline.repairs=false.",
        rich_help_panel=ENGINE,
    ),
]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Neither use nor leave finished stages.", rich_help_panel=ENGINE),
]
NoOverwrite = Annotated[
    bool,
    typer.Option(
        "--no-overwrite",
        help="Refuse outputs and reports that are there already, before any work.",
        rich_help_panel=FILES,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object instead of words.", rich_help_panel=PRINTING),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=PRINTING)]


@dataclass(frozen=True)
class Printing:
    """How results and progress are shown."""

    as_json: AsJson = False
    quiet: Quiet = False
