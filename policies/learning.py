"""Learning from the user: preferences and past masters move the policy, other songs hold it.

Three terms are summed over the policy's Gaussian, whose mean is the actor's action:

- preferences, by direct preference optimisation (Rafailov et al. 2023), which is Bradley and Terry's
  model of choices with the policy's own likelihood for a reward; with the likelihood of the better
  one beside it, so that the step towards it ends there (Pang et al. 2024);
- past masters, by regression weighted with their blind reward (Peters and Schaal 2007; Peng et al. 2019);
- closeness to the policy in use on cases of the corpus: their Kullback-Leibler divergence.

What comes of it is a candidate. It is promoted only if renders of validation cases show that it does
not lose against the policy in use.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from mixagent.envs.mixing import Adviser, CaseSource, Choice
from mixagent.pipeline.errors import InputError
from mixagent.pipeline.files import atomically
from mixagent.pipeline.types import ShowProgress
from mixagent.policies.experience import Experience, Preference
from mixagent.policies.learned import Checkpoint
from mixagent.policies.network import Actor
from mixagent.policies.preference_data import Anchors, PreferenceData, anchors, preference_data
from mixagent.policies.validation import Outcome, play
from mixagent.reward.model import RewardModel

LEAST_GAIN = 1e-4
"""A candidate that lowers the loss of the preference data by less has learned nothing."""

NOTHING_NEW = "not promoted: the experiences teach nothing that the policy does not do already"

KEPT_EVERY = 50
"""Steps of fine-tuning between two states on disk."""

A = TypeVar("A", bound=nn.Module)
"""An actor: from an observation and an order of parameters to actions (N, A)."""


@dataclass(frozen=True)
class LearnSettings:
    """The settings of fine-tuning.

    Attributes:
        steps: gradient steps; each sees all preference data and `batch` cases of the corpus.
        batch: cases of the corpus in a step.
        learning_rate: of Adam, falling to zero by a cosine.
        deviation: standard deviation of the policy's Gaussian, in units of an action.
        preference: how sharp preferences are: the factor of the log likelihood ratio.
        likelihood: weight of the better one's log likelihood.
        reward: weight of the past masters.
        temperature: of their weights, in units of the blind reward.
        closeness: weight of the divergence from the policy in use.
        noise: standard deviation of what is added to the measures of the corpus cases, in spreads over
            the songs that the policy was trained on: it holds the policy between the cases too.
        blur: the same of what is learnt from, so that no song is learnt by heart.
        loss: a candidate may lose so much on the mean of the validation songs, in units of the blind
            reward and as a share of the distance to the original.
        margin: and with 95 % certainty not more than this.
        moved, moved_margin: the same of how much further songs are moved that are as they were made: a
            taste is a move, so there it is more. In differences that a trained listener notices, or, of a
            net that mixes, as a share of what a mix in disorder lacks.
        shares: a candidate that may lose is taken back this far towards the policy in use, in turn; one
            that loses for certain is not.
    """

    steps: int = 300
    batch: int = 64
    learning_rate: float = 1e-3
    deviation: float = 0.15
    preference: float = 0.3
    likelihood: float = 0.3
    reward: float = 0.05
    temperature: float = 0.1
    closeness: float = 3.0
    noise: float = 1.0
    blur: float = 0.0
    loss: float = 0.005
    margin: float = 0.02
    moved: float = 0.02
    moved_margin: float = 0.05
    shares: tuple[float, ...] = (1.0, 0.5, 0.25)


# --- learning --------------------------------------------------------------------------------------


def fine_tune(
    actor: A,
    data: Sequence[PreferenceData],
    held: Anchors,
    settings: LearnSettings,
    seed: int,
    progress: ShowProgress | None = None,
    kept: Path | None = None,
) -> A:
    """The actor after the preference data; the one given is not changed.

    Args:
        actor: the policy in use.
        data: what there is to learn.
        held: where it should stay as it is.
        settings: how.
        seed: of the batches.
        progress: called with `learn` and the share done; may raise, which ends it.
        kept: a file that the state is kept in every `KEPT_EVERY` steps. Where it is there, it goes on from
            it, to the same actor.
    """
    actor, current = copy.deepcopy(actor).eval(), actor.eval()
    with torch.no_grad():
        before = [current(each.observation, each.order) for each in data]
    random = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(actor.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(settings.steps, 1))
    state = _FineTuning(actor, optimiser, schedule, random)
    for step in range(state.begun(kept), settings.steps):
        index = torch.randint(len(held), (settings.batch,), generator=random)
        shown = held.noisy(index, settings.noise, random)
        with torch.no_grad():
            usual = current(shown, held.order)
        loss = settings.closeness * divergence(actor(shown, held.order) - usual, settings.deviation)
        for each, action in zip(data, before, strict=True):
            seen = held.blurred(each.observation, settings.blur, random)
            loss = loss + preference_loss(actor(seen, each.order), action, each, settings)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(actor.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if kept and ((step + 1) % KEPT_EVERY == 0 or step + 1 == settings.steps):
            state.keep(kept, step + 1)
        if progress:
            progress("learn", (step + 1) / settings.steps)
    return actor


@dataclass(frozen=True)
class _FineTuning:
    """The state of fine-tuning, which can be put down and taken up."""

    actor: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    random: torch.Generator

    def keep(self, file: Path, steps: int) -> None:
        """Put it down after so many steps."""
        file.parent.mkdir(parents=True, exist_ok=True)
        parts = {name: getattr(self, name).state_dict() for name in ("actor", "optimiser", "schedule")}
        with atomically(file) as place:
            torch.save({**parts, "random": self.random.get_state(), "steps": steps}, place)

    def begun(self, file: Path | None) -> int:
        """The steps that are done; the state of a file is taken up, one that is broken is begun again."""
        if file is None or not file.is_file():
            return 0
        try:
            found = torch.load(file, weights_only=True)
            for name in ("actor", "optimiser", "schedule"):
                getattr(self, name).load_state_dict(found[name])
            self.random.set_state(found["random"])
            return int(found["steps"])
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, EOFError, UnpicklingError) as error:
            raise InputError(
                f"{file} cannot be taken up ({type(error).__name__}): delete it to begin learning again"
            ) from error


def divergence(moved: Tensor, deviation: float) -> Tensor:
    """Mean Kullback-Leibler divergence of two Gaussians of one deviation, means `moved` (B, A) apart."""
    return moved.square().sum(dim=-1).mean() / (2 * deviation**2)


def preference_logits(action: Tensor, before: Tensor, data: PreferenceData, deviation: float) -> Tensor:
    """By how much more the better than the worse one's log likelihood rose, (P,).

    For Gaussians of one deviation the squares cancel, and ⟨mean − mean before, better − worse⟩ ÷ σ² is
    left.
    """
    moved = (action - before)[data.rows]
    return (moved * (data.better - data.worse)).sum(dim=-1) / deviation**2


def preference_loss(action: Tensor, before: Tensor, data: PreferenceData, settings: LearnSettings) -> Tensor:
    """The loss of a group of preference data at the actor's actions (N, A), which were `before`."""
    scale = 2 * settings.deviation**2
    away = (action - data.actions).square().sum(dim=-1) / scale
    loss = settings.reward * (data.weights * away).mean()
    if len(data.rows):
        logits = preference_logits(action, before, data, settings.deviation)
        unlike = (action[data.rows] - data.better).square().sum(dim=-1) / scale
        each = softplus(-settings.preference * logits) + settings.likelihood * unlike
        loss = loss + (each if data.votes is None else data.votes * each).mean()
    return loss


