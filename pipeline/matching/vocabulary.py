"""The words that goals are made of: `conf/goals/vocabulary.yaml`, read once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]

Kind = Literal[
    "modifier",
    "statement",
    "keeping",
    "exception",
    "comparison",
    "separator",
    "joining",
    "word",
    "noun",
    "stem",
    "section",
    "figure",
    "platform",
    "style",
    "genre",
    "filler",
    "number",
    "unknown",
]

LEAST_CORRECTED = 4
"""Letters of the shortest word that is taken for misspelt."""

ALIKE = 0.8
"""How alike a misspelt word and the one that it is taken for are, by `difflib`."""

_ENDINGS = (
    ("ier", "y"),
    ("iest", "y"),
    ("er", ""),
    ("er", "e"),
    ("est", ""),
    ("est", "e"),
    ("ness", ""),
    ("ly", ""),
    ("en", ""),
    ("en", "e"),
)
_COMPARATIVES = ("er", "est")


@dataclass(frozen=True)
class Keeps:
    """The settings that are left at neutral where a dimension is to stay as it is.

    Attributes:
        strength: a dimension of `pipeline.chain.amounts`; none where it is empty.
        hz: the bands of the equalisers between two frequencies; none where it is empty.
        sends: whether the sends to the room are meant.
    """

    strength: str = ""
    hz: tuple[float, ...] = ()
    sends: bool = False


@dataclass(frozen=True)
class Dimension:
    """Something that a goal can ask more or less of.

    Attributes:
        name: what the vocabulary calls it.
        label: what less and more of it are called.
        more: what one step more moves, by parameter.
        less: what one step less moves.
        reaches: whether its words say how much of a noun there is ("loud vocals").
        strip_more: what one step more moves on the strip of a stem, by the parameter's name there.
        strip_less: what one step less moves there.
        keeps: what is left alone where the dimension is to stay as it is.
        unreached: why less and more of it are not to be had, where they are not.
    """

    name: str
    label: tuple[str, str]
    more: Mapping[str, float]
    less: Mapping[str, float]
    reaches: bool = False
    strip_more: Mapping[str, float] = field(default_factory=dict)
    strip_less: Mapping[str, float] = field(default_factory=dict)
    keeps: Keeps = Keeps()
    unreached: tuple[str, ...] = ()

    def moves(self, steps: float, stem: bool) -> Mapping[str, float]:
        """The moves of a step in the direction of these, of the master or of a stem's strip."""
        if stem:
            return self.strip_more if steps > 0 else self.strip_less
        return self.more if steps > 0 else self.less


@dataclass(frozen=True)
class Style:
    """A genre, mood or era: its kind, and how far it goes in each dimension."""

    name: str
    kind: str
    steps: Mapping[str, float]


@dataclass(frozen=True)
class Instrument:
    """Words for a stem, or for an instrument in one.

    Attributes:
        stem: one of `vocals`, `drums`, `bass` and `other`.
        part: the instrument; empty for the whole stem.
        found_as: the stems of a separation that it may be, the nearest first.
        level_as: the dimension that there is less of where it is turned down; its fader's where empty.
        either: the dimension of the mix that the words may mean instead; none where empty.
    """

    stem: str
    part: str = ""
    found_as: tuple[str, ...] = ()
    level_as: str = ""
    either: str = ""


@dataclass(frozen=True)
class Term:
    """One word or phrase.

    Attributes:
        kind: what it does in a clause.
        meaning: the dimension of a word or noun, the profile of a genre, the name of what else has one.
        steps: how much it asks for by itself, or what a modifier multiplies by.
        fault: whether it is said of a song rather than wished for it.
        instrument: of a stem.
    """

    kind: Kind
    meaning: str = ""
    steps: float = 1.0
    fault: bool = False
    instrument: Instrument | None = None


UNKNOWN = Term("unknown")


