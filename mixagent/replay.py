"""`mixagent replay`: a report in, the same master out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mixagent import __version__
from mixagent.account import SCHEMA
from mixagent.pipeline.errors import InputError
from mixagent.pipeline.files import content_hash
from mixagent.pipeline.targets import LoudnessTarget
from mixagent.policies.base import Recorded
from mixagent.progress import ShowProgress
from mixagent.session import Request, master_song
from mixagent.settings import Config, PipelineConfig, PolicyConfig


def replay_report(
    path: Path, output: Path | None = None, song: Path | None = None, progress: ShowProgress | None = None
) -> dict[str, Any]:
    """Render a report's master again, and say whether it came out the same.

    Args:
        path: a report written as JSON.
        output: where the master goes; as the report says without it.
        song: the song, if it is not where the report says.
        progress: shown while it runs.

    Raises:
        InputError: not a report, or the song is not the one that the report is about.
    """
    report = read_report(path)
    request = _request(report, output, song)
    if content_hash(request.song) != report["input"]["sha256"]:
        raise InputError(
            f"{request.song} is not the song of {path}: its contents differ; name it with --song"
        )
    with master_song(request, progress) as result:
        new = result.report
    same = new["output"]["sha256"] == report["output"]["sha256"]
    return {
        "schema": "mixagent.replay/1",
        "output": new["output"],
        "identical": same,
        "verdict": _verdict(report, new, same),
    }


def read_report(path: Path) -> dict[str, Any]:
    """A report from its JSON file.

    Raises:
        InputError: missing, not JSON, or JSON of another kind.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a report: {error}") from error
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        raise InputError(f"{path} is not a report of schema {SCHEMA}")
    return report


def _request(report: dict[str, Any], output: Path | None, song: Path | None) -> Request:
    replayed = report["replay"]
    return Request(
        song=song or Path(report["input"]["path"]),
        output=output or Path(report["output"]["path"]),
        target=LoudnessTarget(**report["target"]),
        amount=replayed["amount"],
        bit_depth=report["output"]["bit_depth"],
        sample_rate=replayed["sample_rate"],
        seed=replayed["seed"],
        config=Config(PipelineConfig(**replayed["pipeline"]), PolicyConfig(report["decision"]["policy"])),
        policy=Recorded(report["decision"]["policy"], replayed["settings"], replayed["reasons"]),
    )


def _verdict(old: dict[str, Any], new: dict[str, Any], same: bool) -> str:
    path = new["output"]["path"]
    if same:
        return f"{path}: the same bytes as the report's master"
    if old["version"] != __version__:
        maker = f"mixagent {old['version']} (this is {__version__})"
        return f"{path}: differs from the report's master, which was made by {maker}"
    return f"{path}: differs from the report's master; other models or library versions are at work here"
