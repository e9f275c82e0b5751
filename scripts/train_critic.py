"""Train the critic: how far is a render from a finished record, told by the render alone.

`examples` takes cases whose original is known, renders each in many ways, good and bad, and keeps the
features of every render beside its true distance. It goes on from where it was stopped. `fit` trains
the networks on the training split and writes `checkpoints/critic`; `report` prints how they agree with
the truth on the validation split.

    python scripts/train_critic.py examples --cases DIR --to DIR --split train [--count 1000]
        (then the same with rough, validation and agreement)
    python scripts/train_critic.py fit --examples DIR
    python scripts/train_critic.py examples --cases DIR --to DIR --split searched --count 400
        (what searches by the reward with that critic come to; then fit again; the same with hunted,
        for longer searches)
    python scripts/train_critic.py report --examples DIR
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from gates import random_settings
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.stats import spearmanr
from torch import nn
from torch.nn.functional import huber_loss, mse_loss

from mixagent.envs.cases import Case, CaseStore
from mixagent.envs.mixing import Material
from mixagent.envs.pathologies import MECHANISMS
from mixagent.envs.random_degradation import degrade_randomly
from mixagent.learning.train_settings import load_train_config
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.measure.features import FEATURE_NAMES, describe
from mixagent.pipeline.render import render
from mixagent.pipeline.types import Audio, FloatArray, Stems, load
from mixagent.policies.neutral import NeutralPolicy
from mixagent.policies.rules import RulePolicy
from mixagent.policies.search import Method, SearchPolicy
from mixagent.policies.trial import blind_part
from mixagent.reward.adversarial_edits import ADVERSARIAL_EDITS, edit_adversarially
from mixagent.reward.critic import OUTPUTS, VERSION, Critic, Layers
from mixagent.reward.model import RewardModel, load_reward
from mixagent.reward.recovery import DIMENSIONS, UNIT_DB, Original
from mixagent.reward.terms.truth import undone

SCALES = np.array([0.5 * unit for unit in (1.0, *(UNIT_DB[name] for name in DIMENSIONS))], np.float32)
"""The bend of each output's logarithm: half of what a trained listener notices."""

LIMIT, CHANGE, DOUBT = 5.0, 2.0, 0.5
LEAST_SPREAD_DB = 0.5
ANY_SHARE = 0.2
"""Share of the training steps in which a case's renders are heard beside any of them, not the input."""

FINISHED_SHARE = 0.6
"""Share of the random renders that go through the finaliser, as all of the product's do."""

_NAMES_HASH = hashlib.sha256("\n".join(FEATURE_NAMES).encode()).hexdigest()[:16]


