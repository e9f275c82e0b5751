"""`mixagent master --search N`: what a policy decided, bettered by N renders of the song's loudest parts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mixagent.pipeline.errors import UsageError, option
from mixagent.pipeline.graph.runner import Result, Stage, StageContext
from mixagent.policies.base import Context, Decision
from mixagent.session.stages import Heard

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


def searching_stage(heard: Heard, amount: float, search: Search) -> Stage:
    """The stage that searches; `searched` reads its result.

    Args:
        heard: the song, with `amount` of the restoration applied.
        amount: as asked for; the search itself tries every setting in full.
        search: what to search.
    """
    settings = {
        "begun": search.begun.settings.changed(),
        "reasons": dict(search.begun.reasons),
        "by_hand": list(search.by_hand),
        "renders": search.renders,
        "seed": search.seed,
        "amount": amount,
        "target": asdict(search.context.target),
    }
    needs = tuple(name for name in heard.results if name != "decode")
    return Stage("search", partial(_search, heard, search), needs, settings)


def searched(search: Search, result: Result) -> tuple[Decision, dict[str, Any]]:
    """The decision that a search came to, and its account for the report."""
    values = result.values
    settings = search.context.space.settings(values["settings"])
    return Decision(settings, values["reasons"]), dict(values["account"])


def _search(heard: Heard, search: Search, context: StageContext) -> dict[str, Any]:
    from mixagent.policies.search import SearchPolicy, found
    from mixagent.policies.trial import SEGMENT_S, CaseTrial, song_cases
    from mixagent.reward.model import load_reward

    cases = song_cases(heard.stems, heard.analysis, search.context.target)
    if not cases:
        raise UsageError(
            f"the song is silent or too short to judge a render by: leave {option('search')} out",
            field="search",
        )
    shown = _Counted(context, search.renders)
    trial = CaseTrial.of(cases, search.context.space, load_reward(), shown)
    free = tuple(p.name for p in search.context.space if p.name not in search.by_hand)
    policy = SearchPolicy(METHOD, search.renders, seed=search.seed, parameters=free)
    trace = policy.search(replace(search.context, trial=trial), search.begun.settings)
    decision = found(search.begun, trace)
    return {
        "settings": decision.settings.changed(),
        "reasons": dict(decision.reasons),
        "account": {
            "method": METHOD,
            "renders": len(trace.rewards),
            "blind_before": trace.rewards[0] if math.isfinite(trace.rewards[0]) else None,
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
