"""What a run leaves beside its files, by which the next one knows what is done: JSON, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixagent.pipeline.files import write_atomically


def read_account(path: Path) -> dict[str, Any]:
    """An account with its `key`; empty where there is none that can be read."""
    try:
        account = json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    return account if isinstance(account, dict) and account.get("key") else {}


def is_whole(account: Mapping[str, Any], folder: Path) -> bool:
    """Whether the `files` of an account lie in the folder with the `bytes` that they had."""
    files = {name: folder / Path(path).name for name, path in account["files"].items()}
    return all(
        path.is_file() and path.stat().st_size == account["bytes"][name] for name, path in files.items()
    )


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Write an object as JSON in ASCII, whole or not at all.

    Raises:
        OutputError: the disk is full or refuses the file.
    """
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False) + "\n", through_link=True)
