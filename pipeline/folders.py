"""The user's folders: where a variable of the environment says, or where the system keeps such things."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from mixagent.pipeline.errors import UsageError


def cache_folder() -> Path:
    """Where what can be made again is kept: `MIXAGENT_CACHE`, or the user's cache folder.

    Raises:
        UsageError: a home that no user has.
    """
    return user_folder("MIXAGENT_CACHE", platformdirs.user_cache_path("mixagent"))


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
