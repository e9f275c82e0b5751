"""The cases that systems are compared on: segments of songs, each damaged in one way, in all, or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from mixagent.envs.cases import Case, CaseStore, Damage, draw_damage, kinds_of, make_case
from mixagent.envs.corpus import Corpus, Split
from mixagent.envs.pathologies import KINDS
from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.errors import InputError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.separation.choice import choose_separator
from mixagent.pipeline.types import Audio

ALL, UNTOUCHED = "all five", "undamaged"
DAMAGES = (*KINDS, ALL, UNTOUCHED)
"""What may have been done to a case: each pathology alone, all of them, or nothing."""

_CANDIDATES = 3
_EDGE_S = 2.0
_LEAST_POWER = db_to_power(-50)


@dataclass(frozen=True)
class Item:
    """A case before it is made or read: its name, its song, and which of `DAMAGES` it has."""

    name: str
    song: str
    damage: str


class Cases(Protocol):
    """Where an evaluation takes its cases from; its fields say all that decides them."""

    def items(self, songs: int) -> list[Item]:
        """The cases of so many songs."""

    def load(self, item: Item) -> Case:
        """One of them."""


@dataclass(frozen=True)
class MadeCases:
    """A segment of each song of a corpus, damaged in every way of `DAMAGES`.

    The damage of a song is drawn once, severities uniform in 0.2..1, and all five together are the
    five alone; every second song has the mechanisms that are kept for validation.

    Attributes:
        corpus: its folder.
        split: which songs.
        seconds: length of a segment.
        heard_s: so much of the song around it is damaged alike, and is what the systems hear; less in a short
            song, and never less than the segment.
        seed: with the song it decides everything.
        separator: takes the damaged segment apart, `none` for cases without stems.
        target: by name, what renders are finished to.
        repairs: whether the damaged songs are repaired before the systems hear them, as the product does.
    """

    corpus: str
    split: Split = "test"
    seconds: float = 4.0
    heard_s: float = 30.0
    seed: int = 0
    separator: str = "spleeter"
    target: str = "streaming"
    repairs: bool = True

    def items(self, songs: int) -> list[Item]:
        """Every damage of so many songs, spread evenly over the split.

        Raises:
            InputError: the split has no song that is fit for clean truth.
        """
        found = self._songs()
        if not found:
            raise InputError(f"{self.corpus} has no song of the split {self.split!r} fit for clean truth")
        places = np.linspace(0, len(found) - 1, min(songs, len(found))).round().astype(int)
        ids = [list(found)[place] for place in places]
        return [Item(f"{name} {damage}", name, damage) for name in ids for damage in DAMAGES]

    def load(self, item: Item) -> Case:
        """Cut, damage, separate and measure."""
        corpus, song = Corpus.open(Path(self.corpus)), self._songs()[item.song]
        key = crc32(item.song.encode())
        random = np.random.default_rng([self.seed, key])
        latest_s = max(song.duration_s - self.seconds - _EDGE_S, 0.0)
        starts_s = np.round(random.uniform(min(_EDGE_S, latest_s), latest_s, _CANDIDATES), 2)
        powers = [_power(corpus.segment(song, float(start_s), self.seconds)) for start_s in starts_s]
        if max(powers) < _LEAST_POWER:
            raise InputError(f"{song.path} is silent where it was cut")
        start_s = float(starts_s[int(np.argmax(powers))])
        heard_s = max(min(self.heard_s, song.duration_s), self.seconds)
        from_s = round(min(max(start_s - (heard_s - self.seconds) / 2, 0.0), song.duration_s - heard_s), 2)
        original = corpus.segment(song, max(from_s, 0.0), heard_s)
        first = round((start_s - max(from_s, 0.0)) * original.rate)
        segment = slice(first, first + round(self.seconds * original.rate))
        done = _only(item.damage, draw_damage(random, "all", validation=bool(key % 2)))
        separator = choose_separator(self.separator, "cpu").separator
        return make_case(
            item.name, original, done, separator, TARGETS[self.target], segment, repairs=self.repairs
        )

    def _songs(self) -> dict[str, Any]:
        return {song.id: song for song in Corpus.open(Path(self.corpus)).songs(self.split, "clean truth")}


def _only(kind: str, done: Damage) -> Damage:
    kinds = {ALL: KINDS, UNTOUCHED: ()}.get(kind, (kind,))
    return Damage(
        {k: value for k, value in done.severities.items() if k in kinds},
        {k: value for k, value in done.mechanisms.items() if k in kinds},
        None,
        done.seed,
    )


@dataclass(frozen=True)
class StoredCases:
    """Cases of a store that have one pathology, all five or none, up to so many of each.

    Attributes:
        store: its folder.
        split: which cases.
    """

    store: str
    split: Split = "test"

    def items(self, songs: int) -> list[Item]:
        """Up to `songs` cases of each damage, in the order in which they were built.

        Raises:
            InputError: there is none.
        """
        found: dict[str, list[Item]] = {damage: [] for damage in DAMAGES}
        for row in CaseStore(Path(self.store)).rows():
            damage = _name_of(kinds_of(row))
            if row["split"] == self.split and damage and len(found[damage]) < songs:
                found[damage].append(Item(row["name"], row["song"], damage))
        items = [item for items in found.values() for item in items]
        if not items:
            raise InputError(f"{self.store} has no case of the split {self.split!r}")
        return items

    def load(self, item: Item) -> Case:
        """Read it."""
        return CaseStore(Path(self.store)).load(item.name)


def _name_of(kinds: Sequence[str]) -> str | None:
    if len(kinds) == 1 and kinds[0] in KINDS:
        return kinds[0]
    return {0: UNTOUCHED, len(KINDS): ALL}.get(len(kinds))


def _power(audio: Audio) -> float:
    return float(np.mean(np.square(audio.samples, dtype=np.float64))) if audio.frames else 0.0
