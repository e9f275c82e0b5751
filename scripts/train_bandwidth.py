"""Trains the envelope network that says how loud missing bands would be (`checkpoints/bandwidth`).

    python scripts/train_bandwidth.py prepare --store STORE --to CODED
    python scripts/train_bandwidth.py fit --store STORE --coded CODED --run RUN [--steps N] [--minutes M]
    python scripts/train_bandwidth.py ship --run RUN --to checkpoints/bandwidth

STORE is of `scripts/music_store.py`. CODED gets excerpts before and after Opus, AAC and Vorbis; MP3 is kept
apart. All other damage is drawn afresh for each example: ends from 4 to 18 kHz of every shape, holes, bands
that blink. A third of the examples is only judged: where is something gone? Half of those is whole music.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from music_store import RATE, Music
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from training import Plan, Task, ship, train

from mixagent.envs.degradation.codecs import ROUND_TRIP_RATES_HZ, through_codec
from mixagent.pipeline.restoration.band_levels import (
    BANDS,
    BIN_HZ,
    CENTRES_HZ,
    HOP,
    STEP,
    WINDOW,
    band_means,
    density,
    flatness_db,
    levels_db,
    long_term_db,
    mid_side,
    powers_of,
    spectra_of,
)
from mixagent.pipeline.restoration.envelope_network import EnvelopeNetwork, long_term
from mixagent.pipeline.types import Audio, Float64Array, FloatArray

WINDOWS = 256
FRAMES = WINDOW + (WINDOWS - 1) * HOP * STEP
BATCH = 8
LEAST_BANDWIDTH_HZ = 17000.0
CODED_S = 9.0
CODECS = ("opus", "aac", "vorbis", "aac")
KBPS = {24: 0.14, 32: 0.16, 40: 0.14, 48: 0.14, 56: 0.1, 64: 0.12, 80: 0.08, 96: 0.06, 128: 0.06}
"""Rates in kb/s by their chance."""
GONE_DB = 6.0
AUDIBLE_DB = -72.0
BINS_HZ = np.arange(WINDOW // 2 + 1) * BIN_HZ
FIGURE_CUTS_HZ = (8000.0, 11000.0, 16000.0)

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Example:
    """An excerpt with something gone, each array (2, BANDS, WINDOWS) of mid and side.

    Attributes:
        levels: as damaged, in dB.
        flatness: as damaged, in dB.
        mask: the cells to be filled; empty where it is only to be judged what is gone.
        truth: levels before.
        true_flatness: flatness before.
        valid: the cells of which the truth is known.
    """

    levels: FloatArray
    flatness: FloatArray
    mask: BoolArray
    truth: FloatArray
    true_flatness: FloatArray
    valid: BoolArray


Batch = Sequence[Tensor]
"""The fields of `Example`, each stacked."""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare")
    prepare.add_argument("--store", type=Path, required=True)
    prepare.add_argument("--to", type=Path, required=True)
    fit = commands.add_parser("fit")
    fit.add_argument("--store", type=Path, required=True)
    fit.add_argument("--coded", type=Path, required=True)
    fit.add_argument("--run", type=Path, required=True)
    fit.add_argument("--steps", type=int, default=2500)
    fit.add_argument("--minutes", type=float, default=150.0)
    fit.add_argument("--every", type=int, default=125)
    fit.add_argument("--rate", type=float, default=1.5e-3)
    fit.add_argument(
        "--start", type=Path, help="a run whose network, but for what stands still, is the start"
    )
    shipping = commands.add_parser("ship")
    shipping.add_argument("--run", type=Path, required=True)
    shipping.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "prepare":
        for split, count, seed in (("validation", 40, 9), ("train", 420, 1)):
            music = Music.of(arguments.store, split, least_hz=16500)  # type: ignore[arg-type]
            _prepare(music, arguments.to / split, count, seed)
    elif arguments.command == "fit":
        _fit(arguments)
    else:
        ship(EnvelopeNetwork(BANDS), arguments.run, arguments.to)
        config = {"width": 160, "depth": 5, "kernel": 9}
        (arguments.to / "config.json").write_text(json.dumps(config) + "\n", encoding="utf-8")


def _prepare(music: Music, folder: Path, count: int, seed: int) -> None:
    """Excerpts before and after a codec, int16 (2, channels, frames)."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        before = music.excerpt(np.random.default_rng([seed, number]), round(CODED_S * RATE))
        random = np.random.default_rng([seed, number, 1])
        codec = CODECS[int(random.integers(len(CODECS)))]
        kbps = int(random.choice(list(KBPS), p=list(KBPS.values())))
        after = through_codec(Audio(before, RATE), codec, kbps).samples
        pair = np.clip(np.stack([before, after]), -1, 1)
        np.save(folder / f"{number:04}.npy", np.round(pair * 32767).astype(np.int16))


