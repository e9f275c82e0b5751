"""`mixagent rate`: which of two versions of a song the user likes better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixagent.cli.common import choice, command, print_json, print_text
from mixagent.cli.experience import audio_hash, known_experience
from mixagent.cli.flags import AsJson
from mixagent.pipeline.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    from mixagent.policies.experience import Experience, ExperienceStore


@command()
def rate(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="A song, its master, or a report: A is the song as it came, B its master. "
            "Or two of them, of one song: A is the first, B the second.",
            show_default=False,
        ),
    ],
    better: Annotated[str, typer.Option("--better", help="A or B.", show_default=False)],
    note: Annotated[str, typer.Option(help="Why, in your words; kept beside the rating.")] = "",
    as_json: AsJson = False,
) -> int:
    """Say which of two versions of a song is better; `mixagent learn` makes use of it."""
    from mixagent.policies.experience import ExperienceStore, Preference

    chosen = choice("answer", better.upper(), ("A", "B"))
    store = ExperienceStore.default()
    a, b = _versions(store, files)
    liked, other = (a, b) if chosen == "A" else (b, a)
    song = liked or other
    assert song is not None
    better_number, worse_number = (None if each is None else each.number for each in (liked, other))
    store.prefer(Preference(song.song, better_number, worse_number, note=note))
    if as_json:
        masters = [None if each is None else each.master for each in (liked, other)]
        found = {"song": song.song, "better": masters[0], "worse": masters[1]}
        print_json({"schema": "mixagent.preference/1", **found})
    else:
        print_text(f"{song.name}: {_named(liked)} is better than {_named(other)}")
    return EXIT_DONE


def _versions(store: ExperienceStore, files: Sequence[Path]) -> tuple[Experience | None, Experience | None]:
    """A and B; None is the song as it came."""
    if len(files) == 1:
        return None, known_experience(store, files[0], audio_hash(files[0]))
    if len(files) != 2:
        raise UsageError(f"rate compares two versions of a song, not {len(files)}")
    hashes = [audio_hash(path) for path in files]
    found = [known_experience(store, path, sha256) for path, sha256 in zip(files, hashes, strict=True)]
    if found[0].song != found[1].song:
        raise UsageError(f"{files[0]} and {files[1]} are versions of different songs")
    a, b = (None if each.song == h else each for each, h in zip(found, hashes, strict=True))
    if (a and a.number) == (b and b.number):
        raise UsageError(f"{files[0]} and {files[1]} are the same version of the song")
    return a, b


def _named(version: Experience | None) -> str:
    if version is None:
        return "the song as it came"
    return f"the master of {version.made_at[:16].replace('T', ' ')} by {version.policy}"