def agreement(actor: nn.Module, data: Sequence[PreferenceData], settings: LearnSettings) -> float:
    """The likelihood that the policy chooses as the person did, by Bradley and Terry; NaN without choices."""
    likely: list[Tensor] = []
    with torch.no_grad():
        for each in data:
            action = actor.eval()(each.observation, each.order)[each.rows]
            better, worse = ((action - side).square().sum(dim=-1) for side in (each.better, each.worse))
            likely.append(torch.sigmoid(settings.preference * (worse - better) / (2 * settings.deviation**2)))
    return torch.cat(likely).mean().item()


def plain_agreement(agreed: tuple[float, float]) -> dict[str, float | None]:
    """Both agreements by name; None where nobody chose."""
    values = [None if math.isnan(value) else value for value in agreed]
    return dict(zip(("before", "after"), values, strict=True))


def blended(current: A, candidate: A, share: float) -> A:
    """The actor whose weights lie this share of the way from one to the other (Wortsman et al. 2022)."""
    actor, start = copy.deepcopy(candidate), current.state_dict()
    ends = candidate.state_dict()
    moved = {
        name: torch.lerp(start[name], end, share) if end.isfinite().all() else end
        for name, end in ends.items()
    }
    actor.load_state_dict(moved)
    return actor


# --- judging the candidate -------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Candidate less policy in use: the mean over songs, and its one-sided 95 % bounds."""

    mean: float
    least: float
    most: float

    @classmethod
    def of(cls, rises: Mapping[str, Sequence[float]], seed: int = 0) -> Difference:
        """By song, how much better the candidate did on its cases; songs are resampled, 2000 times."""
        means = np.array([np.mean(rows) for rows in rises.values()])
        drawn = np.random.default_rng(seed).integers(len(means), size=(2000, len(means)))
        least, most = np.quantile(means[drawn].mean(axis=1), (0.05, 0.95))
        return cls(float(means.mean()), float(least), float(most))

    def loses(self, loss: float, margin: float) -> bool:
        """True if more than the loss was lost, or more than the margin cannot be ruled out."""
        return self.mean < -loss or self.least < -margin

    def harms(self, loss: float) -> bool:
        """True if more than the loss was lost, and that is no chance."""
        return self.mean < -loss and self.most < 0.0


