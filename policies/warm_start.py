"""The warm start: an actor is fitted to the true distance before it learns from renders.

Each training case is rendered a few times (`surrogate.measure_response`), and the actor then climbs
the share of the distance that its action would undo, averaged over all cases, by gradients. What it
cannot know it hedges: a move that helps one song and harms another that measures alike shrinks, and
undamaged songs, where every move costs, hold it near neutral.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from mixagent.envs.cases import Case, CaseStore
from mixagent.envs.mixing import Adviser, Choice
from mixagent.envs.observation import observe, truth_of
from mixagent.envs.workers import end_with_parent
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.types import Progress
from mixagent.policies.network import Actor
from mixagent.policies.surrogate import NO_CUTOFF_HZ, Response, Surrogate, measure_response, totals

LEAST_DISTANCE = 0.25
"""A case that is nearer to its original counts as if it were as far as this, as in the reward."""

LEAST_MISSING_DB = 3.0
"""Air that misses less than this is not extended."""

VERSION = "1"
"""Of what a response holds: those of another version are measured again."""


@dataclass(frozen=True)
class WarmStart:
    """The settings of the warm start.

    Attributes:
        epochs: at most so many rounds over the cases; 0 leaves the warm start out.
        patience: stop after so many rounds without a better result on the validation cases.
        batch: cases in a step.
        learning_rate: of AdamW, falling to zero by a cosine.
        weight_decay: of AdamW.
        noise: standard deviation of what is added to standardised measures, against overfitting.
        harm: how many times a loss of a case counts against a gain of another.
        prior: weight of the mean square of the action.
        outside: weight of the mean square by which actions leave their ranges.
    """

    epochs: int = 120
    patience: int = 20
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    noise: float = 0.1
    harm: float = 1.5
    prior: float = 0.02
    outside: float = 0.3


@dataclass(frozen=True)
class Examples:
    """Cases ready to be fitted to: their observations, stacked, and what an action would do to each."""

    observation: dict[str, Tensor]
    surrogate: Surrogate
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, index: Tensor) -> dict[str, Tensor]:
        """The observations of some of the cases."""
        return {key: value[index] for key, value in self.observation.items()}


# --- measuring the cases ---------------------------------------------------------------------------


def measure_responses(
    store: CaseStore,
    names: Sequence[str],
    folder: Path,
    workers: int = 1,
    progress: Progress | None = None,
) -> None:
    """Measure the cases whose response the folder does not hold yet; a killed run is taken up again."""
    missing = [name for name in names if not response_path(folder, name).is_file()]
    make = partial(_measure_one, store, folder)
    for done, _ in enumerate(_mapped(make, missing, workers), len(names) - len(missing) + 1):
        if progress:
            progress(done / len(names))


def response_path(folder: Path, name: str) -> Path:
    """The path of a case's response."""
    key = hashlib.sha256(f"{VERSION}/{name}".encode()).hexdigest()[:20]
    return folder / key[:2] / f"{key}.safetensors"


def _mapped(make: Callable[[str], None], names: Sequence[str], workers: int) -> Iterator[None]:
    if workers <= 1:
        yield from map(make, names)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker) as pool:
        yield from pool.map(make, names, chunksize=4)


def _start_worker() -> None:
    end_with_parent()
    torch.set_num_threads(1)


def _measure_one(store: CaseStore, folder: Path, name: str) -> None:
    case = store.load(name)
    measure_response(case, _cutoff_hz(case)).save(response_path(folder, name))


def _cutoff_hz(case: Case) -> float:
    """The frequency at which the spectrum ends too early, by the diagnosis; else the top of the range."""
    holes = case.diagnosis.finding("holes")
    if holes is None or holes.values.get("missing_db", 0.0) < LEAST_MISSING_DB:
        return NO_CUTOFF_HZ
    return holes.values["cutoff_hz"]


