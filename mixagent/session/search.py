"""`mixagent master --search N`: what a policy decided, bettered by N renders of the song's loudest parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mixagent.pipeline.chain.parameters import REPAIR
from mixagent.pipeline.errors import UsageError, option
from mixagent.pipeline.figures import finite_or_none
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.graph.runner import Result, Stage, StageContext
from mixagent.policies.base import Context, Decision
from mixagent.report.model import SearchSection
from mixagent.report.serial import from_json
from mixagent.session.results import Results
from mixagent.session.stages import heard_song

if TYPE_CHECKING:
    from mixagent.policies.search import Method

METHOD: Method = "amounts"


@dataclass(frozen=True)
class Search:
    """What to search.

    Attributes:
        context: what the policy was shown.
        begun: what it decided.
        by_hand: names of what was set by hand, which stays.
        renders: how many settings to try, its own included.
        seed: of the search.
    """

    context: Context
    begun: Decision
    by_hand: tuple[str, ...]
    renders: int
    seed: int


def searching_stage(search: Search, heard: Iterable[str], restoration: float) -> Stage:
    """The stage that searches; `searched` reads its result.

    Args:
        search: what to search.
        heard: names of the hearing stages.
        restoration: how much of it is applied, 0..1; the search itself tries every setting in full.
    """
    settings = {
        "begun": search.begun.settings.changed(),
        "reasons": dict(search.begun.reasons),
        "by_hand": list(search.by_hand),
        "renders": search.renders,
        "seed": search.seed,
        "restoration": restoration,
        "target": asdict(search.context.target),
    }
    return Stage("search", search_settings, tuple(heard), settings)


def searched(search: Search, result: Result) -> tuple[Decision, SearchSection]:
    """The decision that a search came to, and the report's section on it."""
    values = result.values
    settings = search.context.space.settings(values["settings"])
    return Decision(settings, values["reasons"]), from_json(SearchSection, values["section"], "search")


def search_settings(context: StageContext) -> dict[str, Any]:
    """Settings that the blind reward likes better than those that were begun with."""
    from mixagent.policies.search import SearchPolicy, found
    from mixagent.policies.trial import SEGMENT_S, CaseTrial, song_cases
    from mixagent.reward.model import load_reward

    wanted = context.settings
    heard = heard_song(Results(context.inputs), wanted["restoration"])
    shown_context = heard.context(LoudnessTarget(**wanted["target"]))
    space = shown_context.space
    begun = Decision(space.settings(wanted["begun"]), wanted["reasons"])
    cases = song_cases(heard.stems, heard.analysis, shown_context.target)
    if not cases:
        raise UsageError(
            f"the song is silent or too short to judge a render by: leave {option('search')} out",
            field="search",
        )
    shown = _Counted(context, wanted["renders"])
    trial = CaseTrial.of(cases, space, load_reward(), shown)
    # A trial renders what is repaired: it does not hear the repairs' amounts.
    free = tuple(p.name for p in space if p.name not in wanted["by_hand"] and p.where != REPAIR)
    policy = SearchPolicy(METHOD, wanted["renders"], seed=wanted["seed"], parameters=free)
    trace = policy.search(replace(shown_context, trial=trial), begun.settings)
    decision = found(begun, trace)
    return {
        "settings": decision.settings.changed(),
        "reasons": dict(decision.reasons),
        "section": {
            "method": METHOD,
            "renders": len(trace.rewards),
            "blind_before": finite_or_none(trace.rewards[0]),
            "blind_after": trace.rewards[trace.best()],
            "segments_s": [float(case.name) for case in cases],
            "segment_s": SEGMENT_S,
        },
    }


class _Counted:
    """Shows the share of the renders that are done."""

    def __init__(self, context: StageContext, renders: int) -> None:
        self._context, self._renders, self._done = context, renders, 0

    def __call__(self) -> None:
        self._done += 1
        self._context.progress(min(self._done / self._renders, 1.0))