class Examples:
    """Draws examples from the songs of a split."""

    def __init__(self, store: Path, coded: Path, split: str) -> None:
        assert split in ("train", "validation")
        self.every = Music.of(store, split)  # type: ignore[arg-type]
        self.wide = Music.of(store, split, least_hz=LEAST_BANDWIDTH_HZ)  # type: ignore[arg-type]
        self._wide_hz = dict(zip(map(id, self.wide.songs), self.wide.bandwidths_hz, strict=True))
        self.coded = sorted((coded / split).glob("*.npy"))

    def batch(self, random: np.random.Generator) -> Batch:
        """A batch of one of each sort."""
        return stacked([self.one(random) for _ in range(BATCH)])

    def one(self, random: np.random.Generator) -> Example:
        """An example of a sort that is drawn."""
        sort = random.choice(["whole", "end", "holes", "blinks", "coded"], p=[0.13, 0.42, 0.16, 0.08, 0.21])
        if sort == "whole":
            powers = _powers(self.every.excerpt(random, FRAMES))
            return _example(powers, powers, None, 22050.0, 0.0)
        blind = bool(random.random() < 0.25)
        offset_db = float(random.normal(0, 4))
        if sort == "coded" and self.coded:
            path = self.coded[int(random.integers(len(self.coded)))]
            pair = np.load(path, mmap_mode="r")
            start = int(random.integers(pair.shape[2] - FRAMES))
            part = np.asarray(pair[..., start : start + FRAMES], np.float32) / 32767
            before, after = _powers(part[0]), _powers(part[1])
            mask = (
                None if blind else _roughly(_gone(before, after, still=bool(random.random() < 0.3)), random)
            )
            return _example(before, after, mask, 16500.0, offset_db)
        song, bandwidth_hz = self._excerpt(random)
        before = _powers(song)
        if random.random() < 0.5:
            before = before * _tone(random)
        if sort == "end":
            return _ended(before, random, bandwidth_hz, offset_db, blind)
        if sort == "holes":
            return _holed(before, random, bandwidth_hz, offset_db, blind)
        return _blinking(before, random, bandwidth_hz, offset_db, blind)

    def _excerpt(self, random: np.random.Generator) -> tuple[FloatArray, float]:
        number = int(random.integers(len(self.wide.songs)))
        one = Music([self.wide.songs[number]], [self.wide.bandwidths_hz[number]])
        excerpt = one.excerpt(random, FRAMES)
        if random.random() < 0.08:
            excerpt = np.broadcast_to(excerpt.mean(axis=0), excerpt.shape)
        elif random.random() < 0.3:
            excerpt = excerpt[::-1]
        return excerpt, one.bandwidths_hz[0]


def _powers(samples: FloatArray) -> FloatArray:
    return powers_of(spectra_of(mid_side(samples), HOP * STEP))


def _tone(random: np.random.Generator) -> FloatArray:
    """A gentle curve of tone over the bins, as power."""
    octaves = np.log2(np.maximum(BINS_HZ, 30.0) / 1000.0)
    points = np.linspace(-5.1, 4.5, 7)
    curve_db = random.normal(0, 1.5) * octaves + np.interp(octaves, points, random.normal(0, 2.5, 7))
    return np.asarray(10 ** (curve_db / 10), np.float32)


def _example(
    before: FloatArray, after: FloatArray, mask: BoolArray | None, bandwidth_hz: float, offset_db: float
) -> Example:
    reference = density(after) * 10 ** (offset_db / 10)
    truth = levels_db(before, reference)
    valid = np.broadcast_to((0.97 * bandwidth_hz > CENTRES_HZ)[None, :, None], truth.shape)
    gone = np.zeros(truth.shape, bool) if mask is None else mask
    return Example(levels_db(after, reference), flatness_db(after), gone, truth, flatness_db(before), valid)


def _gone(before: FloatArray, after: FloatArray, still: bool = False) -> BoolArray:
    """Cells, or with `still` whole bands, that lost more than `GONE_DB`."""
    old, new = band_means(before), band_means(after)
    if still:
        old, new = old.mean(axis=1, keepdims=True), new.mean(axis=1, keepdims=True)
    gone = np.swapaxes(old > 10 ** (GONE_DB / 10) * new + 1e-12, 1, 2)
    return np.broadcast_to(gone, (2, BANDS, before.shape[1]))