@dataclass(frozen=True)
class Match:
    """Tokens of a text that are a term.

    Attributes:
        words: as they stand in the text, in small letters.
        terms: what they may mean, as first what they are before a noun.
        start, stop: the tokens, from the one to before the other.
        comparative: whether they are the comparative of a word of the table.
        read_as: the word that a misspelt one was taken for.
    """

    words: str
    terms: tuple[Term, ...]
    start: int
    stop: int
    comparative: bool = False
    read_as: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """The table.

    Attributes:
        dimensions: by name.
        terms: what each word or phrase may be, as first what it is next to a noun.
        styles: genres without a profile, moods and eras, by name.
        stems: the stems of a separation that each stem of the table may be, the nearest first.
        faders, sizes, negations: modifiers of a kind.
        languages: function words of other languages.
        section_level_db: what a step moves the level of a section.
    """

    dimensions: Mapping[str, Dimension]
    terms: Mapping[str, tuple[Term, ...]]
    styles: Mapping[str, Style]
    stems: Mapping[str, tuple[str, ...]]
    faders: frozenset[str]
    sizes: frozenset[str]
    negations: frozenset[str]
    languages: Mapping[str, frozenset[str]]
    section_level_db: float

    def match(self, tokens: Sequence[str], spelling: bool = True) -> Iterator[Match]:
        """The tokens as terms, the longest match first; what is not known is `UNKNOWN`.

        Args:
            tokens: words in small letters.
            spelling: whether a word that is spelt nearly like one of the table is read as that.
        """
        at = 0
        while at < len(tokens):
            sizes = range(min(self._longest, len(tokens) - at), 0, -1)
            found = next((m for size in sizes if (m := self._known(tokens, at, at + size))), None)
            if found is None:
                found = self._corrected(tokens[at], at, spelling)
            yield found
            at = found.stop

    def alike(self, word: str) -> str:
        """The word of the table that is spelt most like this one; nothing where none is."""
        return next(iter(difflib.get_close_matches(word, self._single, 1, ALIKE)), "")

    def _known(self, tokens: Sequence[str], start: int, stop: int) -> Match | None:
        words = " ".join(tokens[start:stop])
        for base in (words, *_bases(words)):
            if base in self.terms:
                comparative = base != words and words.endswith(_COMPARATIVES)
                return Match(words, self.terms[base], start, stop, comparative)
        return None

    def _corrected(self, word: str, at: int, spelling: bool) -> Match:
        unknown = Match(word, (UNKNOWN,), at, at + 1)
        if not spelling or len(word) < LEAST_CORRECTED or not word.isascii() or not word.isalpha():
            return unknown
        near = [other for other in self._by_letter.get(word[0], ()) if abs(len(other) - len(word)) <= 2]
        for other in difflib.get_close_matches(word, near, 1, ALIKE):
            known = self._known([other], 0, 1)
            # "Crackle" is no slip for "crack".
            derived = abs(len(word) - len(other)) > 1 and (word.startswith(other) or other.startswith(word))
            if known is not None and not derived and _slips(word, other) <= (1 if len(word) < 6 else 2):
                return Match(word, known.terms, at, at + 1, known.comparative, other)
        return unknown

    @cached_property
    def _longest(self) -> int:
        return max(len(words.split()) for words in self.terms)

    @cached_property
    def _single(self) -> list[str]:
        return [word for word in self.terms if " " not in word]

    @cached_property
    def _by_letter(self) -> Mapping[str, tuple[str, ...]]:
        """Words of four letters and more with their comparatives, by their first letter."""
        words: dict[str, set[str]] = {}
        for word, terms in self.terms.items():
            if " " in word or len(word) < LEAST_CORRECTED:
                continue
            forms = {word}
            if any(term.kind == "word" for term in terms):
                forms |= {
                    f"{word.removesuffix('e')}er",
                    f"{word.removesuffix('y')}ier" if word[-1] == "y" else word,
                }
            for form in forms:
                words.setdefault(form[0], set()).add(form)
        return {letter: tuple(sorted(found)) for letter, found in words.items()}