@dataclass(frozen=True)
class Comparison:
    """Both policies on the same validation cases, each rendered by both as the product renders.

    Attributes:
        cases, songs: how many.
        blind: the blind reward.
        recovery: the share of the distance to the original undone, of songs that are not as they were made.
        finished: of songs as they were made: how much less far they are moved, in differences that a
            trained listener notices (`Distance.total`). None where there is none among the cases.
    """

    cases: int
    songs: int
    blind: Difference
    recovery: Difference
    finished: Difference | None = None

    def loses(self, settings: LearnSettings) -> bool:
        """True if the candidate lost at one, or a loss of more than the margin cannot be ruled out."""
        if any(each.loses(settings.loss, settings.margin) for each in (self.blind, self.recovery)):
            return True
        return self.finished is not None and self.finished.loses(settings.moved, settings.moved_margin)

    def harms(self, settings: LearnSettings) -> bool:
        """True if the candidate surely lost at one of them: less of the same is not tried then."""
        if any(each.harms(settings.loss) for each in (self.blind, self.recovery)):
            return True
        return self.finished is not None and self.finished.harms(settings.moved)


def compare(current: Sequence[Outcome], candidate: Sequence[Outcome], seed: int = 0) -> Comparison:
    """Compare the outcomes of two policies on the same cases, in the same order.

    Cases of one song are not independent: songs are resampled, 2000 times.
    """
    blind: dict[str, list[float]] = {}
    recovery: dict[str, list[float]] = {}
    finished: dict[str, list[float]] = {}
    for old, new in zip(current, candidate, strict=True):
        song = old.case.partition("@")[0]
        blind.setdefault(song, []).append(new.info["blind"] - old.info["blind"])
        recovery.setdefault(song, []).append(_undone(new) - _undone(old))
        if not old.damaged and old.after:
            finished.setdefault(song, []).append(old.after["total"] - new.after["total"])
    return Comparison(
        len(current),
        len(blind),
        Difference.of(blind, seed),
        Difference.of(recovery, seed),
        Difference.of(finished, seed) if finished else None,
    )


def _undone(outcome: Outcome) -> float:
    recovery = outcome.info.get("recovery")
    return float(recovery["total"]) if recovery else 0.0


# --- the whole -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Corpus:
    """The cases that hold the policy: those it should stay as it is on, and those it is judged on.

    Attributes:
        cases: where they come from.
        training: names of the first.
        validation: names of the second, of other songs.
        reward: what a render is worth.
    """

    cases: CaseSource
    training: Sequence[str]
    validation: Sequence[str]
    reward: RewardModel