def _roughly(gone: BoolArray, random: np.random.Generator) -> BoolArray:
    """The mask as a finder would tell it: a window longer, or with cells missed."""
    if random.random() < 0.3:
        gone = gone | np.roll(gone, 1, axis=-1) | np.roll(gone, -1, axis=-1)
    if random.random() < 0.3:
        gone = gone & (random.random(gone.shape) > 0.15)
    return gone


def _ended(
    before: FloatArray, random: np.random.Generator, bandwidth_hz: float, offset_db: float, blind: bool
) -> Example:
    if random.random() < 0.15:
        cut_hz = 0.5 * float(random.choice(ROUND_TRIP_RATES_HZ)) * float(random.uniform(0.9, 0.99))
        gain_db = end_db("linear", cut_hz, 0.5 * (1 - random.random() * 0.9))
    else:
        cut_hz = float(np.exp(random.uniform(np.log(4000), np.log(17500))))
        shape = random.choice(["linear", "butterworth"], p=[0.6, 0.4])
        much = random.uniform(0.01, 0.35) if shape == "linear" else float(random.integers(1, 13))
        gain_db = end_db(str(shape), cut_hz, much)
    after = before * np.asarray(10 ** (np.maximum(gain_db, -120) / 10), np.float32)
    if random.random() < 0.4:
        noise = density(before) * 10 ** (random.uniform(-85, -55) / 10)
        after = after + np.float32(noise) * random.exponential(1.0, after.shape).astype(np.float32)
    mask = None if blind else _still_mask(gain_db, before.shape[1], random)
    return _example(before, after, mask, bandwidth_hz, offset_db)


def end_db(shape: str, cut_hz: float, much: float) -> Float64Array:
    """The gain of a low-pass at each bin: a straight fall over a share of the cut, or Butterworth's order."""
    if shape == "linear":
        return np.asarray(-110 * np.clip((BINS_HZ - cut_hz) / (much * cut_hz), 0, 1))
    return np.asarray(-10 * np.log10(1 + (BINS_HZ / cut_hz) ** (2 * much)))


def _still_mask(gain_db: Float64Array, windows: int, random: np.random.Generator) -> BoolArray:
    """The bands that a gain all but takes away, as a finder would tell: a little more or less."""
    band_db = 10 * np.log10(band_means(np.asarray(10 ** (np.maximum(gain_db, -120) / 10), np.float32)))
    gone = band_db < -random.uniform(2, 6)
    if random.random() < 0.3:
        gone = gone | np.roll(gone, -1)
        gone[-1] = gone[-2]
    return np.broadcast_to(gone[None, :, None], (2, BANDS, windows))


def _holed(
    before: FloatArray, random: np.random.Generator, bandwidth_hz: float, offset_db: float, blind: bool
) -> Example:
    octaves = np.log2(np.maximum(BINS_HZ, 1.0))
    gain_db = np.zeros(BINS_HZ.size)
    for _ in range(int(random.integers(1, 6))):
        centre = np.log2(np.exp(random.uniform(np.log(900), np.log(14000))))
        width, edge = random.uniform(0.15, 1.0), random.uniform(0.02, 0.15)
        inside = np.clip((width / 2 - np.abs(octaves - centre)) / edge, 0, 1)
        gain_db = np.minimum(gain_db, -random.uniform(8, 90) * inside)
    after = before * np.asarray(10 ** (gain_db / 10), np.float32)
    mask = None if blind else _still_mask(gain_db, before.shape[1], random)
    return _example(before, after, mask, bandwidth_hz, offset_db)


def _blinking(
    before: FloatArray, random: np.random.Generator, bandwidth_hz: float, offset_db: float, blind: bool
) -> Example:
    low = float(np.exp(random.uniform(np.log(3000), np.log(13000))))
    inside = (low < BINS_HZ) & (low * 2 ** random.uniform(0.2, 1.3) > BINS_HZ)
    away = np.zeros(before.shape[1])
    at = int(random.integers(20))
    mean = random.uniform(4, 40)
    while at < away.size:
        length = 1 + int(random.exponential(random.uniform(3, 20)))
        away[at : at + length] = 1
        at += length + 1 + int(random.exponential(mean))
    soft = np.convolve(away, [0.1, 0.8, 0.1], "same")
    gain_db = -random.uniform(15, 70) * soft[:, None] * inside
    after = before * np.asarray(10 ** (gain_db / 10), np.float32)
    mask = None if blind else _gone(before, after)
    return _example(before, after, mask, bandwidth_hz, offset_db)


