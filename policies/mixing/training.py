"""The mixing agent's warm start: strips whose effect on the true stems is known without a render.

Every example is a finished song whose stems were put in disorder, and what is lowered is what its stems and
its mix then lack of the song as it was (`mixing.outcome`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixagent.policies.mixing.examples import Batch, Drawing, Examples, batch_of
from mixagent.policies.mixing.material import Pass
from mixagent.policies.mixing.network import MixingNet, Shape
from mixagent.policies.mixing.outcome import Outcome, loss_of, outcome
from mixagent.policies.mixing.steering import STATIC
from mixagent.policies.supervised import SCORE, Log, Recipe
from mixagent.policies.supervised import train as train_supervised

_STANDARD = 2000


def train(
    passes: Sequence[Pass],
    held_out: Sequence[Pass],
    folder: Path,
    recipe: Recipe,
    drawing: Drawing,
    shape: Shape,
    log: Log,
) -> MixingNet:
    """Train for the recipe's steps on examples of the passes, see `supervised.train`."""

    def made() -> MixingNet:
        net = MixingNet(shape)
        batch = Examples(passes, drawing, np.random.default_rng(recipe.seed)).batch(_STANDARD)
        net.standardise(batch.features, batch.present)
        return net

    def losses(net: MixingNet, random: np.random.Generator) -> Callable[[], tuple[Tensor, dict[str, float]]]:
        examples = Examples(passes, drawing, random)

        def next_loss() -> tuple[Tensor, dict[str, float]]:
            batch = examples.batch(recipe.batch)
            batch.features.add_(recipe.noise * net.get_buffer("spread") * torch.randn_like(batch.features))
            actions = static_actions(net, batch)
            after, before = (loss_of(outcome(batch, a), batch) for a in (actions, torch.zeros_like(actions)))
            loss = (after + recipe.harm * (after - before).clamp(min=0)).mean()
            return loss, {"training": float(loss.detach()), "before": float(before.mean())}

        return next_loss

    judges = judging(held_out)
    return train_supervised(made, losses, lambda net: judged(net, judges), folder, recipe, log)


def static_actions(net: MixingNet, batch: Batch) -> Tensor:
    """The actions whose outcome is known, (B, roles, len(STATIC))."""
    actions: Tensor = net(batch.features, batch.present)[..., : len(STATIC)]
    return actions


CLEAN = "clean"


def judging(passes: Sequence[Pass]) -> Mapping[str, Batch]:
    """All examples of passes by their kind of disorder; `CLEAN` are the songs as they are."""
    rows: dict[str, list[tuple[np.ndarray, ...]]] = {}
    for done in passes:
        for shown, truth, kinds in zip(done.shown, done.truth, done.kinds, strict=True):
            for number, name in enumerate((CLEAN, *("+".join(each) for each in kinds))):
                rows.setdefault(name, []).append((shown[number], truth[0], truth[number]))
    return {
        name: batch_of(*(np.stack(part) for part in zip(*examples, strict=True)))
        for name, examples in sorted(rows.items())
    }


@torch.no_grad()
def judged(net: MixingNet, batches: Mapping[str, Batch]) -> dict[str, float]:
    """The share undone of the stems' level errors and of the loss, and how far clean songs are moved."""
    sums = {"level": np.zeros(2), "loss": np.zeros(2)}
    figures: dict[str, float] = {}
    for name, batch in batches.items():
        actions = static_actions(net, batch)
        both = [outcome(batch, each) for each in (torch.zeros_like(actions), actions)]
        found = {
            "level": np.array([_level_error(done, batch) for done in both]),
            "loss": np.array([float(loss_of(done, batch).mean()) for done in both]),
        }
        if name == CLEAN:
            figures |= {"clean_level_db": found["level"][1], "clean_tone_db": _tone_moved(both[1])}
            continue
        figures[f"level {name}"] = 1 - found["level"][1] / found["level"][0]
        for what, pair in found.items():
            sums[what] += pair * len(batch.features)
    figures |= {what: float(1 - after / before) for what, (before, after) in sums.items()}
    figures[SCORE] = figures["loss"] + figures["level"] - 0.1 * figures["clean_level_db"]
    return {name: float(value) for name, value in figures.items()}


def _level_error(done: Outcome, batch: Batch) -> float:
    return float((done.level.abs().sum(1) / batch.there.sum(1).clamp(min=1.0)).mean())


def _tone_moved(done: Outcome) -> float:
    return float(done.tone.square().mean(1).sqrt().mean())