@dataclass(frozen=True)
class Learned:
    """The result of learning.

    Attributes:
        checkpoint: the candidate, to be promoted; None where none may be.
        why: one sentence: what was decided and why.
        agreement: of the policy in use and of the last candidate with the person; see `agreement`.
        share: how far of the way towards the preference data the last candidate went.
        comparison: of the last candidate; None where nothing had to be rendered.
        counts: `experiences`, `preferences`, and `left_out`, those of another version.
    """

    checkpoint: Checkpoint | None
    why: str
    agreement: tuple[float, float]
    share: float
    comparison: Comparison | None
    counts: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values, all finite or None."""
        return {
            "promoted": self.checkpoint is not None,
            "why": self.why,
            "agreement": plain_agreement(self.agreement),
            "share": self.share,
            "comparison": None if self.comparison is None else asdict(self.comparison),
            **self.counts,
        }


def learn(
    checkpoint: Checkpoint,
    experiences: Sequence[Experience],
    preferences: Sequence[Preference],
    corpus: Corpus,
    adviser: Adviser,
    settings: LearnSettings | None = None,
    seed: int = 0,
    progress: ShowProgress | None = None,
    kept: Path | None = None,
) -> Learned:
    """Fine-tune the policy in use and say whether the result may take its place.

    Args:
        checkpoint: the policy in use.
        experiences: what was mastered.
        preferences: what a person said of it.
        corpus: what the policy must not get worse on.
        adviser: the policy whose advice the actor takes in part.
        settings: how; the defaults of `LearnSettings`.
        seed: of everything random.
        progress: called with the name of a part of the work and the share of it that is done; may raise,
            which ends it.
        kept: a folder in which an ended run is kept, to go on from.

    Raises:
        UsageError: there is nothing to learn from.
    """
    chosen, show = settings or LearnSettings(), progress or (lambda part, share: None)
    actor, choice = checkpoint.actor, Choice.of(checkpoint.parameters, checkpoint.stems)
    data = preference_data(experiences, preferences, checkpoint, adviser, chosen.temperature)
    held = anchors(corpus.cases, corpus.training, choice, adviser, actor)
    goal = fine_tune(actor, data, held, chosen, seed, show, None if kept is None else kept / "learned.pt")
    if not user_loss(goal, actor, data, chosen) < user_loss(actor, actor, data, chosen) - LEAST_GAIN:
        return _told(actor, actor, data, chosen, len(experiences), 0.0, None, NOTHING_NEW)
    old = _played(actor, corpus, choice, adviser, show, "render the policy in use")
    for share in chosen.shares:
        candidate = blended(actor, goal, share)
        new = _played(candidate, corpus, choice, adviser, show, "render the candidate")
        compared = compare(old, new, seed)
        told = partial(_told, actor, candidate, data, chosen, len(experiences), share, compared)
        if not compared.loses(chosen):
            learned = told(f"promoted: it does not lose on {compared.cases} validation cases")
            return replace(learned, checkpoint=_kept(checkpoint, candidate, learned))
        if compared.harms(chosen):
            return told(f"not promoted: on {compared.cases} validation cases it loses for certain")
    return told(f"not promoted: on {compared.cases} validation cases a loss cannot be ruled out")


def _told(
    actor: Actor,
    candidate: Actor,
    data: Sequence[PreferenceData],
    settings: LearnSettings,
    experiences: int,
    share: float,
    compared: Comparison | None,
    why: str,
) -> Learned:
    """The result for a candidate that is not promoted yet."""
    masters = sum(len(each.actions) for each in data)
    preferences = sum(len(each.rows) for each in data)
    counts = {"experiences": masters, "preferences": preferences, "left_out": experiences - masters}
    before, after = (agreement(each, data, settings) for each in (actor, candidate))
    return Learned(None, why, (before, after), share, compared, counts)


def card(learned: Learned, came_after: str) -> str:
    """The model card of a promoted candidate."""
    counts, compared = learned.counts, learned.comparison
    assert compared is not None
    rose = [
        f"- **{what}**: {each.mean:+.4f}, with 95 % certainty over {each.least:+.4f}."
        for what, each in (
            ("Blind reward", compared.blind),
            ("Distance undone", compared.recovery),
            ("Finished songs left alone", compared.finished),
        )
        if each is not None
    ]
    return "\n".join(
        [
            "# A policy that learned from its user",
            "",
            f"Came after the policy in `{came_after}`: its data, licence and configuration are its own too.",
            "",
            f"- **Learned from** {counts['experiences']} masters, {counts['preferences']} preferences.",
            f"- **Judged on** {compared.cases} cases of {compared.songs} songs, rendered by both policies.",
            *rose,
            "",
            "It stays on this machine. `mixagent models rollback` takes the one before.",
            "",
        ]
    )


def user_loss(
    actor: nn.Module, current: nn.Module, data: Sequence[PreferenceData], settings: LearnSettings
) -> float:
    """The loss of all preference data."""
    total = 0.0
    with torch.no_grad():
        for each in data:
            now, before = (one.eval()(each.observation, each.order) for one in (actor, current))
            total += preference_loss(now, before, each, settings).item()
    return total


def _played(
    actor: Actor, corpus: Corpus, choice: Choice, adviser: Adviser, show: ShowProgress, part: str
) -> list[Outcome]:
    """The actor's outcomes on the validation cases."""
    outcomes: list[Outcome] = []
    for name in corpus.validation:
        outcomes += play(actor.frozen(), corpus.cases, [name], choice, adviser, corpus.reward)
        show(part, len(outcomes) / len(corpus.validation))
    return outcomes


def _kept(checkpoint: Checkpoint, actor: Actor, learned: Learned) -> Checkpoint:
    """The candidate as a checkpoint that says how it was made."""
    training = {**checkpoint.training, "learned": {**learned.to_json(), "promoted": True}}
    return replace(checkpoint, actor=actor, training=training)
