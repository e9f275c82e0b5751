"""`mixagent replay`: a report in, the same master out."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixagent import __version__
from mixagent.pipeline.chain.parameters import REPAIR, STEM_NAMES, ParameterSpace, repair_amounts
from mixagent.pipeline.chain.section_settings import MASTER, SectionSettings
from mixagent.pipeline.errors import InputError, UsageError, option, reason
from mixagent.pipeline.finaliser.codecs import CodecPlan
from mixagent.pipeline.finaliser.targets import check_target
from mixagent.pipeline.io import content_hash
from mixagent.pipeline.multitrack.names import ROLES
from mixagent.pipeline.restoration.table import REPAIRS
from mixagent.pipeline.separation import choose_separator
from mixagent.pipeline.types import ShowProgress
from mixagent.policies.base import Recorded
from mixagent.report.model import (
    READABLE,
    SCHEMA,
    RecordedMaster,
    RecordedMatch,
    RecordedPlugin,
    ReplayReport,
    Report,
)
from mixagent.session.master import master_song
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

if TYPE_CHECKING:
    from mixagent.pipeline.plugins.inserts import Insert

_SWITCHED = ("offset", "declick", "declip", "denoise")


def replay_report(
    path: Path,
    output: Path | None = None,
    song: Path | None = None,
    progress: ShowProgress | None = None,
    stems: Path | None = None,
) -> ReplayReport:
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
    if request.stems_in is not None and report.stems_in is not None:
        check_stems(report.stems_in, request.stems_in, path)
    if request.song is not None and content_hash(request.song) != report.input.sha256:
        raise InputError(
            f"{request.song} is not the song of {path}: its contents differ; name it with {option('song')}"
        )
    masters = {row.sha256 for row in report.files}
    if output is None:
        _check_own(path, request, masters)
    with master_song(request, progress) as result:
        new = result.report
    made = new.output
    assert made is not None
    same = {row.sha256 for row in new.outputs} <= masters
    verdict = _verdict(report.version, made.path, same)
    if not same and report.replay.plugins:
        verdict = f"{verdict}{_plugin_words(report, new)}"
    return ReplayReport(output=made, identical=same, verdict=verdict)


def _plugin_words(report: RecordedMaster, new: Report) -> str:
    """What is to be said of the plug-ins of a replay that came out otherwise."""
    from mixagent.session.plugins import changed_plugins

    recorded = [plugin.settings for plugin in report.replay.plugins]
    words = changed_plugins(recorded, [plugin.settings for plugin in new.replay.plugins])
    moving = {row.name for row in new.plugins if not all(place.same_twice for place in row.places)}
    words += [f"{name} does not make the same of a sound twice" for name in sorted(moving)]
    return "".join(f"; {said}" for said in words)


def _check_own(report: Path, request: Request, masters: set[str]) -> None:
    """Check that the files to be replaced are the report's masters: a report may come from anyone.

    Raises:
        UsageError: another file lies there.
    """
    for place in request.outputs:
        if place.is_file() and content_hash(place) not in masters:
            raise UsageError(
                f"{place} is not the master of {report}, which would replace it: "
                f"say where with {option('output')}"
            )


def read_report(path: Path) -> RecordedMaster:
    """The part of a report that a replay needs, from its JSON file.

    Raises:
        InputError: missing, not JSON, JSON of another kind, or a damaged report.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise InputError(f"{path} is not a report: it is not JSON") from error
    if not isinstance(report, dict) or report.get("schema") not in READABLE:
        raise InputError(f"{path} is not a report of schema {SCHEMA}")
    if _has_curve(report):
        raise InputError(
            f"{path} holds a curve towards a reference, of an earlier version: master the song again"
        )
    try:
        return RecordedMaster.from_dict(report)
    except (ValueError, UsageError) as error:
        raise _damaged(path, error) from error


def _has_curve(report: Mapping[str, object]) -> bool:
    replayed = report.get("replay")
    match = replayed.get("match") if isinstance(replayed, dict) else None
    return isinstance(match, dict) and match.get("curve") is not None


def _damaged(path: Path, error: Exception) -> InputError:
    first = str(error).partition("\n")[0]
    return InputError(f"{path} is damaged, so it cannot be replayed: {first}")


def _request(
    path: Path, report: RecordedMaster, output: Path | None, song: Path | None, stems: Path | None
) -> Request:
    try:
        return _recorded(report, output, song, stems)
    except (TypeError, ValueError, OmegaConfBaseException, UsageError) as error:
        raise _damaged(path, error) from error


