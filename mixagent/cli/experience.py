"""`mixagent experience`: what was remembered of mastered songs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import AsJson
from mixagent.pipeline.errors import EXIT_DONE, InputError, UsageError

if TYPE_CHECKING:
    from mixagent.policies.experience import Experience, ExperienceStore


@command()
def list_experiences(as_json: AsJson = False) -> int:
    """List the mastered songs that are remembered."""
    from mixagent.policies.experience import CORRECTION, ExperienceStore

    store = ExperienceStore.default()
    if as_json:
        print_json({"schema": "mixagent.experiences/1", "path": str(store.path), **_rows(store)})
        return EXIT_DONE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("song", "mastered (UTC)", "policy", "blind reward", "moved", "by hand"):
        table.add_column(heading, overflow="fold")
    for each in store.all():
        blind = "" if each.blind is None else f"{each.blind:+.3f}"
        moved, by_hand = (str(len(values) or "") for values in (each.settings, each.asked))
        table.add_row(each.name, each.made_at[:16], each.policy, blind, moved, by_hand)
    print_text(table)
    said = store.preferences()
    corrections = sum(each.source == CORRECTION for each in said)
    print_text(f"{store.path}: {len(said)} preferences, {corrections} of them corrections")
    return EXIT_DONE


@command()
def forget(
    song: Annotated[
        Path | None, typer.Argument(help="A song, its master, or a report.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All songs.")] = False,
) -> int:
    """Forget what was remembered of a song: measures, settings, ratings, audio."""
    from mixagent.policies.experience import ExperienceStore

    if (song is None) == (not everything):
        raise UsageError("forget takes a song, or --all")
    store = ExperienceStore.default()
    gone = store.forget(None if song is None else known_experience(store, song, audio_hash(song)).song)
    print_text(f"{gone} {'master' if gone == 1 else 'masters'} forgotten")
    return EXIT_DONE


def _rows(store: ExperienceStore) -> dict[str, Any]:
    numbers = {each.number: each.master for each in store.all()}
    return {
        "experiences": [
            {
                "song": each.song,
                "master": each.master,
                "name": each.name,
                "made_at": each.made_at,
                "policy": each.policy,
                "policy_sha256": each.policy_sha256,
                "version": each.version,
                "usable": each.context is not None,
                "settings": dict(each.settings),
                "asked": dict(each.asked),
                "origin": each.origin,
                "strips": _strips(each),
                "terms": dict(each.terms),
                "blind": each.blind,
            }
            for each in store.all()
        ],
        "preferences": [
            {
                "song": p.song,
                **{side: numbers.get(getattr(p, side) or 0) for side in ("better", "worse")},
                "source": p.source,
                "author": p.author,
                "note": p.note,
            }
            for p in store.preferences()
        ],
    }


def _strips(experience: Experience) -> dict[str, Any] | None:
    """How much of each stem was there to be moved, 0..1, and its strip's settings; None without stems."""
    from mixagent.pipeline.measure.stem_measures import ROLES
    from mixagent.policies.mixing.policy import shown_of

    shown = None if experience.context is None else shown_of(experience.context)
    if shown is None:
        return None
    return {
        role: {
            "there": float(share),
            "set": {
                name.split(".", 1)[1]: value
                for name, value in experience.settings.items()
                if name.startswith(f"{role}.")
            },
        }
        for role, share in zip(ROLES, shown.shares, strict=True)
    }


def audio_hash(path: Path) -> str:
    """Of the audio file, or of the master that a report is about."""
    from mixagent.pipeline.io import content_hash
    from mixagent.session.replay import read_report

    if path.suffix.lower() != ".json":
        return content_hash(path)
    return read_report(path).output.sha256


def known_experience(store: ExperienceStore, path: Path, sha256: str) -> Experience:
    """The latest experience with this song or master."""
    known = store.of(sha256)
    if not known:
        raise InputError(f"{path} is not known here: master the song first, on this machine")
    return known[-1]