# --- examples --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """The number of renders of each kind per case, beside the input and the original themselves.

    Of a search every `search_step`-th render is kept, so that `searched` of them span all of it.
    """

    random: int = 4
    over_processed: int = 1
    rules: int = 2
    partial: int = 1
    adversarial: int = 1
    rough: int = 0
    searched: int = 0
    search_step: int = 1


COUNTS = {
    "train": Counts(),
    "validation": Counts(),
    "rough": Counts(0, 0, 0, 0, adversarial=2, rough=4),
    "searched": Counts(0, 0, 0, 0, 0, searched=24),
    "hunted": Counts(0, 0, 0, 0, 0, searched=32, search_step=8),
    "agreement": Counts(64, 0, 0, 0, 0),
}
"""The renders of the cases: for training, of the training split; for the report, of the validation split."""


class Renders:
    """Ways to render the mix or the original of one case by the master chain."""

    def __init__(self, case: Case, random: np.random.Generator) -> None:
        assert case.original is not None
        self._case, self._random, self._original = case, random, case.original
        self._mix = load(case.stems.mix)
        self._space = ParameterSpace.for_stems(())

    def all(self, counts: Counts) -> Iterator[tuple[str, Audio]]:
        """Every render that the counts ask for, with a short name for its kind."""
        yield "input", self._mix
        yield "original", self._original
        for _ in range(counts.random):
            yield "random", self._rendered(self._mix, random_settings(self._random), self._finishes())
        for _ in range(counts.over_processed):
            yield (
                "over-processed",
                self._rendered(self._original, random_settings(self._random), self._finishes()),
            )
        for _ in range(counts.rules):
            yield "rules", self._rendered(self._mix, self._by_rules(), True)
        for _ in range(counts.partial):
            yield "partial", self._blended(self._original, self._mix)
        for _ in range(counts.adversarial):
            yield "vandalism", self._edited_adversarially()
        for _ in range(counts.rough):
            audio = self._original if self._random.random() < 0.75 else self._mix
            yield (
                "rough",
                self._rendered(degrade_randomly(audio, self._random), self._space.settings(), False),
            )
        for audio in self._searched(counts.searched, counts.search_step):
            yield "searched", audio

    def _searched(self, kept: int, step: int) -> list[Audio]:
        """The trials of one search by the blind reward, above all those that it is wrong about."""
        if not kept:
            return []
        trial = _KeptTrial(Material(self._case, self._space), blind_part(load_reward()), step)
        method: Method = "cma" if self._random.random() < 0.7 else "random"
        start = RulePolicy() if self._random.random() < 0.5 else NeutralPolicy()
        steered = load_train_config([]).env.parameters  # what the policy decides by default
        search = SearchPolicy(method, kept * step, start, int(self._random.integers(2**31)), steered)
        search.decide(replace(self._case.context(self._space), trial=trial))
        return trial.heard

    def _finishes(self) -> bool:
        return bool(self._random.random() < FINISHED_SHARE)

    def _by_rules(self) -> Settings:
        """The rules' decision, by any amount and with some of it changed."""
        decided = RulePolicy().decide(self._case.context(self._space)).settings
        action = decided.to_action() * self._random.uniform(0.2, 1.4)
        of_master = np.array([parameter.where == "master" for parameter in self._space])
        noise = self._random.normal(0.0, self._random.choice([0.0, 0.1, 0.25]), len(self._space))
        touched = of_master & (self._random.random(len(self._space)) < 0.4)
        return self._space.from_action(np.clip(action + noise * touched, -1.0, 1.0))

    def _rendered(self, mix: Audio, settings: Settings, finished: bool) -> Audio:
        target = self._case.target if finished else None
        known = {"levels": self._case.levels, "holes": self._case.holes} if mix is self._mix else {}
        return load(render(Stems(mix, {}), settings, target, **known).audio)

    def _blended(self, first: Audio, second: Audio) -> Audio:
        share = np.float32(self._random.uniform(0.1, 0.9))
        return Audio(first.samples * share + second.samples * (1 - share), first.rate)

    def _edited_adversarially(self) -> Audio:
        audio = self._original if self._random.random() < 0.5 else self._mix
        ruined = edit_adversarially(
            audio, str(self._random.choice(list(ADVERSARIAL_EDITS))), int(self._random.integers(2**31))
        )
        if self._random.random() < 0.5:
            ruined = self._blended(ruined, audio)
        return self._rendered(ruined, self._space.settings(), self._finishes())


@dataclass
class _KeptTrial:
    """A trial that keeps every `step`-th render."""

    material: Material
    reward: RewardModel
    step: int
    rendered: int = 0
    heard: list[Audio] = field(default_factory=list)

    def __call__(self, settings: Sequence[Settings]) -> NDArray[np.float64]:
        pairs = [self.material.render_pair(one) for one in settings]
        numbers = range(self.rendered + 1, self.rendered + len(pairs) + 1)
        self.rendered += len(pairs)
        self.heard += [
            pair.after.audio for number, pair in zip(numbers, pairs, strict=True) if number % self.step == 0
        ]
        return np.array([score.blind for score in self.reward.score_batch(pairs)])


def make_examples(store: CaseStore, name: str, counts: Counts, folder: Path) -> None:
    """Render one case in every way and keep features and true distances in one file of `folder`."""
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:20]}.npz"
    if path.exists():
        return
    case = store.load(name)
    if case.original is None or case.damage is None:
        return
    original = Original(case.original)
    kinds, features, distances = [], [], []
    for kind, audio in Renders(case, np.random.default_rng(zlib.crc32(name.encode()))).all(counts):
        distance = original.distance(audio)
        kinds.append(kind)
        features.append(describe(audio))
        distances.append([getattr(distance, output) for output in OUTPUTS])
    held_out = {m.name for mechanisms in MECHANISMS.values() for m in mechanisms if m.validation_only}
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        np.savez(
            file,
            name=name,
            described=_NAMES_HASH,
            unseen_mechanisms=bool(held_out & set(case.damage.mechanisms.values())),
            kinds=np.array(kinds),
            features=np.stack(features),
            distances=np.array(distances, np.float32),
        )
    beside.replace(path)


def examples(options: argparse.Namespace) -> None:
    """Make the examples of some cases of a split."""
    store = CaseStore(options.cases)
    folder = options.to / options.split
    folder.mkdir(parents=True, exist_ok=True)
    names = store.names("validation" if options.split in ("validation", "agreement") else "train")
    for number, name in enumerate(names[options.skip : options.count]):
        make_examples(store, name, COUNTS[options.split], folder)
        if number % 25 == 0:
            print(f"{number} of {len(names)}", flush=True)