def _recorded(report: RecordedMaster, output: Path | None, song: Path | None, stems: Path | None) -> Request:
    replayed, policy = report.replay, report.decision.policy
    recorded = dict(replayed.pipeline)
    amounts = _recorded_repairs(recorded, replayed.settings)
    merged = OmegaConf.merge(OmegaConf.structured(PipelineConfig), recorded)
    # How much disk and memory may hold is for their owner to say, not for a report.
    own = load_config().pipeline
    pipeline = check_pipeline(
        dataclasses.replace(
            cast(PipelineConfig, OmegaConf.to_object(merged)), cache_gb=own.cache_gb, models_gb=own.models_gb
        )
    )
    stems_in = None if report.stems_in is None else recorded_stems(report.stems_in, stems)
    is_song = report.stems_in is not None and report.stems_in.is_song
    request = Request(
        song=None if is_song else song or Path(report.input.path),
        stems_in=stems_in,
        output=output or Path(report.output.path),
        also=() if output else tuple(Path(row.path) for row in report.outputs[1:]),
        target=check_target(report.target),
        amount=replayed.amount,
        strengths=replayed.strengths,
        edits=replayed.edits,
        codecs=CodecPlan(replayed.codecs.checked, replayed.codecs.held),
        replaygain=replayed.replaygain,
        dual_mono=replayed.dual_mono,
        bit_depth=report.output.bit_depth,
        sample_rate=replayed.sample_rate,
        seed=replayed.seed,
        matchering=_recorded_reference(replayed.match),
        sections=_recorded_sections(replayed.sections),
        config=Config(
            pipeline,
            PolicyConfig(policy),
            ExperienceConfig(remember=False, keep_audio=False),
            amounts,
        ),
        policy=Recorded(policy, replayed.settings, replayed.reasons),
        inserts=_recorded_plugins(replayed.plugins),
    )
    _check(request, replayed.settings)
    return request


def _recorded_sections(sections: Sequence[SectionSettings]) -> tuple[SectionSettings, ...]:
    """What stretches of the song have by themselves.

    Raises:
        ValueError: a stretch or a value that no master has.
    """
    space = ParameterSpace.for_stems(STEM_NAMES)
    for each in sections:
        figures = (each.start_s, each.stop_s, each.gain_db, *each.values.values())
        if not all(map(math.isfinite, figures)) or not 0 <= each.start_s < each.stop_s:
            raise ValueError("a section's settings are out of range")
        if each.bounded(space) != each or each.where not in (MASTER, *STEM_NAMES):
            raise ValueError("a section's settings are out of range")
    return tuple(sections)


def _recorded_repairs(pipeline: dict[str, Any], settings: Mapping[str, float]) -> dict[str, float]:
    """The amounts of 0 that leave out the repairs that the report's master did without.

    A report of before repairs had amounts says of four by a switch each whether they were to run, and knows
    no others; the switches are taken out of `pipeline`.
    """
    switched = {name: bool(pipeline.pop(name)) for name in _SWITCHED if name in pipeline}
    with_amounts = repair_amounts(settings)
    left_out = (name for name in REPAIRS if name not in with_amounts and not switched.get(name, False))
    return {f"{REPAIR}.{name}": 0.0 for name in left_out}


def _recorded_plugins(recorded: Sequence[RecordedPlugin]) -> tuple[Insert, ...]:
    """The plug-ins that stood in the chain, which must be here."""
    if not recorded:
        return ()
    from mixagent.session.plugins import recorded_inserts

    return recorded_inserts([plugin.settings for plugin in recorded])


def _recorded_reference(match: RecordedMatch | None) -> Path | None:
    """The song that matchering listened to."""
    if match is None:
        return None
    path = Path(match.matchering)
    if content_hash(path) != match.sha256:
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
    if request.sample_rate not in (None, *SAMPLE_RATES_HZ):
        raise ValueError("no master has this sample rate")


def _verdict(version: str, path: str, same: bool) -> str:
    """The outcome in a sentence: `version` made the report's master, and `path` is the new one."""
    if same:
        return f"{path}: the same bytes as the report's master"
    if version != __version__:
        maker = f"mixagent {version} (this is {__version__})"
        return f"{path}: differs from the report's master, which was made by {maker}"
    return f"{path}: differs from the report's master; other models or library versions are at work here"
