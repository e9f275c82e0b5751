"""Trains the network that hears artefacts of codecs and vocoders (`pipeline/restoration/artefact_net.py`).

    python scripts/artefact_pairs.py --store STORE --to PAIRS
    python scripts/train_artefacts.py profile --pairs PAIRS --run STILL [--steps 3000] [--seed 0]
    python scripts/train_artefacts.py fit --pairs PAIRS --from STILL --run RUN [--steps 1500] [--minutes 150]
    python scripts/train_artefacts.py ship --run RUN --to checkpoints/artefacts
    python scripts/train_artefacts.py calibrate --store STORE --to checkpoints/artefacts

The part that hears a passage as a whole is trained first, on what is known of the bands over passages, for
the level that each band of the music has in the mean: that takes minutes. Then all of it is trained.

No sound is made in training: the power of a band under a gain, with noise added, follows from the powers
and the correlation that the pairs hold, and so does its distance to the undamaged wave. A third of the
examples is music as it is. Tone, width and band limits are drawn anew for each example, the same for
music and damage.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from music_store import SPLITS, Music
from numpy.typing import NDArray
from torch import Tensor
from training import Plan, Task, ship, train

from mixagent.pipeline.restoration import artefacts
from mixagent.pipeline.restoration.artefact_bands import BANDS, CENTRES_HZ, EDGES, RATE
from mixagent.pipeline.restoration.artefact_net import (
    FRAMES,
    KINDS,
    MOST_CUT_DB,
    MOST_RAISED_DB,
    ArtefactNet,
    Profile,
    bounded,
    levels,
    stats,
)
from mixagent.pipeline.types import Audio

BATCH = 16
PROFILE_BATCH = 32
CROP = 192
CLEAN_SHARE = 1 / 3
CLEAN_WEIGHT = 2.0
QUANTILE = 0.985
"""Share of the finished songs in which no artefacts are to be found, by each of the figures."""

_CAP_DB = 20.0
_NEPERS = np.float32(np.log(10) / 10)
_FLOOR = 3e-8
_LOST = 0.03


class Examples(NamedTuple):
    """A batch.

    Attributes:
        music, damaged: powers (batch, 2, BANDS, FRAMES).
        cross: real part of music times damaged, conjugate, summed over the band.
        kinds: 1 where the damage is of `KINDS`, (batch, len(KINDS)).
    """

    music: Tensor
    damaged: Tensor
    cross: Tensor
    kinds: Tensor


@dataclass(frozen=True)
class Pairs:
    """The pairs of a split (`scripts/artefact_pairs.py`)."""

    paths: Sequence[Path]
    kinds: Sequence[frozenset[str]]

    @classmethod
    def of(cls, folder: Path) -> Pairs:
        """Those that are finished."""
        paths = sorted(folder.glob("*.npy"))
        return cls(paths, [frozenset(json.loads(p.with_suffix(".json").read_text())) for p in paths])

    def draw(self, random: np.random.Generator, count: int) -> Examples:
        """A batch with its damage, its tone and its width drawn anew."""
        indices = random.integers(len(self.paths), size=count)
        return _batch([self.drawn(random, int(index)) for index in indices])

    def drawn(self, random: np.random.Generator, index: int) -> tuple[NDArray[np.float32], list[float]]:
        """One pair so."""
        share = 0.0
        if random.random() >= CLEAN_SHARE:
            shimmering = "shimmer" in self.kinds[index]
            share = 1.0
            if random.random() < 0.5:
                share = random.uniform(0.3, 1.3) if shimmering else random.uniform(0.6, 1.1)
        row, kinds = self.example(index, share)
        return row * _colour(random)[None].astype(np.float32), kinds

    def example(self, index: int, share: float) -> tuple[NDArray[np.float32], list[float]]:
        """Music, damaged and cross powers (3, 2, BANDS, FRAMES) with a share of the damage, and its kinds."""
        stored = np.load(self.paths[index], mmap_mode="r")[..., :FRAMES].astype(np.float32)
        music, added = np.exp(stored[:2] * _NEPERS)
        cross = stored[2] * np.sqrt(music * added)
        damaged = np.maximum(music + 2 * share * cross + share**2 * added, 0)
        kinds = self.kinds[index] if share else frozenset()
        coded = "codec" in kinds or "vocoder" in kinds
        labels = [float("shimmer" in kinds), float(coded)]
        return np.stack([music, damaged, music + share * cross]), labels


def _batch(rows: Sequence[tuple[NDArray[np.float32], list[float]]]) -> Examples:
    powers = torch.from_numpy(np.stack([row for row, _ in rows]))
    return Examples(powers[:, 0], powers[:, 1], powers[:, 2], torch.tensor([kinds for _, kinds in rows]))


def _colour(random: np.random.Generator) -> NDArray[np.float64]:
    """Gains on powers (2, BANDS, 1): a curve of tone, a width, sometimes mono or an end of the spectrum."""
    octaves = np.log2(np.maximum(CENTRES_HZ, 40) / 1000)
    gain_db = np.zeros((2, BANDS))
    if random.random() < 0.6:
        knots = int(random.integers(3, 9))
        curve = random.standard_normal(knots) * random.uniform(0.5, 4.0)
        gain_db += np.interp(octaves, np.linspace(-4.7, 4.4, knots), curve)
    if random.random() < 0.4:
        gain_db[1] += random.uniform(-10, 5)
    if random.random() < 0.08:
        gain_db[1] = -100.0
    if random.random() < 0.15:
        cut_hz = np.exp(random.uniform(np.log(4000), np.log(18000)))
        gain_db -= np.clip((CENTRES_HZ - cut_hz) / random.uniform(20, 600), 0, 1) * random.uniform(40, 100)
    return np.asarray(10 ** (gain_db / 10))[..., None]


def _weights() -> Tensor:
    width = np.diff(np.log2(np.maximum(np.array(EDGES), 1.0)))
    weights = np.sqrt(np.minimum(width, 0.5))
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)[:, None]


WEIGHTS = _weights()


class Terms(NamedTuple):
    """How far examples are from music: each (batch,), in dB.

    Attributes:
        fast: mean over bands and frames.
        slow: mean over bands of their powers over time, large differences counting more.
        error: power of the difference against the music's.
    """

    fast: Tensor
    slow: Tensor
    error: Tensor


def _smooth(apart_db: Tensor) -> Tensor:
    """The size of a difference, about 1 dB less, and squared near zero, where its sign would be but noise."""
    return (apart_db.square() + 1).sqrt() - 1


def terms(examples: Examples, gain_db: Tensor, added: Tensor) -> Terms:
    """The distance of the examples, under gains and with noise added, to the music."""
    music, damaged, cross, _ = examples
    total = music.sum((1, 2)).mean(1)[:, None, None, None]
    gain = torch.exp(gain_db * (float(_NEPERS) / 2))
    out = gain**2 * damaged + added
    # Bands that were cut away are another repair's.
    lost = damaged.mean(3) < _LOST * music.mean(3)
    weights = (WEIGHTS[:, 0] * ~lost)[..., None]
    floor = _FLOOR * total
    apart_db = 10 * torch.log10((out + floor) / (music + floor))
    size = _smooth(apart_db)
    fast = ((size - 0.8 * torch.relu(size - _CAP_DB)) * weights).mean((1, 2, 3))
    means = [(power.mean(3) + floor[..., 0]) for power in (out, music)]
    size = _smooth(10 * torch.log10(means[0] / means[1])).clamp(max=2 * _CAP_DB)
    slow = ((size + size**2 / 15) * weights[..., 0]).mean((1, 2))
    heard = (~lost)[..., None]
    error = ((music - 2 * gain * cross + gain**2 * damaged + added) * heard).sum((1, 2, 3))
    whole = (music * heard).sum((1, 2, 3))
    return Terms(fast, slow, 10 * torch.log10(error.clamp(min=0) / whole + 1e-4))


def _loss(net: ArtefactNet, examples: Examples) -> Tensor:
    start = int(torch.randint(FRAMES - CROP + 1, ()))
    heard = net(examples.damaged, start, start + CROP)
    music, damaged, cross = (powers[..., start : start + CROP] for powers in examples[:3])
    part = Examples(music, damaged, cross, examples.kinds)
    apart = terms(part, heard.gain_db, heard.added)
    clean = (examples.damaged == examples.music).flatten(1).all(1)
    each = apart.fast + apart.slow + 0.05 * apart.error
    said = F.binary_cross_entropy_with_logits(heard.logits, examples.kinds, reduction="none").mean(1)
    return (each * torch.where(clean, CLEAN_WEIGHT, 1.0)).mean() + 0.3 * said.mean()


class Known(NamedTuple):
    """What is known of passages, and what each band's gain should be in the mean.

    Attributes:
        stats: (passages, STATS, BANDS).
        gain_db: (passages, 2, BANDS); NaN where the band was cut away.
        kinds: (passages, len(KINDS)).
        clean: 1 where nothing was damaged, (passages,).
    """

    stats: Tensor
    gain_db: Tensor
    kinds: Tensor
    clean: Tensor


def _known(pairs: Pairs, variants: int, seed: int) -> Known:
    """All pairs, so many times, each time with damage, tone and width of their own."""
    rows = []
    for index in range(variants * len(pairs.paths)):
        examples = _batch([pairs.drawn(np.random.default_rng([seed, index]), index % len(pairs.paths))])
        music, damaged = examples.music.mean(3), examples.damaged.mean(3)
        floor = _FLOOR * examples.music.sum((1, 2)).mean(1)[:, None, None]
        gain_db = 10 * torch.log10((music + floor) / (damaged + floor))
        gain_db[damaged < _LOST * music] = float("nan")
        clean = (examples.damaged == examples.music).all().float()[None]
        rows.append([stats(*levels(examples.damaged)).half(), gain_db.half(), examples.kinds, clean])
    return Known(*(torch.cat(column) for column in zip(*rows, strict=True)))


def _apart(net: Profile, known: Known) -> tuple[Tensor, Tensor]:
    """The difference of the gains, (passages, 2, BANDS), and the logits."""
    still = net(known.stats.float())
    wanted = known.gain_db.float().clamp(-MOST_CUT_DB, MOST_RAISED_DB)
    return torch.nan_to_num(bounded(still.raw[:, :2]) - wanted) * WEIGHTS[:, 0], still.logits


def _profile_loss(net: Profile, known: Known) -> Tensor:
    apart, logits = _apart(net, known)
    size = F.huber_loss(apart, torch.zeros_like(apart), reduction="none", delta=3.0).mean((1, 2)) / 3
    said = F.binary_cross_entropy_with_logits(logits, known.kinds)
    return (size * (1 + (CLEAN_WEIGHT - 1) * known.clean)).mean() + 0.3 * said


def _profile_figures(net: Profile, known: Known) -> Mapping[str, float]:
    apart, logits = _apart(net, known)
    before = (torch.nan_to_num(known.gain_db.float()) * WEIGHTS[:, 0]).abs().mean((1, 2))
    after = apart.abs().mean((1, 2))
    clean = known.clean > 0
    figures = {"clean": -after[clean].mean().item()}
    for name, kind in zip(KINDS, known.kinds.T, strict=True):
        chosen = kind > 0
        figures[f"{name} before"] = before[chosen].mean().item()
        figures[name] = (before - after)[chosen].mean().item()
    right = ((logits > 0) == (known.kinds > 0)).float().mean(0)
    figures |= {f"{name} right": value.item() for name, value in zip(KINDS, right, strict=True)}
    return {"score": figures["shimmer"] + figures["codec"] + figures["clean"], **figures}


def _train_profile(pairs: Path, run: Path, steps: int, variants: int, seed: int) -> None:
    known = _known(Pairs.of(pairs / "train"), variants, seed)
    held = _known(Pairs.of(pairs / "validation"), 2, seed + 1)

    def drawn(random: np.random.Generator) -> Known:
        chosen = torch.from_numpy(random.integers(len(known.stats), size=PROFILE_BATCH))
        part = Known(*(column[chosen] for column in known))
        shaken = random.normal(0.0, 0.05, part.stats.shape).astype(np.float16)
        return part._replace(stats=part.stats + torch.from_numpy(shaken))

    torch.manual_seed(seed)
    task = Task(drawn, _profile_loss, lambda average: _profile_figures(average, held))
    train(Profile(), task, Plan(steps, 2e-3, seed, every=max(steps // 12, 1), averaging=0.995), run)


def validation(pairs: Pairs, count: int) -> Sequence[tuple[str, Examples]]:
    """The first pairs, each by itself: as they are and undamaged."""
    batches = []
    for index in range(min(count, len(pairs.paths))):
        kind = "+".join(sorted(pairs.kinds[index]))
        batches.append((kind, _batch([pairs.example(index, 1.0)])))
        if index % 2 == 0:
            batches.append(("clean", _batch([pairs.example(index, 0.0)])))
    return batches


def _figures(net: ArtefactNet, held: Sequence[tuple[str, Examples]]) -> Mapping[str, float]:
    gained: dict[str, list[float]] = {}
    right = []
    for kind, examples in held:
        heard = net(examples.damaged)
        silent = torch.zeros_like(heard.gain_db)
        before, after = terms(examples, silent, silent), terms(examples, heard.gain_db, heard.added)
        change = (before.fast + before.slow - after.fast - after.slow).item()
        gained.setdefault(kind, []).append(change)
        gained.setdefault(f"{kind} error", []).append((before.error - after.error).item())
        right.append(((heard.logits > 0) == (examples.kinds > 0.5)).float().mean().item())
    means = {kind: float(np.mean(values)) for kind, values in gained.items()}
    damaged = [
        value
        for kind, values in gained.items()
        if "clean" not in kind and "error" not in kind
        for value in values
    ]
    score = float(np.mean(damaged)) + 2 * means["clean"]
    return {"score": score, "right": float(np.mean(right)), **means}


def _calibrate(store: Path, to: Path, seconds: float) -> None:
    """Write to `config.json` the weights' hash and what is heard in finished songs, whole or in part."""
    digest = hashlib.sha256((to / "weights.safetensors").read_bytes()).hexdigest()
    config: dict[str, Any] = {"weights_sha256": digest, "finished": {}}
    (to / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    heard: dict[str, list[float]] = {}
    for split in SPLITS:
        for song in Music.of(store, split).songs[:: 3 if split == "train" else 1]:
            middle = max(song.shape[1] // 2 - int(seconds * RATE / 2), 0)
            part = np.asarray(song[:, middle : middle + int(seconds * RATE)], np.float32) / np.float32(32767)
            for name, value in (artefacts.heard(Audio(part, RATE), lambda _: None) or {}).items():
                heard.setdefault(name, []).append(value)
    config["finished"] = {name: float(np.quantile(values, QUANTILE)) for name, values in heard.items()}
    config["songs"] = len(next(iter(heard.values())))
    config["quantile"] = QUANTILE
    (to / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and train or ship."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    still = commands.add_parser("profile")
    still.add_argument("--pairs", type=Path, required=True)
    still.add_argument("--run", type=Path, required=True)
    still.add_argument("--steps", type=int, default=3000)
    still.add_argument("--variants", type=int, default=5)
    still.add_argument("--seed", type=int, default=0)
    fit = commands.add_parser("fit")
    fit.add_argument("--from", dest="still", type=Path, required=True)
    fit.add_argument("--pairs", type=Path, required=True)
    fit.add_argument("--run", type=Path, required=True)
    fit.add_argument("--steps", type=int, default=3000)
    fit.add_argument("--seed", type=int, default=0)
    fit.add_argument("--minutes", type=float, default=150.0)
    fit.add_argument("--every", type=int, default=200)
    sending = commands.add_parser("ship")
    sending.add_argument("--run", type=Path, required=True)
    sending.add_argument("--to", type=Path, required=True)
    limiting = commands.add_parser("calibrate")
    limiting.add_argument("--store", type=Path, required=True)
    limiting.add_argument("--to", type=Path, required=True)
    limiting.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    if arguments.command == "ship":
        ship(ArtefactNet(), arguments.run, arguments.to)
        return
    if arguments.command == "calibrate":
        _calibrate(arguments.store, arguments.to, arguments.seconds)
        return
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    if arguments.command == "profile":
        _train_profile(arguments.pairs, arguments.run, arguments.steps, arguments.variants, arguments.seed)
        return
    net = ArtefactNet()
    net.profile.load_state_dict(torch.load(arguments.still / "best.pt", weights_only=True)["net"])
    net.profile.requires_grad_(False)
    pairs, held = (Pairs.of(arguments.pairs / split) for split in ("train", "validation"))
    checks = validation(held, 120)
    task = Task(
        examples=lambda random: pairs.draw(random, BATCH),
        loss=_loss,
        validate=lambda average: _figures(average, checks),
    )
    plan = Plan(arguments.steps, 2e-3, arguments.seed, arguments.minutes, arguments.every, 0.998)
    train(net, task, plan, arguments.run)


if __name__ == "__main__":
    main()
