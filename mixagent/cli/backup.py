"""`mixagent backup`: all that a service keeps, in one file, and back from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mixagent.cli.common import command, extra
from mixagent.messages import printable, say
from mixagent.pipeline.errors import EXIT_DONE, UsageError

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]
Data = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the service.", show_default="the user's data folder"),
]


@command()
def make(file: File, data: Data = None) -> int:
    """Write all that a service keeps into a file, while it runs or not; songs and keys are in it."""
    with extra("serve"):
        from mixagent.service.settings import ServiceSettings
        from mixagent.service.store.backup import backup
    settings = ServiceSettings(data=_folder(data))
    saved = backup(settings, file)
    say(printable(f"{settings.data} is in {file}: {saved.sentence()}"))
    return EXIT_DONE


@command()
def restore(file: File, data: Data = None) -> int:
    """Bring a backup into an empty folder, each file held against its hash."""
    with extra("serve"):
        from mixagent.service.settings import ServiceSettings
        from mixagent.service.store.backup import restore as bring
    settings = ServiceSettings(data=_folder(data))
    saved = bring(settings, file)
    say(printable(f"{file} is in {settings.data}, every file as it was: {saved.sentence()}"))
    return EXIT_DONE


def _folder(data: Path | None) -> Path:
    from mixagent.pipeline.folders import data_folder

    for variable in ("MIXAGENT_DATABASE", "MIXAGENT_STORE"):
        if os.environ.get(variable):
            raise UsageError(
                f"{variable} names what lies elsewhere: back that up by its own tools, such as pg_dump "
                "and copies of the bucket, the database first"
            )
    return (data or data_folder() / "service").absolute()
