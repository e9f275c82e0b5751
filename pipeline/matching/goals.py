"""A goal as it was understood: one structure, whoever filled it, and what it moves.

`reading.understood` fills it from words by the table in `conf/goals`; `goal_data.goal_from_dict` from data
that a language model gave, checked by the same table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mixagent.pipeline.chain.amounts import dimension as strength_of
from mixagent.pipeline.chain.parameters import BUSES, EQ_BANDS, GRAPHIC_HZ, ParameterSpace
from mixagent.pipeline.matching.moves import Move
from mixagent.pipeline.matching.vocabulary import Dimension, Keeps, vocabulary

LOUDNESS = "loudness_lu"
"""Stands among the moves of a dimension for the target's loudness."""

LARGEST = 2.0
"""Steps that a wish is worth at most."""

MOST_DB = 12.0
"""The most that a figure in dB moves a level: the reach of a fader."""

LEVEL, ALL = "loudness", "all"
"""The dimension of levels; and what of a scope is kept where all of it is left alone."""

GOAL_LUFS = (-24.0, -7.0)
"""A goal moves no target beyond these by words."""

_EQ_HZ = {
    "sub": (20, 60),
    "bass": (60, 200),
    "low_mid": (200, 500),
    "mid": (500, 2000),
    "presence": (2000, 6000),
    "brilliance": (6000, 12000),
    "air": (12000, 20000),
}

Direction = Literal["more", "less", "keep", "set"]
What = Literal["dimension", "loudness", "ceiling", "platform", "genre", "mood", "era"]
Unit = Literal["steps", "dB", "LU", "x", "%", "LUFS", "dBTP"]


@dataclass(frozen=True)
class Scope:
    """The part of a song that a piece of a goal is about.

    Attributes:
        stem: `vocals`, `drums`, `bass` or `other`; None for the mix.
        part: the instrument in the stem; empty for all of it.
        section: `intro`, `verse`, `chorus` …; None for the whole song.
    """

    stem: str | None = None
    part: str = ""
    section: str | None = None

    @property
    def label(self) -> str:
        """The scope in words: `the mix`, `drums (kick) in the chorus`."""
        stem = f"{self.stem or 'the mix'}" + (f" ({self.part})" if self.part else "")
        if self.section is None:
            return stem
        return f"{stem} in the {self.section}" if self.stem else f"the {self.section}"


MIX = Scope()


@dataclass(frozen=True)
class Amount:
    """A figure that was named, with its unit; `value` is never negative for changes."""

    value: float
    unit: Unit


@dataclass(frozen=True)
class Piece:
    """One thing that a goal asks for.

    Attributes:
        words: that ask for it.
        spans: where they stand in the goal, from and to by characters.
        scope: of the song.
        what: `dimension`, a target's figure, or a style by its kind.
        name: of the dimension (`all` for all of a scope that is kept), the platform, the profile or style.
        direction: `set` for figures, platforms and styles.
        steps: how much, under 0 for less; 0 where nothing is to change.
        amount: the figure that was named; None where only words say how much.
    """

    words: str
    spans: tuple[tuple[int, int], ...]
    scope: Scope
    what: What
    name: str
    direction: Direction
    steps: float = 0.0
    amount: Amount | None = None

    @property
    def dimension(self) -> Dimension | None:
        """The dimension of the table; None for what is none."""
        return vocabulary().dimensions.get(self.name) if self.what == "dimension" else None

    @property
    def means(self) -> str:
        """The piece in words: `brighter`, `drums: more punch`, `left as it is: the intro`."""
        if self.what != "dimension":
            return self._set_words()
        found = self.dimension
        if self.direction == "keep":
            kept = "" if found is None else f", {found.name}"
            return f"left as it is: {self.scope.label}{kept}"
        assert found is not None
        label = found.label[self.steps > 0]
        return label if self.scope == MIX else f"{self.scope.label}: {label}"

    def _set_words(self) -> str:
        if self.amount is not None and self.what in ("loudness", "ceiling"):
            return f"{self.what} {self.amount.value:g} {self.amount.unit}".replace("-", "−")
        if self.what == "platform":
            return f"the target of {self.name}"
        less = "less " if self.steps < 0 else ""
        where = "" if self.scope == MIX else f"{self.scope.label}: "
        return f"{where}{less}{self.what} {self.name}"


