"""Search: settings found by trying them, from where any policy would start.

Random search and CMA-ES are the baselines that a trained policy must come up to in one render, and
CMA-ES from a policy's own decision is what `mixagent master --search N` adds to it. There it searches
only how much of each of the policy's moves to make (`amounts`): a search that may try anything finds what
the reward is wrong about. A render is counted when it is judged, the first one, of the start itself, too;
the best of all that were judged is the decision, so a search never ends below its start.

CMA-ES: Hansen 2016, "The CMA Evolution Strategy: A Tutorial", by the package `cma`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Literal, get_args

import numpy as np

from mixagent.envs.context import Trial
from mixagent.pipeline.chain.parameters import Settings, switch_of
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.types import Float64Array
from mixagent.policies.base import Context, Decision, Policy
from mixagent.policies.neutral import NeutralPolicy

Method = Literal["random", "cma", "amounts"]

DEVIATION = 0.1
"""Standard deviation of CMA-ES at the start, in action units; 0.2 and more gained less in 128 renders."""

MOST = 1.5
"""Up to this times as far as the start moved a parameter, `amounts` may move it."""

STEERED = ("master.*",)
"""The parameters that a free search moves."""

_AMOUNT_DEVIATION = 0.25
_BATCH = 16
_LEAST_SHARE = 0.02

Batches = Generator[Float64Array, Float64Array, None]
"""Gives actions (batch, parameters) to try, and is sent what each was worth."""


@dataclass(frozen=True)
class Trace:
    """The trials of a search, in order; the first is its start.

    Attributes:
        settings: of each render.
        rewards: what each was worth; −inf where it could not be judged.
        seconds: from the start of the search until each was judged.
    """

    settings: tuple[Settings, ...]
    rewards: tuple[float, ...]
    seconds: tuple[float, ...]

    def best(self, renders: int | None = None) -> int:
        """The number of the best of the first `renders`, by default of all; of equals the earliest."""
        return int(np.argmax(self.rewards[:renders]))


@dataclass(frozen=True)
class SearchPolicy:
    """Decides by searching around another policy's decision.

    Attributes:
        method: `random` or `cma` of actions, or `amounts`: CMA-ES of how much of each of the start's moves
            to make, from none to `MOST` times as much. A start that moves nothing is then all there is.
        renders: how many settings are tried, the start included.
        start: whose decision is tried first.
        seed: with the trial it decides everything.
        parameters: patterns of the parameters that are searched; the others stay as `start` decided.
        deviation: of the first generation of CMA-ES, in action units.

    Raises:
        UsageError: a method that does not exist, or no render.
    """

    method: Method
    renders: int
    start: Policy = field(default_factory=NeutralPolicy)
    seed: int = 0
    parameters: tuple[str, ...] = STEERED
    deviation: float = DEVIATION

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise UsageError(f"unknown search {self.method!r}: give {', '.join(get_args(Method))}")
        if self.renders < 1:
            raise UsageError(f"a search needs 1 render or more, not {self.renders}")

    @property
    def reads_features(self) -> bool:
        """As the policy that it starts from."""
        return self.start.reads_features

    @property
    def hears_stems(self) -> int:
        """As the policy that it starts from."""
        return self.start.hears_stems

    @property
    def name(self) -> str:
        """The method, the start and the budget: `cma:rules@64`."""
        return f"{self.method}:{self.start.name}@{self.renders}"

    def decide(self, context: Context) -> Decision:
        """The best settings tried.

        Raises:
            UsageError: nothing can be tried in this context, no parameter is to be searched, or none of the
                settings tried could be judged.
        """
        begun = self.start.decide(context)
        trace = self.search(context, begun.settings)
        return found(begun, trace)

    def search(self, context: Context, begun: Settings) -> Trace:
        """Everything tried from these settings on; raises as `decide` does."""
        if context.trial is None:
            raise UsageError(
                f"the policy {self.name} has to try settings on the song, and nothing can be tried here: "
                "use `mixagent master --search N`, or another policy"
            )
        names = [p.name for p in context.space if any(fnmatch(p.name, it) for it in self.parameters)]
        if not names:
            raise UsageError(f"a search of {', '.join(self.parameters)} has no parameter to search")
        way = _amounts(begun, names) if self.method == "amounts" else _actions(begun, names)
        trace = _search(context.trial, begun, way, self.renders, self._batches)
        if not np.isfinite(max(trace.rewards)):
            raise UsageError(f"none of the {self.renders} settings that were tried could be judged")
        return trace

    def _batches(self, start: Float64Array) -> Batches:
        random = np.random.default_rng(self.seed)
        if self.method == "random":
            return _random(start, random)
        return _cma(start, self.deviation if self.method == "cma" else _AMOUNT_DEVIATION, random)


def found(begun: Decision, trace: Trace) -> Decision:
    """The decision for the best of a trace; what it did not move, or no other way, keeps its reason too."""
    best = trace.best()
    tried = f"the best of {len(trace.rewards)} renders tried"
    settings, before = trace.settings[best], begun.settings
    reasons = dict(begun.reasons)
    for name, value in settings.changed().items():
        if value == before[name]:
            continue
        parameter = settings.space[name]
        same_way = parameter.action(value) * parameter.action(before[name]) > 0 and name in begun.reasons
        reasons[name] = f"{begun.reasons[name]}; how far: {tried}" if same_way else tried
    return Decision(settings, reasons)


@dataclass(frozen=True)
class _Way:
    """The space of a search: points of [−1, 1]^n, of which one is the start, and the settings of each."""

    start: Float64Array
    settings: Callable[[Float64Array], Settings]


def _actions(begun: Settings, names: Sequence[str]) -> _Way:
    """Any action of the named parameters."""
    space = begun.space

    def settings(point: Float64Array) -> Settings:
        chosen = {name: space[name].value(float(a)) for name, a in zip(names, point, strict=True)}
        return space.settings({**begun.values, **chosen})

    return _Way(np.array([space[name].action(begun[name]) for name in names]), settings)


def _amounts(begun: Settings, names: Sequence[str]) -> _Way:
    """Any amount of each move among the named parameters, and of all together; what shapes one stays."""
    space, changed = begun.space, begun.changed()
    moved = [name for name in names if name in changed and switch_of(name) is None]

    def settings(point: Float64Array) -> Settings:
        together, *own = (point + 1) * MOST / 2
        amounts = np.minimum(together * np.array(own), MOST)
        chosen = {
            name: space[name].value(space[name].action(begun[name]) * float(amount))
            for name, amount in zip(moved, amounts, strict=True)
        }
        return space.settings({**begun.values, **chosen})

    return _Way(np.full(len(moved) + 1 if moved else 0, 2 / MOST - 1), settings)


def _search(
    trial: Trial, begun: Settings, way: _Way, renders: int, strategy: Callable[[Float64Array], Batches]
) -> Trace:
    since = time.perf_counter()
    tried, rewards, seconds = [begun], _judged(trial, [begun]), [time.perf_counter() - since]
    if not way.start.size:
        return Trace(tuple(tried), tuple(rewards), tuple(seconds))
    batches = strategy(way.start)
    batch = next(batches)
    while len(tried) < renders:
        chosen = [way.settings(point) for point in batch[: renders - len(tried)]]
        judged = _judged(trial, chosen)
        tried += chosen
        rewards += judged
        seconds += [time.perf_counter() - since] * len(chosen)
        if len(tried) < renders:
            batch = batches.send(np.array(judged))
    return Trace(tuple(tried), tuple(rewards), tuple(seconds))


def _judged(trial: Trial, settings: list[Settings]) -> list[float]:
    rewards = np.asarray(trial(settings), np.float64)
    return [float(reward) if np.isfinite(reward) else -np.inf for reward in rewards]


def _random(start: Float64Array, random: np.random.Generator) -> Batches:
    """Moves a random share of the parameters by up to a random reach; share and reach are log-uniform.

    Uniform draws over the whole space would all be ruins: a song needs few of the parameters moved.
    """
    while True:
        share, reach = np.exp(random.uniform(np.log(_LEAST_SHARE), 0.0, (2, _BATCH, 1)))
        moved = random.random((_BATCH, start.size)) < share
        steps = reach * random.uniform(-2.0, 2.0, (_BATCH, start.size))
        yield np.clip(start + moved * steps, -1.0, 1.0)


def _cma(start: Float64Array, deviation: float, random: np.random.Generator) -> Batches:
    """CMA-ES on [−1, 1]; a one-sided parameter is off on half of that, so that it can be left alone."""
    with warnings.catch_warnings():
        # It says at import that it could not plot.
        warnings.simplefilter("ignore")
        import cma  # type: ignore[import-untyped]
    options = {
        "bounds": [-1.0, 1.0],
        "randn": lambda *shape: random.standard_normal(shape),
        "seed": np.nan,
        "verbose": -9,
        "maxiter": np.inf,
    }
    strategy = cma.CMAEvolutionStrategy(start, deviation, options)
    while True:
        actions = strategy.ask()
        rewards = yield np.array(actions)
        worst = np.min(rewards[np.isfinite(rewards)], initial=0.0)
        strategy.tell(actions, np.where(np.isfinite(rewards), -rewards, 1.0 - worst))
