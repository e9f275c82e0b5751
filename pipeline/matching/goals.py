"""`--goal "aggressive EDM, wide, less harsh"`: words of the trade to moves of the chain, without a network.

A goal is read clause by clause (commas, semicolons, "but"), each as a row of the vocabulary's terms:

modifier  multiplies what follows; of several, one that takes away makes all of them take away
word      asks for a step more or less of a dimension by itself
noun      names a dimension: it wants a modifier, or a word of a dimension that reaches it ("loud vocals")
genre     names a shipped profile, whose tone and width the master is brought towards

What takes away goes on over "and", to nouns and faults: "less harsh and muddy" wants less of both.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import copysign, prod

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.matching.moves import Move
from mixagent.pipeline.matching.vocabulary import UNKNOWN, Dimension, Term, vocabulary

LOUDNESS = "loudness_lu"
"""Stands among the moves of a dimension for the target's loudness."""

LARGEST = 2.0
"""Steps that a wish is worth at most."""

_CLAUSES = re.compile(r"[,;.!?/]+|\bbut\b|\bthen\b|\bplus\b")
_JOINING = ("and", "or", "nor")


@dataclass(frozen=True)
class Wish:
    """More of a dimension (`steps` over 0) or less of it, and the words that asked for it."""

    dimension: Dimension
    steps: float
    words: str

    @property
    def label(self) -> str:
        """The name of the dimension that it was understood as."""
        return self.dimension.label[self.steps > 0]

    @property
    def moves(self) -> Mapping[str, float]:
        """The moves of one step."""
        return self.dimension.more if self.steps > 0 else self.dimension.less