def stacked(examples: Sequence[Example]) -> Batch:
    """A batch of the examples."""
    names = ("levels", "flatness", "mask", "truth", "true_flatness", "valid")
    return [
        torch.from_numpy(np.stack([np.asarray(getattr(one, name), np.float32) for one in examples]))
        for name in names
    ]


def loss(net: EnvelopeNetwork, batch: Batch) -> Tensor:
    """Error in dB of levels a window and on average, of flatness, and of the judgement of what is gone."""
    levels, flatness, mask, truth, true_flatness, valid = batch
    said = net(levels, flatness, mask)
    counted = mask * valid
    heard = ((torch.maximum(truth, said.levels_db.detach()) - AUDIBLE_DB + 10) / 20).clamp(0.05, 1.0)
    per_window = _mean((said.levels_db - truth).abs(), counted * heard)
    still = (counted.mean(dim=-1) > 0.5).float()
    mean = _mean((long_term(said.levels_db) - long_term(truth)).abs(), still * heard.mean(dim=-1))
    flat = _mean((said.flatness_db - true_flatness).abs(), counted * heard)
    blind = (mask.sum(dim=(1, 2, 3), keepdim=True) == 0).float()
    gone = ((truth - levels > GONE_DB) & (truth > AUDIBLE_DB)).float()
    # A loss of 2 to 6 dB is neither.
    sure = 1 - ((truth - levels > 2) & (truth - levels <= GONE_DB)).float()
    judged = functional.binary_cross_entropy_with_logits(said.lacking, gone, reduction="none")
    return per_window + mean + 0.2 * flat + 6 * _mean(judged, blind * valid * sure)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


class Validation:
    """The same excerpts each time: cut off, with holes, coded, and whole."""

    def __init__(self, examples: Examples) -> None:
        self._sets: dict[str, Batch] = {}
        wide, every = examples.wide, examples.every
        for cut_hz in FIGURE_CUTS_HZ:
            chosen = []
            for number in np.linspace(0, len(wide.songs) - 1, 24).astype(int):
                one = Music([wide.songs[number]], [wide.bandwidths_hz[number]])
                before = _powers(one.excerpt(np.random.default_rng(int(number)), FRAMES))
                gain_db = end_db("linear", cut_hz, 0.03)
                mask = _still_mask(gain_db, WINDOWS, _Steady())  # type: ignore[arg-type]
                after = before * np.asarray(10 ** (gain_db / 10), np.float32)
                chosen.append(_example(before, after, mask, one.bandwidths_hz[0], 0.0))
            self._sets[f"{cut_hz:.0f}"] = stacked(chosen)
        random = np.random.default_rng(5)
        holes = [
            _holed(_powers(wide.excerpt(random, FRAMES)), random, LEAST_BANDWIDTH_HZ, 0.0, False)
            for _ in range(16)
        ]
        self._sets["holes"] = stacked(holes)
        coded = []
        for path in examples.coded[:24]:
            pair = np.asarray(np.load(path, mmap_mode="r")[..., :FRAMES], np.float32) / 32767
            before, after = _powers(pair[0]), _powers(pair[1])
            coded.append(_example(before, after, _gone(before, after), 16500.0, 0.0))
        self._sets["coded"] = stacked(coded)
        whole = []
        for number in np.linspace(0, len(every.songs) - 1, 32).astype(int):
            one = Music([every.songs[number]], [0.0])
            before = _powers(one.excerpt(np.random.default_rng(int(number)), FRAMES))
            whole.append(_example(before, before, None, 22050.0, 0.0))
        self._sets["whole"] = stacked(whole)

    @torch.no_grad()
    def __call__(self, net: EnvelopeNetwork) -> Mapping[str, float]:
        """Errors in dB by kind, alarms in whole songs, hits in coded ones."""
        figures: dict[str, float] = {}
        for name, batch in self._sets.items():
            levels, flatness, mask, truth, _, valid = batch
            if name in ("whole", "coded"):
                lacking = torch.sigmoid(net(levels, flatness, torch.zeros_like(mask)).lacking)
                found = (lacking > 0.5).float()
                if name == "whole":
                    figures["alarms_percent"] = 100 * float(found.mean())
                    continue
                gone = ((truth - levels > GONE_DB) & (truth > AUDIBLE_DB)).float() * valid
                figures["hits_percent"] = 100 * float((found * gone).sum() / gone.sum())
            said = net(levels, flatness, mask).levels_db.clamp(min=AUDIBLE_DB)
            counted = mask * valid * (truth > AUDIBLE_DB)
            truth = truth.clamp(min=AUDIBLE_DB)
            figures[f"{name}_window_db"] = float(_mean((said - truth).abs(), counted))
            still = (counted.mean(dim=-1) > 0.2).float()
            errors = (long_term(said) - long_term(truth)).abs()
            if name != "coded":
                figures[f"{name}_still_db"] = float(_mean(errors, still))
        names = [name for name in figures if name.endswith("_db")]
        return {**figures, "score": -sum(figures[name] for name in names) / len(names)}


