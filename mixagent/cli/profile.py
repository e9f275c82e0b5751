"""`mixagent profile`: make a profile of songs, show one, list those that ship."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import AsJson, Printing
from mixagent.messages import say
from mixagent.pipeline.errors import EXIT_DONE, InputError, UsageError
from mixagent.pipeline.files import scratch_folder

if TYPE_CHECKING:
    from mixagent.pipeline.matching.profiles import AnalysedSong, Profile, Statistic


_LABELS = {
    "plr": "Peak to loudness",
    "crest_3s": "Peak over power of 3 s",
    "crest_400ms": "Peak over power of 400 ms",
    "crest_50ms": "Peak over power of 50 ms",
    "loudness_range": "Loudness range",
    "section_contrast": "Short-term loudness, spread",
}
"""The dynamics that are shown, by the name of their measure."""


@command()
def make(
    songs: Annotated[list[Path], typer.Argument(help="Audio files, or folders of them.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the profile goes, a .json file.", show_default=False)
    ],
    name: Annotated[str | None, typer.Option(help="What to call it.", show_default="as the file")] = None,
    about: Annotated[str, typer.Option(help="What the songs are, in one line.")] = "",
    *,
    printing: Printing,
) -> int:
    """Make a profile of songs, to be used as a --reference: loudness, dynamics, tone and width in numbers."""
    from mixagent.cli.progress import shown_progress
    from mixagent.pipeline.matching.library import write_profile
    from mixagent.pipeline.matching.profiles import profile_of

    if output.suffix.lower() != ".json":
        raise UsageError(f"{output}: a profile is a .json file")
    with shown_progress(printing.quiet) as progress:
        heard, left_out = _heard(songs, progress)
    if not heard:
        raise InputError(f"no profile was made: {left_out[0]}")
    for line in left_out:
        say(f"left out: {line}")
    profile = profile_of(name or output.stem, heard, about)
    write_profile(profile, output)
    if printing.as_json:
        print_json(profile.to_json())
    else:
        print_text(f"{output}: the profile of {_songs(len(heard))}")
    return EXIT_DONE


def _heard(songs: list[Path], progress: Any) -> tuple[dict[str, AnalysedSong], list[str]]:
    """What was heard of each song by its hash, and why songs were left out; a copy of another counts once."""
    from mixagent.pipeline.io import content_hash
    from mixagent.pipeline.matching.library import analysed_song
    from mixagent.song_files import find_songs

    files = [song.path for song in find_songs(songs)]
    found, left_out = {}, []
    with scratch_folder() as scratch:
        for number, file in enumerate(files, 1):
            try:
                found[content_hash(file)] = analysed_song(file, scratch / "song.f32")[0]
            except InputError as error:
                left_out.append(str(error))
            progress("measure", number / len(files))
    return found, left_out


@command()
def show(
    profile: Annotated[
        str,
        typer.Argument(help="A profile's .json file, a song, or genre:NAME.", show_default=False),
    ],
    as_json: AsJson = False,
) -> int:
    """Show what a profile, or a single song, measures."""
    from mixagent.pipeline.io import content_hash
    from mixagent.pipeline.matching.library import analysed_song
    from mixagent.pipeline.matching.profiles import profile_of
    from mixagent.session.reference_stages import stored_profile
    from mixagent.session.references import Reference

    reference = Reference(profile)
    if reference.is_audio:
        assert reference.path is not None
        sha256 = content_hash(reference.path)
        with scratch_folder() as scratch:
            found = profile_of(
                reference.path.name, {sha256: analysed_song(reference.path, scratch / "song.f32")[0]}
            )
    else:
        found = stored_profile(reference)
    if as_json:
        print_json(found.to_json())
    else:
        print_text(_profile_text(found))
    return EXIT_DONE


@command()
def list_profiles(as_json: AsJson = False) -> int:
    """List the profiles that ship, for --reference genre:NAME."""
    from mixagent.pipeline.matching.library import GENRE, shipped_names, shipped_profile

    profiles = {f"{GENRE}{name}": shipped_profile(name) for name in shipped_names()}
    if as_json:
        rows = [
            {"name": name, "about": found.about, "songs": len(found.songs)}
            for name, found in profiles.items()
        ]
        print_json({"schema": "mixagent.profiles/1", "profiles": rows})
        return EXIT_DONE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("Profile", "Songs", "LUFS", "What they are"):
        table.add_column(column, overflow="fold")
    for name, found in profiles.items():
        lufs = f"{found.integrated_lufs.mean:.1f}"
        table.add_row(Text(name), str(len(found.songs)), lufs, Text(found.about))
    print_text(table)
    return EXIT_DONE


def _songs(count: int) -> str:
    return "1 song" if count == 1 else f"{count} songs"


def _profile_text(profile: Profile) -> RenderableType:
    from mixagent.pipeline.finished.measures import MEASURES, TONE_HZ

    measured = profile.measures
    figures = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("Measured", "mean", "± spread", ""):
        figures.add_column(column, justify="left" if column in ("Measured", "") else "right")
    figures.add_row("Integrated loudness", *_figures(profile.integrated_lufs), "LUFS")
    for measure in MEASURES:
        if measure.name in _LABELS and measure.name in measured:
            figures.add_row(_LABELS[measure.name], *_figures(measured[measure.name]), measure.unit)
    bands = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("Hz", "tone, dB", "±", "side over mid, dB", "±"):
        bands.add_column(column, justify="right")
    for hz in TONE_HZ:
        rows = (measured.get(f"{what}_{int(hz)}") for what in ("tone", "width"))
        bands.add_row(f"{hz:g}", *(text for row in rows for text in _figures(row)))
    title = f"{profile.name}, {_songs(len(profile.songs))}{': ' if profile.about else ''}{profile.about}"
    level = "Tone is over the mean level of 100 Hz to 8 kHz."
    return Group(Text(title, style="bold"), figures, Text(level), bands)


def _figures(statistic: Statistic | None) -> tuple[str, str]:
    return ("–", "–") if statistic is None else (f"{statistic.mean:.1f}", f"{statistic.spread:.1f}")
