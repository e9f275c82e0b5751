"""How far a goal was understood as an engineer would have it: for the tests and for the benchmark."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mixagent.pipeline.matching.goals import LEVEL, Goal, Piece, dimensions_of
from mixagent.pipeline.matching.reading import understood
from mixagent.pipeline.matching.vocabulary import spoken, vocabulary

NAMES = {
    "brightness": ("bright", "air"),
    "warmth": ("warm", "mid"),
    "bass": ("bass", "boom"),
    "mud": ("mud", "boom"),
    "harshness": ("harsh", "sibilance"),
    "presence": ("presence", "mid"),
    "space": ("reverb",),
    "loudness": ("loudness", "level"),
    "aggression": ("mood",),
}
"""What the phrases call the dimensions of the table."""

GENRES = {
    "game-electronic": ("electronic", "techno"),
    "game-metal": ("metal", "rock"),
    "game-ambient": ("ambient",),
    "game-orchestral": ("orchestral",),
}
STYLES = {
    "fifties": "50s", "sixties": "60s", "seventies": "70s", "eighties": "80s", "nineties": "90s",
}  # fmt: skip
TARGETS = {"streaming": "tiktok", "apple": "apple-music", "r128": "broadcast"}
_SIGNS = {"more": "+", "less": "-", "keep": "keep"}


def marks(piece: Piece) -> set[str]:
    """The ways in which the phrases may write a piece down, amounts left out."""
    scope = ".".join(filter(None, (piece.scope.section, piece.scope.stem))) or "mix"
    if piece.what in ("loudness", "ceiling"):
        assert piece.amount is not None
        return {f"mix {piece.what} ={piece.amount.value:g}{piece.amount.unit}"}
    if piece.what == "platform":
        names = {piece.name, TARGETS.get(piece.name, piece.name)}
        return {f"mix platform ={name}" for name in names}
    if piece.what in ("genre", "mood", "era"):
        names = {piece.name, STYLES.get(piece.name, piece.name), *GENRES.get(piece.name, ()), *_eras(piece)}
        return {f"{scope} {kind} ={name}" for kind in (piece.what, "style") for name in names} | _strongest(
            piece, scope
        )
    return _dimension_marks(piece, scope)


def _strongest(piece: Piece, scope: str) -> set[str]:
    """What a style moves by half a step and more, which an engineer may have written instead."""
    found = {f"{scope} {piece.name} +"}
    for dimension, steps in dimensions_of(piece):
        if abs(steps) >= 0.5:
            sign = "+" if steps > 0 else "-"
            found |= {f"{scope} {name} {sign}" for name in (dimension.name, *NAMES.get(dimension.name, ()))}
    return found


def _eras(piece: Piece) -> list[str]:
    """What was said, where a style has several names: tape is an era's too."""
    return [piece.words]


def _dimension_marks(piece: Piece, scope: str) -> set[str]:
    sign = _SIGNS[piece.direction]
    if piece.name == "all":
        return {f"{scope} keep", f"{scope} level keep"}
    names = {piece.name, *NAMES.get(piece.name, ())}
    found = {f"{scope} {name} {sign}" for name in names}
    if piece.name == LEVEL and piece.direction == "keep":
        found.add(f"{scope} keep")
    if piece.name == "mud" and sign != "keep":
        found.add(f"{scope} clarity {'+' if sign == '-' else '-'}")
    if piece.name == "dynamics" and sign == "-":
        found.add(f"{scope} glue +")
    if piece.name == "aggression":
        found.add(f"{scope} punch {sign}")
        found |= {f"{scope} mood ={'aggressive' if sign == '+' else 'gentle'}", f"{scope} mood =soft"}
    return found


def _amount_fits(piece: Piece, amount: str) -> bool:
    if not amount:
        return True
    if amount == "a_bit":
        return 0 < abs(piece.steps) < 1
    if amount == "a_lot":
        return abs(piece.steps) > 1
    if piece.amount is None:
        return False
    number, unit = re.fullmatch(r"x?([\d.]+)(\D*)", amount).groups()  # type: ignore[union-attr]
    return piece.amount.value == float(number) and piece.amount.unit == (unit or "x")


def _fits(piece: Piece, alternative: str) -> bool:
    words = alternative.split()
    amount = words.pop() if len(words) == 4 else ""
    return " ".join(words) in marks(piece) and _amount_fits(piece, amount)


def misses(text: str, expected: Sequence[str]) -> list[str]:
    """What of a phrase was not taken as an engineer would have it; nothing where all of it was."""
    goal = understood(text)
    if any(alternative.endswith("!") for row in expected for alternative in row.split("|")):
        return [] if goal.conflicts else ["no conflict was seen"]
    missed = [row for row in expected if not _met(goal, row)]
    alternatives = [each for row in expected for each in row.split("|")]
    extra = [
        f"not asked for: {piece.means}"
        for piece in goal.pieces
        if not any(_fits(piece, alternative) for alternative in alternatives if alternative[0] != "?")
    ]
    wanted = {word[1:] for row in expected for word in row.split("|") if word[0] == "?"}
    strange = [f"not understood: {row.words}" for row in goal.unknown if row.words not in wanted]
    return [*missed, *extra, *strange]


def _met(goal: Goal, row: str) -> bool:
    for alternative in row.split("|"):
        if alternative[0] == "?" and alternative[1:] in [lost.words for lost in goal.unknown]:
            return True
        if any(_fits(piece, alternative) for piece in goal.pieces):
            return True
    return False


def ignored(text: str) -> list[str]:
    """Words of a goal that are in no piece and no list, and are none that say nothing by themselves."""
    goal = understood(text)
    spans = [
        *(span for piece in goal.pieces for span in piece.spans),
        *((row.start, row.stop) for row in goal.unknown),
    ]
    told = " ".join([*(f"{row.first} {row.second}" for row in goal.conflicts), *goal.problems])
    silent = ("filler", "joining", "separator", "statement", "exception")
    table, lost = vocabulary(), []
    for match in re.finditer(r"\w+(?:['&]\w+)*", text.lower().replace("’", "'")):
        terms = table.terms.get(spoken(match.group()), ())
        covered = any(start <= match.start() and match.end() <= stop for start, stop in spans)
        if not covered and match.group() not in told and not any(term.kind in silent for term in terms):
            lost.append(match.group())
    return lost
