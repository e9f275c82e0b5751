"""Goals as data: for JSON, and for a language model that fills one in, held to the same table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast, get_args

from mixagent.pipeline.matching.goals import (
    ALL,
    LARGEST,
    Amount,
    Direction,
    Goal,
    Piece,
    Scope,
    Unit,
    UnknownWords,
    What,
)
from mixagent.pipeline.matching.settling import settled
from mixagent.pipeline.matching.vocabulary import Vocabulary, vocabulary

MOST_PIECES = 64
"""Pieces of a goal that are taken from data."""

SECTIONS = ("intro", "verse", "prechorus", "chorus", "drop", "bridge", "build", "outro")
"""The sections of the table."""

_FIGURES = {"loudness": "LUFS", "ceiling": "dBTP"}


def goal_to_dict(goal: Goal) -> dict[str, Any]:
    """The goal as JSON values, each piece with what it means in words."""
    pieces = [{**asdict(piece), "means": piece.means} for piece in goal.pieces]
    return {
        "text": goal.text,
        "pieces": pieces,
        "not_understood": [asdict(row) for row in goal.unknown],
        "conflicts": [asdict(row) for row in goal.conflicts],
        "corrected": [asdict(row) for row in goal.corrected],
        "problems": [*goal.problems],
    }


def goal_schema() -> dict[str, Any]:
    """The JSON schema of what `goal_from_dict` takes: the names are those of the table."""
    table = vocabulary()
    scope = {
        "stem": {"enum": [None, *table.stems]},
        "part": {"type": "string"},
        "section": {"enum": [None, *SECTIONS]},
    }
    piece = {
        "words": {"type": "string", "description": "as they stand in the goal"},
        "scope": _object(scope, required=()),
        "what": {"enum": [*get_args(What)]},
        "name": {
            "enum": sorted({"", ALL, *table.dimensions, *table.styles, *_named("genre"), *_named("platform")})
        },
        "direction": {"enum": [*get_args(Direction)]},
        "steps": {"type": "number", "minimum": -LARGEST, "maximum": LARGEST},
        "amount": {
            "anyOf": [
                {"type": "null"},
                _object({"value": {"type": "number"}, "unit": {"enum": [*get_args(Unit)]}}),
            ]
        },
    }
    rows = {"type": "array", "maxItems": MOST_PIECES, "items": _object(piece, ("words", "what", "direction"))}
    lost = {"type": "array", "items": {"type": "string"}}
    return _object({"pieces": rows, "not_understood": lost}, ("pieces",))


def goal_from_dict(text: str, data: Mapping[str, Any]) -> Goal:
    """The goal that somebody else made of a text, held to the table.

    A piece that the table does not hold, or whose words the goal does not, is left out and told among the
    problems; what is out of range is bounded. Nothing here raises for what the data say.

    Args:
        text: the goal in words.
        data: of the shape of `goal_schema`.
    """
    problems: list[str] = []
    pieces: list[Piece] = []
    rows = data.get("pieces")
    if not isinstance(rows, list):
        return Goal(text, problems=("the goal as data holds no list of pieces: nothing was taken of it",))
    if len(rows) > MOST_PIECES:
        problems.append(f"the goal as data has {len(rows)} pieces: the first {MOST_PIECES} were taken")
    for row in rows[:MOST_PIECES]:
        try:
            pieces.append(_piece(text, row))
        except (ValueError, TypeError) as error:
            problems.append(f"a piece was left out: {str(error).splitlines()[0][:120]}")
    kept, conflicts, bounded = settled(pieces)
    lost = data.get("not_understood")
    words = [word for word in lost if isinstance(word, str)] if isinstance(lost, list) else []
    unknown = tuple(UnknownWords(word, *spans[0]) for word in words if (spans := _spans(text, word)))
    return Goal(text, kept, unknown, conflicts, (), (*problems, *bounded))


def _object(properties: Mapping[str, Any], required: tuple[str, ...] | None = None) -> dict[str, Any]:
    needed = [*properties] if required is None else [*required]
    return {
        "type": "object",
        "properties": dict(properties),
        "required": needed,
        "additionalProperties": False,
    }


def _named(kind: str) -> set[str]:
    return {term.meaning for terms in vocabulary().terms.values() for term in terms if term.kind == kind}


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"its {what} is of no shape that is known")
    return value


def _piece(text: str, given: Any) -> Piece:
    """One piece.

    Raises:
        ValueError, TypeError: the table does not hold it; the message says what.
    """
    table, row = vocabulary(), _mapping(given, "content")
    if missing := [name for name in ("words", "what", "direction") if name not in row]:
        raise ValueError(f"it has no {missing[0]}")
    words = str(row["words"])
    spans = _spans(text, words)
    if not spans:
        raise ValueError(f"its words “{words[:40]}” do not stand in the goal")
    what = _among(row["what"], get_args(What), "kind of piece")
    direction = _among(row["direction"], get_args(Direction), "direction")
    scope = _scope(_mapping(row.get("scope") or {}, "scope"), table)
    name = str(row.get("name", ""))
    _check_name(what, name, direction, table)
    amount = _amount(row.get("amount"))
    if what in _FIGURES and (amount is None or amount.unit != _FIGURES[what]):
        raise ValueError(f"a {what} needs a figure in {_FIGURES[what]}")
    if what in (*_FIGURES, "platform") and scope != Scope():
        raise ValueError(f"a {what} is of the whole song")
    steps = _steps(row.get("steps", 1.0), direction)
    return Piece(words, spans, scope, cast(What, what), name, cast(Direction, direction), steps, amount)


def _spans(text: str, words: str) -> tuple[tuple[int, int], ...]:
    """Where words stand in a text; nowhere where they do not."""
    at = text.lower().find(words.lower()) if words.strip() else -1
    return () if at < 0 else ((at, at + len(words)),)


def _among(value: Any, known: tuple[Any, ...], what: str) -> Any:
    if value not in known:
        raise ValueError(f"{str(value)[:40]!r} is no {what}")
    return value


def _scope(row: Mapping[str, Any], table: Vocabulary) -> Scope:
    stem = _among(row.get("stem"), (None, *table.stems), "stem")
    section = _among(row.get("section"), (None, *SECTIONS), "section")
    parts = {
        term.instrument.part
        for terms in table.terms.values()
        for term in terms
        if term.instrument is not None
    }
    part = str(row.get("part") or "")
    return Scope(stem, part if part in parts and stem else "", section)


def _check_name(what: str, name: str, direction: str, table: Vocabulary) -> None:
    fixed = what != "dimension"
    if fixed != (direction == "set"):
        raise ValueError(f"a {what} is not asked for as {direction!r}")
    known = {
        "dimension": {*table.dimensions, *([ALL] if direction == "keep" else [])},
        "platform": _named("platform"),
        "genre": {*_named("genre"), *_styles(table, "genre")},
        "mood": _styles(table, "mood"),
        "era": _styles(table, "era"),
    }.get(what, {""})
    if name not in known:
        raise ValueError(f"{name[:40]!r} is no {what} of the table")


def _styles(table: Vocabulary, kind: str) -> set[str]:
    return {name for name, style in table.styles.items() if style.kind == kind}


def _steps(value: Any, direction: str) -> float:
    """The steps within their range, with the sign of their direction."""
    steps = float(value)
    if not math.isfinite(steps):
        raise ValueError("its steps are no number")
    if direction == "keep":
        return 0.0
    size = min(abs(steps), LARGEST)
    return -size if direction == "less" or (direction == "set" and steps < 0) else size


def _amount(row: Any) -> Amount | None:
    if row is None:
        return None
    row = _mapping(row, "amount")
    value, unit = float(row.get("value", math.nan)), _among(row.get("unit"), get_args(Unit), "unit")
    if not math.isfinite(value):
        raise ValueError("its figure is no number")
    return Amount(value if unit in ("LUFS", "dBTP") else abs(value), unit)
