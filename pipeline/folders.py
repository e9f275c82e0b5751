"""The user's folders: where a variable of the environment says, or where the system keeps such things."""

from __future__ import annotations

import os
from pathlib import Path

from mixagent.pipeline.errors import UsageError


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