# --- training --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Examples:
    """The renders of one case: features (renders, features) and true distances (renders, outputs)."""

    name: str
    unseen_mechanisms: bool
    kinds: NDArray[np.str_]
    features: FloatArray
    distances: FloatArray


@dataclass(frozen=True)
class Recipe:
    """The settings of training a network.

    Attributes:
        hidden: width of its two hidden layers.
        dropout: share of the hidden units left out of a step.
        blanked: share of the features left out of a step.
        epochs: passes over the examples.
        cases: cases in a step, each with all of its renders.
        rate: highest learning rate.
        decay: of the weights.
        pairs: weight of the differences between renders of one case, which decide their ranks.
    """

    hidden: int = 192
    dropout: float = 0.5
    blanked: float = 0.3
    epochs: int = 20
    cases: int = 8
    rate: float = 2e-3
    decay: float = 1e-2
    pairs: float = 1.0


def load_examples(folder: Path) -> list[Examples]:
    """Every case's examples in a folder, in the order of their names.

    Raises:
        SystemExit: examples of other features, which must be made again.
    """
    found = []
    for path in sorted(folder.glob("*.npz")):
        data = np.load(path)
        if str(data["described"]) != _NAMES_HASH:
            raise SystemExit(f"{path} holds other features than are described now: make it again")
        found.append(
            Examples(
                name=str(data["name"]),
                unseen_mechanisms=bool(data["unseen_mechanisms"]),
                kinds=data["kinds"],
                features=data["features"],
                distances=data["distances"],
            )
        )
    return found


class Standard:
    """Standardises features and distances as the critic will."""

    def __init__(self, examples: Sequence[Examples]) -> None:
        features = np.concatenate([case.features for case in examples])
        self.mean = features.mean(axis=0)
        self.spread = np.maximum(features.std(axis=0), LEAST_SPREAD_DB)

    def heard(self, case: Examples, beside: int | None) -> torch.Tensor:
        """A network's input for each render, beside the render of this number if one is named."""
        parts = [(case.features - self.mean) / self.spread]
        if beside is not None:
            parts.append((case.features - case.features[beside]) / self.spread * CHANGE)
        return torch.from_numpy(np.clip(np.concatenate(parts, axis=1), -LIMIT, LIMIT))

    def told(self, case: Examples, beside: int | None) -> torch.Tensor:
        """Logarithms of the distances, (renders, outputs); beside a render also the share of its undone."""
        logarithms = np.log1p(case.distances / SCALES)
        if beside is None:
            return torch.from_numpy(logarithms)
        return torch.from_numpy(np.column_stack([logarithms, shares_undone(case, beside)]))


def shares_undone(case: Examples, beside: int) -> FloatArray:
    """The reward's `truth` of each render against the render of this number, (renders,)."""
    totals = case.distances[:, 0]
    return undone(np.full_like(totals, totals[beside]), totals).astype(np.float32)


