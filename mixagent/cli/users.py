"""`mixagent users`: who may use a service that has accounts."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixagent.cli.common import command, extra
from mixagent.messages import printable, say
from mixagent.pipeline.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    from mixagent.service.store.database import Database

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.", show_default=False)]
Data = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the service.", show_default="the user's data folder"),
]


@command()
def add(
    name: Name,
    data: Data = None,
    admin: Annotated[bool, typer.Option("--admin", help="They may make users and keys, too.")] = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="They sign in by OpenID, or with a key.")
    ] = False,
) -> int:
    """Make a user; the password is asked for, or read from stdin."""
    with _opened(data) as database:
        from mixagent.service.access import ADMIN, WRITE
        from mixagent.service.accounts.users import Users

        password = None if no_password else _password()
        Users(database).add(name, password, (ADMIN if admin else WRITE,))
        _note(database, "add user", name)
    say(f"{name} is a user now")
    return EXIT_DONE


@command()
def list_users(data: Data = None) -> int:
    """List the users, their scopes, and how they sign in."""
    with _opened(data) as database:
        from mixagent.service.accounts.users import Users

        for row in Users(database).all():
            way = "password" if row.password is not None else "OpenID or keys"
            typer.echo(f"{printable(row.name)}\t{' '.join(row.scopes)}\t{way}")
    return EXIT_DONE


@command()
def remove(name: Name, data: Data = None) -> int:
    """Let a user in no more, and delete their songs, jobs and keys."""
    with _opened(data) as database:
        from mixagent.service.accounts.users import Users

        Users(database).remove(name)
        _note(database, "remove user", name)
    say(f"{name} is no user any more; what is theirs goes within a minute, or when the service is started")
    return EXIT_DONE


@command()
def password(name: Name, data: Data = None) -> int:
    """Give a user a new password, asked for or read from stdin; wherever they are signed in ends."""
    with _opened(data) as database:
        from mixagent.service.accounts.users import Users

        Users(database).set_password(name, _password())
        _note(database, "password", name)
    say(f"{name} has a new password")
    return EXIT_DONE


@contextmanager
def _opened(data: Path | None) -> Iterator[Database]:
    """The database of a service, which may run meanwhile; its problems are errors of the command.

    Raises:
        UsageError: there is none, or it says that something makes no sense.
    """
    from mixagent.pipeline.folders import data_folder

    with extra("serve"):
        from mixagent.service.problems import Problem
        from mixagent.service.settings import ServiceSettings
        from mixagent.service.store.database import Database
    settings = ServiceSettings(data=(data or data_folder() / "service").absolute())
    url = os.environ.get("MIXAGENT_DATABASE") or None
    if url is None and not settings.database.exists():
        raise UsageError(f"no service has worked in {settings.data}: name its folder, or start one there")
    database = Database(url or settings.database)
    try:
        yield database
    except Problem as problem:
        raise UsageError(problem.detail) from problem
    finally:
        database.close()


def _password() -> str:
    """A password from a person, twice, or the first line of what is not a person."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != first:
        raise UsageError("these are two passwords: nothing was changed")
    return first


def _note(database: Database, what: str, name: str) -> None:
    from mixagent.service.access import ADMIN, LOCAL_USER, Caller
    from mixagent.service.accounts.audit import COMMAND_LINE, Audit

    Audit(database).put(Caller(LOCAL_USER, (ADMIN,)), what, name, COMMAND_LINE)
