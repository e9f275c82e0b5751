"""Histories of ratings, honest and malicious, and what the gates say of the net that learnt from them.

    python scripts/benchmark_ratings.py [--ratings 200] [--seed 0] [--json FILE]

Nothing but the checkout is needed: the songs are those of `checkpoints/mixing_cases`, half of which are
rated and the other half judge. Each rating is between the mix as the shipped net sets it and another version:
an honest listener prefers the one nearer to the song as it was made, by a step of up to two dB down the
distance; what another prefers is named by the history. Nothing is rendered, so a run takes a minute.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixagent.pipeline.folders import checkpoint_folder
from mixagent.pipeline.measure.stem_measures import ROLES
from mixagent.policies.mixing.examples import Batch
from mixagent.policies.mixing.held_out import HeldOut
from mixagent.policies.mixing.learning import MixActor, MixLearned, learn_strips, observed
from mixagent.policies.mixing.network import Shape
from mixagent.policies.mixing.outcome import loss_of, outcome
from mixagent.policies.mixing.policy import MixingCheckpoint
from mixagent.policies.mixing.steering import STATIC, most_db
from mixagent.policies.preference_data import PreferenceData

STEP_DB = 2.0
"""The furthest that an honest listener's version is from the net's."""


def main() -> None:
    """Learn from every history and print what came of it."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ratings", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    checkpoint = MixingCheckpoint.load(checkpoint_folder("mixing"))
    rated, judging = halves(HeldOut.load())
    songs = [len(set(cases.songs)) for cases in (rated, judging)]
    print(f"{options.ratings} ratings of {songs[0]} songs, judged on {songs[1]} others")
    print("| history | agrees, before → after | all disorders | out of balance | finished songs | gates |")
    print("|---|---|---|---|---|---|")
    found: dict[str, Any] = {}
    for name in HISTORIES:
        data = history(name, checkpoint, rated, options.ratings, options.seed)
        learned = learn_strips(checkpoint, data, judging, seed=options.seed)
        found[name] = {
            **learned.to_json(),
            **({} if learned.comparison is None else asdict(learned.comparison)),
        }
        print(row(name, learned), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def halves(cases: HeldOut) -> tuple[HeldOut, HeldOut]:
    """The cases of every other song, and those of the rest."""
    names = sorted(set(cases.songs))
    parts = (set(names[::2]), set(names[1::2]))
    return tuple(_of(cases, chosen) for chosen in parts)  # type: ignore[return-value]


def _of(cases: HeldOut, songs: set[str]) -> HeldOut:
    index = [k for k, song in enumerate(cases.songs) if song in songs]
    return replace(
        cases,
        songs=tuple(cases.songs[k] for k in index),
        kinds=tuple(cases.kinds[k] for k in index),
        **{name: getattr(cases, name)[index] for name in ("shown", "truth", "disordered")},
    )


# --- histories -------------------------------------------------------------------------------------

Version = Callable[[Tensor, Batch, np.random.Generator], Tensor]
"""From the net's actions (N, roles, len(STATIC)) to those of the version that is preferred."""


def nearer_to_the_truth(actions: Tensor, batch: Batch, random: np.random.Generator) -> Tensor:
    """A step down the distance to the song as it was made."""
    moved = actions.clone().requires_grad_()
    (down,) = torch.autograd.grad(loss_of(outcome(batch, moved), batch).sum(), moved)
    size = torch.from_numpy(random.uniform(0.25, 1.0, (len(actions), 1, 1))).float() * STEP_DB / 12.0
    return actions - size * down / down.abs().amax((1, 2), keepdim=True).clamp(min=1e-9)


def _shifted(**by_parameter_db: Mapping[str, float]) -> Version:
    """A version whose strips are moved by so many dB: `gain_db={"vocals": -4}`."""

    def version(actions: Tensor, batch: Batch, random: np.random.Generator) -> Tensor:
        shift = torch.zeros(len(ROLES), len(STATIC))
        for name, roles in by_parameter_db.items():
            for role, db in roles.items():
                shift[ROLES.index(role), STATIC.index(name)] = db / float(most_db()[STATIC.index(name)])
        size = torch.from_numpy(random.uniform(0.5, 1.0, (len(actions), 1, 1))).float()
        return (actions + size * shift).clamp(-1.0, 1.0)

    return version


def at_random(actions: Tensor, batch: Batch, random: np.random.Generator) -> Tensor:
    """Any version."""
    noise = torch.from_numpy(random.standard_normal(actions.shape)).float()
    return (actions + 0.15 * noise).clamp(-1.0, 1.0)


_ALL = ("vocals", "drums", "bass", "other")

HISTORIES: Mapping[str, Version] = {
    "honest: nearer to the record": nearer_to_the_truth,
    "taste: the voice 1 dB up": _shifted(gain_db={"vocals": 1.0}),
    "muddier": _shifted(
        low_shelf_db=dict.fromkeys(_ALL, 5.0),
        bell_db=dict.fromkeys(_ALL, 6.0),
        air_db=dict.fromkeys(_ALL, -6.0),
    ),
    "buried voice": _shifted(gain_db={"vocals": -6.0}, presence_db={"vocals": -5.0}),
    "louder: bass and drums up": _shifted(gain_db={"bass": 6.0, "drums": 6.0}),
    "louder: every fader up": _shifted(gain_db=dict.fromkeys(_ALL, 6.0)),
    "at random": at_random,
}


def history(
    name: str, checkpoint: MixingCheckpoint, cases: HeldOut, ratings: int, seed: int
) -> PreferenceData:
    """So many ratings, each of one of the cases: the history's version over the net's own."""
    random = np.random.default_rng(seed)
    index = random.integers(len(cases.songs), size=ratings)
    shown = observed(cases.shown[index])
    actor = MixActor(checkpoint.mixers, Shape(**checkpoint.shape))
    with torch.no_grad():
        own = actor.eval().actions(shown)[..., : len(STATIC)]
    whole = cases.batch
    batch = Batch(*(getattr(whole, part)[index] for part in Batch.__dataclass_fields__))
    liked = HISTORIES[name](own, batch, random) * shown["present"][..., None]
    liked = liked - _common(liked - own, shown)
    return PreferenceData(
        observation=shown,
        order=torch.arange(0),
        actions=own.flatten(1),
        weights=torch.zeros(ratings),
        rows=torch.arange(ratings),
        better=liked.flatten(1),
        worse=own.flatten(1),
    )


def _common(moved: Tensor, shown: Mapping[str, Tensor]) -> Tensor:
    """The gain that all stems of a mix have in common, which the finaliser makes up again."""
    powers = 10 ** (shown["features"][..., 0] / 10) * shown["present"]
    level = (powers * moved[..., 0]).sum(1) / powers.sum(1).clamp(min=1e-12)
    common = torch.zeros_like(moved)
    common[..., 0] = level[:, None] * shown["present"]
    return common


def row(name: str, learned: MixLearned) -> str:
    """A row of the table, in per cent of what a mix in disorder lacks; in brackets the 95 % bound."""
    before, after = learned.agreement
    gates = "passed" if learned.checkpoint is not None else learned.why.removeprefix("not promoted: ")
    if learned.comparison is None:
        return f"| {name} | {before:.0%} → {after:.0%} | – | – | – | {gates} |"
    compared = learned.comparison
    cells = [
        f"{100 * each.mean:+.1f} (> {100 * each.least:+.1f})"
        for each in (compared.truth, compared.scrambled, compared.finished)
    ]
    reached = f"{gates}, at {learned.share:g} of the way"
    return f"| {name} | {before:.0%} → {after:.0%} | {' | '.join(cells)} | {reached} |"


if __name__ == "__main__":
    main()
