"""The supervised loop that warm-starts a net; it goes on where it was stopped and keeps averaged weights."""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mixagent.pipeline.errors import InputError
from mixagent.pipeline.files import append_line, atomically, write_atomically

Log = Callable[[dict[str, float]], None]

SCORE = "score"
"""The held-out figure that decides which weights are kept; higher is better."""


N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Recipe:
    """The settings of training.

    Attributes:
        steps: of training, each on `batch` examples.
        rate: of learning, at its peak.
        decay: of weights.
        harm: how much more a loss counts than a gain.
        noise: spread of what is added to standardised features, against learning songs by heart.
        seed: of weights and examples.
    """

    steps: int = 4000
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.05
    harm: float = 0.5
    noise: float = 0.0
    seed: int = 0


def train(
    make: Callable[[], N],
    loss_of: Callable[[N, np.random.Generator], Callable[[], tuple[Tensor, dict[str, float]]]],
    held_out: Callable[[N], dict[str, float]], folder: Path, recipe: Recipe, log: Log, every_s: float = 60.0,
) -> N:  # fmt: skip
    """Train for the recipe's steps; a run that was stopped goes on from its last checkpoint.

    Args:
        make: the net, called under the recipe's seed; its `shape` is a dataclass.
        loss_of: for a net and what examples are drawn from, what gives the loss of one more batch and
            figures of it.
        held_out: judges a net on songs that it does not learn from; its figure `SCORE` says which is kept.
        folder: of the checkpoint `state.pt`, and of `best.pt`.
        recipe: how it learns.
        log: takes figures at every checkpoint.
        every_s: time between two checkpoints.
    """
    torch.manual_seed(recipe.seed)
    net = make()
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
    next_loss = loss_of(net, np.random.default_rng([recipe.seed, step]))
    kept_s = time.monotonic()
    figures: list[dict[str, float]] = []
    while step < recipe.steps:
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * schedule(step / recipe.steps, step)
        net.train()
        loss, told = next_loss()
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


def load_best(make: Callable[[Mapping[str, Any]], N], run: Path) -> N:
    """The best net of a run of `train`, in evaluation mode.

    Args:
        make: a net of the fields of its shape.
        run: the run's folder.

    Raises:
        InputError: the run's files are missing or broken.
    """
    try:
        net = make(json.loads((run / "shape.json").read_text(encoding="utf-8")))
        net.load_state_dict(torch.load(run / "best.pt", weights_only=True)["average"])
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, UnpicklingError) as error:
        raise InputError(f"{run} holds no such net: {error}") from error
    return net.eval()


def file_log(run: Path) -> Log:
    """A log that prints figures on stderr and keeps them in the run's `log.jsonl`."""

    def log(figures: dict[str, float]) -> None:
        row = {key: round(value, 4) for key, value in figures.items()}
        print(json.dumps(row), file=sys.stderr, flush=True)
        append_line(run / "log.jsonl", row)

    return log


def schedule(share: float, step: int) -> float:
    """Learning rate against its peak: up over 100 steps, then a cosine down to 2 %."""
    return min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


@torch.no_grad()
def _follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    for mine, theirs in zip(average.parameters(), net.parameters(), strict=True):
        mine.lerp_(theirs, 1 - decay)
    for held, new in zip(average.buffers(), net.buffers(), strict=True):
        held.copy_(new)


def _keep(
    path: Path, net: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, step: int
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
    with atomically(path, durable=True) as place:
        torch.save({**state, "step": step}, place)
    shape: Any = net.shape
    write_atomically(path.parent / "shape.json", json.dumps(asdict(shape)))
