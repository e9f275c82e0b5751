"""What the commands share: how each is run, its flags in bundles, and how results are printed."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

from mixagent import __version__
from mixagent.cli.app import EXIT_READER_LEFT
from mixagent.messages import printable
from mixagent.pipeline.errors import CancelledError, ModelMissingError, OutputError, UsageError

PIPED_WIDTH = 200
"""Columns of a table that does not go to a terminal."""

UNFINISHED = "songs that are finished are kept: the same command goes on from there"
"""What an interruption leaves of several songs."""

Body = Callable[..., int]
"""A command: it returns its exit code."""


def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Print the version where it was asked for."""
    if version:
        typer.echo(f"mixagent {__version__}")
        raise typer.Exit


def command(interrupted: str = "nothing was written") -> Callable[[Body], Callable[..., None]]:
    """A function as a command: its return value is the exit code, interruptions and disk errors are words.

    A parameter that is a dataclass stands for a bundle of options, one for each of its fields.

    Args:
        interrupted: what an interruption leaves behind.
    """

    def decorate(body: Body) -> Callable[..., None]:
        hints = get_type_hints(body, include_extras=True)
        bundles: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

        @functools.wraps(body)
        def guarded(**given: Any) -> None:
            for name, bundle in bundles.items():
                given[name] = bundle(**{field.name: given.pop(field.name) for field in fields(bundle)})
            try:
                code = body(**given)
            except KeyboardInterrupt:
                raise CancelledError(f"interrupted; {interrupted}") from None
            except BrokenPipeError:
                code = EXIT_READER_LEFT
            except OSError as error:
                raise OutputError(f"cannot write {error.filename or 'to disk'}: {error.strerror}") from error
            if code:
                raise typer.Exit(code)

        parameters = list(_parameters(body, hints, bundles))
        guarded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        guarded.__annotations__ = {each.name: each.annotation for each in parameters}
        return guarded

    return decorate


def _parameters(body: Body, hints: dict[str, Any], bundles: dict[str, Any]) -> Iterator[inspect.Parameter]:
    """The parameters of a command, bundles opened."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    for parameter in inspect.signature(body).parameters.values():
        bundle = bundles.get(parameter.name)
        if bundle is None:
            yield parameter.replace(kind=keyword, annotation=hints[parameter.name])
            continue
        own = get_type_hints(bundle, include_extras=True)
        for field in fields(bundle):
            yield inspect.Parameter(field.name, keyword, default=field.default, annotation=own[field.name])


_FLAGS = {
    "song": "a song",
    "roles": "--map",
    "align": "--no-align",
    "overrides": "--set",
    "amounts": "--amount",
    "plugins": "--plugin",
}
"""Options that the command line writes otherwise than by their name."""


def flag(name: str, value: str | None = None) -> str:
    """An option of the library as the command line writes it: `--separator embedded`."""
    named = _FLAGS.get(name, f"--{name.replace('_', '-')}")
    return named if value is None else f"{named} {value}"


def keywords(bundle: Any) -> dict[str, Any]:
    """The options of a bundle that were given, by their names in the library."""
    values = {field.name: getattr(bundle, field.name) for field in fields(bundle)}
    return {name: value for name, value in values.items() if value is not None}


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Inside, a package that is not installed becomes a line that names the extra which has it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModelMissingError(f"{error.name} is not installed: pip install 'mixagent[{name}]'") from error


def choice(what: str, value: str, allowed: tuple[str, ...]) -> Any:
    """The value, if it is one of the words that are allowed.

    Raises:
        UsageError: it is not.
    """
    if value not in allowed:
        raise UsageError(f"unknown {what} {value!r}: give {', '.join(allowed)}")
    return value


def print_text(text: RenderableType, *, to_stderr: bool = False) -> None:
    """Words on stdout; file names and sentences as they are, brackets and colons too, made `printable`."""
    stream = sys.stderr if to_stderr else sys.stdout
    width = None if stream.isatty() else PIPED_WIDTH
    Console(markup=False, emoji=False, highlight=False, width=width, stderr=to_stderr).print(
        printable(text, keep="\n") if isinstance(text, str) else _Printable(text),
        soft_wrap=isinstance(text, str),
    )


def print_lines(lines: Iterable[str]) -> None:
    """Words on stdout, each on one line whatever a file's name holds."""
    print_text("\n".join(map(printable, lines)))


@dataclass(frozen=True)
class _Printable:
    """Something to print, with every text in it made `printable`."""

    shown: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.shown, options):
            yield Segment(printable(segment.text, keep="\n"), segment.style, segment.control)


def print_json(value: Any, *, to_stderr: bool = False) -> None:
    """One JSON object on stdout, in ASCII: a file name need not be valid text."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False), err=to_stderr)
