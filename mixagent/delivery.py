"""Writes a master's reports: a page to listen in, or JSON that can be replayed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

from mixagent.pipeline.errors import UsageError
from mixagent.report import write_page
from mixagent.session import Mastered

FORMATS = (".html", ".json")


def check_reports(paths: Sequence[Path]) -> None:
    """Whether these can be written, asked before the work is done.

    Raises:
        UsageError: a suffix that is no report's, or a folder that is not there.
    """
    for path in paths:
        if path.suffix.lower() not in FORMATS:
            raise UsageError(f"{path}: a report is .html or .json")
        if not path.parent.is_dir() or path.is_dir():
            raise UsageError(f"cannot write {path}: {path.parent} is not a folder, or {path} is one")


def write_reports(mastered: Mastered, paths: Sequence[Path]) -> None:
    """Write each report in the format of its suffix, whole or not at all."""
    for path in paths:
        if path.suffix.lower() == ".html":
            write_page(mastered.report, mastered.before, mastered.after, path)
        else:
            _write_json(mastered, path)


def _write_json(mastered: Mastered, path: Path) -> None:
    partial = path.with_name(f".mixagent-{secrets.token_hex(6)}.json")
    try:
        text = json.dumps(mastered.report, indent=2, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
