"""SFZ instruments (a text file that maps samples to keys and velocities) played from notes.

Of the format (ARIA's and version 1's) what an unaffected, sustained note needs is read: headers and their
inheritance, `#include` and `#define`, keys, velocities, tuning, level and release. Controllers, filters,
loops and all that sounds only on a release, a key switch or as noise of the player's hand are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from midi import Score

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.types import FloatArray

RATE = 44100


NOISES = re.compile(r"nois|scrape|perc|mute|finger|rel[e_/\\]|release", re.IGNORECASE)
"""In a sample's path, what is no note."""

STRETCHED = 6
"""Semitones beyond its keys that an instrument is played."""

_TOKEN = re.compile(r"<(\w+)>|([A-Za-z_0-9$]+)=(.*?)(?=\s+[A-Za-z_0-9$]+=|\s*<|\s*$)")
_LEVELS = ("control", "global", "master", "group", "region")
_NOTES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}


@dataclass(frozen=True)
class Region:
    """A sample and what it is played for: keys and velocities 0..127, both ends included."""

    path: Path
    low_key: int
    high_key: int
    centre: int
    low_velocity: int
    high_velocity: int
    gain_db: float
    tune_cents: float
    release_s: float


@dataclass(frozen=True)
class Instrument:
    """The notes of an SFZ file.

    `octaves` says how far above what sounds its keys are: basses are often mapped as they are notated.
    """

    regions: tuple[Region, ...]
    octaves: int = 0

    @classmethod
    def read(cls, path: Path, octaves: int = 0, samples: Path | None = None) -> Instrument:
        """The instrument in a file, whose samples' paths start from `samples`, or else beside it.

        Raises:
            ValueError: no note of it can be played.
        """
        regions = tuple(
            region for region in map(_region, _regions(path, samples or path.parent)) if region is not None
        )
        if not regions:
            raise ValueError(f"{path}: no sample that can be played as a note")
        return cls(regions, octaves)

    def heard_for(self, pitch: int, velocity: int, random: np.random.Generator) -> tuple[Region, int]:
        """One of the regions for a pitch, and the key, by octaves within reach, that stands for it."""
        lowest = min(region.low_key for region in self.regions) - STRETCHED
        highest = max(region.high_key for region in self.regions) + STRETCHED
        key = pitch + 12 * self.octaves
        key += 12 * max(-((key - lowest) // 12), 0) - 12 * max((key - highest + 11) // 12, 0)
        near = min(_distance(key, region.low_key, region.high_key) for region in self.regions)
        fit = [r for r in self.regions if _distance(key, r.low_key, r.high_key) == near]
        loud = min(_distance(velocity, r.low_velocity, r.high_velocity) for r in fit)
        fit = [r for r in fit if _distance(velocity, r.low_velocity, r.high_velocity) == loud]
        return fit[int(random.integers(len(fit)))], key


def perform(score: Score, instrument: Instrument, frames: int, random: np.random.Generator) -> FloatArray:
    """The score's notes, float32 (2, frames); channels stand where their pan controls (10) place them."""
    places = {c.channel: c.data[1] for c in reversed(score.controls) if c.kind == 0xB0 and c.data[0] == 10}
    curve = random.uniform(0.3, 1.0)
    out = np.zeros((2, frames), np.float32)
    for note in score.notes:
        region, key = instrument.heard_for(note.pitch, note.velocity, random)
        held_s = max(note.end_s - note.start_s, 0.03)
        sound = _released(_tuned(region, key), held_s, region.release_s)
        angle = places.get(note.channel, 64) / 127 * np.pi / 2
        gain = db_to_amplitude(region.gain_db) * (note.velocity / 127) ** curve * 2**0.5
        sides = np.array([[np.cos(angle)], [np.sin(angle)]], np.float32) * np.float32(gain)
        start = round(note.start_s * RATE)
        stop = min(start + sound.shape[1], frames)
        out[:, start:stop] += (sides * sound)[:, : max(stop - start, 0)]
    return out


def _distance(value: int, lowest: int, highest: int) -> int:
    return max(lowest - value, value - highest, 0)


def _released(sound: FloatArray, held_s: float, release_s: float) -> FloatArray:
    """Of a sound what is heard of a note that is held so long, fading to −60 dB over the release."""
    held = round(held_s * RATE)
    tail = round(max(release_s, 0.04) * RATE)
    kept = sound[:, : held + tail].copy()
    fading = kept[:, held:]
    fading *= np.exp(-6.9 * np.arange(fading.shape[1]) / tail).astype(np.float32)
    return kept


def _tuned(region: Region, key: int) -> FloatArray:
    semitones = key - region.centre + region.tune_cents / 100
    return _at_speed(region.path, round(2 ** (semitones / 12), 5))


@lru_cache(maxsize=256)
def _at_speed(path: Path, speed: float) -> FloatArray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True, frames=12 * RATE)
    played = soxr.resample(samples[:, :2], rate * speed, RATE, "LQ") if rate * speed != RATE else samples
    return np.ascontiguousarray(played[:, :2].T)


# --- the file --------------------------------------------------------------------------------------


def _regions(path: Path, samples: Path) -> Iterator[dict[str, str]]:
    """Each region's opcodes with those that it inherits; `sample` is a path."""
    inherited: dict[str, dict[str, str]] = {level: {} for level in _LEVELS}
    level = "global"
    for header, name, value in _tokens(path, {}):
        if header:
            if level == "region":
                yield _joined(inherited, samples)
            level = header if header in _LEVELS else "curve"
            for lower in _LEVELS[_LEVELS.index(level) :] if level in _LEVELS else ():
                inherited[lower] = {}
        elif level in _LEVELS:
            inherited[level][name] = value
    if level == "region":
        yield _joined(inherited, samples)


def _joined(inherited: Mapping[str, Mapping[str, str]], folder: Path) -> dict[str, str]:
    found = {name: value for level in _LEVELS for name, value in inherited[level].items()}
    sample = (found.get("default_path", "") + found.get("sample", "")).replace("\\", "/")
    return found | {"sample": str(folder / sample)}


def _tokens(path: Path, words: dict[str, str], root: Path | None = None) -> Iterator[tuple[str, str, str]]:
    """Headers, as (name, "", ""), and opcodes, as ("", name, value), with words put in their places."""
    root = root or path.parent
    for raw in path.read_text(errors="replace").splitlines():
        line = raw.split("//")[0]
        if defined := re.match(r"\s*#define\s+(\$\w+)\s+(\S+)", line):
            words[defined[1]] = defined[2]
        elif included := re.match(r'\s*#include\s+"(.+?)"', line):
            yield from _tokens(root / included[1].replace("\\", "/"), words, root)
        else:
            for word in sorted(words, key=len, reverse=True):
                line = line.replace(word, words[word])
            for found in _TOKEN.finditer(line):
                yield found[1] or "", found[2] or "", (found[3] or "").strip()


def _region(opcodes: Mapping[str, str]) -> Region | None:
    """The region, None where it is no plain note or its sample cannot be read."""
    path = Path(opcodes["sample"])
    inside = "/".join(path.parts[-3:])
    if opcodes.get("trigger", "attack") != "attack" or NOISES.search(inside) or not _is_readable(path):
        return None
    key = opcodes.get("key")
    low, high = (_key(opcodes.get(name, key or otherwise)) for name, otherwise in _KEYS)
    return Region(
        path=path,
        low_key=low,
        high_key=high,
        centre=_key(opcodes.get("pitch_keycenter", key or "60")),
        low_velocity=int(opcodes.get("lovel", "0")),
        high_velocity=int(opcodes.get("hivel", "127")),
        gain_db=float(opcodes.get("volume", "0")),
        tune_cents=float(opcodes.get("tune", "0")),
        release_s=float(opcodes.get("ampeg_release", "0.1")),
    )


_KEYS = (("lokey", "0"), ("hikey", "127"))


def _key(text: str) -> int:
    """A key as a number, 60, or a name, c4."""
    named = re.fullmatch(r"([a-g])([#b]?)(-?\d+)", text.lower())
    if not named:
        return int(text)
    return 12 * (int(named[3]) + 1) + _NOTES[named[1]] + {"#": 1, "b": -1, "": 0}[named[2]]


def _is_readable(path: Path) -> bool:
    try:
        return soundfile.info(path).frames > 0
    except soundfile.LibsndfileError:
        return False
