"""A page's player: sides of one excerpt, each with its sound, its wave and its level."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mixagent.pipeline.types import AudioSource
from mixagent.report import charts
from mixagent.report.listening import BITRATE_KBPS, LONGEST_S, Excerpt, mp3, peaks

WAVE_COLUMNS = 1000

_SUMS = ("stems before", "stems after")

DIFFERENCE_KBPS = 96
"""Bitrate of stems, and of what one side lost or got: the codec delays frames of one length alike."""


@dataclass(frozen=True)
class Side:
    """One of the things to listen to.

    Attributes:
        name: in the page's code: `before`, `a`.
        letter: the key that chooses it.
        label: what the listener reads.
        colour: the custom property of the stylesheet that it is drawn in.
        source: all sides have one length in seconds.
        lufs: loudness that is matched; None for silence.
        raised_db: where it is what the first side lost or got, by how much louder than it is there; such a
            side is not matched, but plays at the level of the first. None for a side of its own.
    """

    name: str
    letter: str
    label: str
    colour: str
    source: AudioSource
    lufs: float | None
    raised_db: int | None = None


@dataclass(frozen=True)
class PlayerSide:
    """A side as the page holds it.

    Attributes:
        name, letter, label, colour, raised_db: of the side.
        match_db: gain that matches its loudness to the others'.
        mp3: its sound in base 64.
        wave: outline of its waveform, an SVG path.
    """

    name: str
    letter: str
    label: str
    colour: str
    raised_db: int | None
    match_db: float
    mp3: str
    wave: str


@dataclass(frozen=True)
class StemSide:
    """A stem to solo and to mute.

    Attributes:
        name: in the page's code.
        label: what the listener reads.
        colour: the custom property of the stylesheet that it is drawn in.
        before, after: its strip; one source where none works on it.
        match_db: gains that make both versions of it equally loud, never above 0.
    """

    name: str
    label: str
    colour: str
    before: AudioSource
    after: AudioSource
    match_db: tuple[float, float]


@dataclass(frozen=True)
class StemSides:
    """The stems of a passage.

    Attributes:
        start_s, stop_s: of the passage in the player's time, which begins with its excerpt.
        lufs: loudness of their sum before and after.
        stems: of the passage's length.
    """

    start_s: float
    stop_s: float
    lufs: tuple[float | None, float | None]
    stems: tuple[StemSide, ...]


@dataclass(frozen=True)
class PlayerStem:
    """A stem as the page holds it: its sound in base 64; `after` is empty where no strip works on it."""

    name: str
    label: str
    colour: str
    match_db: tuple[float, float]
    before: str
    after: str


@dataclass(frozen=True)
class PlayerStems:
    """The stems as the page holds them, with the gains that match their sums to the sides."""

    start_s: float
    stop_s: float
    match_db: tuple[float, float]
    stems: tuple[PlayerStem, ...]


@dataclass(frozen=True)
class Player:
    """The excerpt with its sides, the ticks of its time axis, the side that plays first, and the stems."""

    excerpt: Excerpt
    ticks: tuple[charts.Tick, ...]
    first: str
    sides: tuple[PlayerSide, ...]
    stems: PlayerStems | None = None


def build_player(
    sides: Sequence[Side], excerpt: Excerpt, rate: int, first: str, stems: StemSides | None = None
) -> Player:
    """The player that `parts.player` draws.

    Args:
        sides: two or more; what the first lost or got comes last.
        excerpt: the part that the page holds.
        rate: in Hz, at which the sound is embedded.
        first: name of the side that is chosen when the page opens.
        stems: to solo and mute; their sums stand beside the sides named `before` and `after`.
    """
    lufs = {side.name: side.lufs for side in sides if side.raised_db is None}
    sums = {} if stems is None else dict(zip(_SUMS, stems.lufs, strict=True))
    matched = match_db({**lufs, **sums})
    like_the_first = matched[sides[0].name]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # Codecs take most of a page's time, and each side is on its own.
        sounds = list(pool.map(lambda side: mp3(side.source, excerpt, rate, _kbps(side)), sides))
    return Player(
        excerpt=excerpt,
        ticks=charts.time_ticks(excerpt.start_s, excerpt.stop_s),
        first=first,
        sides=tuple(
            PlayerSide(
                name=side.name,
                letter=side.letter,
                label=side.label,
                colour=side.colour,
                raised_db=side.raised_db,
                match_db=matched.get(side.name, like_the_first),
                mp3=base64.b64encode(sound).decode("ascii"),
                wave=charts.envelope(*peaks(side.source, excerpt, WAVE_COLUMNS)),
            )
            for side, sound in zip(sides, sounds, strict=True)
        ),
        stems=None if stems is None else _player_stems(stems, rate, matched),
    )


def _player_stems(stems: StemSides, rate: int, matched: Mapping[str, float]) -> PlayerStems:
    whole = Excerpt(0.0, stems.stop_s - stems.start_s, whole=True)

    def sound(source: AudioSource) -> str:
        return base64.b64encode(mp3(source, whole, rate, DIFFERENCE_KBPS)).decode("ascii")

    return PlayerStems(
        start_s=stems.start_s,
        stop_s=stems.stop_s,
        match_db=(matched[_SUMS[0]], matched[_SUMS[1]]),
        stems=tuple(
            PlayerStem(
                name=stem.name,
                label=stem.label,
                colour=stem.colour,
                match_db=stem.match_db,
                before=sound(stem.before),
                after="" if stem.after is stem.before else sound(stem.after),
            )
            for stem in stems.stems
        ),
    )


def longest_s(differences: int) -> int:
    """Seconds of an excerpt with two sides and so many differences that keep the page as large as without."""
    return int(LONGEST_S * 2 / (2 + differences * DIFFERENCE_KBPS / BITRATE_KBPS))


def _kbps(side: Side) -> int:
    return BITRATE_KBPS if side.raised_db is None else DIFFERENCE_KBPS


def match_db(lufs: Mapping[str, float | None]) -> dict[str, float]:
    """The gain in dB that brings each side to the quietest one's loudness: never above 0, so nothing clips.

    A side without a loudness, silence, is left as it is and holds no other down.
    """
    heard = {name: level for name, level in lufs.items() if level is not None and math.isfinite(level)}
    level = min(heard.values(), default=0.0)
    return {name: level - heard[name] if name in heard else 0.0 for name in lufs}
