"""The training loop that the scripts of the repair networks share: resumable, seeded, averaged.

A run is a folder: `state.pt` (network, average, optimiser, step), `log.jsonl`, and `best.pt`, the average
that validated best.
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    Attributes:
        steps: of AdamW, after which the learning rate has come down to nothing.
        rate: highest learning rate, reached after a twentieth of the steps.
        seed: of weights, examples and everything else that is drawn.
        minutes: after so many the run stops; called again it goes on.
        every: steps between checkpoints and validations.
        averaging: decay of the running mean of the weights.
        clip: most norm of a gradient.
    """

    steps: int
    rate: float = 1e-3
    seed: int = 0
    minutes: float = 150.0
    every: int = 250
    averaging: float = 0.999
    clip: float = 1.0


@dataclass(frozen=True)
class Task(Generic[Net, Batch]):
    """What is trained.

    Attributes:
        examples: the batch of a step, drawn from a generator of its own, so that a resumed run sees the
            same ones.
        loss: of a batch.
        validate: figures of the averaged network; `score` among them is the higher the better.
    """

    examples: Callable[[np.random.Generator], Batch]
    loss: Callable[[Net, Batch], Tensor]
    validate: Callable[[Net], Mapping[str, float]]


def train(net: Net, task: Task[Net, Batch], plan: Plan, run: Path) -> None:
    """Train, or go on training, a network in the folder `run`."""
    torch.set_num_threads(1)
    run.mkdir(parents=True, exist_ok=True)
    (run / "plan.json").write_text(json.dumps(asdict(plan)), encoding="utf-8")
    average = copy.deepcopy(net).eval()
    optimiser = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=1e-2)
    step, best = 0, -math.inf
    if (run / "state.pt").exists():
        kept = torch.load(run / "state.pt", weights_only=True)
        net.load_state_dict(kept["net"])
        average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
        step, best = kept["step"], kept["best"]
    begun, losses = time.monotonic(), list[float]()
    while step < plan.steps and time.monotonic() - begun < 60 * plan.minutes:
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * schedule(step / plan.steps)
        torch.manual_seed(plan.seed * 1_000_003 + step)
        net.train()
        loss = task.loss(net, task.examples(np.random.default_rng([plan.seed, step])))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(net.parameters(), plan.clip)
        if torch.isfinite(norm):
            optimiser.step()
        step += 1
        _follow(average, net, min(plan.averaging, (1 + step) / (10 + step)))
        losses.append(float(loss.detach()))
        if step % plan.every == 0 or step == plan.steps:
            with torch.no_grad():
                figures = dict(task.validate(average))
            if figures["score"] > best:
                best = figures["score"]
                _keep({"net": average.state_dict(), "step": step, "figures": figures}, run / "best.pt")
            state = {
                "net": net.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "best": best,
            }
            _keep(state, run / "state.pt")
            _log(run, {"step": step, "loss": float(np.mean(losses)), **figures})
            losses.clear()


def schedule(share: float) -> float:
    """The learning rate's share of its highest at a share of the steps: a rise, then half a cosine."""
    return min(share / 0.05, 1.0) * 0.5 * (1 + math.cos(math.pi * share)) + 1e-3


def ship(net: nn.Module, run: Path, folder: Path) -> None:
    """Write the average that validated best as `weights.safetensors`, and how it came about, to `folder`."""
    kept = torch.load(run / "best.pt", weights_only=True)
    net.load_state_dict(kept["net"])
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.contiguous() for name, value in net.state_dict().items()}, folder / "weights.safetensors"
    )
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    trained = {"plan": plan, "step": kept["step"], "validation": kept["figures"]}
    (folder / "training.json").write_text(json.dumps(trained, indent=1) + "\n", encoding="utf-8")


def _follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def _keep(state: object, path: Path) -> None:
    torch.save(state, path.with_suffix(".partial"))
    path.with_suffix(".partial").replace(path)


def _log(run: Path, figures: Mapping[str, float]) -> None:
    line = json.dumps({name: round(float(value), 4) for name, value in figures.items()})
    print(line, file=sys.stderr, flush=True)
    with (run / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
