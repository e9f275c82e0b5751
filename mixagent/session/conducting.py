"""`master --conductor`: what was decided, bettered by agents that hear the loudest parts rendered."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixagent.pipeline.chain.parameters import REPAIR, ParameterSpace
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.graph.runner import Result, Stage, StageContext
from mixagent.pipeline.io import content_hash
from mixagent.policies.base import Context, Decision
from mixagent.report.model import ConductorSection
from mixagent.report.serial import from_json
from mixagent.session.request import Conducting
from mixagent.session.results import Results
from mixagent.session.stages import heard_song

if TYPE_CHECKING:
    from mixagent.conductor.graph import Means
    from mixagent.conductor.model import ModelAdviser
    from mixagent.conductor.state import Move, Round, State
    from mixagent.pipeline.measure.analysis import Analysis

STAGE = "conduct"
_SHARE_PLANNED = 0.7
"""Of the stage's progress, where a model leads after the planner."""


@dataclass(frozen=True)
class Conduct:
    """What is conducted.

    Attributes:
        context: what the policy was shown.
        begun: what was decided, bent to references and goal.
        held: names of parameters that stay: set by hand, or moved by a goal.
        asked: what the user asked of the conductor.
        opinions: names of other policies that are asked too.
        goal: in the user's words; empty for none.
    """

    context: Context
    begun: Decision
    held: tuple[str, ...]
    asked: Conducting
    opinions: tuple[str, ...] = ()
    goal: str = ""


def conducting_stage(conduct: Conduct, heard: Iterable[str], restoration: float) -> Stage:
    """The stage that conducts; `conducted` reads its result.

    Args:
        conduct: what is conducted.
        heard: names of the hearing stages.
        restoration: how much of it is applied, 0..1.
    """
    asked = conduct.asked
    settings = {
        "begun": conduct.begun.settings.changed(),
        "reasons": dict(conduct.begun.reasons),
        "held": sorted(conduct.held),
        "renders": asked.renders,
        "until": asked.until,
        "judge": _file(asked.judge),
        "opinions": list(conduct.opinions),
        "restoration": restoration,
        "target": asdict(conduct.context.target),
        "runner": asked.runner,
        "checkpoints": None if asked.checkpoints is None else os.fspath(asked.checkpoints),
        "model": None if asked.model is None else {**asdict(asked.model), "goal": conduct.goal},
        # What a model or a person said is not taken from the cache: the next time they may say another thing.
        "asked_at": None if asked.model is None and asked.ask is None else time.time_ns(),
    }
    run = conduct_settings if asked.ask is None else partial(conduct_settings, ask=asked.ask)
    return Stage(STAGE, run, tuple(heard), settings)


def conducted(conduct: Conduct, result: Result) -> tuple[Decision, ConductorSection]:
    """The decision that the conductor came to, and the report's section on it."""
    values = result.values
    settings = conduct.context.space.settings(values["settings"])
    return Decision(settings, values["reasons"]), from_json(ConductorSection, values["section"], STAGE)


def conduct_settings(context: StageContext, ask: Callable[[Move], bool] | None = None) -> dict[str, Any]:
    """Settings that measure better than those that were begun with, or these; `ask` may refuse a move."""
    from mixagent.conductor.graph import Means
    from mixagent.conductor.judges import judges_here
    from mixagent.conductor.state import State
    from mixagent.conductor.studio import Studio
    from mixagent.policies.trial import song_cases
    from mixagent.reward.model import load_reward

    wanted = context.settings
    heard = heard_song(Results(context.inputs), wanted["restoration"])
    shown = heard.context(LoudnessTarget(**wanted["target"]))
    begun = State(wanted["begun"], wanted["reasons"])
    cases = song_cases(heard.stems, heard.analysis, shown.target)
    if not cases:
        return _told(replace(begun, over="the song is silent or too short to judge a render by"), wanted)
    opinions = {name: _opinion(name, shown) for name in wanted["opinions"]}
    own = wanted["judge"]
    judges = [] if wanted["until"] is None else judges_here(None if own is None else Path(own["path"]))
    studio = Studio(cases, shown.space, load_reward(), shown.measures, judges, opinions)
    held = frozenset((*wanted["held"], *_repairs(shown.space)))
    means = Means(studio, held, wanted["renders"], wanted["until"], consent=ask)
    if wanted["model"] is not None:
        adviser = _adviser(wanted["model"], shown, lambda: context.progress(_SHARE_PLANNED))
        means = replace(means, adviser=adviser, led_renders=wanted["model"]["renders"])
    share = 1.0 if means.adviser is None else _SHARE_PLANNED

    def watch(_: str, state: State) -> None:
        context.progress(min(state.renders / means.renders, 1.0) * share)

    return _told(_run(means, begun, watch, wanted, heard.analysis), wanted)