@dataclass(frozen=True)
class Goal:
    """A goal as it was understood.

    Attributes:
        text: as it was given.
        wishes: at most one for each dimension.
        genres: words, and the shipped profile that each stands for.
        unknown: words that were not understood, each with a known one that is spelt alike, or nothing.
        conflicts: words that ask for more, and for less, of one dimension: neither is done.
    """

    text: str
    wishes: tuple[Wish, ...] = ()
    genres: tuple[tuple[str, str], ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()
    conflicts: tuple[tuple[str, str], ...] = ()

    @property
    def loudness_lu(self) -> float:
        """By how much the target's loudness is to be moved."""
        return sum(wish.moves.get(LOUDNESS, 0.0) * abs(wish.steps) for wish in self.wishes)

    def moves(self, space: ParameterSpace) -> tuple[Move, ...]:
        """The moves of the wishes, of the parameters that the space holds."""
        return tuple(
            Move(name, _scaled(space, name, by, abs(wish.steps)), f"“{wish.words}”: {wish.label}")
            for wish in self.wishes
            for name, by in wish.moves.items()
            if name in space
        )

    def out_of_reach(self, space: ParameterSpace) -> tuple[Wish, ...]:
        """Wishes that nothing in the space can serve: there is no such stem."""
        return tuple(
            wish for wish in self.wishes if not any(name in space or name == LOUDNESS for name in wish.moves)
        )


def _scaled(space: ParameterSpace, name: str, by: float, steps: float) -> float:
    return float(by**steps) if space[name].scale == "log" else by * steps


def understood(text: str) -> Goal:
    """The wishes that a goal asks for."""
    hits = [hit for clause in _CLAUSES.split(text.lower().replace("’", "'")) for hit in _clause(clause)]
    wishes, conflicts = [], []
    for name, dimension in vocabulary().dimensions.items():
        asked = [hit for hit in hits if hit.term.kind in ("word", "noun") and hit.term.meaning == name]
        more, less = ([hit for hit in asked if (hit.steps > 0) == up] for up in (True, False))
        if more and less:
            conflicts.append((_words(more), _words(less)))
        elif asked:
            steps = max((hit.steps for hit in asked), key=abs)
            wishes.append(Wish(dimension, min(max(steps, -LARGEST), LARGEST), _words(asked)))
    return Goal(
        text,
        tuple(wishes),
        tuple((hit.words, hit.term.meaning) for hit in hits if hit.term.kind == "genre"),
        tuple((hit.words, _alike(hit.words)) for hit in hits if hit.term.kind == "unknown"),
        tuple(conflicts),
    )


@dataclass(frozen=True)
class _Hit:
    """A term in its clause: the words with their modifiers, and what they come to."""

    words: str
    term: Term
    steps: float
    modified: bool = False

    @property
    def reaches(self) -> bool:
        return self.term.kind == "word" and vocabulary().dimensions[self.term.meaning].reaches

    def times(self, words: Sequence[str], factor: float) -> _Hit:
        joined = " ".join((*words, self.words))
        return replace(self, words=joined, steps=self.steps * factor, modified=True)


def _words(hits: Sequence[_Hit]) -> str:
    return ", ".join(hit.words for hit in hits)


def _alike(word: str) -> str:
    return next(iter(difflib.get_close_matches(word, vocabulary().terms, 1, 0.8)), "")


def _clause(text: str) -> list[_Hit]:
    hits: list[_Hit] = []
    modifiers: list[tuple[str, float]] = []
    taking, joined, stated = False, False, False
    for words, term in vocabulary().read(text):
        if term.kind == "keeping":
            break
        if term.kind == "modifier":
            modifiers.append((words, term.steps))
        elif term.kind in ("filler", "statement"):
            joined, stated = joined or words in _JOINING, stated or term.kind == "statement"
        elif term.kind == "unknown":
            hits.append(_Hit(words, term, 0.0))
        else:
            hit = _Hit(words, term, term.steps)
            goes_on = taking and joined and (term.fault or term.kind == "noun")
            if modifiers:
                hit = hit.times(*_together(modifiers))
            elif goes_on or (stated and term.fault):
                hit = hit.times((), -1.0)
            taking = hit.steps * term.steps < 0
            hits.append(hit)
            modifiers, joined = [], False
    return _settled(_followed(hits, modifiers))


def _together(modifiers: Sequence[tuple[str, float]]) -> tuple[list[str], float]:
    """Modifiers in a row: their words, and their product, below 0 where one of them is."""
    factors = [factor for _, factor in modifiers]
    return [words for words, _ in modifiers], copysign(prod(map(abs, factors)), min(factors))


def _followed(hits: list[_Hit], modifiers: Sequence[tuple[str, float]]) -> list[_Hit]:
    """The clause with modifiers that stand behind what they are said of: "vocals up", "highs need taming"."""
    open_hits = [n for n, hit in enumerate(hits) if hit.term.kind in ("word", "noun") and not hit.modified]
    if not modifiers or not open_hits:
        return hits
    words, factor = _together(modifiers)
    faults = [n for n in open_hits if hits[n].term.fault and factor < 0]
    nouns = [n for n in open_hits if hits[n].term.kind == "noun"]
    said_of = (faults or nouns or open_hits)[-1]
    return [hit.times(words, factor) if n == said_of else hit for n, hit in enumerate(hits)]


def _settled(hits: list[_Hit]) -> list[_Hit]:
    """The clause without nouns that ask for nothing, and with words that reach a noun put onto it.

    A noun next to words that were not understood is not understood either.
    """
    bare = [hit for hit in hits if hit.term.kind == "noun" and not hit.modified]
    others = [hit for hit in hits if hit.term.kind != "unknown" and hit not in bare]
    reaching = [hit for hit in others if hit.reaches]
    if not others and len(bare) < len(hits):
        # Who knows what is to be done with it: "dial back the brightness".
        return [replace(hit, term=UNKNOWN) for hit in hits]
    if not bare or not others:
        return hits
    if not reaching:
        return [hit for hit in hits if hit not in bare]
    noun = bare[-1].times([hit.words for hit in reaching], sum(hit.steps for hit in reaching))
    return [*(hit for hit in hits if hit not in (*bare, *reaching)), noun]
