"""Train the network that splits an accompaniment into drums, bass and other.

    python scripts/train_splitter.py prepare SONGS... --to STORE
    python scripts/train_splitter.py fit --store STORE --to RUN [--steps 3000] [--seed 0]
    python scripts/train_splitter.py report --store STORE --run RUN
    python scripts/train_splitter.py ship --run RUN --to checkpoints/splitter

SONGS are folders of rendered songs (`scripts/render_multitracks.py`), each a folder with a FLAC a stem
and song.json. Every eighth composition, drawn by its name, is kept for validation. A training example
is a mix of 4 s: the stems of one song, or of several, with their gain, tone, place, speed, overdrive, bus
compression and bandwidth drawn anew, and now and then with what a voice has left in it. Every step draws
from its own number, so a killed run goes on from its last checkpoint as if it had not been killed.
`--from` goes on from another run's weights, also from those of a network that lacks some of this one's
parts.

The loss needs no waveforms. With one real matrix W for a band of a frame, the error of a stem S in the mix X
is sum |S|² − 2 sum_i W_i Re sum S X_i* + sum_ij W_i W_j Re sum X_i X_j* over the band's bins, and these sums
are all that is kept, but for the low bins, whose spectra are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from augmentation import driven, leaked_voice
from numba import njit
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from mixagent.pipeline.decibels import amplitudes_to_db, db_to_amplitude, db_to_power
from mixagent.pipeline.separation.embedded import SPLITTER_VERSION
from mixagent.pipeline.separation.splitter_network import (
    BANDS,
    EDGES,
    LOW,
    STEM_NAMES,
    SplitterNetwork,
    features,
    weighted_taps,
)
from mixagent.pipeline.types import FloatArray

RATE, HOP = 44100, 1024
FRAMES = 172
"""Of an example: 4 s."""

LONG_FRAMES = 344
"""Of an excerpt for validation: 8 s."""

DECAY = 0.65
"""Share of the steps over which the learning rate falls: up to there, a run can be made longer or shorter."""

AVERAGE = 0.998
"""The shipped weights are this moving average of the trained ones."""

KEPT = 16
"""Excerpts that mixes are made of at a step."""

DRIVEN_SHARE = (0.0, 0.3, 0.2)
"""How often a stem is overdriven."""

LEAKED_SHARE = 0.2
"""How often a voice has left something, which belongs to other."""

_SCALE = 2 / (4 * HOP * 1.5 * HOP)
"""Of a bin's power. Parseval: the powers of all bands of a frame sum to the window's mean power."""

AMPLITUDE_WEIGHT = 0.5
"""Of the error's amplitude in the loss."""

Random = np.random.Generator


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="rendered songs as arrays that can be read at any place")
    prepare.add_argument("songs", nargs="+", type=Path)
    prepare.add_argument("--to", required=True, type=Path)
    fit = commands.add_parser("fit", help="train, or go on training")
    fit.add_argument("--store", required=True, type=Path)
    fit.add_argument("--to", required=True, type=Path)
    fit.add_argument("--steps", type=int, default=3000)
    fit.add_argument("--seed", type=int, default=0)
    fit.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    fit.add_argument("--mixes", type=int, default=4, help="of a step")
    fit.add_argument("--from", dest="start", type=Path, help="a run whose averaged weights are the start")
    fit.add_argument("--every", type=int, default=150, help="steps between checkpoints and measurements")
    report = commands.add_parser("report", help="what the checkpoint reaches on the compositions kept back")
    report.add_argument("--store", required=True, type=Path)
    report.add_argument("--run", required=True, type=Path)
    ship = commands.add_parser("ship", help="the averaged weights and their configuration")
    ship.add_argument("--run", required=True, type=Path)
    ship.add_argument("--to", required=True, type=Path)
    ship.add_argument("--share", type=float, default=1.0, help="of the run's weights in a mean with --with's")
    ship.add_argument("--with", dest="beside", type=Path, help="a run that keeps what this one forgot")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.command == "prepare":
        prepare_songs(arguments.songs, arguments.to)
    elif arguments.command == "fit":
        trainer = Trainer.of(arguments.store, arguments.to, arguments.steps, arguments.seed, arguments.rate)
        trainer.mixes = arguments.mixes
        if arguments.start and not trainer.step:
            trainer.begin_with(arguments.start)
        trainer.run(arguments.every)
    elif arguments.command == "report":
        print_report(arguments.store, arguments.run)
    else:
        ship_weights(arguments.run, arguments.to, arguments.share, arguments.beside)