def _run(
    means: Means, begun: State, watch: Callable[[str, State], None], wanted: Mapping[str, Any], song: Analysis
) -> State:
    """The end of a run, by the runner that was chosen; a thread of LangGraph's is a song and its settings."""
    if wanted["runner"] == "own":
        from mixagent.conductor import runner

        return runner.run(means, begun, watch)
    from mixagent.conductor import with_langgraph

    told = {name: value for name, value in wanted.items() if name != "asked_at"}
    thread = hashlib.sha256(json.dumps([told, song.to_json()], sort_keys=True).encode()).hexdigest()
    file = None if wanted["checkpoints"] is None else Path(wanted["checkpoints"])
    return with_langgraph.run(means, begun, watch, file, thread)


def _adviser(model: Mapping[str, Any], shown: Context, waiting: Callable[[], None]) -> ModelAdviser:
    from mixagent.conductor.endpoint import KEY_VARIABLE, Endpoint
    from mixagent.conductor.model import Limits, ModelAdviser, brief

    key = os.environ.get(KEY_VARIABLE, "")
    endpoint = Endpoint(model["url"], model["name"], key, model["seconds"])
    limits = Limits(model["requests"], model["tokens"], model["total_seconds"])
    return ModelAdviser(endpoint, brief(model["goal"], shown), limits, waiting)


def _opinion(policy: str, shown: Context) -> dict[str, float]:
    from mixagent.policies import load_policy

    return load_policy(policy).decide(shown).settings.changed()


def _file(path: Path | None) -> dict[str, str] | None:
    """A file by its place and its content, so that another judge under the same name is asked anew."""
    return None if path is None else {"path": os.fspath(path), "sha256": content_hash(path)}


def _repairs(space: ParameterSpace) -> list[str]:
    """The repairs' amounts: the parts are repaired already."""
    return [parameter.name for parameter in space if parameter.where == REPAIR]


def _told(end: State, wanted: Mapping[str, Any]) -> dict[str, Any]:
    section = {
        "renders": end.renders,
        "blind_before": None if end.begun is None else end.begun.blind,
        "blind_after": None if end.grade is None else end.grade.blind,
        "voice_before": {} if end.begun is None else dict(end.begun.voice),
        "voice_after": {} if end.grade is None else dict(end.grade.voice),
        "rounds": list(map(_round, end.rounds)),
        "until": wanted["until"],
        "over": end.over,
        "declined": [
            {"agent": move.agent, "values": dict(move.values), "reason": move.reason} for move in end.declined
        ],
        "model": None if wanted["model"] is None else _model(end, wanted["model"]),
    }
    return {"settings": dict(end.settings), "reasons": dict(end.reasons), "section": section}


def _round(made: Round) -> dict[str, Any]:
    return {
        "agent": made.move.agent,
        "values": dict(made.move.values),
        "before": dict(made.before),
        "reason": made.move.reason,
        "concern_before": made.move.concern,
        "concern_after": made.concern,
        "blind": made.grade.blind,
        "kept": made.kept,
        "why": made.why,
        "led": made.led,
    }


def _model(end: State, model: Mapping[str, Any]) -> dict[str, Any]:
    from mixagent.conductor.endpoint import host_of

    return {
        "name": model["name"],
        "host": host_of(model["url"]),
        "tokens": sum(each.tokens for each in end.exchanges),
        "seconds": round(sum(each.seconds for each in end.exchanges), 2),
        "failed": end.exchanges[-1].error if end.exchanges else "",
        "exchanges": [asdict(each) for each in end.exchanges],
    }
