"""The reading net's warm start: gains whose effect on the true distance is known without a render.

Every example is an excerpt of a finished song, damaged afresh, and what is lowered is its distance to
the original in tone and image after the net's moves (`reading.distance`), with any loss made by the
net weighed more than a gain. The average of the weights over the last steps is what is kept.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixagent.envs.degradation.fields import draw_colour, draw_field
from mixagent.pipeline.measure.song_bands import BANDS, SongBands
from mixagent.policies.reading.distance import LongTerm, distance
from mixagent.policies.reading.ends import highest_bands
from mixagent.policies.reading.material import Pass
from mixagent.policies.reading.network import GAINS, THIRDS, ReadingNet, Shape

Array = NDArray[np.float32]
Log = Callable[[dict[str, float]], None]

EXTENSION_OFF_DB, EXTENSION_STEP_DB = -24.0, 10.0
SCORE = "score"
"""The held-out figure that decides which weights are kept; higher is better."""

MOST_DB = 18.0
"""Moves of the equaliser end here."""

_ALONE = (0.0, 0.45, 0.25, 0.15, 0.1, 0.05)
_ON_KEPT = (0.55, 0.2, 0.15, 0.1, 0.0, 0.0)
"""Share of the examples whose field holds none to five kinds, by itself and on top of a kept variant."""


@dataclass(frozen=True)
class Recipe:
    """How the net learns.

    Attributes:
        minutes: of training, by the clock of a run and those before it.
        batch: examples a step.
        rate: of learning, at its peak.
        decay: of weights.
        clean: share of the examples that are not damaged.
        kept: share of the examples that take a kept variant, with or without a field on top.
        light: share of the kept variants that are only partly taken.
        harm: how much more a loss counts than a gain.
        colour_db: most by which excerpt and original are coloured alike, so that no song is known by its
            spectrum: 249 songs are soon learnt by heart.
        seed: of weights and examples.
    """

    minutes: float = 60.0
    batch: int = 32
    rate: float = 1.0e-3
    decay: float = 0.1
    clean: float = 0.1
    kept: float = 0.6
    light: float = 0.4
    harm: float = 0.5
    colour_db: float = 4.0
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """Examples: what is heard, what it was, and the band where the highs end."""

    heard: Tensor
    before: LongTerm
    original: LongTerm
    end: Tensor


class Examples:
    """Draws examples from passes, without end."""

    def __init__(self, passes: Sequence[Pass], recipe: Recipe, random: np.random.Generator) -> None:
        self.passes, self._recipe, self._random = list(passes), recipe, random

    def batch(self) -> Batch:
        """A fresh batch; its excerpts have one length, 3 to 8 s."""
        frames = int(self._random.integers(65, self.passes[0].bands.shape[-1] + 1))
        pairs = [self._pair(frames) for _ in range(self._recipe.batch)]
        return batch_of([heard for heard, _ in pairs], [original for _, original in pairs])

    def _pair(self, frames: int) -> tuple[Array, Array]:
        random, recipe = self._random, self._recipe
        songs = self.passes[int(random.integers(len(self.passes)))].bands
        song = songs[int(random.integers(len(songs)))]
        start = int(random.integers(song.shape[-1] - frames + 1))
        part = slice(start, start + frames)
        original = song[0, :, part].astype(np.float32)
        heard = original
        if random.random() >= recipe.clean:
            kept = random.random() < recipe.kept
            if kept:
                heard = song[int(random.integers(1, len(song))), :, part].astype(np.float32)
                if random.random() < recipe.light:
                    heard = original + np.float32(random.uniform(0.2, 0.8)) * (heard - original)
            count = int(random.choice(6, p=_ON_KEPT if kept else _ALONE))
            if count:
                strength = float(random.uniform(0.2, 1.2))
                heard = draw_field(random, count).on_bands(SongBands.of(heard), strength).stacked()
        if recipe.colour_db > 0:
            colour = draw_colour(random, recipe.colour_db)
            heard, original = (colour.on_bands(SongBands.of(x)).stacked() for x in (heard, original))
        if random.random() < 0.5:
            heard, original = swapped(heard), swapped(original)
        return heard, original


def swapped(stacked: Array) -> Array:
    """The same excerpt with left and right exchanged."""
    done = stacked.copy()
    done[2 * BANDS : 3 * BANDS] *= -1
    return done


def batch_of(heard: Sequence[Array], original: Sequence[Array]) -> Batch:
    """Examples of one length as a batch."""
    stacked, truth = torch.from_numpy(np.stack(heard)), torch.from_numpy(np.stack(original))
    before = LongTerm.of(stacked)
    ends = highest_bands((before.mid + before.side).numpy())
    return Batch(stacked, before, LongTerm.of(truth), torch.from_numpy(ends))


def moved(net: ReadingNet, batch: Batch) -> LongTerm:
    """The long term of a batch after what the net does about it."""
    advice = batch.heard.new_zeros(len(batch.heard), GAINS, THIRDS)
    moves, others = net(batch.heard, advice)
    level_db = (EXTENSION_OFF_DB + EXTENSION_STEP_DB * others[:, 0]).clamp(max=12.0)
    return batch.before.moved(softly_limited(moves)).extended(batch.end, level_db)


def softly_limited(moves_db: Tensor) -> Tensor:
    """Moves within ±`MOST_DB`."""
    return MOST_DB * torch.tanh(moves_db / MOST_DB)


def loss_of(net: ReadingNet, batch: Batch, harm: float) -> tuple[Tensor, dict[str, float]]:
    """What is lowered, and figures of it."""
    before = torch.stack(distance(batch.before, batch.original)).sum(0)
    after = torch.stack(distance(moved(net, batch), batch.original)).sum(0)
    # What was hardly damaged must not be drowned by what was ruined: the share undone is what counts.
    weight = 3 / (0.8 + before)
    loss = (weight * (after + harm * (after - before).clamp(min=0))).mean()
    told = {"loss": float(loss), "before": float(before.mean()), "after": float(after.mean())}
    return loss, told


def train(
    passes: Callable[[], Sequence[Pass]], held_out: Callable[[ReadingNet], dict[str, float]], folder: Path,
    recipe: Recipe, shape: Shape, log: Log, every_s: float = 180.0,
) -> ReadingNet:  # fmt: skip
    """Train until the recipe's time is used up; a run that was stopped goes on from its last checkpoint.

    Args:
        passes: gives the passes that are there; asked again at every checkpoint.
        held_out: judges a net on songs that it does not learn from; its figure `SCORE` says which is kept.
        folder: of the checkpoint `state.pt`, and of `best.pt`.
        recipe, shape: how it learns, and what.
        log: takes figures at every checkpoint.
        every_s: time between two checkpoints.
    """
    torch.manual_seed(recipe.seed)
    net = ReadingNet(shape)
    average = copy.deepcopy(net).requires_grad_(False).eval()
    optimiser = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=recipe.decay, betas=(0.9, 0.98))
    path, step, used_s, best = folder / "state.pt", 0, 0.0, -math.inf
    if path.is_file():
        state = torch.load(path, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, used_s = state["step"], state["used_s"]
        if (folder / "best.pt").is_file():
            best = torch.load(folder / "best.pt", weights_only=True)[SCORE]
    examples = Examples(passes(), recipe, np.random.default_rng([recipe.seed, step]))
    whole_s, since, kept_s = 60 * recipe.minutes, time.monotonic(), used_s
    figures: list[dict[str, float]] = []
    while used_s < whole_s:
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * schedule(used_s / whole_s, step)
        net.train()
        loss, told = loss_of(net, examples.batch(), recipe.harm)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        _follow(average, net, min(0.998, step / (step + 10)))
        figures.append(told)
        now = time.monotonic()
        used_s, since = used_s + now - since, now
        if used_s - kept_s > every_s or used_s >= whole_s:
            kept_s = used_s
            mean = {key: float(np.mean([row[key] for row in figures])) for key in told}
            judged = held_out(average)
            log({"step": step, "minutes": used_s / 60, **mean, **judged})
            if judged[SCORE] > best:
                best = judged[SCORE]
                torch.save({"average": average.state_dict(), "step": step, SCORE: best}, folder / "best.pt")
            figures.clear()
            _keep(path, net, average, optimiser, step, used_s)
            examples.passes = list(passes())
            since = time.monotonic()
    return average


def schedule(share: float, step: int) -> float:
    """Learning rate against its peak: up over 200 steps, then a cosine down to 2 %."""
    return min(1.0, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


@torch.no_grad()
def _follow(average: ReadingNet, net: ReadingNet, decay: float) -> None:
    for mine, theirs in zip(average.parameters(), net.parameters(), strict=True):
        mine.lerp_(theirs, 1 - decay)


def _keep(
    path: Path,
    net: ReadingNet,
    average: ReadingNet,
    optimiser: torch.optim.Optimizer,
    step: int,
    used_s: float,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
    beside = path.with_suffix(".part")
    torch.save({**state, "step": step, "used_s": used_s}, beside)
    beside.replace(path)
    (path.parent / "shape.json").write_text(json.dumps(asdict(net.shape)), encoding="utf-8")
