"""Pieces of a goal held against each other: one for each dimension of a scope, conflicts told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mixagent.pipeline.matching.goals import ALL, LEVEL, MIX, MOST_DB, Amount, Conflict, Piece

LOUDNESS_LUFS = (-40.0, -5.0)
"""The loudness that a master can be aimed at, as `finaliser.targets` has it."""

CEILING_DBTP = (-20.0, 0.0)
"""The ceilings that it can have, likewise."""


def settled(pieces: Sequence[Piece]) -> tuple[tuple[Piece, ...], tuple[Conflict, ...], tuple[str, ...]]:
    """The pieces that are to be done, the conflicts, and a line for each figure that was bounded."""
    conflicts: list[Conflict] = []
    told: list[str] = []
    kept: list[Piece] = []
    for key in dict.fromkeys(map(_key, pieces)):
        alike = [piece for piece in pieces if _key(piece) == key]
        kept += _one(alike, conflicts)
    kept = _without_kept(kept, conflicts)
    kept = _figure_over_words(kept, conflicts)
    bounded = [_bounded(piece, told) for piece in kept]
    return tuple(bounded), tuple(conflicts), tuple(told)


def _key(piece: Piece) -> tuple[object, ...]:
    named = piece.name if piece.what not in ("loudness", "ceiling", "platform") else ""
    return (piece.scope, piece.what, named)


def _one(alike: Sequence[Piece], conflicts: list[Conflict]) -> Iterator[Piece]:
    """What is left of pieces about one dimension of one scope."""
    kept = [piece for piece in alike if piece.direction == "keep"]
    more, less, fixed = (
        [piece for piece in alike if piece.direction == way] for way in ("more", "less", "set")
    )
    if fixed:
        yield _last(fixed, conflicts)
    elif kept and (more or less):
        conflicts.append(
            Conflict(
                _words(kept), _words([*more, *less]), "it was left as it is, which is the safer of the two"
            )
        )
        yield _joined(kept)
    elif more and less:
        conflicts.append(Conflict(_words(more), _words(less), "neither was done"))
    else:
        yield _joined(alike)


def _last(fixed: Sequence[Piece], conflicts: list[Conflict]) -> Piece:
    values = {(piece.name, piece.amount) for piece in fixed}
    if len(values) > 1:
        first, last = _words(fixed[:-1]), fixed[-1].words
        conflicts.append(Conflict(first, last, f"“{last}” was said last, and holds"))
        return fixed[-1]
    return _joined(fixed)


def _joined(alike: Sequence[Piece]) -> Piece:
    """The piece that asks for most, with the words of all."""
    most = max(alike, key=lambda piece: (piece.amount is not None, abs(piece.steps)))
    spans = tuple(dict.fromkeys(span for piece in alike for span in piece.spans))
    return replace(most, words=_words(alike), spans=spans)


def _words(pieces: Sequence[Piece]) -> str:
    return ", ".join(dict.fromkeys(piece.words for piece in pieces))


def _without_kept(pieces: Sequence[Piece], conflicts: list[Conflict]) -> list[Piece]:
    """The pieces without those of a scope of which all is to stay as it is."""
    left = [piece for piece in pieces if piece.direction == "keep" and piece.name == ALL]
    kept = []
    for piece in pieces:
        over = next((each for each in left if each is not piece and each.scope == piece.scope), None)
        if over is None or piece.what != "dimension":
            kept.append(piece)
        elif piece.direction != "keep":
            conflicts.append(
                Conflict(over.words, piece.words, "it was left as it is, which is the safer of the two")
            )
    return kept


def _figure_over_words(pieces: Sequence[Piece], conflicts: list[Conflict]) -> list[Piece]:
    """The pieces without words of loudness where a figure says how loud."""
    figure = next((piece for piece in pieces if piece.what == "loudness"), None)
    kept = []
    for piece in pieces:
        by_words = piece.scope == MIX and piece.name == LEVEL and piece.what == "dimension"
        if figure is None or not by_words:
            kept.append(piece)
        else:
            conflicts.append(
                Conflict(piece.words, figure.words, f"“{figure.words}” says how loud, and holds")
            )
    return kept


def _bounded(piece: Piece, told: list[str]) -> Piece:
    """The piece with its figure within what can be done."""
    amount = piece.amount
    if amount is None:
        return piece
    if piece.what in ("loudness", "ceiling"):
        low, high = LOUDNESS_LUFS if piece.what == "loudness" else CEILING_DBTP
    elif amount.unit in ("dB", "LU"):
        low, high = 0.0, MOST_DB
    else:
        return piece
    value = min(max(amount.value, low), high)
    if value == amount.value:
        return piece
    told.append(
        f"“{piece.words}” is out of reach: {value:g} {amount.unit} is as far as it goes".replace("-", "−")
    )
    return replace(piece, amount=Amount(value, amount.unit))
