"""`mixagent replay`: a report in, the same master out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixagent import __version__
from mixagent.pipeline.chain.amounts import Strengths
from mixagent.pipeline.chain.edits import Edits
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import InputError, UsageError, option, reason
from mixagent.pipeline.finaliser.codecs import CodecPlan
from mixagent.pipeline.finaliser.targets import LoudnessTarget, check_target
from mixagent.pipeline.io import BitDepth, content_hash
from mixagent.pipeline.multitrack.names import ROLES
from mixagent.pipeline.separation import choose_separator
from mixagent.pipeline.types import ShowProgress
from mixagent.policies.base import Recorded
from mixagent.session.master import master_song
from mixagent.session.reporting.build import READABLE, SCHEMA
from mixagent.session.request import SAMPLE_RATES_HZ, Request
from mixagent.session.stems_in import check_stems, recorded_stems
from mixagent.settings import (
    Config,
    ExperienceConfig,
    PipelineConfig,
    PolicyConfig,
    check_pipeline,
    load_config,
)


def replay_report(
    path: Path,
    output: Path | None = None,
    song: Path | None = None,
    progress: ShowProgress | None = None,
    stems: Path | None = None,
) -> dict[str, Any]:
    """Render a report's master again, and say whether it came out the same.

    Args:
        path: a report written as JSON.
        output: where the master goes; as the report says without it.
        song: the song, if it is not where the report says.
        progress: shown while it runs.
        stems: folder of the stems, if they are not where the report says.

    Raises:
        InputError: not a report, or the song is not the one that the report is about.
        UsageError: another file than the report's master lies where that is to go.
    """
    report = read_report(path)
    request = _request(path, report, output, song, stems)
    if request.stems_in is not None:
        check_stems(report, request.stems_in, path)
    if request.song is not None and content_hash(request.song) != report["input"]["sha256"]:
        raise InputError(
            f"{request.song} is not the song of {path}: its contents differ; name it with {option('song')}"
        )
    if output is None:
        _check_own(path, request, _hashes(report))
    with master_song(request, progress) as result:
        new = result.report
    same = _hashes(new) <= _hashes(report)
    return {
        "schema": "mixagent.session.replay/1",
        "output": new["output"],
        "identical": same,
        "verdict": _verdict(report, new, same),
    }


def _check_own(report: Path, request: Request, masters: set[str]) -> None:
    """Whether what lies where a report wants its masters is theirs: a report may come from anyone.

    Raises:
        UsageError: another file lies there.
    """
    for place in request.outputs:
        if place.is_file() and content_hash(place) not in masters:
            raise UsageError(
                f"{place} is not the master of {report}, which would replace it: "
                f"say where with {option('output')}"
            )


def _hashes(report: dict[str, Any]) -> set[str]:
    """The hash of every file that a report is of; those of one format of the same master are equal."""
    return {row["sha256"] for row in report.get("outputs", [report["output"]])}


def read_report(path: Path) -> dict[str, Any]:
    """A report from its JSON file.

    Raises:
        InputError: missing, not JSON, or JSON of another kind.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise InputError(f"{path} is not a report: it is not JSON") from error
    if not isinstance(report, dict) or report.get("schema") not in READABLE:
        raise InputError(f"{path} is not a report of schema {SCHEMA}")
    return report


def _request(
    path: Path, report: dict[str, Any], output: Path | None, song: Path | None, stems: Path | None
) -> Request:
    try:
        return _recorded(report, output, song, stems)
    except (KeyError, TypeError, ValueError, OmegaConfBaseException, UsageError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} is damaged, so it cannot be replayed: {reason}") from error


def _recorded(report: dict[str, Any], output: Path | None, song: Path | None, stems: Path | None) -> Request:
    replayed, written, target = report["replay"], report["output"], report["target"]
    merged = OmegaConf.merge(OmegaConf.structured(PipelineConfig), replayed["pipeline"])
    # How much the cache may hold is for its owner to say, not for a report.
    pipeline = check_pipeline(
        dataclasses.replace(
            cast(PipelineConfig, OmegaConf.to_object(merged)), cache_gb=load_config().pipeline.cache_gb
        )
    )
    policy, reasons = report["decision"]["policy"], dict(replayed["reasons"])
    if not all(isinstance(text, str) for text in (*_hashes(report), policy, *reasons, *reasons.values())):
        raise ValueError("a hash, a policy or a reason is no text")
    stems_in = recorded_stems(report, stems)
    is_song = stems_in is not None and report["stems_in"]["is_song"]
    request = Request(
        song=None if is_song else song or Path(report["input"]["path"]),
        stems_in=stems_in,
        output=output or Path(written["path"]),
        also=() if output else tuple(Path(row["path"]) for row in report.get("outputs", [])[1:]),
        target=check_target(
            LoudnessTarget(
                name=str(target["name"]), **{key: float(target[key]) for key in target if key != "name"}
            )
        ),
        amount=float(replayed["amount"]),
        strengths=Strengths(**{k: float(v) for k, v in dict(replayed.get("strengths", {})).items()}),
        edits=Edits(**replayed.get("edits", {})),
        codecs=CodecPlan(**{k: tuple(v) for k, v in dict(replayed.get("codecs", {})).items()}),
        replaygain=bool(replayed.get("replaygain", False)),
        dual_mono=bool(replayed.get("dual_mono", False)),
        bit_depth=written["bit_depth"],
        sample_rate=None if replayed["sample_rate"] is None else int(replayed["sample_rate"]),
        seed=int(replayed["seed"]),
        matchering=_recorded_reference(replayed.get("match")),
        config=Config(
            pipeline,
            PolicyConfig(policy),
            ExperienceConfig(remember=False, keep_audio=False),
        ),
        policy=Recorded(policy, {k: float(v) for k, v in replayed["settings"].items()}, reasons),
    )
    _check(request, replayed["settings"])
    return request


def _recorded_reference(match: Mapping[str, Any] | None) -> Path | None:
    """The song that matchering listened to."""
    if match is None:
        return None
    if match.get("curve") is not None:
        raise InputError(
            "the report holds a curve towards a reference, of an earlier version: master the song again"
        )
    path = Path(match["matchering"])
    if content_hash(path) != match["sha256"]:
        raise InputError(
            f"the reference {path} is not the one that matchering listened to: its contents differ"
        )
    return path


def _check(request: Request, settings: Mapping[str, float]) -> None:
    if request.stems_in is not None:
        names: tuple[str, ...] = tuple(role for role in ROLES if role in request.stems_in.roles.values())
    else:
        names = choose_separator(request.config.pipeline.separator, request.device).separator.stem_names
    known = {p.name: p for p in ParameterSpace.for_stems(names)}
    for name, value in settings.items():
        if name not in known:
            raise ValueError(f"no parameter is called {name}")
        if not known[name].low <= value <= known[name].high:
            raise ValueError(f"{name} is out of its range")
    if not 0 <= request.amount <= 1 or request.seed < 0:
        raise ValueError("a number is out of its range")
    if request.sample_rate not in (None, *SAMPLE_RATES_HZ) or request.bit_depth not in get_args(BitDepth):
        raise ValueError("no master has this sample rate or bit depth")


def _verdict(old: dict[str, Any], new: dict[str, Any], same: bool) -> str:
    path = new["output"]["path"]
    if same:
        return f"{path}: the same bytes as the report's master"
    if old["version"] != __version__:
        maker = f"mixagent {old['version']} (this is {__version__})"
        return f"{path}: differs from the report's master, which was made by {maker}"
    return f"{path}: differs from the report's master; other models or library versions are at work here"
