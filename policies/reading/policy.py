"""The policy that reads the song: what the net moves, and of the band's answer what is then left.

A checkpoint is a folder of three files: `weights.safetensors` (of one net or of several, whose moves are
averaged), `config.json` (their shape, how they were trained, the weights' hash) and `README.md`, the model
card. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mixagent.pipeline.chain.parameters import GRAPHIC_HZ
from mixagent.pipeline.dsp.third_octaves import MUSIC
from mixagent.pipeline.finished.band import judge
from mixagent.pipeline.finished.measures import (
    GROUPS,
    INDEX,
    NARROWEST_DB,
    WIDEST_DB,
    WIDTH_HZ,
    SongMeasures,
    tone_db,
)
from mixagent.pipeline.finished.reasons import reasons_of
from mixagent.pipeline.measure.fingerprint import IMAGE_EDGES_HZ
from mixagent.pipeline.measure.song_bands import BANDS
from mixagent.pipeline.types import Float64Array, FloatArray
from mixagent.policies.band import REPAIRS, RINGS, BandPolicy
from mixagent.policies.base import Context, Decision
from mixagent.policies.checkpoints import load_checkpoint, numbered, save_checkpoint
from mixagent.policies.reading.forward import FrozenReader
from mixagent.policies.reading.summary import Summary, shown

Readers = tuple[FrozenReader, ...]

EXPECTED = {"format": 2, "bands": BANDS}
"""Of a checkpoint's configuration: another is of another version of the net."""

MOST_DB = 18.0
"""Moves of the equaliser end here."""

KNOWN_DB = (0.8, 1.4)
"""Root mean square of the moves of a net that knows nothing of the song's faults, and of one that knows them:
what it does to generated songs and to finished ones stays under the first (docs/training.md)."""

LEAST_DB = 0.25
"""Smaller moves are left out: nobody hears them."""


@dataclass(frozen=True)
class Moves:
    """The moves that a net proposes for a song: third octaves in dB, (28,) each.

    Attributes:
        mid, side, balance: gains, and right against left.
    """

    mid: Float64Array
    side: Float64Array
    balance: Float64Array

    @property
    def unknown(self) -> float:
        """The likelihood of faults that the net does not know, 0..1: less the more it moves."""
        rows = np.stack((self.mid, self.side - self.mid, self.balance))
        size_db = float(np.sqrt(np.mean(np.sum(np.square(rows), axis=0))))
        return float(np.clip((KNOWN_DB[1] - size_db) / (KNOWN_DB[1] - KNOWN_DB[0]), 0.0, 1.0))

    def values(self) -> dict[str, float]:
        """Values of the chain's parameters, without what nobody would hear."""
        rows = (("tone", self.mid), ("width", self.side - self.mid), ("balance", self.balance))
        return {
            f"graphic.{what}_{hz}_db": round(float(gain), 2)
            for what, gains in rows
            if float(np.abs(gains).max()) >= LEAST_DB
            for hz, gain in zip(GRAPHIC_HZ, gains, strict=True)
        }


@dataclass(frozen=True)
class ReadingPolicy:
    """Reads the song's bands; what it leaves outside of finished music the band answers.

    So a net that moves nothing leaves the band's decision as it is, repairs and dynamics among it. A net
    that moves much knows what was done to the song, and what is left is the song's own: there the band only
    repairs.

    Attributes:
        folder: of the checkpoint; None for the shipped one.
    """

    folder: Path | None = None
    name: str = "reading"
    hears_stems: int = 0
    reads_features: bool = False

    def decide(self, context: Context) -> Decision:
        """The settings; the band's for silence, for a voice or instrument alone, or where nothing is read.

        Raises:
            ModelMissingError: the checkpoint cannot be used.
        """
        if context.bands is None or context.measures is None or judge(context.measures).alone:
            return BandPolicy().decide(context)
        readers = _shipped() if self.folder is None else load_readers(self.folder)
        moves = read_moves(readers, context.bands())
        left = BandPolicy().decide(replace(context, measures=moved_measures(context, moves)))
        shares = dict.fromkeys(left.settings.changed(), moves.unknown)
        shares |= {name: 1.0 for name in shares if name.startswith((*REPAIRS, *RINGS))}
        answered = left.settings.scaled(1.0, shares).changed()
        others = {name: value for name, value in answered.items() if not name.startswith("graphic.")}
        graphic = _added(moves, answered).values()
        settings = context.space.settings({**others, **graphic})
        found = reasons_of(judge(context.measures), graphic)
        told = {name: found.get(name, left.reasons.get(name, READ)) for name in settings.changed()}
        return Decision(settings, told)