# --- songs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Song:
    """The stems of a song on disk, int16 (3, 2, samples), and each one's RMS where it plays."""

    name: str
    stems: NDArray[np.int16]
    rms: FloatArray

    @classmethod
    def read(cls, path: Path) -> Song:
        """A song of the store."""
        stems = np.load(path, mmap_mode="r")
        rms = np.array(json.loads(path.with_suffix(".json").read_text())["rms"], np.float32)
        return cls(path.stem, stems, rms)

    @property
    def hops(self) -> int:
        """Its length."""
        return int(self.stems.shape[2]) // HOP


def prepare_songs(folders: Sequence[Path], store: Path) -> None:
    """Write the songs that the store lacks; validation songs go to a folder of their own."""
    for described in sorted(path for folder in folders for path in folder.glob("*/song.json")):
        piece = str(json.loads(described.read_text())["piece"])
        split = "validation" if is_kept_back(piece) else "train"
        path = store / split / f"{described.parent.name}.npy"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        stems = _three_stems(described.parent)
        rms = [_playing_rms(stem) for stem in stems]
        path.with_suffix(".json").write_text(json.dumps({"piece": piece, "rms": rms}))
        with path.with_suffix(".partial").open("wb") as file:
            np.save(file, np.round(np.clip(stems, -1, 1) * 32767).astype(np.int16))
        path.with_suffix(".partial").rename(path)


def is_kept_back(piece: str) -> bool:
    """True if a composition is for validation."""
    return zlib.crc32(piece.encode()) % 8 == 0


def _three_stems(folder: Path) -> FloatArray:
    read = {
        path.stem: np.ascontiguousarray(soundfile.read(path, dtype="float32")[0].T)
        for path in sorted(folder.glob("*.flac"))
    }
    silence = np.zeros_like(next(iter(read.values())))
    rest = [samples for name, samples in read.items() if name not in ("drums", "bass")]
    other = np.sum(rest, axis=0) if rest else silence
    return np.stack((read.get("drums", silence), read.get("bass", silence), other))


