"""Files that are there whole or not at all, and hidden folders that outlive no program.

Everything this project writes goes through `atomically`: it is made in a new folder beside its place,
which nobody can have planted anything in, and renamed into it. What killed programs leave is told by a
lock that the system lets go of when its holder ends, however it ends.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixagent.pipeline.errors import OutputError, reason

if TYPE_CHECKING:
    from filelock import BaseFileLock

HIDDEN = ".mixagent-"
"""The beginning of a hidden folder's name."""

_SCRATCH = "mixagent-"
_LOCK = ".lock"
_TOKEN_BYTES = 8
_OURS = re.compile(rf"\.?mixagent-[0-9a-f]{{{2 * _TOKEN_BYTES}}}")


@contextmanager
def atomically(path: Path, *, through_link: bool = False, durable: bool = False) -> Iterator[Path]:
    """A place of the path's suffix to write a file to; it becomes `path` when the context ends well.

    A file that is replaced hands its permissions on.

    Args:
        path: what is made or replaced.
        through_link: where `path` is a link, the file that it leads to is replaced and the link stays, as
            for an output that a user named; else the link itself gives way.
        durable: on the disk, and not only in the system's memory, before it gets its name.

    Raises:
        OutputError: the disk is full, or the system refuses the file; any `OSError` of the context is
            taken for this.
    """
    place = followed(path) if through_link else path
    try:
        with hidden_folder(place.parent) as folder:
            # A link may lead to a name of another suffix, or of none: the format is that of the output named.
            made = folder / f"{place.stem}{path.suffix.lower()}"
            yield made
            if durable:
                _sync(made)
            _take_permissions(made, place)
            made.replace(place)
            if durable and os.name == "posix":
                _sync(place.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}") from error


def write_atomically(
    path: Path, content: str | bytes, *, through_link: bool = False, durable: bool = False
) -> None:
    """Write a small file whole or not at all; text in UTF-8, with `?` for what no text may hold.

    Raises:
        OutputError: as `atomically`.
    """
    # A file name need not be valid text.
    data = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
    with atomically(path, through_link=through_link, durable=durable) as place:
        place.write_bytes(data)


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Add an object to a JSON-lines file at once, so that programs may write to the same one.

    Raises:
        OutputError: the disk is full, or the system refuses the file.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            os.write(file, f"{json.dumps(row)}\n".encode())
        finally:
            os.close(file)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}") from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file; lines that a kill cut short, or a disk damaged, are left out."""
    return [row for _, row in _whole_lines(path)]


def heal_lines(path: Path) -> int:
    """Take the lines out that a kill cut short or a disk damaged; how many there were.

    Raises:
        OutputError: the system refuses the file.
    """
    if not path.is_file():
        return 0
    data = path.read_bytes()
    whole = [line for line, _ in _whole_lines(path)]
    healed = b"".join(line + b"\n" for line in whole)
    if healed != data:
        write_atomically(path, healed)
    return len(data.removesuffix(b"\n").split(b"\n")) - len(whole) if data else 0


def _whole_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    if not path.is_file():
        return
    # What follows the last line feed is a line that was not written to its end.
    for line in path.read_bytes().split(b"\n")[:-1]:
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                yield line, row


def check_room(folder: Path, needed_bytes: int, what: str) -> None:
    """Check that a folder's disk has room for what is about to be written to it.

    Raises:
        OutputError: it has not; `what` begins the sentence.
    """
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError:
        return  # Some file systems do not say: the writing will.
    if needed_bytes > free_bytes:
        raise OutputError(
            f"{what} takes {_size(needed_bytes)}, and {folder} has {_size(free_bytes)} free: make room, "
            "or use another disk (MIXAGENT_CACHE names the folder for what is kept, TMPDIR that for the rest)"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def followed(path: Path) -> Path:
    """The target of a link; the path itself where it is none.

    Raises:
        OutputError: links that lead to each other.
    """
    if not path.is_symlink():
        return path
    place = Path(os.path.realpath(path))
    if place.is_symlink():
        raise OutputError(f"cannot write {path}: it is a link that leads back to itself")
    return place


@contextmanager
def hidden_folder(parent: Path) -> Iterator[Path]:
    """A new hidden folder in another, for its user alone, gone afterwards.

    Raises:
        OSError: it cannot be made.
    """
    with _locked_folder(parent, HIDDEN) as folder:
        yield folder


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder for what a run needs in between, gone afterwards; those of killed runs go first.

    Args:
        parent: the system's temporary folder without it.

    Raises:
        OSError: it cannot be made.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    clear_leftovers(place)
    with _locked_folder(place, _SCRATCH) as folder:
        yield folder


def clear_leftovers(folder: Path) -> None:
    """Remove the hidden and scratch folders in a folder whose programs were killed; others are left."""
    try:
        hidden = [path for path in folder.iterdir() if _OURS.fullmatch(path.name)]
    except OSError:
        return
    for each in filter(_is_own_folder, hidden):
        with suppress(OSError):
            lock = exclusive_lock(each / _LOCK)
            lock.acquire(blocking=False)
            try:
                shutil.rmtree(each, ignore_errors=True)
            finally:
                lock.release()


def exclusive_lock(path: Path) -> BaseFileLock:
    """A lock that one holder has at a time; the system lets go of it when its program ends.

    `acquire(blocking=False)` raises `filelock.Timeout`, which is a `TimeoutError`, where another has it.
    """
    # Loaded here: most of what imports this module locks nothing.
    from filelock import FileLock

    return FileLock(path, thread_local=False)


def _is_own_folder(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    owned = os.name != "posix" or found.st_uid == os.geteuid()
    return owned and stat.S_ISDIR(found.st_mode) and not (path / _LOCK).is_symlink()


@contextmanager
def _locked_folder(parent: Path, prefix: str) -> Iterator[Path]:
    folder, lock = _new_locked_folder(parent, prefix)
    try:
        yield folder
    finally:
        # The lock goes last: what is half removed must still look taken.
        with suppress(OSError):
            for each in folder.iterdir():
                if each.name != _LOCK:
                    _remove(each)
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _new_locked_folder(parent: Path, prefix: str) -> tuple[Path, BaseFileLock]:
    while True:
        folder = parent / f"{prefix}{secrets.token_hex(_TOKEN_BYTES)}"
        folder.mkdir(mode=0o700)
        lock = exclusive_lock(folder / _LOCK)
        # Before it is locked another program may take the folder for one that was left, and remove it.
        with suppress(TimeoutError, FileNotFoundError, FileExistsError):
            lock.acquire(blocking=False)
            if (folder / _LOCK).exists():
                return folder, lock
            lock.release()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _take_permissions(made: Path, place: Path) -> None:
    with suppress(FileNotFoundError):
        mode = place.stat(follow_symlinks=False).st_mode
        if stat.S_ISREG(mode):
            made.chmod(stat.S_IMODE(mode))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
