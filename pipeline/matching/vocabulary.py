"""The words that goals are made of: `conf/goals/vocabulary.yaml`, read once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]

Kind = Literal["modifier", "statement", "keeping", "word", "noun", "genre", "filler", "unknown"]

_TOKENS = re.compile(r"\w+(?:['-]\w+)*")
_ENDINGS = (
    ("ier", "y"),
    ("iest", "y"),
    ("er", ""),
    ("er", "e"),
    ("est", ""),
    ("est", "e"),
    ("ness", ""),
    ("ly", ""),
)


@dataclass(frozen=True)
class Dimension:
    """Something that a goal can ask more or less of.

    Attributes:
        name: what the vocabulary calls it.
        label: what less and more of it are called.
        more: what one step more moves, by parameter.
        less: what one step less moves.
        reaches: whether its words say how much of a noun there is ("loud vocals").
    """

    name: str
    label: tuple[str, str]
    more: Mapping[str, float]
    less: Mapping[str, float]
    reaches: bool


@dataclass(frozen=True)
class Term:
    """One word or phrase.

    Attributes:
        kind: what it does in a clause.
        meaning: the dimension of a word or noun, the profile of a genre.
        steps: how much it asks for by itself, or what a modifier multiplies by.
        fault: whether it is said of a song rather than wished for it.
    """

    kind: Kind
    meaning: str = ""
    steps: float = 1.0
    fault: bool = False


UNKNOWN = Term("unknown")


@dataclass(frozen=True)
class Vocabulary:
    """Dimensions by name, and what each word or phrase may be, as first what it is next to a noun."""

    dimensions: Mapping[str, Dimension]
    terms: Mapping[str, tuple[Term, ...]]

    def read(self, clause: str) -> list[tuple[str, Term]]:
        """The clause as terms, the longest match first; what is not known is `UNKNOWN`."""
        found = list(self._matches(_TOKENS.findall(clause)))
        nouns = [any(term.kind == "noun" for term in terms) for _, terms in found]
        return [
            (words, terms[0] if next_is_noun else terms[-1])
            for (words, terms), next_is_noun in zip(found, [*nouns, False][1:], strict=True)
        ]

    def _matches(self, tokens: list[str]) -> Iterator[tuple[str, tuple[Term, ...]]]:
        at, longest = 0, max(len(words.split()) for words in self.terms)
        while at < len(tokens):
            spans = (
                " ".join(tokens[at : at + size]) for size in range(min(longest, len(tokens) - at), 0, -1)
            )
            words, terms = next(
                ((span, terms) for span in spans if (terms := self._known(span))), (tokens[at], (UNKNOWN,))
            )
            yield words, terms
            at += len(words.split())

    def _known(self, words: str) -> tuple[Term, ...]:
        """The known word for a word, also of its comparative or noun: `wider` is wide."""
        bases = (words, *_bases(words))
        return next((self.terms[base] for base in bases if base in self.terms), ())


def _bases(word: str) -> Iterator[str]:
    for ending, instead in _ENDINGS:
        if word.endswith(ending):
            base = word.removesuffix(ending) + instead
            yield base
            if len(base) > 2 and base[-1] == base[-2]:
                yield base[:-1]


@cache
def vocabulary() -> Vocabulary:
    """The vocabulary that the package ships."""
    text = resources.files("mixagent.conf").joinpath("goals/vocabulary.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    dimensions = {
        name: Dimension(name, tuple(row["label"]), row["more"], row["less"], row.get("reaches", False))
        for name, row in data["dimensions"].items()
    }
    terms: dict[str, tuple[Term, ...]] = {}
    for words, term in _terms(data):
        terms[words] = (*terms.get(words, ()), term)
    return Vocabulary(MappingProxyType(dimensions), MappingProxyType(terms))


def _terms(data: Mapping[str, Any]) -> Iterator[tuple[str, Term]]:
    """Every word with what it may be; where it may be two things, what it is before a noun comes first."""
    yield from ((words, Term("modifier", steps=factor)) for words, factor in data["modifiers"].items())
    yield from ((words, Term("keeping")) for words in data["keeping"])
    yield from ((words, Term("statement")) for words in data["statements"])
    yield from ((words, Term("genre", profile)) for words, profile in data["genres"].items())
    for name, row in data["dimensions"].items():
        for words, steps in row.get("words", {}).items():
            yield words, Term("word", name, steps, words in row.get("faults", ()))
        for words in row.get("nouns", ()):
            yield words, Term("noun", name, -1.0 if words in row.get("negative", ()) else 1.0)
    yield from ((words, Term("filler")) for words in data["fillers"])
