"""Train the critic of balance (`mixagent.reward.stem_critic`).

    python scripts/train_mixing.py material --corpus CORPUS --to STORE
    python scripts/train_stem_critic.py examples --corpus CORPUS --to DIR [--count 16]
    python scripts/train_stem_critic.py fit --store STORE --examples DIR
    python scripts/train_stem_critic.py report --examples DIR

STORE holds measures of excerpts in stems, as they are and in disorder. `fit` moves what was found in them, on
the measures, by faders, tone and width, and learns what share of the distance in tone and image of the mix
each move undoes; moves are drawn afresh at every step. `examples` makes what that is judged by: excerpts of
validation songs, put in disorder and taken apart, moved in sound by faders, back by a share, by other
disorders and by adversarial edits of stems, each with the true share undone (`reward.recovery`, all four
dimensions). `report` prints how far the critics agree with it.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from scipy.stats import spearmanr
from torch import nn
from train_critic import stacked

from mixagent.envs.cases import separate
from mixagent.envs.corpus import Corpus, Song
from mixagent.envs.disorders import (
    Disorder,
    StemDisorder,
    by_role,
    disorder,
    draw_any,
    there,
)
from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.dsp.third_octaves import MUSIC, THIRD_OCTAVES_HZ
from mixagent.pipeline.finished.stems import STEM_MEASURES, finished_stem_band, measure_stems, stems_sounding
from mixagent.pipeline.measure.stem_features import k_level_db
from mixagent.pipeline.measure.stem_measures import ROLES, THIRDS
from mixagent.pipeline.separation import Separator, choose_separator
from mixagent.pipeline.types import Float64Array, FloatArray, Stems, load
from mixagent.policies.mixing.material import Pass, load_passes
from mixagent.reward.adversarial_edits import STEM_EDITS, edit_stem_adversarially
from mixagent.reward.critic import Critic
from mixagent.reward.recovery import Original
from mixagent.reward.render_pair import AnalysedAudio, AnalysedStems
from mixagent.reward.stem_critic import CHANGE, DOUBT, LIMIT, VERSION, StemCritic, inputs_of
from mixagent.reward.terms.truth import undone

SECONDS = 4.0
CLEAN_SHARE = 0.15
"""Share of the excerpts that stay as they are, so that it is taught to leave a finished mix alone."""

KINDS = ("faders",) * 4 + ("towards",) * 3 + ("disorder",) * 2 + ("edit",)
"""The moves of each excerpt."""

WEIGHTS = (0.5, 1.0, 2.0)
"""Of the critic of balance beside that of the mix, in the report."""

_EDGE_S = 3.0
_LEAST = 1e-5


@dataclass(frozen=True)
class Example:
    """The moves of one excerpt.

    Attributes:
        song: its id.
        disorder: the kinds that were done to it.
        kinds: of each move; the first is none.
        stems: `AnalysedStems.measures` after each, (moves, roles, measures).
        features: `describe` of each mix, (moves, features).
        totals: the distance of each to the original, (moves,).
    """

    song: str
    disorder: tuple[str, ...]
    kinds: tuple[str, ...]
    stems: FloatArray
    features: FloatArray
    totals: FloatArray

    @property
    def shares(self) -> FloatArray:
        """The reward's `truth` of each move, (moves,)."""
        return np.asarray(undone(np.full_like(self.totals, self.totals[0]), self.totals), np.float32)


# --- examples --------------------------------------------------------------------------------------


def make_example(corpus: Corpus, song: Song, separator: Separator) -> Example | None:
    """The moves of an excerpt of a song; None where it is silent or has less than two stems."""
    random = np.random.default_rng(zlib.crc32(song.id.encode()))
    latest_s = song.duration_s - SECONDS - _EDGE_S
    came = corpus.stems(song, float(random.uniform(min(_EDGE_S, max(latest_s, 0.0)), latest_s)), SECONDS)
    original = load(came.mix)
    if float(np.mean(np.square(original.samples))) < _LEAST:
        return None
    true = by_role(came) if came.parts else separate(original, separator)
    if len(there(true)) < 2:
        return None
    done = Disorder() if random.random() < CLEAN_SHARE else draw_any(random, there(true))
    mix = load(disorder(true, done).mix) if done.stems else original
    found = separate(mix, separator)
    truth, rows = Original(original), []
    for kind, moved in _moves(found, done, random):
        analysed = AnalysedAudio(load(moved.mix))
        stems = AnalysedStems(analysed, {name: load(part) for name, part in moved.parts.items()})
        assert stems.measures is not None
        rows.append((kind, stems.measures, analysed.features, truth.distance(analysed.audio).total))
    kinds, stems_after, features, totals = zip(*rows, strict=True)
    return Example(
        *(song.id, done.kinds, tuple(kinds)),
        *(np.stack(stems_after).astype(np.float32), np.stack(features), np.array(totals, np.float32)),
    )