class _Steady:
    """Stands for a generator where nothing is to be drawn."""

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def random(self) -> float:
        return 1.0


def set_statistics(net: EnvelopeNetwork, music: Music, path: Path) -> None:
    """Give the network the mean levels of the songs by band, and how their long-term levels vary together."""
    if not path.exists():
        np.savez(path, allow_pickle=False, **_long_terms(music))
    kept = np.load(path)
    loud = np.maximum(kept["long_term"], -72.0).reshape(len(kept["long_term"]), -1)
    known = np.tile(CENTRES_HZ[None] < 0.97 * kept["bandwidth_hz"][:, None], 2)
    # Songs are compared at one level of their middle.
    loud = loud - loud[:, 8:25].mean(axis=1, keepdims=True) + loud[:, 8:25].mean()
    mean = (loud * known).sum(axis=0) / known.sum(axis=0)
    apart = (loud - mean) * known
    spread = apart.T @ apart / np.maximum(known.T.astype(float) @ known, 1)
    net.usual_db.copy_(torch.from_numpy(np.median(kept["usual"], axis=0)))
    net.mean_db.copy_(torch.from_numpy(mean.reshape(2, BANDS)))
    net.spread_db2.copy_(torch.from_numpy(spread))


def _long_terms(music: Music) -> dict[str, Float64Array]:
    rows: dict[str, list[Float64Array]] = {"long_term": [], "usual": [], "bandwidth_hz": []}
    for number, (song, bandwidth_hz) in enumerate(zip(music.songs, music.bandwidths_hz, strict=True)):
        for part in range(2):
            excerpt = Music([song], [bandwidth_hz]).excerpt(np.random.default_rng([number, part]), FRAMES)
            power = _powers(excerpt)
            levels = levels_db(power, density(power))
            rows["long_term"].append(long_term_db(levels))
            rows["usual"].append(levels.mean(axis=-1))
            rows["bandwidth_hz"].append(np.array(bandwidth_hz))
    return {name: np.stack(values) for name, values in rows.items()}


def _take_over(net: EnvelopeNetwork, kept: Mapping[str, Tensor]) -> None:
    """The weights of a network before the mean above an end was told apart."""
    own = net.state_dict()
    for name, value in kept.items():
        if name == "usual_db":
            own[name].copy_(value)
        elif name.startswith("still"):
            digit = name.split(".")[1]
            mine = own[name if digit == "3" else name.replace(f".{digit}.", f".{int(digit) + 1}.")]
            mine[: len(value)] = value
        else:
            own[name].copy_(value)
    net.load_state_dict(own)


def _fit(arguments: argparse.Namespace) -> None:
    torch.manual_seed(0)
    examples = Examples(arguments.store, arguments.coded, "train")
    net = EnvelopeNetwork(BANDS)
    arguments.run.mkdir(parents=True, exist_ok=True)
    set_statistics(net, examples.wide, arguments.run / "statistics.npz")
    if arguments.start:
        kept = torch.load(arguments.start / "state.pt", weights_only=True)["average"]
        _take_over(net, kept)
    validation = Validation(Examples(arguments.store, arguments.coded, "validation"))
    if not (arguments.run / "state.pt").exists():
        print(
            "untrained", json.dumps({k: round(v, 3) for k, v in validation(net.eval()).items()}), flush=True
        )
    task = Task(examples.batch, loss, validation)
    plan = Plan(arguments.steps, arguments.rate, minutes=arguments.minutes, every=arguments.every)
    train(net, task, replace(plan, averaging=0.995), arguments.run)


if __name__ == "__main__":
    main()