def train_network(
    examples: Sequence[Examples], standard: Standard, recipe: Recipe, seed: int, beside: bool
) -> nn.Sequential:
    """One network, from what it hears of a render to the logarithms of its distances.

    Args:
        examples: of the training cases.
        standard: of all of them.
        recipe: how.
        seed: of the weights and of the order.
        beside: each render is heard beside the input or, now and then, beside another render.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    inputs, width = len(FEATURE_NAMES) * (2 if beside else 1), recipe.hidden
    network = nn.Sequential(
        nn.Dropout(recipe.blanked),
        *(nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(recipe.dropout)),
        *(nn.Linear(width, width), nn.ReLU(), nn.Dropout(recipe.dropout)),
        nn.Linear(width, len(OUTPUTS) + beside),
    )
    optimiser = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.decay)
    batches = max(len(examples) // recipe.cases, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.rate, total_steps=recipe.epochs * batches + 1, pct_start=0.1
    )
    for _ in range(recipe.epochs):
        for batch in np.array_split(random.permutation(len(examples)), batches):
            drawn = [examples[i] for i in batch]
            references = [_reference(case, random) if beside else None for case in drawn]
            pairs = list(zip(drawn, references, strict=True))
            x = torch.cat([standard.heard(case, reference) for case, reference in pairs])
            y = torch.cat([standard.told(case, reference) for case, reference in pairs])  # (renders, outputs)
            loss = _loss(network(x), y, [len(case.kinds) for case in drawn], recipe)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def _reference(case: Examples, random: np.random.Generator) -> int:
    if random.random() < ANY_SHARE or "rough" in case.kinds:
        return int(random.integers(len(case.kinds)))
    return list(case.kinds).index("input")


def _loss(predicted: torch.Tensor, true: torch.Tensor, counts: list[int], recipe: Recipe) -> torch.Tensor:
    """Of the outputs, and of their differences between any two renders of one case.

    A share undone is fitted as a mean, by squares: what helps as often as it harms is worth nothing.
    """
    case = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    same = case[:, None] == case[None]
    apart, truly_apart = (values[:, None] - values[None] for values in (predicted, true))
    rows = ((predicted, true, 1.0), (apart[same], truly_apart[same], recipe.pairs))
    loss = predicted.new_zeros(())
    for told, truth, weight in rows:
        distances = huber_loss(told[:, : len(OUTPUTS)], truth[:, : len(OUTPUTS)], delta=0.5)
        loss = loss + weight * distances
        if told.shape[1] > len(OUTPUTS):
            loss = loss + weight * mse_loss(told[:, len(OUTPUTS)], truth[:, len(OUTPUTS)])
    return loss


def train_critic(examples: Sequence[Examples], recipe: Recipe, networks: int) -> Critic:
    """Two ensembles of networks that differ in their seeds alone."""
    standard = Standard(examples)
    alone, beside = (
        [train_network(examples, standard, recipe, seed, which) for seed in range(networks)]
        for which in (False, True)
    )
    return Critic(
        mean=standard.mean,
        spread=standard.spread,
        alone=stacked(alone),
        beside=stacked(beside),
        limit=LIMIT,
        change=CHANGE,
        scale=SCALES,
        doubt=DOUBT,
    )


def stacked(networks: Sequence[nn.Sequential]) -> Layers:
    """The linear layers of several networks of one shape, by depth: weights (N, in, out), biases."""
    linear = [[layer for layer in network if isinstance(layer, nn.Linear)] for network in networks]
    return tuple(
        (
            np.stack([layer.weight.detach().numpy().T for layer in depth]),
            np.stack([layer.bias.detach().numpy()[None] for layer in depth]),
        )
        for depth in zip(*linear, strict=True)
    )


def save(critic: Critic, folder: Path) -> None:
    """Write the critic as `Critic.load` reads it; weights in 16 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"mean": critic.mean, "spread": critic.spread}
    for which, layers in (("alone", critic.alone), ("beside", critic.beside)):
        for k, (weight, bias) in enumerate(layers):
            arrays[f"{which}.{k}.weight"] = np.ascontiguousarray(weight, np.float16)
            arrays[f"{which}.{k}.bias"] = bias
    save_file(arrays, folder / "weights.safetensors")
    (folder / "weights.safetensors").chmod(0o644)
    config = {
        "version": VERSION,
        "layers": len(critic.alone),
        "limit": critic.limit,
        "change": critic.change,
        "scale": dict(zip(OUTPUTS, critic.scale.tolist(), strict=True)),
        "doubt": critic.doubt,
        "features": list(FEATURE_NAMES),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")


# --- agreement -------------------------------------------------------------------------------------


def predicted(critic: Critic, case: Examples, beside: str | None) -> FloatArray:
    """Distances of each render, heard alone or beside the case's render of this kind."""
    if beside is None:
        return critic.distance(case.features)
    reference = case.features[list(case.kinds).index(beside)]
    return critic.distance(case.features, np.broadcast_to(reference, case.features.shape))


def agreement(
    examples: Sequence[Examples], distances: Sequence[FloatArray], kind: str | None
) -> list[tuple[float, float, float]]:
    """By output: Pearson's and Spearman's correlation over all renders, and the latter's median by case.

    Only renders of one kind are compared if one is named.
    """
    chosen = [np.isin(case.kinds, [kind or case.kinds]) for case in examples]
    true = [case.distances[which] for case, which in zip(examples, chosen, strict=True)]
    told = [distance[which] for distance, which in zip(distances, chosen, strict=True)]
    rows = []
    for k in range(len(OUTPUTS)):
        within = [spearman(a[:, k], b[:, k]) for a, b in zip(true, told, strict=True) if np.ptp(a[:, k]) > 0]
        all_true, all_told = np.concatenate(true)[:, k], np.concatenate(told)[:, k]
        pearson = float(np.corrcoef(all_true, all_told)[0, 1])
        rows.append((pearson, spearman(all_true, all_told), float(np.median(within))))
    return rows


def spearman(first: FloatArray, second: FloatArray) -> float:
    """Spearman's rank correlation."""
    return float(spearmanr(first, second).statistic)


def print_table(critic: Critic, name: str, examples: Sequence[Examples], kind: str | None = None) -> None:
    """Print how each output agrees with the truth, heard alone and beside the input."""
    if not examples:
        return
    songs = len({case.name.split("@")[0] for case in examples})
    renders = sum(int(np.isin(case.kinds, [kind or case.kinds]).sum()) for case in examples)
    print(f"\n{name}: {songs} songs, {len(examples)} cases, {renders} renders\n")
    print("| heard | " + " | ".join(OUTPUTS) + " |\n|---|" + "---|" * len(OUTPUTS))
    for heard, beside in (("alone", None), ("beside the input", "input")):
        rows = agreement(examples, [predicted(critic, case, beside) for case in examples], kind)
        print(f"| {heard} | " + " | ".join(" / ".join(f"{x:.2f}" for x in row) for row in rows) + " |")


def report(options: argparse.Namespace) -> None:
    """Print the agreement of a critic with the truth on the validation split."""
    critic = Critic.load(options.to)
    print("Pearson / Spearman over all renders / median Spearman within a case")
    validation = load_examples(options.examples / "validation")
    for name, unseen in (("mechanisms trained on", False), ("mechanisms never trained on", True)):
        chosen = [case for case in validation if case.unseen_mechanisms == unseen]
        print_table(critic, f"unseen songs, {name}", chosen)
    agreeing = load_examples(options.examples / "agreement")
    print_table(critic, "unseen songs, 64 random settings each", agreeing, "random")
    for name, cases in (("all renders", validation), ("64 random settings", agreeing)):
        print_shares(critic, name, cases, "random" if cases is agreeing else None)


def print_shares(critic: Critic, name: str, examples: Sequence[Examples], kind: str | None) -> None:
    """Print how the share undone agrees with the truth, and what the render that it likes best is worth."""
    rows = []
    for case in examples:
        beside = list(case.kinds).index("input")
        reference = np.broadcast_to(case.features[beside], case.features.shape)
        chosen = np.isin(case.kinds, [kind or case.kinds])
        rows.append((critic.undone(case.features, reference)[chosen], shares_undone(case, beside)[chosen]))
    told, true = (np.concatenate(side) for side in zip(*rows, strict=True))
    rhos = [spearman(*row) for row in rows if np.ptp(row[1]) > 0]
    best = [truth[np.argmax(told)] if told.max() > 0 else 0.0 for told, truth in rows]
    most = [max(truth.max(), 0.0) for _, truth in rows]
    print(
        f"\nShare undone, {name}: Pearson {np.corrcoef(told, true)[0, 1]:.2f}, Spearman within a case "
        f"{np.median(rhos):.2f} (10 %: {np.percentile(rhos, 10):.2f}); the best of each by the critic undoes "
        f"{np.mean(best):+.2f}, by the truth {np.mean(most):+.2f}"
    )


def fit(options: argparse.Namespace) -> None:
    """Train on the training split, save, and report."""
    torch.set_num_threads(1)
    folders = [options.examples / split for split in ("train", "rough", "searched", "hunted")]
    examples = [case for folder in folders for case in load_examples(folder)]
    renders = sum(len(case.kinds) for case in examples)
    songs, cases = len({c.name.split("@")[0] for c in examples}), len({c.name for c in examples})
    print(f"training on {songs} songs, {cases} cases, {renders} renders\n", flush=True)
    save(train_critic(examples, Recipe(), options.networks), options.to)
    report(options)


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("examples")
    making.add_argument("--cases", type=Path, required=True)
    making.add_argument("--to", type=Path, required=True)
    making.add_argument("--split", default="train", choices=tuple(COUNTS))
    making.add_argument("--count", type=int, default=100000)
    making.add_argument("--skip", type=int, default=0)
    making.set_defaults(run=examples)
    fitting = commands.add_parser("fit")
    fitting.add_argument("--examples", type=Path, required=True)
    fitting.add_argument("--to", type=Path, default=Path("checkpoints/critic"))
    fitting.add_argument("--networks", type=int, default=4)
    fitting.set_defaults(run=fit)
    reporting = commands.add_parser("report")
    reporting.add_argument("--examples", type=Path, required=True)
    reporting.add_argument("--to", type=Path, default=Path("checkpoints/critic"))
    reporting.set_defaults(run=report)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