def _playing_rms(stem: FloatArray) -> float:
    power = np.square(stem[:, : stem.shape[1] // RATE * RATE]).reshape(2, -1, RATE).mean(axis=(0, 2))
    return float(np.sqrt(power[power >= 0.01 * power.max()].mean())) if power.any() else 0.0


# --- examples --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """What the network hears of a mix and what the loss needs.

    Attributes:
        powers: of the mix's left, right, mid and side, (4, BANDS, frames).
        own: power of each stem, (3, 2, BANDS, frames).
        shared: real part of each stem's left and right times the mix's, (3, 2, 2, BANDS, frames).
        low: spectrum of each stem, complex (3, 2, LOW, frames), whose squares are powers.
    """

    powers: FloatArray
    own: FloatArray
    shared: FloatArray
    low: NDArray[np.complex64]

    @classmethod
    def of(cls, stems: NDArray[np.complex64], gains: FloatArray) -> Example:
        """Of the spectra of stems (3, 2, bins, frames) with gains (3, 2, BANDS)."""
        low = stems[:, :, :LOW] * (gains[:, :, :LOW, None] * np.float32(_SCALE**0.5))
        return cls(*band_sums(stems, gains, EDGES), low)

    def scaled(self, gain: FloatArray) -> Example:
        """All powers times a gain that broadcasts to (BANDS, frames)."""
        low = self.low * np.sqrt(np.broadcast_to(gain, self.powers.shape[1:])[:LOW])
        return Example(self.powers * gain, self.own * gain, self.shared * gain, low)


@dataclass
class Excerpts:
    """The latest excerpts: each step draws one and mixes it, and its stems, with those that it finds."""

    songs: Sequence[Song]
    seed: int
    kept: dict[int, tuple[NDArray[np.complex64], FloatArray]] = field(default_factory=dict)

    def batch(self, step: int, mixes: int) -> list[Example]:
        """Mixes of one song, the step's own first, and as many of stems from anywhere."""
        numbers = range(max(step - KEPT + 1, 0), step + 1)
        self.kept = {number: self.kept.get(number) or self._drawn(number) for number in numbers}
        random = np.random.default_rng([self.seed, step, 1])
        examples = []
        for place in range(mixes):
            coherent = place % 2 == 0
            sources = np.full(3, step) if place == 0 else random.choice(numbers, 1 if coherent else 3)
            sources = np.broadcast_to(sources, 3)
            stems = np.stack([self.kept[int(source)][0][stem] for stem, source in enumerate(sources)])
            rms = np.array([self.kept[int(source)][1][stem] for stem, source in enumerate(sources)])
            even = -amplitudes_to_db(np.maximum(rms, 1e-4)) + np.array([0.0, -2.0, 0.0])
            gains = random.normal(0, 2.5, 3) if coherent else even + random.normal(0, 4.0, 3)
            examples.append(_mixed(stems, gains, random))
        return examples

    def _drawn(self, number: int) -> tuple[NDArray[np.complex64], FloatArray]:
        random = np.random.default_rng([self.seed, number, 0])
        song = self.songs[int(random.integers(len(self.songs)))]
        return spectra(_excerpt(song, random)), song.rms


def _excerpt(song: Song, random: Random) -> FloatArray:
    """Four seconds of a song's stems, float32 (3, 2, samples), at a drawn speed, drive and width."""
    speed = random.uniform(0.8, 1.25) if random.random() < 0.7 else 1.0
    needed = (FRAMES - 1) * HOP
    length = min(round(needed * speed) + 64, song.stems.shape[2])
    start = int(random.integers(song.stems.shape[2] - length + 1))
    stems = song.stems[..., start : start + length].astype(np.float32) / 32768
    if speed != 1.0:
        flat = stems.reshape(6, -1).T
        stems = np.ascontiguousarray(soxr.resample(flat, speed, 1.0, "LQ").T).reshape(3, 2, -1)
    for stem, share in zip(stems, DRIVEN_SHARE, strict=True):
        if random.random() < share:
            stem[:] = driven(stem, random)
        _widen(stem, random)
    if random.random() < LEAKED_SHARE:
        level = db_to_amplitude(random.uniform(-26, -8)) * np.sqrt(np.mean(np.square(stems.sum(axis=0))))
        stems[2] += np.float32(level) * leaked_voice(stems.shape[2], random)
    lacking = max(needed - stems.shape[2], 0)
    return np.pad(stems[..., :needed], ((0, 0), (0, 0), (0, lacking)))


def _widen(stem: FloatArray, random: Random) -> None:
    """Another width, sides swapped, in place."""
    if random.random() < 0.5:
        stem[:] = stem[::-1].copy()
    if random.random() < 0.4:
        side = (stem[0] - stem[1]) * np.float32((random.uniform(0, 1.4) - 1) / 2)
        stem[0] += side
        stem[1] -= side


def spectra(stems: FloatArray) -> NDArray[np.complex64]:
    """Stems (n, 2, samples) to (n, 2, bins, frames)."""
    found = torch.stft(
        torch.from_numpy(np.ascontiguousarray(stems)).flatten(0, 1),
        4 * HOP,
        HOP,
        window=torch.hann_window(4 * HOP),
        pad_mode="constant",
        return_complex=True,
    )
    return np.asarray(found.reshape(len(stems), 2, *found.shape[1:]).numpy())


def _mixed(stems: NDArray[np.complex64], gains_db: NDArray[np.float64], random: Random) -> Example:
    """One mix of the three stems' spectra, with tone, place, compression and bandwidth drawn."""
    gain_db = gains_db[:, None, None] + np.stack([_tone_db(random) for _ in STEM_NAMES])[:, None]
    gain_db = gain_db + np.clip(random.normal(0, (0.7, 0.3, 1.5)), -4, 4)[:, None, None] * [[[1], [-1]]]
    gain_db[random.random(3) < 0.05] = -200.0
    polarity = random.choice((-1, 1), (3, 1, 1))
    example = Example.of(stems, (polarity * db_to_amplitude(gain_db)).astype(np.float32))
    loudness = (example.powers[0] + example.powers[1]).sum(axis=0)
    level = max(float(loudness.mean()) / 2, 1e-12)
    gain = _compression(loudness, random) * db_to_power(random.normal(0, 3)) / level
    return example.scaled(_bandwidth(random) * gain.astype(np.float32))


def _tone_db(random: Random) -> NDArray[np.float64]:
    """A drawn equaliser: a tilt and three bells, in dB by band."""
    if random.random() < 0.3:
        return np.zeros(BANDS)
    place = np.linspace(-1, 1, BANDS)
    tone = random.normal(0, 2) * place
    for _ in range(3):
        tone = tone + random.normal(0, 3) * np.exp(-(((place - random.uniform(-1, 1)) / 0.25) ** 2))
    return np.asarray(tone)


def _compression(loudness: FloatArray, random: Random) -> FloatArray:
    """A bus compressor's gain, as power, by frame."""
    if random.random() < 0.5:
        return np.ones_like(loudness)
    smooth = np.convolve(np.pad(loudness, 2, mode="edge"), np.full(5, 0.2, np.float32), "valid")
    over = np.maximum(smooth / max(float(loudness.mean()), 1e-12), 1e-2)
    return np.asarray(over ** -random.uniform(0, 0.6), np.float32)


def _bandwidth(random: Random) -> FloatArray:
    """1 below a drawn cut-off and 0 above, (BANDS, 1)."""
    kept = np.ones((BANDS, 1), np.float32)
    if random.random() < 0.2:
        bins = random.uniform(3000, 20000) / (RATE / (4 * HOP))
        kept[EDGES[:-1] > bins] = 0
    return kept


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def band_sums(
    stems: NDArray[np.complex64], gains: FloatArray, edges: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The sums of `Example` for stems (3, 2, bins, frames) with gains (3, 2, BANDS)."""
    frames, bands = stems.shape[3], len(edges) - 1
    powers = np.zeros((4, bands, frames), np.float32)
    own = np.zeros((3, 2, bands, frames), np.float32)
    shared = np.zeros((3, 2, 2, bands, frames), np.float32)
    scale = np.float32(_SCALE)
    for band in range(bands):
        for k in range(edges[band], edges[band + 1]):
            for t in range(frames):
                left = np.complex64(0)
                right = np.complex64(0)
                for stem in range(3):
                    left += stems[stem, 0, k, t] * gains[stem, 0, band]
                    right += stems[stem, 1, k, t] * gains[stem, 1, band]
                powers[0, band, t] += scale * (left.real**2 + left.imag**2)
                powers[1, band, t] += scale * (right.real**2 + right.imag**2)
                mid, difference = left + right, left - right
                powers[2, band, t] += scale * np.float32(0.25) * (mid.real**2 + mid.imag**2)
                powers[3, band, t] += scale * np.float32(0.25) * (difference.real**2 + difference.imag**2)
                for stem in range(3):
                    for side in range(2):
                        s = stems[stem, side, k, t] * gains[stem, side, band]
                        own[stem, side, band, t] += scale * (s.real**2 + s.imag**2)
                        shared[stem, side, 0, band, t] += scale * (s.real * left.real + s.imag * left.imag)
                        shared[stem, side, 1, band, t] += scale * (s.real * right.real + s.imag * right.imag)
    return powers, own, shared


# --- training --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Examples, stacked."""

    powers: Tensor
    own: Tensor
    shared: Tensor
    low: Tensor

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Batch:
        """In their order."""
        names = ("powers", "own", "shared", "low")
        return cls(*(torch.from_numpy(np.stack([getattr(e, name) for e in examples])) for name in names))

    def split_by(self, network: SplitterNetwork) -> tuple[Tensor, Tensor]:
        """The network's matrices and weights for the mixes."""
        matrices, weights = network(self.powers, self.low.sum(1))
        return matrices, weights

    def errors(self, matrices: Tensor, weights: Tensor | None = None) -> Tensor:
        """Power of each stem's error, (batch, 3, 2, BANDS, frames)."""
        left, right, mid, side = (self.powers[:, None, None, index, LOW:] for index in range(4))
        a, b = matrices[:, :, :, 0, LOW:], matrices[:, :, :, 1, LOW:]
        given = a * a * left + b * b * right + 2 * a * b * (mid - side)
        shared = self.shared[..., LOW:, :]
        wrong = self.own[..., LOW:, :] - 2 * (a * shared[:, :, :, 0] + b * shared[:, :, :, 1]) + given
        mix = self.low.sum(1)
        made = (matrices[..., :LOW, :] * mix[:, None, None]).sum(3)
        missed = self.low - (made if weights is None else made + weighted_taps(weights, mix))
        return torch.cat((missed.real**2 + missed.imag**2, wrong.clamp(min=0)), 3)

    def loss(self, matrices: Tensor, weights: Tensor) -> Tensor:
        """Mean over stems of log error power, and of the error's amplitude in each band of each frame.

        The first is what SDR measures. The second also counts what is weak, as ears do.
        """
        wrong = self.errors(matrices, weights)
        mix = self.powers[:, None, :2]
        everything = mix.sum((2, 3, 4))
        ratio = (wrong.sum((2, 3, 4)) + 1e-3 * everything) / (self.own.sum((2, 3, 4)) + 1e-2 * everything)
        amplitude = (wrong + 1e-8).sqrt().sum((2, 3, 4)) / (mix + 1e-8).sqrt().sum((2, 3, 4))
        return ratio.log().mean() + AMPLITUDE_WEIGHT * amplitude.mean()

    def sdr_db(self, matrices: Tensor, weights: Tensor | None = None) -> list[float]:
        """SDR of the stems of one example; NaN for one 30 dB and more below the mix."""
        wrong, true = self.errors(matrices, weights).sum((0, 2, 3, 4)), self.own.sum((0, 2, 3, 4))
        heard = true > 1e-3 * self.powers[:, :2].sum()
        sdr = 10 * torch.log10(true / wrong.clamp(min=1e-12))
        return [float(x) for x in torch.where(heard, sdr, torch.nan)]

    def best_shares(self) -> Tensor:
        """The best shares 0..1 that there are, as matrices."""
        sides = [
            self.shared[:, :, side, side] / self.powers[:, None, side].clamp(min=1e-12) for side in (0, 1)
        ]
        return torch.diag_embed(torch.stack(sides, -1).clamp(0, 1)).movedim((-2, -1), (2, 3))


@dataclass
class Trainer:
    """A network in training, with all that its checkpoint holds."""

    network: SplitterNetwork
    average: SplitterNetwork
    optimiser: torch.optim.AdamW
    excerpts: Excerpts
    validation: list[Song]
    folder: Path
    steps: int
    seed: int
    highest_rate: float
    mixes: int = 4
    step: int = 0
    began_with: str = ""

    @classmethod
    def of(cls, store: Path, folder: Path, steps: int, seed: int, highest_rate: float) -> Trainer:
        """From the folder's checkpoint where there is one, else new."""
        torch.manual_seed(seed)
        songs, validation = read_store(store, "train"), read_store(store, "validation")
        network, average = (SplitterNetwork().to(memory_format=torch.channels_last) for _ in range(2))
        optimiser = torch.optim.AdamW(network.parameters(), highest_rate, weight_decay=1e-2)
        excerpts = Excerpts(songs, seed)
        trainer = cls(network, average, optimiser, excerpts, validation, folder, steps, seed, highest_rate)
        if (folder / "state.pt").exists():
            trainer._restore()
        else:
            trainer._standardise()
        return trainer

    def run(self, every: int) -> None:
        """Train to the last step, with a checkpoint and a line of the log every so often."""
        self.folder.mkdir(parents=True, exist_ok=True)
        began, losses = time.monotonic(), []
        while self.step < self.steps:
            losses.append(self._advance())
            if self.step % 25 == 0:
                print(f"{self.step} {np.mean(losses[-25:]):.4f}", file=sys.stderr, flush=True)
            if self.step % every == 0 or self.step == self.steps:
                self._save()
                line = {
                    "step": self.step,
                    "loss": round(float(np.mean(losses)), 4),
                    "minutes": round((time.monotonic() - began) / 60, 1),
                    "sdr_db": {
                        k: round(float(v), 2) for k, v in measure(self.average, self.validation).items()
                    },
                }
                losses = []
                with (self.folder / "log.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
                print(json.dumps(line), file=sys.stderr, flush=True)

    def _advance(self) -> float:
        batch = Batch.of(self.excerpts.batch(self.step, self.mixes))
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.network.train()
        loss = batch.loss(*batch.split_by(self.network))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        self.step += 1
        self._average()
        return float(loss.detach())

    def _rate(self) -> float:
        """Up over 100 steps, level, and down to nothing over the last `DECAY` of them."""
        left = (self.steps - self.step) / (DECAY * self.steps)
        return self.highest_rate * min((self.step + 1) / 100, left, 1.0)

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(AVERAGE, self.step / (self.step + 10))
        for name, value in self.average.state_dict().items():
            new = self.network.state_dict()[name]
            value.copy_(value * keep + new * (1 - keep) if value.is_floating_point() else new)

    def begin_with(self, run: Path) -> None:
        """Another run's averaged weights; what they lack stays as it is."""
        weights = _averaged(run)
        for network in (self.network, self.average):
            mine = network.state_dict()
            network.load_state_dict(mine | {name: weights[name] for name in mine.keys() & weights.keys()})
        self.average.load_state_dict(self.network.state_dict())
        self.began_with = run.name

    @torch.no_grad()
    def _standardise(self) -> None:
        drawn = (self.excerpts.batch(4 * number, 4) for number in range(6))
        heard = features(torch.cat([Batch.of(examples).powers for examples in drawn]))
        for network in (self.network, self.average):
            network.mean.copy_(heard.mean((0, 3))[..., None])
            network.spread.copy_(heard.std((0, 3))[..., None].clamp(min=0.2))

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "began_with": self.began_with,
        }
        torch.save(state, self.folder / "state.partial")
        (self.folder / "state.partial").rename(self.folder / "state.pt")
        described = {
            "steps": self.steps,
            "step": self.step,
            "seed": self.seed,
            "songs": len(self.excerpts.songs),
            "began_with": self.began_with,
        }
        (self.folder / "run.json").write_text(json.dumps(described))

    def _restore(self) -> None:
        state = torch.load(self.folder / "state.pt", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.began_with = state["step"], state.get("began_with", "")


def read_store(store: Path, split: str) -> list[Song]:
    """The songs of a split that are long enough, by name."""
    songs = [Song.read(path) for path in sorted((store / split).glob("*.npy"))]
    return [song for song in songs if song.hops > LONG_FRAMES]


def excerpts(song: Song, count: int = 3) -> Iterator[Example]:
    """Eight-second excerpts at even places, as they are but for their level."""
    for start in np.linspace(0, song.hops - LONG_FRAMES, count + 2)[1:-1]:
        first = int(start) * HOP
        stems = song.stems[..., first : first + (LONG_FRAMES - 1) * HOP].astype(np.float32) / 32768
        example = Example.of(spectra(stems), np.ones((3, 2, BANDS), np.float32))
        level = max(float((example.powers[0] + example.powers[1]).sum(axis=0).mean()) / 2, 1e-12)
        yield example.scaled(np.full((1, 1), 1 / level, np.float32))


@torch.no_grad()
def measure(network: SplitterNetwork, songs: Sequence[Song]) -> dict[str, float]:
    """Median SDR over excerpts of each stem, and of the best shares there are, in dB."""
    network.eval()
    found: dict[str, list[float]] = {}
    for song in songs:
        for example in excerpts(song):
            batch = Batch.of([example])
            for prefix, given in (("", batch.split_by(network)), ("ideal ", (batch.best_shares(),))):
                for stem, sdr in zip(STEM_NAMES, batch.sdr_db(*given), strict=True):
                    if np.isfinite(sdr):
                        found.setdefault(prefix + stem, []).append(sdr)
    return {name: float(np.median(values)) for name, values in found.items()}


def print_report(store: Path, run: Path) -> None:
    """A table of the run's result on the compositions kept back."""
    network = SplitterNetwork()
    network.load_state_dict(_averaged(run))
    songs = read_store(store, "validation")
    measured = measure(network, songs)
    print(f"{len(songs)} songs, {3 * len(songs)} excerpts of 8 s\n")
    print("| stem | SDR dB | ideal shares dB |\n|---|---|---|")
    for stem in STEM_NAMES:
        print(f"| {stem} | {measured[stem]:.1f} | {measured['ideal ' + stem]:.1f} |")


def _averaged(run: Path) -> dict[str, Tensor]:
    """The averaged weights of a run's checkpoint."""
    return dict(torch.load(run / "state.pt", weights_only=True)["average"])


def ship_weights(run: Path, to: Path, share: float = 1.0, beside: Path | None = None) -> None:
    """Write weights.safetensors and config.json, which names their hash.

    With a second run, the weights are the mean of both, in which the first has `share`: it keeps what the
    first forgot of the second (M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
    Filters are in 16 bits. What normalises is not: a variance can be more than 16 bits hold.
    """
    to.mkdir(parents=True, exist_ok=True)
    average = _averaged(run)
    if beside:
        average = {
            k: v.lerp(average[k], share) if v.is_floating_point() else v for k, v in _averaged(beside).items()
        }
    kept = {k: (v.half() if v.ndim > 2 else v).contiguous() for k, v in average.items()}
    save_file(kept, to / "weights.safetensors")
    config = {
        "version": SPLITTER_VERSION,
        "stems": list(STEM_NAMES),
        "bands": BANDS,
        "parameters": sum(value.numel() for value in kept.values()),
        "weights_sha256": hashlib.sha256((to / "weights.safetensors").read_bytes()).hexdigest(),
        "run": json.loads((run / "run.json").read_text()) | ({"share": share} if beside else {}),
    }
    (to / "config.json").write_text(json.dumps(config, indent=1) + "\n")


if __name__ == "__main__":
    main()