def _moves(found: Stems, done: Disorder, random: np.random.Generator) -> Iterator[tuple[str, Stems]]:
    names = there(found)
    yield "input", found
    for kind in KINDS:
        if kind == "edit":
            name, edit = str(random.choice(names)), str(random.choice(list(STEM_EDITS)))
            yield kind, edit_stem_adversarially(found, name, edit)
        else:
            yield kind, disorder(found, _move(kind, done, names, random))


def _move(kind: str, done: Disorder, names: Sequence[str], random: np.random.Generator) -> Disorder:
    if kind == "disorder":
        return draw_any(random, names)
    if kind == "faders":
        most_db = random.uniform(0.5, 9.0)
        moved = [name for name in names if random.random() < 0.7] or [str(names[0])]
        return Disorder.balance({name: float(random.uniform(-most_db, most_db)) for name in moved})
    share = float(random.uniform(0.3, 1.2))
    return Disorder(
        ("towards",), {name: _back(done.stems.get(name, StemDisorder()), share, random) for name in names}
    )


def _back(done: StemDisorder, share: float, random: np.random.Generator) -> StemDisorder:
    """Faders and tone of a disorder taken back by a share, not exactly."""
    gain_db = -share * done.gain_db + float(random.normal(0.0, 0.7))
    tone = tuple((hz, -share * db, octaves) for hz, db, octaves in done.tone)
    return replace(StemDisorder(), gain_db=gain_db, tone=tone)


