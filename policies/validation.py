"""Validates an actor on cases it does not learn from: each is rendered once, as the product would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixagent.envs.mixing import Adviser, CaseSource, Choice, Material, account
from mixagent.envs.observation import observe
from mixagent.pipeline.types import FloatArray
from mixagent.policies.forward import Decider, Order
from mixagent.policies.learned import decided
from mixagent.reward.model import RewardModel
from mixagent.reward.recovery import DIMENSIONS, Distance
from mixagent.reward.render_pair import RenderPair

Hear = Callable[[str, RenderPair], None]


@dataclass(frozen=True)
class Outcome:
    """The outcome of an actor's action on one case.

    Attributes:
        case: its name.
        damaged: what was done to it, `Damage.kinds`.
        action: of the chosen parameters.
        info: as of `MixingEnv`: terms, total, blind, recovery.
        before: distance of the input to the original, where it is known: `total`, and dimensions in dB.
        after: the same of the render.
    """

    case: str
    damaged: tuple[str, ...]
    action: FloatArray
    info: Mapping[str, Any]
    before: Mapping[str, float] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)


def play(
    decider: Decider,
    cases: CaseSource,
    names: Sequence[str],
    choice: Choice,
    adviser: Adviser,
    reward: RewardModel,
    hear: Hear | None = None,
) -> list[Outcome]:
    """Let an actor decide each case once, without chance.

    Args:
        decider: an actor as it decides now, `learned.frozen` of it.
        cases: where the cases come from.
        names: which of them.
        choice: what there is to decide.
        adviser: whose advice the actor sees.
        reward: what a render is worth.
        hear: called with each case's name and its pair.
    """
    order = decider.order(choice.names, choice.stems)
    return [
        _played(decider, Material(cases.load(name), choice.space), order, choice, adviser, reward, hear)
        for name in names
    ]


def _played(
    decider: Decider,
    material: Material,
    order: Order,
    choice: Choice,
    adviser: Adviser,
    reward: RewardModel,
    hear: Hear | None,
) -> Outcome:
    advice = choice.action(adviser(material.context))
    action = decided(decider, observe(material.context, choice.stems, advice), order)
    pair = material.render_pair(choice.settings(action))
    info = account(pair, reward.score(pair))
    if hear:
        hear(material.case.name, pair)
    damage, original = material.case.damage, pair.original
    before, after = (
        _named(side.distance(original)) if original else {} for side in (pair.before, pair.after)
    )
    return Outcome(
        case=material.case.name,
        damaged=damage.kinds if damage else (),
        action=action,
        info=info,
        before=before,
        after=after,
    )


def _named(distance: Distance) -> dict[str, float]:
    return {name: getattr(distance, name) for name in ("total", *DIMENSIONS)}


def summary(outcomes: Sequence[Outcome], names: Sequence[str]) -> dict[str, float]:
    """Figures of an evaluation, by the names under which they are logged.

    `recovery/KIND` is the share of the total distance undone in cases damaged by that kind alone (by
    two: `pair`; by all five: `all`), of all those cases together, so that one that was hardly damaged
    hardly counts. `clean/tone` and `clean/image` are how far undamaged cases were moved in dB, and
    `spread/PARAMETER` is the standard deviation of a parameter's actions across songs.
    """
    columns = {name: [outcome.info[name] for outcome in outcomes] for name in ("total", "blind")}
    for outcome in outcomes:
        for name, value in outcome.info["terms"].items():
            columns.setdefault(f"terms/{name}", []).append(value)
        for name in ("tone", "image") if not outcome.damaged and outcome.after else ():
            columns.setdefault(f"clean/{name}", []).append(outcome.after[name])
    figures = {name: float(np.mean(values)) for name, values in columns.items()}
    actions = np.array([outcome.action for outcome in outcomes])
    spread = {f"spread/{name}": float(actions[:, k].std()) for k, name in enumerate(names)}
    return {**figures, **_recoveries(outcomes), **spread}


def _recoveries(outcomes: Sequence[Outcome]) -> dict[str, float]:
    sums: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.damaged and outcome.before:
            pair = sums.setdefault(f"recovery/{_group(outcome.damaged)}", [0.0, 0.0])
            pair[0] += outcome.before["total"]
            pair[1] += outcome.after["total"]
    return {name: 1.0 - after / before for name, (before, after) in sums.items() if before > 0}


def _group(damaged: Sequence[str]) -> str:
    if len(damaged) == 1:
        return damaged[0]
    return "pair" if len(damaged) == 2 else "all"
