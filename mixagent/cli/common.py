"""What the modules of commands share: registering a command, options, and how results are printed."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer
from rich.console import Console, RenderableType

from mixagent.pipeline.errors import CancelledError, InputError, OutputError, UsageError

if TYPE_CHECKING:
    from mixagent.settings import Config

P = ParamSpec("P")

PIPED_WIDTH = 200
"""Columns of a table that does not go to a terminal."""

FORMATS = ("wav", "flac", "mp3", "ogg")
"""Suffixes of the files that are written."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of words.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither use nor leave finished stages.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value of conf/, e.g. pipeline.declip=false."),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Separation = Annotated[
    str | None,
    typer.Option(
        "--separator", help="auto, embedded, spleeter, none, or a Demucs model.", show_default="auto"
    ),
]


def command(
    group: typer.Typer, name: str | None = None, interrupted: str = "nothing was written"
) -> Callable[[Callable[P, int | None]], Callable[P, None]]:
    """Register a command whose return value is the exit code; interruptions and disk errors become words.

    Args:
        group: what the command is added to.
        name: what it is called, by default as the function is.
        interrupted: what an interruption leaves behind.
    """

    def register(body: Callable[P, int | None]) -> Callable[P, None]:
        @group.command(name)
        @functools.wraps(body)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                code = body(*args, **kwargs)
            except KeyboardInterrupt:
                raise CancelledError(f"interrupted; {interrupted}") from None
            except BrokenPipeError:
                raise
            except OSError as error:
                raise OutputError(f"cannot write {error.filename or 'to disk'}: {error.strerror}") from error
            if code:
                raise typer.Exit(code)

        return guarded

    return register


_FLAGS = {"roles": "--map", "song": "a song"}


def flag(name: str, value: str | None = None) -> str:
    """An option of the library as the command line writes it: `--separator embedded`."""
    named = _FLAGS.get(name, f"--{name.replace('_', '-')}")
    return named if value is None else f"{named} {value}"


def choice(what: str, value: str, allowed: tuple[str, ...]) -> Any:
    """The value, if it is allowed.

    Raises:
        UsageError: it is not.
    """
    if value not in allowed:
        raise UsageError(f"unknown {what} {value!r}: give {', '.join(allowed)}")
    return value


def configured(
    overrides: list[str] | None,
    separator: str | None,
    policy: str | None = None,
    renders: int | None = None,
) -> Config:
    """The configuration with what the command line says of it.

    Raises:
        UsageError: an override that `conf/` does not know.
    """
    from mixagent.settings import load_config

    config = load_config(overrides or [])
    config.pipeline.separator = separator or config.pipeline.separator
    config.policy.name = policy or config.policy.name
    config.pipeline.renders = renders or config.pipeline.renders
    return config


def named_path(text: str) -> Path:
    """A path that was given; an empty one would be the current folder.

    Raises:
        InputError: it is empty.
    """
    if not text:
        raise InputError("a song without a name was given: name audio files or folders")
    return Path(text)


def print_text(text: RenderableType) -> None:
    """Words on stdout; file names and sentences as they are, brackets and colons too."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Console(markup=False, emoji=False, highlight=False, width=width).print(
        text, soft_wrap=isinstance(text, str)
    )


def print_json(value: Any) -> None:
    """One JSON object on stdout, in ASCII: a file name need not be valid text."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))