def examples(options: argparse.Namespace) -> None:
    """Make the examples of some songs of a split."""
    corpus, separator = Corpus.open(options.corpus), choose_separator("embedded", "cpu", 4).separator
    folder: Path = options.to / options.split
    folder.mkdir(parents=True, exist_ok=True)
    songs = corpus.songs(options.split, "clean truth")
    count = min(options.count, len(songs))
    for number in range(count):
        song = songs[number * len(songs) // count]
        path = folder / f"{song.id}.npz"
        made = None if path.exists() else make_example(corpus, song, separator)
        if made is not None:
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.savez(file, **vars(made))
            part.replace(path)
        if number % 10 == 0:
            print(f"{number} of {count}", flush=True)


def load_examples(folder: Path) -> list[Example]:
    """Every song's example in a folder, in the order of their names."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        data = np.load(path)
        named = {name: tuple(map(str, data[name])) for name in ("disorder", "kinds")}
        arrays = {name: data[name] for name in ("stems", "features", "totals")}
        found.append(Example(song=str(data["song"]), **named, **arrays))
    return found


# --- training --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """The settings of training a network.

    Attributes:
        hidden: width of its two hidden layers.
        steps: of the optimiser.
        excerpts, moves: in a step, each excerpt with so many moves.
        rate, decay, dropout: of the optimiser, of the weights, of the hidden units.
        pairs: weight of the differences between moves of one excerpt, which decide their ranks.
        clean: share of the excerpts that are as they were.
    """

    hidden: int = 96
    steps: int = 700
    excerpts: int = 48
    moves: int = 12
    rate: float = 3e-3
    decay: float = 0.05
    dropout: float = 0.2
    pairs: float = 1.0
    clean: float = 0.25


class Drawer:
    """Draws moves on the measures of excerpts, and the share of the distance that each undoes."""

    def __init__(self, passes: Sequence[Pass], recipe: Recipe, seed: int) -> None:
        self.shown = np.concatenate([one.shown for one in passes]).astype(np.float64)
        self._recipe, self._random = recipe, np.random.default_rng(seed)

    def batch(self) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Stems' measures before and after, (excerpts, moves, roles, measures), and the shares undone."""
        recipe, random = self._recipe, self._random
        songs = random.integers(len(self.shown), size=recipe.excerpts)
        variants = random.integers(1, self.shown.shape[1], size=recipe.excerpts)
        variants[random.random(recipe.excerpts) < recipe.clean] = 0
        rows, whole = self.shown[songs, variants], self.shown[songs, 0, 0]
        size = (recipe.excerpts, recipe.moves)
        mid_db, side_db = drawn_gains_db(random, size)
        before = np.broadcast_to(rows[:, None], (*size, *rows.shape[1:]))
        after = moved(before, mid_db, side_db)
        known = before[..., 0, :]
        shares = undone(*(distance(mix, whole[:, None]) for mix in (known, mixed(before, mid_db, side_db))))
        return measure_stems(before), measure_stems(after), shares


def drawn_gains_db(random: np.random.Generator, size: tuple[int, int]) -> tuple[Float64Array, Float64Array]:
    """Gains of mid and side of each stem by third octave, (*size, roles, THIRDS): faders, tone, width."""
    shape = (*size, len(ROLES))
    reach = random.uniform(0.0, 1.0, (*size, 1))
    moving = random.random(shape) < random.uniform(0.2, 1.0, (*size, 1))
    fader = random.uniform(-9.0, 9.0, shape) * reach * moving
    fader = np.where(random.random(shape) < 0.03, random.choice([-50.0, 12.0], shape), fader)
    octaves = np.log2(np.array(THIRD_OCTAVES_HZ))
    toned = moving & (random.random((*size, 1)) < 0.6)
    tone = np.zeros((*shape, THIRDS))
    for _ in range(2):
        centre, width = random.uniform(6.0, 13.5, (*shape, 1)), random.uniform(0.5, 2.5, (*shape, 1))
        height = (random.uniform(-10.0, 10.0, shape) * reach * toned)[..., None]
        tone += height * np.exp(-0.5 * ((octaves - centre) / width) ** 2)
    wide = random.uniform(-8.0, 6.0, shape) * reach * moving * (random.random((*size, 1)) < 0.3)
    mid_db = fader[..., None] + tone
    return mid_db, mid_db + wide[..., None]


def moved(rows: Float64Array, mid_db: Float64Array, side_db: Float64Array) -> Float64Array:
    """The rows of mix and stems with the stems' third octaves raised; the mix's row stays."""
    after = rows.copy()
    after[..., 1:, :THIRDS] += mid_db
    after[..., 1:, THIRDS : 2 * THIRDS] += side_db
    return after


def mixed(rows: Float64Array, mid_db: Float64Array, side_db: Float64Array) -> Float64Array:
    """The mix's row after the move: stems add by powers."""
    gains = np.concatenate([mid_db, side_db], axis=-1)
    powers = db_to_power(rows[..., : 2 * THIRDS])
    mix = powers[..., 0, :] + (powers[..., 1:, :] * (db_to_power(gains) - 1.0)).sum(axis=-2)
    after = rows[..., 0, :].copy()
    after[..., : 2 * THIRDS] = powers_to_db(np.maximum(mix, 0.01 * powers[..., 0, :]) + 1e-13)
    return after


def distance(mix: Float64Array, original: Float64Array) -> Float64Array:
    """Tone and image of `reward.recovery` by third octaves, in units of its total, (…,)."""
    shapes = [_shape(row) for row in (mix, original)]
    tone = np.clip(shapes[0][0] - shapes[1][0], -20.0, 20.0)
    image = shapes[0][1] - shapes[1][1]
    units = [np.sqrt(np.square(part).mean(axis=-1)) / 2.0 for part in (tone, image)]
    return np.asarray((units[0] + units[1]) / 2.0)


def _shape(row: Float64Array) -> tuple[Float64Array, Float64Array]:
    mid, side = (db_to_power(row[..., k * THIRDS : (k + 1) * THIRDS]) for k in (0, 1))
    level_db = k_level_db(mid + side)[..., None]
    heard = side + 1e-3 * mid
    tone = [powers_to_db(part + 1e-13)[..., MUSIC] - level_db for part in (mid, heard)]
    return np.concatenate(tone, axis=-1), tone[1] - tone[0]


def train(passes: Sequence[Pass], recipe: Recipe, networks: int) -> StemCritic:
    """An ensemble of networks that differ in their seeds alone."""
    clean = np.concatenate([measure_stems(one.shown[:, 0]) for one in passes])
    known = np.where(stems_sounding(clean)[..., None], clean, np.nan)
    mean, spread = np.nanmean(known, axis=0), np.maximum(np.nanstd(known, axis=0), 1.0)
    made = [_train_one(Drawer(passes, recipe, seed), mean, spread, recipe, seed) for seed in range(networks)]
    return StemCritic(mean.astype(np.float32), spread.astype(np.float32), stacked(made))


def _train_one(
    drawer: Drawer, mean: Float64Array, spread: Float64Array, recipe: Recipe, seed: int
) -> nn.Sequential:
    torch.manual_seed(seed)
    size = inputs_of(*(np.zeros((1, *mean.shape)),) * 2, mean, spread).shape[1]
    wide, left_out = recipe.hidden, recipe.dropout
    network = nn.Sequential(
        *(nn.Linear(size, wide), nn.ReLU(), nn.Dropout(left_out)),
        *(nn.Linear(wide, wide), nn.ReLU(), nn.Dropout(left_out), nn.Linear(wide, 1)),
    )
    optimiser = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=recipe.steps + 1)
    for _ in range(recipe.steps):
        before, after, shares = drawer.batch()
        flat = [side.reshape(-1, *side.shape[2:]) for side in (before, after)]
        rows = [torch.from_numpy(inputs_of(flat[0], side, mean, spread)) for side in (flat[1], flat[0])]
        said = (network(rows[0]) - network(rows[1])).reshape(shares.shape)
        missed = said - torch.from_numpy(shares.astype(np.float32))
        apart = missed[:, :, None] - missed[:, None]
        loss = torch.mean(missed**2) + recipe.pairs * torch.mean(apart**2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def save(critic: StemCritic, folder: Path) -> None:
    """Write it as `StemCritic.load` reads it; weights in 16 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"mean": critic.mean.astype(np.float32), "spread": critic.spread.astype(np.float32)}
    for k, (weight, bias) in enumerate(critic.layers):
        arrays |= {f"{k}.weight": np.ascontiguousarray(weight, np.float16), f"{k}.bias": bias}
    save_file(arrays, folder / "weights.safetensors")
    (folder / "weights.safetensors").chmod(0o644)
    config = {
        **{
            "version": VERSION,
            "layers": len(critic.layers),
            "limit": LIMIT,
            "change": CHANGE,
            "doubt": DOUBT,
        },
        **{"roles": list(ROLES), "measures": list(STEM_MEASURES)},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")


# --- the report ------------------------------------------------------------------------------------


def heard(one: Example, critic: Critic) -> FloatArray:
    """The share undone that the critic tells of the mix alone, (moves,)."""
    reference = np.broadcast_to(one.features[0], one.features.shape)
    return np.asarray(critic.undone(one.features, reference), np.float32)


def report(options: argparse.Namespace) -> None:
    """Print how critics and band agree with the truth on the validation songs."""
    made = load_examples(options.examples / "validation")
    critic, stems, band = Critic.load(), StemCritic.load(options.to), finished_stem_band()
    told: dict[str, list[FloatArray]] = {}
    for one in made:
        before = np.broadcast_to(one.stems[0], one.stems.shape)
        outside = band.outside(one.stems, stems_sounding(before)).sum(axis=-1)
        alone, balance = heard(one, critic), stems.undone(before, one.stems)
        said = {"mix alone": alone, "stems alone": balance, "band of stems": outside[0] - outside}
        said |= {f"mix + {weight:g} × stems": alone + weight * balance for weight in WEIGHTS}
        for name, values in said.items():
            told.setdefault(name, []).append(np.asarray(values, np.float32))
    true = [one.shares for one in made]
    print(f"{len(made)} validation songs, {sum(len(one.kinds) for one in made)} moves\n")
    drawn = [np.array(one.kinds) != "towards" for one in made]
    print("| heard | Pearson | median ρ within a song | favourite undoes | ρ of blind moves | favourite |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, said in told.items():
        pearson = np.corrcoef(np.concatenate(said), np.concatenate(true))[0, 1]
        cells = [f"{pearson:.2f}"]
        for chosen in ([slice(None)] * len(made), drawn):
            pairs = [(a[which], b[which]) for a, b, which in zip(said, true, chosen, strict=True)]
            cells.append(f"{np.median([spearmanr(*pair).statistic for pair in pairs]):.2f}")
            cells.append(f"{np.mean([b[np.argmax(a)] for a, b in pairs]):+.3f}")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\n| move | told, mix alone | told, stems alone | true |\n|---|--:|--:|--:|")
    kinds = np.concatenate([one.kinds for one in made])
    rows = [np.concatenate(values) for values in (told["mix alone"], told["stems alone"], true)]
    for kind in dict.fromkeys(KINDS):
        print(f"| {kind} | " + " | ".join(f"{row[kinds == kind].mean():+.3f}" for row in rows) + " |")


def fit(options: argparse.Namespace) -> None:
    """Train, save and report."""
    passes = load_passes(options.store, "train")
    songs = {name for one in passes for name in one.songs}
    print(f"training on {len(songs)} songs, {sum(len(one.songs) for one in passes)} excerpts", flush=True)
    save(train(passes, Recipe(), options.networks), options.to)
    report(options)


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("examples")
    making.add_argument("--corpus", type=Path)
    making.add_argument("--to", type=Path, required=True)
    making.add_argument("--split", default="validation", choices=("train", "validation"))
    making.add_argument("--count", type=int, default=16)
    making.set_defaults(run=examples)
    for name, run in (("fit", fit), ("report", report)):
        command = commands.add_parser(name)
        command.add_argument("--examples", type=Path, required=True)
        command.add_argument("--to", type=Path, default=Path("checkpoints/stem_critic"))
        if run is fit:
            command.add_argument("--store", type=Path, required=True)
            command.add_argument("--networks", type=int, default=3)
        command.set_defaults(run=run)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.run(options)


if __name__ == "__main__":
    main()
