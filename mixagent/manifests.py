"""What a run leaves beside its files, by which the next one knows what is done: JSON, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixagent.pipeline.files import write_atomically


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest with its `key`; empty where there is none that can be read, or a damaged one.

    What it says of files is checked: `files` are paths and `bytes` sizes, by the same names. That goes
    for each of its `songs` too.
    """
    try:
        manifest = json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    if not isinstance(manifest, dict) or not manifest.get("key"):
        return {}
    songs = manifest.get("songs", [])
    whole = isinstance(songs, list) and all(map(_names_files, [manifest, *songs]))
    return manifest if whole else {}


def _names_files(manifest: Any) -> bool:
    if not isinstance(manifest, dict):
        return False
    files, sizes = manifest.get("files", {}), manifest.get("bytes", {})
    return (
        isinstance(files, dict)
        and isinstance(sizes, dict)
        and all(isinstance(path, str) and name in sizes for name, path in files.items())
        and all(type(size) is int for size in sizes.values())
    )


def is_whole(manifest: Mapping[str, Any], folder: Path) -> bool:
    """Whether the `files` of a manifest lie in the folder with the `bytes` that they had."""
    files = {name: folder / Path(path).name for name, path in manifest.get("files", {}).items()}
    return bool(files) and all(
        path.is_file() and path.stat().st_size == manifest["bytes"][name] for name, path in files.items()
    )


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Write an object as JSON in ASCII, whole or not at all.

    Raises:
        OutputError: the disk is full or refuses the file.
    """
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False) + "\n", through_link=True)