def load_examples(
    store: CaseStore, names: Sequence[str], folder: Path, adviser: Adviser, choice: Choice
) -> Examples:
    """The cases of these names that have a response, as examples.

    Raises:
        UsageError: none of them has one.
    """
    rows, responses, known = [], [], []
    for name in names:
        response = _read(response_path(folder, name))
        if response is None:
            continue
        case = store.load(name)
        context = case.context(choice.space)
        rows.append(observe(context, choice.stems, choice.action(adviser(context)), truth=truth_of(case)))
        responses.append(response)
        known.append(name)
    if not known:
        raise UsageError(f"{folder} holds no response of any of {len(names)} cases: measure them first")
    observation = {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in rows[0]}
    parameters = [choice.space[name] for name in choice.names]
    return Examples(observation, Surrogate(parameters, responses), tuple(known))


def _read(path: Path) -> Response | None:
    try:
        return Response.load(path)
    except (FileNotFoundError, SafetensorError):
        return None


# --- fitting ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """The result of a round of the fit: mean share of the distance undone, by the surrogate."""

    number: int
    training: float
    validation: float
    best: bool


def fit(
    actor: Actor,
    order: Tensor,
    training: Examples,
    validation: Examples,
    settings: WarmStart,
    seed: int,
    report: Callable[[Round], None] | None = None,
) -> Actor:
    """The actor fitted to the training cases, as it was at its best round on the validation cases.

    Args:
        actor: already standardised; it is not changed.
        order: of the examples' parameters, see `Layout.order`.
        training: the cases to climb on.
        validation: cases of other songs, which only choose the round.
        settings: how.
        seed: of the batches, the noise and the dropout.
        report: called after each round.
    """
    actor, best = copy.deepcopy(actor), copy.deepcopy(actor)
    torch.manual_seed(seed)
    steps = torch.optim.AdamW(
        actor.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(steps, max(settings.epochs, 1))
    highest, since = undone(actor, order, validation).mean().item(), 0
    for number in range(settings.epochs):
        gained = _round(actor.train(), order, training, settings, steps)
        schedule.step()
        reached = undone(actor, order, validation).mean().item()
        better, since = reached > highest, since + 1
        if better:
            highest, since, best = reached, 0, copy.deepcopy(actor)
        if report:
            report(Round(number, gained, reached, better))
        if since >= settings.patience:
            break
    return best.eval()


def _round(
    actor: Actor, order: Tensor, examples: Examples, settings: WarmStart, steps: torch.optim.Optimizer
) -> float:
    """One round over the examples; the mean share undone."""
    gains = []
    for index in torch.split(torch.randperm(len(examples)), settings.batch):
        observation = _noisy(examples.rows(index), actor, settings.noise)
        action = actor(observation, order)
        gain = share_undone(examples.surrogate, index, action)
        outside = examples.surrogate.outside(action).square().mean()
        worth = torch.where(gain < 0, settings.harm * gain, gain).mean()
        loss = settings.prior * action.square().mean() + settings.outside * outside - worth
        steps.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(actor.parameters(), 1.0)
        steps.step()
        gains.append(gain.detach())
    return torch.cat(gains).mean().item()


def _noisy(observation: dict[str, Tensor], actor: Actor, noise: float) -> dict[str, Tensor]:
    """Measures moved at random by a share of their spread over the songs."""
    if noise == 0.0:
        return observation
    moved = {}
    for key in ("mix", "stems", "diagnosis"):
        spread = actor.encoder.get_buffer(f"{key}_spread")
        spread = torch.where(spread.isfinite(), spread, 0.0)
        moved[key] = observation[key] + noise * spread * torch.randn_like(observation[key])
    return observation | moved


def share_undone(surrogate: Surrogate, cases: Tensor, action: Tensor) -> Tensor:
    """Predict the reward's `truth`, (B,): the share of the total distance undone."""
    before, after = totals(surrogate.before[cases]), totals(surrogate.distance(cases, action))
    return (before - after) / before.clamp(min=LEAST_DISTANCE)


def undone(actor: Actor, order: Tensor, examples: Examples) -> Tensor:
    """The share undone of each example by the actor's actions, clipped to their ranges."""
    with torch.no_grad():
        action = actor.eval()(examples.observation, order).clamp(-1.0, 1.0)
        return share_undone(examples.surrogate, torch.arange(len(examples)), action)