def _slips(word: str, other: str) -> int:
    """Letters added, left out, exchanged or swapped with a neighbour (Damerau and Levenshtein)."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(word, 1):
        row = [i]
        for j, second in enumerate(other, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != second))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == second:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def _bases(word: str) -> Iterator[str]:
    for ending, instead in _ENDINGS:
        if word.endswith(ending):
            base = word.removesuffix(ending) + instead
            yield base
            if len(base) > 2 and base[-1] == base[-2]:
                yield base[:-1]


_TOKEN = re.compile(r"\w+(?:['&]\w+)*")


def spoken(words: str) -> str:
    """Words as the table holds them: small letters, hyphens as spaces."""
    return " ".join(_TOKEN.findall(words.lower()))


@cache
def vocabulary() -> Vocabulary:
    """The vocabulary that the package ships."""
    text = resources.files("mixagent.conf").joinpath("goals/vocabulary.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    terms: dict[str, tuple[Term, ...]] = {}
    for words, term in _terms(data):
        known = terms.get(spoken(words), ())
        if term not in known and not (known and term.kind == "filler"):
            terms[spoken(words)] = (*known, term)

    def spoken_set(name: str) -> frozenset[str]:
        return frozenset(map(spoken, data[name]))

    return Vocabulary(
        MappingProxyType({name: _dimension(name, row) for name, row in data["dimensions"].items()}),
        MappingProxyType(terms),
        {name: Style(name, row["kind"], row["steps"]) for name, row in data["styles"].items()},
        {name: tuple(row["found_as"]) for name, row in data["stems"].items()},
        spoken_set("faders"),
        spoken_set("sizes"),
        spoken_set("negations"),
        {name: frozenset(words) for name, words in data["languages"].items()},
        data["section_level_db"],
    )


def _dimension(name: str, row: Mapping[str, Any]) -> Dimension:
    kept = row.get("keeps", {})
    return Dimension(
        name,
        tuple(row["label"]),
        row["more"],
        row["less"],
        row.get("reaches", False),
        row.get("strip_more", {}),
        row.get("strip_less", {}),
        Keeps(kept.get("strength", ""), tuple(kept.get("hz", ())), kept.get("sends", False)),
        tuple(row.get("unreached", ())),
    )


def _terms(data: Mapping[str, Any]) -> Iterator[tuple[str, Term]]:
    """Every word with what it may be; where it may be two things, what it is before a noun comes first."""
    yield from ((words, Term("modifier", steps=factor)) for words, factor in data["modifiers"].items())
    kinds: tuple[tuple[str, Kind], ...] = (
        ("keeping", "keeping"),
        ("exceptions", "exception"),
        ("comparisons", "comparison"),
        ("separators", "separator"),
        ("joining", "joining"),
        ("statements", "statement"),
    )
    for name, kind in kinds:
        yield from ((words, Term(kind)) for words in data[name])
    yield from ((words, Term("genre", profile)) for words, profile in data["genres"].items())
    for name, kind in _NAMED:
        yield from ((words, Term(kind, meaning)) for meaning, row in data[name].items() for words in row)
    yield from (
        (words, Term("style", name)) for name, row in data["styles"].items() for words in row["words"]
    )
    for name, row in data["dimensions"].items():
        for words, steps in row.get("words", {}).items():
            yield words, Term("word", name, steps, words in row.get("faults", ()))
        for words in row.get("nouns", ()):
            yield words, Term("noun", name, -1.0 if words in row.get("negative", ()) else 1.0)
    for stem, row in data["stems"].items():
        for part in row["parts"]:
            found = (*part.get("found_as", ()), *row["found_as"])
            about = Instrument(
                stem, part.get("part", ""), found, part.get("level_as", ""), part.get("either", "")
            )
            yield from ((words, Term("stem", stem, instrument=about)) for words in part["words"])
    yield from ((words, Term("filler")) for words in data["fillers"])


_NAMED: tuple[tuple[str, Kind], ...] = (
    ("sections", "section"),
    ("figures", "figure"),
    ("platforms", "platform"),
)
