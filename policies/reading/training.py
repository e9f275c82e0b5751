"""The reading net's warm start: gains whose effect on the true distance is known without a render.

Every example is a finished song, damaged afresh, and what is lowered is its distance to the original in
tone and image after the net's moves (`reading.distance`), with any loss made by the net weighed more than
a gain. Early ends are extended before that, as the product's repairs do. The average of the weights over
the last steps is what is kept.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixagent.pipeline.files import atomically, write_atomically
from mixagent.policies.reading.distance import LongTerm, distance
from mixagent.policies.reading.examples import Batch, Drawing, Examples
from mixagent.policies.reading.material import Songs
from mixagent.policies.reading.network import ReadingNet, Shape

Log = Callable[[dict[str, float]], None]

SCORE = "score"
"""The held-out figure that decides which weights are kept; higher is better."""

_SLIGHT = 1.5
"""Units of distance: what was hardly damaged must not be drowned by what was ruined."""


@dataclass(frozen=True)
class Recipe:
    """The settings of training.

    Attributes:
        steps: of training, each on `batch` examples.
        rate: of learning, at its peak.
        decay: of weights.
        harm: how much more a loss counts than a gain.
        seed: of weights and examples.
    """

    steps: int = 4000
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.05
    harm: float = 0.5
    seed: int = 0


def extended(powers: LongTerm, batch: Batch) -> LongTerm:
    """The powers with early ends extended, as the repairs extend them."""
    return powers.extended(batch.end, torch.zeros(len(batch.end)))


def distances(net: ReadingNet, batch: Batch) -> tuple[Tensor, Tensor]:
    """Distance to the original in units, tone and image summed, (B,): by repairs alone, and with the net."""
    moved = batch.before.moved(net(batch.rows, batch.figures))
    before, after = (torch.stack(distance(extended(p, batch), batch.original)) for p in (batch.before, moved))
    return before.sum(0), after.sum(0)


def loss_of(net: ReadingNet, batch: Batch, harm: float) -> tuple[Tensor, dict[str, float]]:
    """The loss, and figures of it."""
    before, after = distances(net, batch)
    loss = ((after + harm * (after - before).clamp(min=0)) / (_SLIGHT + before)).mean()
    return loss, {
        "loss": float(loss.detach()),
        "before": float(before.mean()),
        "after": float(after.detach().mean()),
    }


def train(
    songs: Songs, held_out: Callable[[ReadingNet], dict[str, float]], folder: Path,
    recipe: Recipe, drawing: Drawing, shape: Shape, log: Log, every_s: float = 120.0,
) -> ReadingNet:  # fmt: skip
    """Train for the recipe's steps; a run that was stopped goes on from its last checkpoint.

    Args:
        songs: to learn from.
        held_out: judges a net on songs that it does not learn from; its figure `SCORE` says which is kept.
        folder: of the checkpoint `state.pt`, and of `best.pt`.
        recipe, drawing, shape: how it learns, of what, and what.
        log: takes figures at every checkpoint.
        every_s: time between two checkpoints.
    """
    torch.manual_seed(recipe.seed)
    net = ReadingNet(shape)
    average = copy.deepcopy(net).requires_grad_(False).eval()
    optimiser = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=recipe.decay, betas=(0.9, 0.98))
    path, step, best = folder / "state.pt", 0, -math.inf
    if path.is_file():
        state = torch.load(path, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
        if (folder / "best.pt").is_file():
            best = torch.load(folder / "best.pt", weights_only=True)[SCORE]
    examples = Examples(songs, drawing, np.random.default_rng([recipe.seed, step]))
    kept_s = time.monotonic()
    figures: list[dict[str, float]] = []
    while step < recipe.steps:
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * schedule(step / recipe.steps, step)
        net.train()
        loss, told = loss_of(net, examples.batch(recipe.batch), recipe.harm)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        _follow(average, net, min(0.998, step / (step + 10)))
        figures.append(told)
        if time.monotonic() - kept_s > every_s or step == recipe.steps:
            mean = {key: float(np.mean([row[key] for row in figures])) for key in told}
            judged = held_out(average)
            log({"step": step, **mean, **judged})
            if judged[SCORE] > best:
                best = judged[SCORE]
                with atomically(folder / "best.pt") as place:
                    torch.save({"average": average.state_dict(), "step": step, SCORE: best}, place)
            figures.clear()
            _keep(path, net, average, optimiser, step)
            kept_s = time.monotonic()
    return average


def schedule(share: float, step: int) -> float:
    """Learning rate against its peak: up over 100 steps, then a cosine down to 2 %."""
    return min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


@torch.no_grad()
def _follow(average: ReadingNet, net: ReadingNet, decay: float) -> None:
    for mine, theirs in zip(average.parameters(), net.parameters(), strict=True):
        mine.lerp_(theirs, 1 - decay)


def _keep(
    path: Path, net: ReadingNet, average: ReadingNet, optimiser: torch.optim.Optimizer, step: int
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
    with atomically(path, durable=True) as place:
        torch.save({**state, "step": step}, place)
    write_atomically(path.parent / "shape.json", json.dumps(asdict(net.shape)))