@dataclass(frozen=True)
class UnknownWords:
    """Words that were not understood, where they stand, and a known word that is spelt alike, or nothing."""

    words: str
    start: int
    stop: int
    alike: str = ""


@dataclass(frozen=True)
class Conflict:
    """Words that contradict each other, and what was done about it."""

    first: str
    second: str
    decided: str


@dataclass(frozen=True)
class Corrected:
    """A word that was taken for misspelt, and for which one."""

    words: str
    read_as: str


@dataclass(frozen=True)
class Goal:
    """A goal as it was understood.

    Attributes:
        text: as it was given.
        pieces: what is to be done, at most one for each dimension of a scope.
        unknown: words that were not understood.
        conflicts: of words with each other.
        corrected: misspelt words.
        problems: what else is to be said of the text, a line each.
    """

    text: str
    pieces: tuple[Piece, ...] = ()
    unknown: tuple[UnknownWords, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    corrected: tuple[Corrected, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def genres(self) -> tuple[tuple[str, str], ...]:
        """Words, and the shipped profile that each stands for."""
        return tuple(
            (piece.words, piece.name)
            for piece in self.pieces
            if piece.what == "genre" and piece.name not in vocabulary().styles
        )

    @property
    def loudness_lu(self) -> float:
        """By how much the target's loudness is to be moved by words."""
        return sum(
            _loudness_of(piece, by) for piece in self.pieces for by in _mix_moves(piece).get(LOUDNESS, ())
        )

    @property
    def lufs(self) -> float | None:
        """The loudness that was named; None where none was."""
        return self._figure("loudness")

    @property
    def ceiling_dbtp(self) -> float | None:
        """The ceiling that was named; None where none was."""
        return self._figure("ceiling")

    @property
    def platform(self) -> str | None:
        """The target that was named; None where none was."""
        return next((piece.name for piece in self.pieces if piece.what == "platform"), None)

    @property
    def keeps_loudness(self) -> bool:
        """True where the song is not to come out louder than it is."""
        return any(p.scope == MIX and p.direction == "keep" and p.name == LEVEL for p in self.pieces)

    @property
    def wants_stems(self) -> bool:
        """True where any piece is about a stem, or needs one."""
        return any(piece.scope.stem is not None or _puts_on_stems(piece) for piece in self.pieces)

    @property
    def of_sections(self) -> tuple[Piece, ...]:
        """The pieces that are about sections of the song."""
        return tuple(piece for piece in self.pieces if piece.scope.section is not None)

    def moves(self, space: ParameterSpace) -> tuple[Move, ...]:
        """The moves of the whole song, of the parameters that the space holds."""
        made = [move for piece in self.pieces for move in moves_of(piece, space)]
        lu = self.loudness_lu
        if lu:
            made += [
                Move(f"{stem}.gain_db", -lu, f"“{piece.words}”: its level stays as it is")
                for piece in self.pieces
                if piece.direction == "keep" and piece.name == LEVEL and piece.scope.section is None
                if (stem := stem_in(piece.scope, space))
            ]
        return tuple(made)

    def kept(self, space: ParameterSpace) -> dict[str, str]:
        """Parameters that are to stay at neutral, with the reason."""
        return {
            name: f"“{piece.words}”: left as it is"
            for piece in self.pieces
            if piece.direction == "keep" and piece.scope.section is None
            for name in _kept(piece, space)
        }

    def out_of_reach(self, space: ParameterSpace) -> tuple[tuple[Piece, str], ...]:
        """Pieces that nothing in the space can serve, each with why."""
        return tuple(
            (piece, why) for piece in self.pieces if (why := _out_of_reach(piece, space)) is not None
        )

    def without(self, piece: Piece) -> str:
        """The text without the words that ask for this piece alone."""
        shared = {span for other in self.pieces if other is not piece for span in other.spans}
        text = self.text
        for start, stop in sorted(set(piece.spans) - shared, reverse=True):
            text = f"{text[:start]} {text[stop:]}"
        parts = (" ".join(part.split()) for part in re.split(r"[,;]", text))
        return ", ".join(part for part in parts if part)

    def _figure(self, what: What) -> float | None:
        found = (p.amount.value for p in self.pieces if p.what == what and p.amount is not None)
        return next(found, None)


def stem_in(scope: Scope, space: ParameterSpace) -> str | None:
    """The stem of a space that is meant, or holds what is meant; None where there is none."""
    if scope.stem is None:
        return None
    found_as = (scope.part, *vocabulary().stems[scope.stem])
    return next((name for name in found_as if name and f"{name}.gain_db" in space), None)


def moves_of(piece: Piece, space: ParameterSpace) -> Iterator[Move]:
    """The moves of one piece of the whole song, of the parameters that the space holds."""
    if piece.scope.section is not None:
        return
    if piece.scope.stem is not None:
        stem = stem_in(piece.scope, space)
        if stem is not None:
            yield from strip_moves(piece, stem, space)
        return
    for name, all_by in _mix_moves(piece).items():
        if name in space:
            for by, steps in all_by:
                yield Move(name, scaled(space, name, by, steps, piece), f"“{piece.words}”: {piece.means}")


def strip_moves(piece: Piece, stem: str, space: ParameterSpace) -> Iterator[Move]:
    """The moves of a piece on the strip of a stem of the space."""
    for dimension, steps in dimensions_of(piece):
        for what, by in dimension.moves(steps, stem=True).items():
            name = f"{stem}.{what}"
            if name in space:
                reason = f"“{piece.words}”: {piece.means}"
                yield Move(name, scaled(space, name, by, abs(steps), piece), reason)


Steps = tuple[float, float]
"""What a step moves, and how many steps."""


def _mix_moves(piece: Piece) -> dict[str, list[Steps]]:
    """What a piece about the whole mix moves, by parameter; `LOUDNESS` among them."""
    found: dict[str, list[Steps]] = {}
    if piece.scope != MIX:
        return found
    for dimension, steps in dimensions_of(piece):
        for name, by in dimension.moves(steps, stem=False).items():
            found.setdefault(name, []).append((by, abs(steps)))
    return found


def dimensions_of(piece: Piece) -> list[tuple[Dimension, float]]:
    """The dimensions that a piece moves, and by how many steps: one, or those of a style."""
    table = vocabulary()
    if piece.dimension is not None:
        return [(piece.dimension, piece.steps)] if piece.steps else []
    if piece.what not in ("genre", "mood", "era") or piece.name not in table.styles:
        return []
    return [
        (table.dimensions[name], steps * piece.steps)
        for name, steps in table.styles[piece.name].steps.items()
        if steps * piece.steps
    ]


def _loudness_of(piece: Piece, by: Steps) -> float:
    per_step, steps = by
    exact_db = exact_level_db(piece)
    return per_step * steps if exact_db is None else math.copysign(exact_db, per_step)


def exact_level_db(piece: Piece) -> float | None:
    """The dB that a piece names for a level, without its sign; None where it names none.

    Twice as loud is 10 dB (Stevens, "The measurement of loudness", 1955).
    """
    amount = piece.amount
    if amount is None or piece.name != LEVEL:
        return None
    if amount.unit in ("dB", "LU"):
        return min(amount.value, MOST_DB)
    if amount.unit == "x" and amount.value > 0:
        return min(abs(10.0 * math.log2(amount.value)), MOST_DB)
    return None


def scaled(space: ParameterSpace, name: str, by: float, steps: float, piece: Piece) -> float:
    """What a piece moves a parameter: as many steps, or as much as it names."""
    exact = _exact(space, name, by, piece)
    if exact is not None:
        return exact
    if name.endswith("bell_hz"):
        return by
    return float(by**steps) if space[name].scale == "log" else by * steps


def _exact(space: ParameterSpace, name: str, by: float, piece: Piece) -> float | None:
    """The figure that a piece names, where it is one of this parameter; None where it is none.

    dB are of the parameter that the dimension moves most; what it moves beside that keeps its share.
    """
    amount = piece.amount
    if amount is None:
        return None
    parameter = space[name]
    if amount.unit in ("dB", "LU") and parameter.unit == "dB" and piece.dimension is not None:
        moved = piece.dimension.moves(piece.steps, piece.scope.stem is not None)
        largest = max((abs(each) for other, each in moved.items() if other.endswith("_db")), default=0.0)
        return by / largest * min(amount.value, MOST_DB) if largest else None
    if amount.unit == "x" and parameter.name.endswith(".gain_db"):
        exact_db = exact_level_db(piece)
        return None if exact_db is None else math.copysign(exact_db, by)
    if parameter.name.endswith(".width"):
        factor = {"x": amount.value, "%": 1.0 + math.copysign(amount.value / 100.0, by)}.get(amount.unit)
        return None if factor is None else (factor - 1.0) * parameter.neutral
    return None


def _puts_on_stems(piece: Piece) -> bool:
    """True where a piece about the mix moves what only stems have."""
    stems = {name for names in vocabulary().stems.values() for name in names}
    return any(name.split(".", 1)[0] in stems for name in _mix_moves(piece))


def _kept(piece: Piece, space: ParameterSpace) -> Iterator[str]:
    stem = stem_in(piece.scope, space)
    if piece.scope.stem is not None:
        if stem is None:
            return
        places = {stem, BUSES.get(stem, stem)}
        names = [p.name for p in space if p.where in places]
    else:
        names = [p.name for p in space]
    if piece.name == ALL:
        yield from names
        return
    found = piece.dimension
    if found is None or (found.name == LEVEL and piece.scope.stem is None):
        return
    if piece.scope.stem is not None:
        own = {f"{stem}.{what}" for steps in (1.0, -1.0) for what in found.moves(steps, stem=True)}
    else:
        own = {name for steps in (1.0, -1.0) for name in found.moves(steps, stem=False)}
    yield from (name for name in names if name in own or _holds(found.keeps, name))


def _holds(keeps: Keeps, name: str) -> bool:
    """True for the parameters that stay at neutral where a dimension is kept."""
    where, _, what = name.partition(".")
    if keeps.sends and what == "reverb_send_db":
        return True
    if keeps.strength and where not in ("clipper", "punch") and strength_of(name) == keeps.strength:
        return where in ("master", "graphic", "low_band", "low_mid_band", "high_mid_band", "high_band")
    if not keeps.hz:
        return False
    low, high = keeps.hz
    if where == "master" and what.removeprefix("eq_").removesuffix("_db") in EQ_BANDS:
        band_low, band_high = _EQ_HZ[what.removeprefix("eq_").removesuffix("_db")]
        return low <= math.sqrt(band_low * band_high) <= high
    return where == "graphic" and any(what == f"tone_{hz}_db" for hz in GRAPHIC_HZ if low <= hz <= high)


def _out_of_reach(piece: Piece, space: ParameterSpace) -> str | None:
    """Why nothing in the space serves a piece; None where something does."""
    if piece.direction in ("keep", "set") or piece.scope.section is not None:
        return None
    if piece.scope.stem is not None and stem_in(piece.scope, space) is None:
        return f"there is no stem that holds {piece.scope.part or piece.scope.stem}"
    mix = _mix_moves(piece)
    if LOUDNESS in mix or any(True for _ in moves_of(piece, space)):
        return None
    found = piece.dimension
    if found is not None and found.unreached:
        return found.unreached[min(piece.steps > 0, len(found.unreached) - 1)]
    if _puts_on_stems(piece):
        return "the song was not taken apart into stems"
    return "the chain has no means"


def without(goal: Goal, names: Mapping[What, str]) -> Goal:
    """The goal without its pieces of these kinds, each with the words that say why."""
    dropped = [piece for piece in goal.pieces if piece.what in names]
    told = tuple(f"“{piece.words}” was not followed: {names[piece.what]}" for piece in dropped)
    kept = tuple(piece for piece in goal.pieces if piece.what not in names)
    return replace(goal, pieces=kept, problems=(*goal.problems, *told))
