"""The policy that reads the song: what the net moves, and of the band's answer what is then left.

A checkpoint is a folder of three files: `weights.safetensors`, `config.json` (the net's shape, how it
was trained, the weights' hash) and `README.md`, the model card. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from mixagent.envs.degradation.fields import moved
from mixagent.pipeline.diagnosis import Diagnosis
from mixagent.pipeline.dsp.equaliser import Filter, band_filters
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.finished.answers import answer
from mixagent.pipeline.finished.band import judge
from mixagent.pipeline.finished.measures import (
    INDEX,
    NARROWEST_DB,
    TONE_HZ,
    WIDEST_DB,
    WIDTH_HZ,
    SongMeasures,
    tone_db,
)
from mixagent.pipeline.finished.reasons import reasons_of
from mixagent.pipeline.fingerprint import IMAGE_EDGES_HZ
from mixagent.pipeline.parameters import BELLS, EQ_BANDS, GRAPHIC_HZ, Settings
from mixagent.pipeline.song_bands import BANDS, CENTRES_HZ, EDGES_HZ, SongBands
from mixagent.policies.base import Context, Decision
from mixagent.policies.reading.ends import NO_END, highest_bands
from mixagent.policies.reading.forward import FrozenReader
from mixagent.policies.rules import RulePolicy

Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "weights.safetensors", "README.md"
MOST_DB = 18.0
"""Moves of the equaliser end here, softly."""

EXTENSION_OFF_DB, EXTENSION_STEP_DB = -24.0, 10.0
"""The level of the extension at 0, where it is off, and its step."""

LEAST_EXTENSION_DB = -16.0
LEAST_DB = 0.25
"""Smaller moves are left out: nobody hears them."""


@dataclass(frozen=True)
class Moves:
    """What a net would do about a song: moves of third octaves in dB, (28,) each.

    Attributes:
        mid, side, balance: gains, and right against left.
        extend_from_hz: where the highs end early; None where they do not or nothing is to be added.
        extend_db: level of what is added there against the slope below.
    """

    mid: Float64Array
    side: Float64Array
    balance: Float64Array
    extend_from_hz: float | None = None
    extend_db: float = 0.0

    def values(self) -> dict[str, float]:
        """Values of the chain's parameters, without what nobody would hear."""
        rows = (("tone", self.mid), ("width", self.side - self.mid), ("balance", self.balance))
        values = {
            f"graphic.{what}_{hz}_db": round(float(gain), 2)
            for what, gains in rows
            if float(np.abs(gains).max()) >= LEAST_DB
            for hz, gain in zip(GRAPHIC_HZ, gains, strict=True)
        }
        if self.extend_from_hz is not None:
            values |= {
                "master.extend_from_hz": round(self.extend_from_hz, 1),
                "master.extend_db": round(self.extend_db, 2),
            }
        return values


@dataclass(frozen=True)
class ReadingPolicy:
    """Reads the song's bands over time; what it leaves outside of finished music the band answers.

    Attributes:
        folder: of the checkpoint; None for the shipped one.
        rest: share of the band's answer to what the net's moves leave, 0..1.
    """

    folder: Path | None = None
    rest: float = 1.0
    first: tuple[str, ...] = ("master.*",)
    filled: bool = True
    extend: bool = False
    name: str = "reading"
    hears_stems: bool = False

    def decide(self, context: Context) -> Decision:
        """The settings; neutral for silence or where the song's bands were not measured."""
        if context.bands is None or not math.isfinite(context.mix.integrated_lufs):
            return Decision(context.space.settings(), {})
        ruled = RulePolicy().decide(context)
        first = {name: v for name, v in ruled.settings.changed().items() if fnmatch_any(name, self.first)}
        bands = after_settings(context.bands, context.space.settings(first), context.diagnosis, self.filled)
        moves = read_moves(_shipped() if self.folder is None else load_reader(self.folder), bands)
        if not self.extend:
            moves = replace(moves, extend_from_hz=None)
        reasons: dict[str, str] = dict(ruled.reasons)
        if context.measures is not None and self.rest > 0:
            left = judge(moved_measures(context, moves))
            values = {name: self.rest * value for name, value in answer(left).values.items()}
            moves = _added(moves, values)
            graphic = {name: v for name, v in moves.values().items() if name.startswith("graphic.")}
            reasons = {**reasons, **reasons_of(judge(context.measures), graphic)}
        values = {**first, **moves.values()}
        values = {name: value for name, value in values.items() if name in context.space}
        settings = context.space.settings(values).without_idle()
        return Decision(settings, {name: reasons.get(name, READ) for name in settings.changed()})


READ = "the song's bands over time, as the trained net reads them"
"""The reason of a move that answers no finding."""


def read_moves(reader: FrozenReader, bands: Array) -> Moves:
    """The net's moves for a song: the mean over its excerpts, the extension where most of them end early.

    Args:
        reader: the net.
        bands: `read_song`, (excerpts, rows, frames).
    """
    answers, others = reader.moves(bands, np.zeros((len(bands), 3, len(GRAPHIC_HZ)), np.float32))
    mid, side, balance = np.mean(MOST_DB * np.tanh(answers.astype(np.float64) / MOST_DB), axis=0)
    powers = np.mean(10 ** (bands[:, :BANDS] / 10) + 10 ** (bands[:, BANDS : 2 * BANDS] / 10), axis=-1)
    ends = highest_bands(powers)
    level_db = EXTENSION_OFF_DB + EXTENSION_STEP_DB * float(others[:, 0].mean())
    end = int(np.median(ends))
    if end == NO_END or level_db < LEAST_EXTENSION_DB:
        return Moves(mid, side, balance)
    return Moves(mid, side, balance, EDGES_HZ[end + 1], min(level_db, 12.0))


