"""Songs that come through a pipe, and masters that leave through one.

Decoding needs to seek, and a file's header its length: both are spooled in a temporary folder.
"""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mixagent.pipeline.errors import InputError, MixagentError, UsageError, option, reason
from mixagent.pipeline.files import scratch_folder

STANDARD = Path("-")
"""Stdin as a song, stdout as an output."""


def is_stream(song: Path) -> bool:
    """Whether a song comes from stdin, a named pipe or a process substitution."""
    if song == STANDARD:
        return True
    try:
        mode = song.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


@contextmanager
def spooled(songs: Sequence[Path]) -> Iterator[list[Path]]:
    """The songs, those that come through a pipe as files that last while the context does.

    Raises:
        UsageError: stdin is a terminal, or is to be two songs.
        InputError: a pipe that cannot be read.
    """
    if sum(song == STANDARD for song in songs) > 1:
        raise UsageError("stdin is one song: name - once", field="song")
    with ExitStack() as stack:
        yield [stack.enter_context(_spooled(song)) if is_stream(song) else song for song in songs]


@contextmanager
def _spooled(song: Path) -> Iterator[Path]:
    with scratch_folder() as scratch:
        name = "stdin" if song == STANDARD else song.name
        copy = scratch / name
        _read(song, copy)
        try:
            yield copy
        except MixagentError as error:
            error.args = (str(error.args[0]).replace(str(copy), name), *error.args[1:])
            raise


def _read(song: Path, copy: Path) -> None:
    if song == STANDARD and sys.stdin.isatty():
        raise UsageError("stdin is a terminal: pipe a song into it, or name a file", field="song")
    with copy.open("wb") as file:
        if song == STANDARD:
            shutil.copyfileobj(sys.stdin.buffer, file)
            return
        try:
            pipe = song.open("rb")
        except OSError as error:
            raise InputError(f"{song} cannot be read: {reason(error)}") from error
        with pipe:
            shutil.copyfileobj(pipe, file)


@contextmanager
def sent(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The options of a master with files in the place of outputs that are pipes, which get them at the end.

    Raises:
        UsageError: stdout is a terminal, or a pipe takes several formats, or reports to be named by it.
    """
    outputs = [Path(output) for output in options.get("output") or ()]
    pipes = [output for output in outputs if is_stream(output)]
    if not pipes:
        yield options
        return
    files = [output for output in outputs if output not in pipes]
    if STANDARD in pipes and sys.stdout.isatty():
        raise UsageError("stdout is a terminal: redirect it, or name a file", field="output")
    if len({*pipes}) < len(pipes) or "," in (options.get("format") or ""):
        raise UsageError("a pipe takes one file of one format", field="output")
    if not files and any(str(report) in ("html", "json") for report in options.get("report") or ()):
        raise UsageError(f"a master in a pipe has no name: give {option('report')} a file", field="report")
    with scratch_folder() as scratch:
        own = {pipe: _file_for(pipe, scratch / str(k), options) for k, pipe in enumerate(pipes)}
        yield {**options, "output": [*files, *own.values()]}
        for pipe, file in own.items():
            if file.exists():
                _send(file, pipe)


def goes_to_stdout(options: dict[str, Any]) -> bool:
    """Whether a master goes to stdout, so that words cannot."""
    return STANDARD in (options.get("output") or ())


def _file_for(pipe: Path, folder: Path, options: dict[str, Any]) -> Path:
    folder.mkdir()
    return folder / f"master{pipe.suffix or '.' + (options.get('format') or 'wav')}"


def _send(file: Path, pipe: Path) -> None:
    with file.open("rb") as made:
        if pipe == STANDARD:
            shutil.copyfileobj(made, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        with pipe.open("wb") as out:
            shutil.copyfileobj(made, out)
