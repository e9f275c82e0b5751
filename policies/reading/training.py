"""The reading net's warm start: gains whose effect on the true distance is known without a render.

Every example is a finished song, damaged afresh, and what is lowered is its distance to the original in
tone and image after the net's moves (`reading.distance`), with any loss made by the net weighed more than
a gain. Early ends are extended before that, as the product's repairs do. The average of the weights over
the last steps is what is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixagent.policies.reading.distance import LongTerm, distance
from mixagent.policies.reading.examples import Batch, Drawing, Examples
from mixagent.policies.reading.material import Songs
from mixagent.policies.reading.network import ReadingNet, Shape
from mixagent.policies.supervised import Log, Recipe
from mixagent.policies.supervised import train as train_supervised

_SLIGHT = 1.5
"""Units of distance: what was hardly damaged must not be drowned by what was ruined."""


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
    songs: Songs,
    held_out: Callable[[ReadingNet], dict[str, float]],
    folder: Path,
    recipe: Recipe,
    drawing: Drawing,
    shape: Shape,
    log: Log,
) -> ReadingNet:
    """Train for the recipe's steps on examples of the songs, see `supervised.train`."""

    def losses(net: ReadingNet, random: np.random.Generator) -> Callable[[], tuple[Tensor, dict[str, float]]]:
        examples = Examples(songs, drawing, random)
        return lambda: loss_of(net, examples.batch(recipe.batch), recipe.harm)

    return train_supervised(lambda: ReadingNet(shape), losses, held_out, folder, recipe, log)