def fnmatch_any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


_RATE = 44100
_GAP_OCTAVES = 0.2


def after_settings(bands: Array, settings: Settings, diagnosis: Diagnosis, filled: bool) -> Array:
    """The bands as the rules' static moves leave them: balance, equalisers, filled gaps, width.

    Args:
        bands: `read_song`.
        settings: of which balance, width, equaliser, bells and gap filling are looked at.
        diagnosis: says where the gaps are.
        filled: whether gaps are.
    """
    master = settings.section("master")
    hz = np.array(CENTRES_HZ)
    gain_db = np.zeros(BANDS)
    gains_db = tuple(master[f"eq_{name}_db"] for name in EQ_BANDS)
    filters = band_filters(gains_db, _RATE) if any(gains_db) else ()
    bells = (
        Filter("bell", master[f"bell_{n}_hz"], master[f"bell_{n}_db"], master[f"bell_{n}_q"])
        for n in range(1, BELLS + 1)
    )
    for each in (*filters, *bells):
        if each.gain_db != 0:
            gain_db += each.response_db(hz, _RATE)
    holes = diagnosis.finding("holes")
    if filled and holes is not None and master["gap_fill_db"] > 0:
        for k in range(int(holes.values.get("gap_count", 0))):
            away = np.abs(np.log2(hz / max(holes.values[f"gap_{k}_hz"], 1.0)))
            gain_db += np.where(away <= _GAP_OCTAVES, min(holes.values[f"gap_{k}_db"], master["gap_fill_db"]), 0.0)
    side_db = gain_db + 20 * np.log10(max(master["width"], 1e-3))
    if not (gain_db.any() or side_db.any() or master["balance_db"]):
        return bands
    balance_db = np.full((BANDS, 1), master["balance_db"])
    parts = [moved(SongBands.of(part), gain_db[:, None], side_db[:, None], balance_db) for part in bands]
    return np.stack([part.stacked() for part in parts])


def moved_measures(context: Context, moves: Moves) -> SongMeasures:
    """What the song would measure in tone, width and lean after the moves; all else stays."""
    assert context.measures is not None
    values = context.measures.values.copy()
    mid, side = (
        np.array(levels[1:29]) for levels in (context.mix.third_octave_mid_db, context.mix.third_octave_side_db)
    )
    mid, side = mid + moves.mid, side + moves.side
    values[[INDEX[f"tone_{hz:.0f}"] for hz in TONE_HZ]] = tone_db(mid, side)
    widths = [INDEX[f"width_{hz:.0f}"] for hz in WIDTH_HZ]
    width = np.clip(side - mid, NARROWEST_DB, WIDEST_DB)[-len(WIDTH_HZ) :]
    values[widths] = np.where(np.isnan(values[widths]), np.nan, width)
    for low, high in zip(IMAGE_EDGES_HZ, IMAGE_EDGES_HZ[1:], strict=False):
        inside = (np.array(GRAPHIC_HZ) >= low) & (np.array(GRAPHIC_HZ) < high)
        if inside.any():
            values[INDEX[f"lean_{low:.0f}"]] += float(moves.balance[inside].mean())
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
        weights: by name, as in the state of `ReadingNet`.
        shape: the fields of `network.Shape`.
        training: how it was trained, for the record.
        results: what was measured of it, for the record.
    """

    weights: Mapping[str, Array]
    shape: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path, card: str) -> None:
        """Write the three files; the configuration, which names the weights' hash, goes last."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(w) for name, w in self.weights.items()}, folder / WEIGHTS)
        (folder / CARD).write_text(card, encoding="utf-8")
        config = {
            "format": FORMAT,
            "weights_sha256": _digest((folder / WEIGHTS).read_bytes()),
            "bands": BANDS,
            "shape": dict(self.shape),
            "training": dict(self.training),
            "results": dict(self.results),
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def load_reader(folder: Path) -> FrozenReader:
    """What decides with the checkpoint in a folder.

    Raises:
        ModelMissingError: a file that is missing, damaged, or of another version of this program.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        data = (folder / WEIGHTS).read_bytes()
    except (OSError, ValueError) as error:
        raise _unusable(folder, f"it cannot be read ({error})") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT or config.get("bands") != BANDS:
        raise _unusable(folder, "it is of another version of mixagent")
    if _digest(data) != config.get("weights_sha256"):
        raise _unusable(folder, f"{WEIGHTS} is not the file that {CONFIG} was written for")
    try:
        return FrozenReader(load(data))
    except SafetensorError as error:
        raise _unusable(folder, f"{WEIGHTS} is damaged") from error


@cache
def _shipped() -> FrozenReader:
    with resources.as_file(resources.files("mixagent.checkpoints").joinpath("reading")) as folder:
        return load_reader(folder)


def _unusable(folder: Path, why: str) -> ModelMissingError:
    return ModelMissingError(f"the net in {folder} cannot be used: {why}; choose --policy band, or train it again")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
