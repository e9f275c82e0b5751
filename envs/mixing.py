"""The environment: one step is one decision about one segment, rendered as the product renders it.

An episode of one step is a contextual bandit. With more steps each action replaces the one before,
the observation also holds the last render, and the rewards telescope to the last render's score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cached_property, partial
from typing import Any, Protocol, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mixagent.envs.cases import Case, CaseStore
from mixagent.envs.context import Context
from mixagent.envs.observation import Last, Observation, observe, shapes, truth_of
from mixagent.pipeline.chain.mastering import extends, is_mastered
from mixagent.pipeline.chain.mixing import is_active, strip_blocks
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.highs import Highs, measure_highs
from mixagent.pipeline.render import render, render_stem
from mixagent.pipeline.types import Audio, FloatArray, collect, load
from mixagent.reward.model import RewardModel, Score
from mixagent.reward.recovery import UNIT_DB, Distance, Original
from mixagent.reward.render_pair import AnalysedAudio, AnalysedStems, RenderPair
from mixagent.reward.terms.truth import LEAST_DISTANCE

ENV_ID = "mixagent/Mixing-v0"
MOST_STEPS = 8

_FINISH = ("gain_db", "max_reduction_db", "integrated_lufs", "true_peak_dbtp", "met", "missed")

Adviser = Callable[[Context], Settings]


class CaseSource(Protocol):
    """A source of cases for an environment."""

    @property
    def names(self) -> Sequence[str]:
        """The cases that it draws from, each as likely."""

    def load(self, name: str) -> Case:
        """The case of this name."""


@dataclass(frozen=True)
class StoredCases:
    """Some cases of a store."""

    store: CaseStore
    names: tuple[str, ...]

    def load(self, name: str) -> Case:
        """Read it from the store."""
        return self.store.load(name)


@dataclass(frozen=True)
class HeldCases:
    """Cases in memory."""

    cases: Mapping[str, Case]

    @property
    def names(self) -> Sequence[str]:
        """All of them, in order."""
        return tuple(self.cases)

    def load(self, name: str) -> Case:
        """Look it up."""
        return self.cases[name]

    def __deepcopy__(self, memo: dict[int, Any]) -> HeldCases:
        # Gymnasium copies what an environment was made with; cases never change.
        return self


class _Input(AnalysedAudio):
    """The input of a case, of which most was measured when the case was made."""

    def __init__(self, case: Case, original: Original | None) -> None:
        super().__init__(load(case.stems.mix), case.features["mix"])
        self.analysis = self.loudness = case.analysis
        self._original, self._known = original, case.distance

    def distance(self, original: Original) -> Distance:
        """The distance to an original."""
        if original is self._original and self._known is not None:
            return self._known
        return super().distance(original)


class Material:
    """A case, and what of it stays the same from render to render.

    Attributes:
        case: the segment.
        context: what a policy is shown of it.
        truth: `truth_of` the case.
        before: the input, as the reward listens to it.
        original: the truth, where it is known.
        stems: the stems of the input, as the reward listens to them.
    """

    def __init__(self, case: Case, space: ParameterSpace) -> None:
        self.case, self.context, self.truth = case, case.context(space), truth_of(case)
        self.original = Original(case.original) if case.original is not None else None
        self.before = _Input(case, self.original)
        parts = {name: load(part) for name, part in case.stems.parts.items()}
        self.stems = AnalysedStems(self.before, parts, case.stem_analyses)

    @cached_property
    def highs(self) -> Highs:
        """Where the highs of the case end, measured for the first render that extends them."""
        return measure_highs(self.case.stems.mix)

    def render_pair(self, settings: Settings, stems: bool = False) -> RenderPair:
        """Render the case under these settings, as the product does, for the reward to judge.

        Args:
            settings: a value for every parameter.
            stems: also render each stem alone, for the terms that judge stems.
        """
        case = self.case
        highs = self.highs if extends(settings) else None
        alone = stems and bool(case.stems.parts)
        strips = self._strips(settings) if alone else {}
        done = render(
            *(case.stems, settings, case.target),
            levels=case.levels,
            holes=case.holes,
            highs=highs,
            strips_done=strips,
        )
        after = AnalysedAudio(load(done.audio))
        return RenderPair(
            before=self.before,
            after=after,
            settings=settings,
            finish=done.finish,
            original=self.original,
            stems_before=self.stems if alone else None,
            stems_after=self._rendered(after, settings, strips) if alone else None,
            target=case.target,
        )

    def _strips(self, settings: Settings) -> dict[str, Audio]:
        """The stems that these settings move, behind their strips: heard in the mix, and alone."""
        stems, levels = self.case.stems, self.case.levels
        return {
            name: collect(strip_blocks(stems, name, settings, levels), part.rate, part.channels)
            for name, part in stems.parts.items()
            if is_active(settings, name)
        }

    def _rendered(
        self, after: AnalysedAudio, settings: Settings, strips: Mapping[str, Audio]
    ) -> AnalysedStems:
        """The stems behind their strips, those not moved as they are; the voice behind the master."""
        case, parts, analyses = self.case, {**self.stems.stems, **strips}, dict(self.case.stem_analyses)
        analyses |= {name: analyse(part) for name, part in strips.items()}
        heard = "vocals" in parts and is_mastered(settings)
        highs = self.highs if heard and extends(settings) else None
        known = (case.levels, case.holes, highs, strips)
        voice = partial(render_stem, case.stems, "vocals", settings, *known) if heard else None
        return AnalysedStems(after, parts, analyses, voice)


@dataclass(frozen=True)
class Choice:
    """The parameters and stems that an environment offers for decision.

    Attributes:
        space: every parameter of the chain.
        names: the parameters that an action holds, in order; the others stay neutral.
        stems: which stems are shown, in order.
        steps: renders in an episode.
    """

    space: ParameterSpace
    names: tuple[str, ...]
    stems: tuple[str, ...]
    steps: int = 1

    @classmethod
    def of(cls, patterns: Sequence[str], stems: Sequence[str], steps: int = 1) -> Choice:
        """The parameters that match any of the patterns, in the order of the space of these stems.

        Raises:
            UsageError: a pattern that matches nothing, or a number of steps out of 1..8.
        """
        space = ParameterSpace.for_stems(stems)
        for pattern in patterns:
            if not any(fnmatch(parameter.name, pattern) for parameter in space):
                raise UsageError(f"no parameter matches {pattern!r}; there are {_places(space)}")
        if not 1 <= steps <= MOST_STEPS:
            raise UsageError(f"an episode has 1 to {MOST_STEPS} steps, not {steps}")
        names = tuple(p.name for p in space if any(fnmatch(p.name, pattern) for pattern in patterns))
        return cls(space, names, tuple(stems), steps)

    def settings(self, action: NDArray[np.floating]) -> Settings:
        """The settings of an action of shape (len(names),), clipped to [−1, 1].

        Raises:
            ValueError: another shape, or a value that is not a number.
        """
        if action.shape != (len(self.names),) or np.isnan(action).any():
            raise ValueError(f"an action is {len(self.names)} numbers in [-1, 1], not {action}")
        pairs = zip(self.names, action, strict=True)
        return self.space.settings({name: self.space[name].value(float(a)) for name, a in pairs})

    def action(self, settings: Settings) -> FloatArray:
        """The action of settings, shape (len(names),)."""
        actions = dict(zip((p.name for p in settings.space), settings.to_action(), strict=True))
        return np.array([actions[name] for name in self.names], np.float32)


class MixingEnv(gymnasium.Env[Observation, FloatArray]):
    """`mixagent/Mixing-v0`: choose the settings of the chain for a damaged segment.

    The action is one number in [−1, 1] for each chosen parameter, 0 is neutral. The observation is
    `observe`'s. The reward is by how much the render's total rose: over the input (0) at first, over
    the last render after that. `reset` takes the options `case`, a name that the source knows.

    `info` holds `case`, `parameters` (those moved), and after a step `terms` (every reward term by
    name), `total`, `blind`, `finish`, and, where the truth is known, `recovery`: the share of the
    distance to the original undone, by dimension.

    Args:
        cases: where cases come from; each is as likely.
        reward: what a render is worth.
        steps: renders in an episode, 1 to 8.
        parameters: patterns (`master.*`) of the parameters to choose.
        stems: which stems are shown and have strips, in order.
        adviser: whose settings the observation gives as advice.
        target: what the finaliser aims at; by default the case's own target.
        episodes_per_case: so many episodes in a row are about one case.
        hears_stems: also render each stem alone; by default where a term of the reward judges stems.

    Attributes:
        choice: the parameters to choose.
        pair: the last render beside its input; None before the first.

    Raises:
        UsageError: no case, a pattern that matches nothing, or a number of steps out of range.
    """

    def __init__(
        self,
        cases: CaseSource,
        reward: RewardModel,
        steps: int = 1,
        parameters: Sequence[str] = ("master.*",),
        stems: Sequence[str] = ("vocals", "accompaniment"),
        adviser: Adviser | None = None,
        target: LoudnessTarget | None = None,
        *,
        episodes_per_case: int = 1,
        hears_stems: bool | None = None,
    ) -> None:
        self.choice = Choice.of(parameters, stems, steps)
        if not cases.names:
            raise UsageError("the environment has no case to draw from: build some, or choose another split")
        self._cases, self._reward, self._adviser, self._target = cases, reward, adviser, target
        self._episodes_per_case = episodes_per_case
        self._hears_stems = reward.hears_stems if hears_stems is None else hears_stems
        self._material: Material | None = None
        self._advice = np.zeros(len(self.choice.names), np.float32)
        self._last: Last | None = None
        self._episodes = self._step = 0
        self._total = 0.0
        self.pair: RenderPair | None = None
        self.action_space = spaces.Box(-1.0, 1.0, (len(self.choice.names),), np.float32)
        sizes = shapes(self.choice.stems, len(self.choice.names))
        parts: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(-np.inf, np.inf, shape, np.float32) for name, shape in sizes.items()
        }
        self.observation_space = cast(spaces.Space[Observation], spaces.Dict(parts))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; a seed decides every case from here on."""
        super().reset(seed=seed)
        name = (options or {}).get("case")
        self._episodes = 0 if seed is not None or name else self._episodes
        if name or self._material is None or self._episodes % self._episodes_per_case == 0:
            names = self._cases.names
            self._begin(self._cases.load(name or names[int(self.np_random.integers(len(names)))]))
        self._episodes += 1
        self._step, self._total, self._last = 0, 0.0, None
        assert self._material is not None
        return self._observation(), {"case": self._material.case.name, "parameters": {}}

    def step(self, action: FloatArray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Render an action.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
            ValueError: an action of another shape, or not a number.
        """
        if self._material is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        settings = self.choice.settings(np.asarray(action))
        pair = self._material.render_pair(settings, self._hears_stems)
        self._step += 1
        done = self._step >= self.choice.steps
        self._last = Last(pair.after.features, self.choice.action(settings), self._step / self.choice.steps)
        score, self.pair = self._reward.score(pair), pair
        gained, self._total = score.total - self._total, score.total
        info = {"case": self._material.case.name, "parameters": settings.changed(), **account(pair, score)}
        return self._observation(), gained, done, False, info

    def _begin(self, case: Case) -> None:
        case = replace(case, target=self._target or case.target)
        self._material = Material(case, self.choice.space)
        if self._adviser is not None:
            self._advice = self.choice.action(self._adviser(self._material.context))

    def _observation(self) -> Observation:
        assert self._material is not None
        material = self._material
        return observe(material.context, self.choice.stems, self._advice, self._last, material.truth)


def account(pair: RenderPair, score: Score) -> dict[str, Any]:
    """The entries of `info` for a judged render."""
    finish, told = pair.finish, dict[str, Any](terms=dict(score.terms), total=score.total, blind=score.blind)
    if finish is not None:
        told["finish"] = {name: getattr(finish, name) for name in _FINISH}
    if pair.original is not None:
        before, after = (side.distance(pair.original) for side in (pair.before, pair.after))
        told["recovery"] = recovery(before, after)
    return told


def recovery(before: Distance, after: Distance) -> dict[str, float]:
    """Share of the distance undone, in total and by dimension; a dimension with next to none is left out.

    For the total a distance under `LEAST_DISTANCE` counts as that, as in the reward.
    """
    total = (before.total - after.total) / max(before.total, LEAST_DISTANCE)
    shares = {
        name: 1.0 - getattr(after, name) / getattr(before, name)
        for name, unit in UNIT_DB.items()
        if getattr(before, name) >= 0.1 * unit
    }
    return {"total": total, **shares}


def _places(space: ParameterSpace) -> str:
    return ", ".join(f"{where}.*" for where in dict.fromkeys(parameter.where for parameter in space))


gymnasium.register(ENV_ID, entry_point="mixagent.envs.mixing:MixingEnv")
