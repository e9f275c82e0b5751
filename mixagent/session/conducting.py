"""`master --conductor`: what was decided, bettered by agents that hear the loudest parts rendered."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
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
    from mixagent.conductor.state import State

STAGE = "conduct"


@dataclass(frozen=True)
class Conduct:
    """What is conducted.

    Attributes:
        context: what the policy was shown.
        begun: what was decided, bent to references and goal.
        held: names of parameters that stay: set by hand, or moved by a goal.
        asked: what the user asked of the conductor.
        opinions: names of other policies that are asked too.
    """

    context: Context
    begun: Decision
    held: tuple[str, ...]
    asked: Conducting
    opinions: tuple[str, ...] = ()


def conducting_stage(conduct: Conduct, heard: Iterable[str], restoration: float) -> Stage:
    """The stage that conducts; `conducted` reads its result.

    Args:
        conduct: what is conducted.
        heard: names of the hearing stages.
        restoration: how much of it is applied, 0..1.
    """
    settings = {
        "begun": conduct.begun.settings.changed(),
        "reasons": dict(conduct.begun.reasons),
        "held": sorted(conduct.held),
        "renders": conduct.asked.renders,
        "until": conduct.asked.until,
        "judge": _file(conduct.asked.judge),
        "opinions": list(conduct.opinions),
        "restoration": restoration,
        "target": asdict(conduct.context.target),
    }
    return Stage(STAGE, conduct_settings, tuple(heard), settings)


def conducted(conduct: Conduct, result: Result) -> tuple[Decision, ConductorSection]:
    """The decision that the conductor came to, and the report's section on it."""
    values = result.values
    settings = conduct.context.space.settings(values["settings"])
    return Decision(settings, values["reasons"]), from_json(ConductorSection, values["section"], STAGE)


def conduct_settings(context: StageContext) -> dict[str, Any]:
    """Settings that measure better than those that were begun with, or these."""
    from mixagent.conductor.graph import Means
    from mixagent.conductor.judges import judges_here
    from mixagent.conductor.runner import run
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
        return _told(
            replace(begun, over="the song is silent or too short to judge a render by"), wanted["until"]
        )
    opinions = {name: _opinion(name, shown) for name in wanted["opinions"]}
    own = wanted["judge"]
    judges = [] if wanted["until"] is None else judges_here(None if own is None else Path(own["path"]))
    studio = Studio(cases, shown.space, load_reward(), shown.measures, judges, opinions)
    held = frozenset((*wanted["held"], *_repairs(shown.space)))
    means = Means(studio, held, wanted["renders"], wanted["until"])
    end = run(means, begun, lambda _, state: context.progress(min(state.renders / means.renders, 1.0)))
    return _told(end, wanted["until"])


def _opinion(policy: str, shown: Context) -> dict[str, float]:
    from mixagent.policies import load_policy

    return load_policy(policy).decide(shown).settings.changed()


def _file(path: Path | None) -> dict[str, str] | None:
    """A file by its place and its content, so that another judge under the same name is asked anew."""
    return None if path is None else {"path": os.fspath(path), "sha256": content_hash(path)}


def _repairs(space: ParameterSpace) -> list[str]:
    """The repairs' amounts: the parts are repaired already."""
    return [parameter.name for parameter in space if parameter.where == REPAIR]


def _told(end: State, until: float | None) -> dict[str, Any]:
    rounds = [
        {
            "agent": each.move.agent,
            "values": dict(each.move.values),
            "reason": each.move.reason,
            "concern_before": each.move.concern,
            "concern_after": each.concern,
            "blind": each.grade.blind,
            "kept": each.kept,
            "why": each.why,
        }
        for each in end.rounds
    ]
    section = {
        "renders": end.renders,
        "blind_before": None if end.begun is None else end.begun.blind,
        "blind_after": None if end.grade is None else end.grade.blind,
        "voice_before": {} if end.begun is None else dict(end.begun.voice),
        "voice_after": {} if end.grade is None else dict(end.grade.voice),
        "rounds": rounds,
        "until": until,
        "over": end.over,
    }
    return {"settings": dict(end.settings), "reasons": dict(end.reasons), "section": section}
