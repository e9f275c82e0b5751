"""Hydrogen drum kits (folders of samples with a drumkit.xml) played from General MIDI drum notes.

The kits number their pads as they like, so a note finds its pad by words in the pad's name. Samples are
pitched and panned as recorded; velocity picks the layer and the level, and an open hi-hat is choked by
a closed one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import soundfile
import soxr
from midi import Score

from mixagent.pipeline.types import FloatArray

RATE = 44100


WORDS: Sequence[tuple[str, str]] = (
    ("closed_hat", r"(hat|hh).*(cl|tip|shank)|(closed|cl|chh).*(hat|hh)|\bchh"),
    ("pedal_hat", r"(hat|hh).*(pd|ped|foot)|pedal"),
    ("open_hat", r"(hat|hh).*(op|swish|free)|(open|ohh)"),
    ("stick", r"stick|rim|clave"),
    ("kick", r"kick|bass ?drum|\bbd"),
    ("clap", r"clap|snap"),
    ("snare", r"snare|\bsn"),
    ("low_tom", r"tom.*(low|floor|16)|(low|floor).*tom|^tom 3"),
    ("high_tom", r"tom.*(hi|1\b|12)|hi\w* tom"),
    ("mid_tom", r"tom"),
    ("ride", r"ride"),
    ("crash", r"crash|cymbal|china|splash"),
    ("cowbell", r"cowbell|tambo"),
)
"""A pad's role by its name; the first that fits counts."""

ROLE_OF_PITCH: Mapping[int, Sequence[str]] = {
    **dict.fromkeys((35, 36), ("kick",)),
    37: ("stick", "snare"),
    **dict.fromkeys((38, 40), ("snare",)),
    39: ("clap", "snare"),
    **dict.fromkeys((22, 42), ("closed_hat", "pedal_hat")),
    44: ("pedal_hat", "closed_hat"),
    **dict.fromkeys((26, 46), ("open_hat", "closed_hat")),
    **dict.fromkeys((41, 43, 58), ("low_tom", "mid_tom", "high_tom")),
    **dict.fromkeys((45, 47), ("mid_tom", "low_tom", "high_tom")),
    **dict.fromkeys((48, 50), ("high_tom", "mid_tom", "low_tom")),
    **dict.fromkeys((51, 53, 59), ("ride", "closed_hat")),
    **dict.fromkeys((49, 52, 55, 57), ("crash", "ride", "open_hat")),
    **dict.fromkeys((54, 56), ("cowbell", "ride")),
}
"""General MIDI's drums, and what stands in where a kit lacks one. Others are not played."""


@dataclass(frozen=True)
class Layer:
    """A sample and the share of the velocities, 0..1, from which it sounds."""

    path: Path
    lowest: float
    gain: float


@dataclass(frozen=True)
class Kit:
    """A kit's pads by role; each pad is its layers in order of velocity."""

    name: str
    pads: Mapping[str, Sequence[Sequence[Layer]]]

    @classmethod
    def read(cls, folder: Path) -> Kit | None:
        """The kit in a folder, None where it lacks a kick, a snare or a hi-hat."""
        tree = ElementTree.parse(folder / "drumkit.xml").getroot()
        pads: dict[str, list[list[Layer]]] = {}
        for instrument in (e for e in tree.iter() if _tag(e) == "instrument"):
            name = _text(instrument, "name", "").lower()
            role = next((role for role, words in WORDS if re.search(words, name)), None)
            layers = _layers(instrument, folder)
            if role and layers:
                pads.setdefault(role, []).append(layers)
        return cls(folder.name, pads) if {"kick", "snare", "closed_hat"} <= set(pads) else None


def play(score: Score, kit: Kit, frames: int, random: np.random.Generator) -> FloatArray:
    """The score's drum notes on a kit, float32 (2, frames). One pad a role is drawn for the song."""
    chosen = {role: pads[int(random.integers(len(pads)))] for role, pads in kit.pads.items()}
    curve = random.uniform(1.0, 2.2)
    out = np.zeros((2, frames), np.float32)
    hats = sorted(n.start_s for n in score.notes if n.pitch in (22, 42, 44))
    for note in score.notes:
        role = next((r for r in ROLE_OF_PITCH.get(note.pitch, ()) if r in chosen), None)
        if role is None:
            continue
        layer = [x for x in chosen[role] if x.lowest <= note.velocity / 127][-1:] or chosen[role][:1]
        sound = _sample(layer[0].path) * np.float32(layer[0].gain * (note.velocity / 127) ** curve)
        if role == "open_hat":
            sound = _choked(sound, next((at for at in hats if at > note.start_s), None), note.start_s)
        start = round(note.start_s * RATE)
        stop = min(start + sound.shape[1], frames)
        out[:, start:stop] += sound[:, : max(stop - start, 0)]
    return out


def _layers(instrument: ElementTree.Element, folder: Path) -> list[Layer]:
    volume = float(_text(instrument, "volume", "1"))
    holders = [e for e in instrument.iter() if _tag(e) == "layer"] or [instrument]
    layers = [
        Layer(
            folder / _text(holder, "filename", ""),
            float(_text(holder, "min", "0")),
            volume * float(_text(holder, "gain", "1")),
        )
        for holder in holders
    ]
    return sorted((x for x in layers if _plays(x.path)), key=lambda layer: layer.lowest)


def _plays(path: Path) -> bool:
    return path.is_file() and "empty" not in path.name.lower()


def _choked(sound: FloatArray, at_s: float | None, start_s: float) -> FloatArray:
    if at_s is None:
        return sound
    keep = round((at_s - start_s) * RATE)
    fade = np.clip(1 - (np.arange(sound.shape[1]) - keep) / (0.02 * RATE), 0, 1).astype(np.float32)
    return sound * fade


@lru_cache(maxsize=512)
def _sample(path: Path) -> FloatArray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != RATE:
        samples = soxr.resample(samples, rate, RATE)
    return np.ascontiguousarray(
        np.repeat(samples, 2, axis=1).T[:2] if samples.shape[1] == 1 else samples.T[:2]
    )


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str, otherwise: str) -> str:
    found = next((e.text for e in element.iter() if _tag(e) == name and e.text), None)
    return found if found is not None else otherwise
