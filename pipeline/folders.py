"""The user's folders: where a variable of the environment says, or where the system keeps such things."""

from __future__ import annotations

import os
import stat
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

import platformdirs

from mixagent.pipeline.errors import UsageError


def checkpoint_folder(name: str) -> Path:
    """The folder of a checkpoint that ships with the program, there or not."""
    return Path(str(resources.files("mixagent.checkpoints"))) / name


def cache_folder() -> Path:
    """The folder of what can be made again: `MIXAGENT_CACHE`, or the user's cache folder.

    Where there is no home to keep it in, as in a container, it is a folder among the temporary files that
    is this user's alone.

    Raises:
        UsageError: a home that no user has.
    """
    if os.environ.get("MIXAGENT_CACHE"):
        return user_folder("MIXAGENT_CACHE", Path())
    usual = platformdirs.user_cache_path("mixagent")
    return usual if can_be_made(usual) else temporary_folder()


def data_folder() -> Path:
    """The folder of what is to stay until the user removes it: `MIXAGENT_DATA`, or the user's data folder.

    Raises:
        UsageError: a home that no user has.
    """
    return user_folder("MIXAGENT_DATA", platformdirs.user_data_path("mixagent"))


def user_folder(variable: str, default: Path) -> Path:
    """The folder that an environment variable names, its `~` expanded; `default` where it names none.

    Raises:
        UsageError: a home that no user has.
    """
    named = os.environ.get(variable)
    try:
        return Path(named).expanduser() if named else default
    except RuntimeError as error:
        raise UsageError(f"{variable}={named}: there is no such home folder") from error


def can_be_made(folder: Path) -> bool:
    """Make a folder where it is not there; whether it can be written to then."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@cache
def temporary_folder() -> Path:
    """A folder of one name a user, so that the next run finds it; compiled code in it is trusted.

    Whatever of that name is not this user's alone is passed over.
    """
    user = os.geteuid() if os.name == "posix" else os.environ.get("USERNAME", "user")
    folder = Path(tempfile.gettempdir()) / f"mixagent-cache-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return folder
    own = os.name != "posix" or (found.st_uid == os.geteuid() and not found.st_mode & 0o022)
    return folder if stat.S_ISDIR(found.st_mode) and own else Path(tempfile.mkdtemp(prefix="mixagent-cache-"))
