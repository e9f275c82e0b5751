"""What a goal asks of sections of a song, as settings of these."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.chain.section_settings import MASTER, SectionSettings
from mixagent.pipeline.matching.goals import (
    LEVEL,
    LOUDNESS,
    Goal,
    Piece,
    dimensions_of,
    exact_level_db,
    scaled,
    stem_in,
    strip_moves,
)
from mixagent.pipeline.matching.vocabulary import vocabulary
from mixagent.pipeline.measure.song_sections import SongSection

_ALSO: Mapping[str, tuple[str, ...]] = {"chorus": ("drop",), "drop": ("chorus",)}
"""What a section may be called beside its name: the part that comes back and is loudest."""

_GAIN = ".gain_db"


def section_settings(
    goal: Goal, found: Sequence[SongSection], space: ParameterSpace
) -> tuple[tuple[SectionSettings, ...], tuple[str, ...]]:
    """The settings that a goal asks for in sections of a song, and a line for each piece that is not done.

    Args:
        goal: as it was understood.
        found: the sections of the song.
        space: of the settings.
    """
    asked: dict[tuple[int, str], SectionSettings] = {}
    told: list[str] = []
    for piece in goal.of_sections:
        places = _places(piece, found)
        moved = [] if not places else _moves(piece, space)
        if not places:
            told.append(_untold(piece, found))
        elif not moved:
            told.append(f"“{piece.words}” was not done: {_why_not(piece, space)}")
        for n in places:
            for where, gain_db, values in moved:
                was = asked.get((n, where), _begun(found[n], where))
                asked[n, where] = _more(was, piece, gain_db, values, space)
    bounded = [each.bounded(space) for each in asked.values()]
    return tuple(sorted(bounded, key=lambda each: (each.start_s, each.where))), tuple(dict.fromkeys(told))


_Moved = tuple[str, float, Mapping[str, float]]


def _places(piece: Piece, found: Sequence[SongSection]) -> list[int]:
    """The sections that are meant, by the names that are sure."""
    name = piece.scope.section or ""
    own = [n for n, section in enumerate(found) if section.name == name]
    return own or [n for n, section in enumerate(found) if section.name in _ALSO.get(name, ())]


def _untold(piece: Piece, found: Sequence[SongSection]) -> str:
    name = piece.scope.section
    sure = sorted({section.name for section in found if section.name})
    if len(found) < 2:
        return f"“{piece.words}” was not done: no sections were found in the song"
    known = f"; sure are: {', '.join(sure)}" if sure else ""
    return f"“{piece.words}” was not done: it cannot be told which part of the song is the {name}{known}"


def _why_not(piece: Piece, space: ParameterSpace) -> str:
    if piece.direction == "keep":
        return "what is done to the whole song is done in its sections too"
    if piece.scope.stem is not None and stem_in(piece.scope, space) is None:
        return f"there is no stem that holds {piece.scope.part or piece.scope.stem}"
    return "no section can have that by itself"


def _moves(piece: Piece, space: ParameterSpace) -> list[_Moved]:
    """The level and the parameters that a piece moves, by place."""
    if piece.direction == "keep":
        return []
    if piece.scope.stem is not None:
        stem = stem_in(piece.scope, space)
        moves = [] if stem is None else [*strip_moves(piece, stem, space)]
        values = {move.name: move.by for move in moves}
        gain_db = values.pop(f"{stem}{_GAIN}", 0.0)
        return [(str(stem), gain_db, values)] if values or gain_db else []
    gain_db, values = _master_moves(piece, space)
    return [(MASTER, gain_db, values)] if values or gain_db else []


def _master_moves(piece: Piece, space: ParameterSpace) -> tuple[float, dict[str, float]]:
    """What a piece moves of the master in a section: its level, and what each parameter is moved by."""
    level_db, gain_db, values = vocabulary().section_level_db, 0.0, dict[str, float]()
    for dimension, steps in dimensions_of(piece):
        if dimension.name == LEVEL:
            exact = exact_level_db(piece)
            gain_db += math.copysign(exact, steps) if exact is not None else level_db * steps
            continue
        for name, by in dimension.moves(steps, stem=False).items():
            if name == LOUDNESS:
                gain_db += by * abs(steps)
            elif name.startswith(f"{MASTER}."):
                values[name] = values.get(name, 0.0) + scaled(space, name, by, abs(steps), piece)
    return gain_db, values


def _begun(section: SongSection, where: str) -> SectionSettings:
    return SectionSettings(section.start_s, section.stop_s, where, label=section.label)


def _more(
    was: SectionSettings, piece: Piece, gain_db: float, values: Mapping[str, float], space: ParameterSpace
) -> SectionSettings:
    """The settings of a section with the moves of one more piece."""
    moved = dict(was.values)
    for name, by in values.items():
        before = moved.get(name, space[name].neutral)
        moved[name] = before * by if space[name].scale == "log" else before + by
    reasons: Iterable[str] = filter(None, (was.reason, f"“{piece.words}”: {piece.means}"))
    return replace(was, gain_db=was.gain_db + gain_db, values=moved, reason="; ".join(reasons))
