"""Options that `serve` and `work` share, each with the environment variable that sets it, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mixagent.pipeline.errors import UsageError, option

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where uploads, results, caches and the database are, as far as no URL names a place.",
        show_default="service in the user's data folder, or in MIXAGENT_DATA",
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The database: postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE.",
        envvar="MIXAGENT_DATABASE",
        show_default="SQLite in the data folder",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where songs and results lie: s3://BUCKET/PREFIX or a folder.",
        envvar="MIXAGENT_STORE",
        show_default="the data folder",
    ),
]
Broker = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="What wakes workers that run elsewhere: redis://HOST:PORT/0 or amqp://….",
        envvar="MIXAGENT_BROKER",
    ),
]
Gpus = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Cards that workers use, such as 0,1: a worker process has one.",
        envvar="MIXAGENT_GPUS",
    ),
]


def checked_workers(count: int, least: int, gpus: Sequence[str] = ()) -> None:
    """Check a number of processes.

    Raises:
        UsageError: it is too small or too large, or there are more than cards.
    """
    if not least <= count <= 64:
        raise UsageError(f"{option('workers', count)}: give {least} to 64", field="workers")
    if gpus and count > len(gpus):
        words = f"{option('workers', count)}: a card serves one process, and {len(gpus)} are named"
        raise UsageError(words, field="workers")


def given_text(text: str | None) -> str | None:
    """An option; None where it is empty, as a variable in a compose file may be."""
    return (text or "").strip() or None


def gpu_names(text: str | None) -> tuple[str, ...]:
    """The cards of a list with commas."""
    return tuple(name for name in (part.strip() for part in (text or "").split(",")) if name)
