"""Writes reports: a page to listen in, or JSON, which of a master can be replayed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixagent.manifests import write_json
from mixagent.pipeline.errors import OutputError, UsageError
from mixagent.pipeline.names import check_name
from mixagent.pipeline.types import AudioSource
from mixagent.report.model import Report
from mixagent.report.sounds import NO_SOUNDS, MixSound, RepairSound

FORMATS = (".html", ".json")


def check_reports(paths: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Refuse reports that cannot be written, before the work is done.

    Raises:
        UsageError: a suffix that is no report's, or one of the inputs.
        OutputError: a folder that is not there or may not be written to.
    """
    for path in paths:
        check_name(path)
        if path.suffix.lower() not in FORMATS:
            raise UsageError(f"{path}: a report is .html or .json")
        if path.exists() and any(other.exists() and path.samefile(other) for other in inputs):
            raise UsageError(f"cannot write {path}: it is the input, which is never overwritten")
        if path.is_dir() or not path.parent.is_dir():
            raise OutputError(f"cannot write {path}: {path.parent} is not a folder, or {path} is one")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise OutputError(f"cannot write {path}: the folder {path.parent} may not be written to")


def write_reports(
    report: Report,
    before: AudioSource,
    after: AudioSource,
    paths: Sequence[Path],
    repairs: Mapping[str, RepairSound] = NO_SOUNDS,
    mix: MixSound | None = None,
) -> None:
    """Write each report of a master in the format of its suffix, whole or not at all.

    Args:
        report: of the master.
        before, after: song and master.
        paths: where the reports go.
        repairs: the sound of each repair, by its stage.
        mix: the sound of the stems; None where there is none.

    Raises:
        OutputError: the disk is full or refuses the file; it says that the master is there all the same.
    """
    try:
        for path in paths:
            if path.suffix.lower() == ".html":
                from mixagent.report.page import write_page

                write_page(report, before, after, path, repairs, mix)
            else:
                write_json(report.to_dict(), path)
    except OutputError as error:
        made = "" if report.output is None else f"; the master is written: {report.output.path}"
        raise OutputError(f"{error.args[0]}{made}") from error