READ = "the song's bands over time, as the trained net reads them"
"""The reason of a move that answers no finding."""


def read_moves(readers: Readers, bands: FloatArray) -> Moves:
    """The moves for a song, the mean over the nets.

    Args:
        readers: the nets.
        bands: `read_song`, (excerpts, rows, frames).
    """
    summary = Summary.of(bands)
    rows, figures = shown(summary.powers[None], summary.spreads[None]), summary.figures[None]
    answers = [reader.moves(rows, figures)[0] for reader in readers]
    mid, side, balance = np.asarray(np.mean(answers, axis=0, dtype=np.float64))
    return Moves(mid - mid.mean(), side - mid.mean(), balance)  # a gain of all of it is no move


def moved_measures(context: Context, moves: Moves) -> SongMeasures:
    """The song's measures with tone, width and lean after the moves; all else stays."""
    assert context.measures is not None
    values = context.measures.values.copy()
    mid, side = (
        np.array(levels[MUSIC])
        for levels in (context.mix.third_octave_mid_db, context.mix.third_octave_side_db)
    )
    mid, side = mid + moves.mid, side + moves.side
    values[GROUPS["tone"]] = tone_db(mid, side)
    widths = GROUPS["width"]
    width = np.clip(side - mid, NARROWEST_DB, WIDEST_DB)[-len(WIDTH_HZ) :]
    values[widths] = np.where(np.isnan(values[widths]), np.nan, width)
    for low, high in itertools.pairwise(IMAGE_EDGES_HZ):
        inside = (np.array(GRAPHIC_HZ) >= low) & (np.array(GRAPHIC_HZ) < high)
        if inside.any():
            values[INDEX[f"lean_{int(low)}"]] += float(moves.balance[inside].mean())
    return replace(context.measures, values=values)


def _added(moves: Moves, values: Mapping[str, float]) -> Moves:
    """The moves with the band's values on top, within the equaliser's range."""

    def of(what: str) -> Float64Array:
        return np.array([values.get(f"graphic.{what}_{hz}_db", 0.0) for hz in GRAPHIC_HZ])

    mid = np.clip(moves.mid + of("tone"), -MOST_DB, MOST_DB)
    side = np.clip(moves.side + of("tone") + of("width"), -MOST_DB, MOST_DB)
    balance = np.clip(moves.balance + of("balance"), -MOST_DB, MOST_DB)
    return replace(moves, mid=mid, side=side, balance=balance)


# --- checkpoints -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadingCheckpoint:
    """A trained net as it is kept.

    Attributes:
        weights: of each net by name, as in the state of `ReadingNet`.
        shape: the fields of `network.Shape`.
        training: how it was trained, for the record.
        results: what was measured of it, for the record.
    """

    weights: Sequence[Mapping[str, FloatArray]]
    shape: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path, card: str) -> None:
        """Write the three files, see `policies.checkpoints`."""
        tensors = {
            f"{number}.{name}": weight
            for number, weights in enumerate(self.weights)
            for name, weight in weights.items()
        }
        config = {
            **EXPECTED,
            "shape": dict(self.shape),
            "training": dict(self.training),
            "results": dict(self.results),
        }
        save_checkpoint(folder, tensors, config, card)


def load_readers(folder: Path) -> Readers:
    """Load the readers of the checkpoint in a folder.

    Raises:
        ModelMissingError: a file that is missing, damaged, or of another version of this program.
    """
    _, tensors = load_checkpoint(folder, EXPECTED)
    return tuple(map(FrozenReader, numbered(tensors)))


@cache
def _shipped() -> Readers:
    with resources.as_file(resources.files("mixagent.checkpoints").joinpath("reading")) as folder:
        return load_readers(folder)
