"""`--goal "vocal up front, less boxy guitars, louder chorus, −9 LUFS"`: words to a `Goal`, without a network.

A goal is read part by part (commas, semicolons, "but"), and what "and" joins piece by piece, as a row of
the vocabulary's terms:

modifier  multiplies what follows; of several, one that takes away makes all of them take away
word      asks for a step more or less of a dimension by itself
noun      names a dimension: it wants a modifier, or a word of a dimension that reaches it ("loud highs")
stem      is what the rest is about, or a fader where a modifier or a word of loudness says so
section   is where the rest is to be
genre     names a shipped profile, whose tone and width the master is brought towards; a style moves
          dimensions

What takes away goes on over "and", to nouns and faults: "less harsh and muddy" wants less of both. Nothing
is passed over: each word is in a piece, of a filler's kind, or among what was not understood.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import copysign, log2, prod

from mixagent.pipeline.matching.goals import (
    ALL,
    LARGEST,
    LEVEL,
    Amount,
    Corrected,
    Direction,
    Goal,
    Piece,
    Scope,
    UnknownWords,
)
from mixagent.pipeline.matching.settling import settled
from mixagent.pipeline.matching.vocabulary import Instrument, Match, Term, vocabulary

MOST_WORDS = 200
"""Words of a goal that are read."""

_TOKEN = re.compile(
    r"(?P<figure>(?:half an?|an?|one|two|three|four|five|six) (?:decibels?|db)\b|[-+]?\d+(?:[.,]\d+)?\s*"
    r"(?:lufs|lkfs|dbtp|dbfs|decibels?|db|lu|percent|times|x|khz|hz|k)\b|[-+]?\d+(?:[.,]\d+)?\s*%|[-+]?\d+(?:[.,]\d+)?(?![\w'&]))"
    r"|(?P<word>\w+(?:['&]\w+)*)"
    r"|(?P<stop>[,;.!?/\n()]+)"
)
_FIGURE = re.compile(r"([-+]?\d+(?:[.,]\d+)?|[a-z ]+(?= d))\s*(\D*)")
_SPELT = {
    "half a": 0.5,
    "half an": 0.5,
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
}
_UNITS = {
    "lufs": "LUFS", "lkfs": "LUFS", "dbtp": "dBTP", "dbfs": "dBTP", "db": "dB", "decibel": "dB",
    "decibels": "dB", "lu": "LU", "%": "%", "percent": "%", "times": "x", "x": "x", "": "",
}  # fmt: skip
_HZ = {"hz": 1.0, "khz": 1000.0, "k": 1000.0}
_BANDS = ((200.0, "bass"), (500.0, "mud"), (5000.0, "presence"))
_FACTORS = {"twice": 2.0, "double": 2.0, "triple": 3.0, "half": 0.5, "thrice": 3.0}
_OTHER_LANGUAGE = 0.5
_CONTROLS = {"Cc", "Cf", "Co", "Cn", "Cs"}


@dataclass(frozen=True)
class Token:
    """A word, a figure or what parts a goal, and where it stands."""

    words: str
    kind: str
    start: int
    stop: int


@dataclass(frozen=True)
class Item:
    """A term in its place: its words, where they stand, and the figure of a number."""

    words: str
    term: Term
    start: int
    stop: int
    comparative: bool = False
    value: float = 0.0
    unit: str = ""
    signed: bool = False
    joined: bool = False

    @property
    def instrument(self) -> Instrument:
        """The stem or part that it names."""
        assert self.term.instrument is not None
        return self.term.instrument


@dataclass(frozen=True)
class Ask:
    """What a part of a goal asks for, before its scope is known.

    Attributes:
        items: that ask for it.
        what, name: of the piece that it becomes; the dimension `level` is of whatever the scope is.
        steps: how much.
        direction: of the piece.
        amount: the figure that was named.
        own: the stem that was named for it alone.
        word: whether a word asks for it by itself.
    """

    items: tuple[Item, ...]
    name: str
    steps: float
    direction: Direction = "more"
    amount: Amount | None = None
    own: Instrument | None = None
    word: bool = False


@dataclass
class Group:
    """What stands between two joining words, or between two stops.

    Attributes:
        items: of it.
        asks: what it asks for.
        stems, sections: what it is about.
        excepted: the stems that it is not about.
        against: what it is held against.
        lost: items that were not understood.
        leading: whether what it is about comes before what it asks for.
    """

    items: list[Item]
    asks: list[Ask] = field(default_factory=list)
    set_pieces: list[Piece] = field(default_factory=list)
    stems: list[Item] = field(default_factory=list)
    sections: list[Item] = field(default_factory=list)
    excepted: list[Item] = field(default_factory=list)
    against: list[Item] = field(default_factory=list)
    lost: list[Item] = field(default_factory=list)
    leading: bool = False
    taking: bool = False


def understood(text: str) -> Goal:
    """All that a goal asks for."""
    plain, problems = _plain(text)
    tokens = _tokens(plain)
    if len(tokens) > MOST_WORDS:
        problems.append(f"the goal has {len(tokens)} words: the first {MOST_WORDS} were read")
        tokens = tokens[:MOST_WORDS]
    read = _read_tokens(tokens, spelling=True)
    if language := _language(tokens, read.lost):
        problems.append(language)
        read = _read_tokens(tokens, spelling=False)
    kept, conflicts, bounded = settled(read.pieces)
    lost = sorted(read.lost, key=lambda item: item.start)
    return Goal(
        text,
        kept,
        tuple(map(_unknown, lost)),
        conflicts,
        tuple(read.corrected),
        (*problems, *bounded),
    )


@dataclass
class _Read:
    """What was read of a goal, before its pieces are held against each other."""

    corrected: list[Corrected]
    pieces: list[Piece] = field(default_factory=list)
    lost: list[Item] = field(default_factory=list)


def _read_tokens(tokens: Sequence[Token], spelling: bool) -> _Read:
    """The pieces of a goal, clause by clause; a section named alone holds for the next clause."""
    items, corrected = _items(tokens, spelling)
    read = _Read(corrected)
    carried: list[Item] = []
    for clause in _clauses(items):
        groups = _read_clause(clause)
        read.lost += [item for group in groups for item in group.lost]
        if not any(group.asks or group.set_pieces or group.excepted for group in groups):
            about = [item for group in groups for item in (*group.sections, *group.stems)]
            read.lost += carried
            carried = about if any(item.term.kind == "section" for item in about) else []
            read.lost += [] if carried else about
            continue
        if carried:
            _carry(carried, groups[0])
            carried = []
        _inherit(groups)
        for group in groups:
            read.pieces += [*_styles(group), *_pieces(group)]
    read.lost += carried
    return read


def _carry(carried: Sequence[Item], group: Group) -> None:
    """ "In the chorus, bring the guitars up": what was said before the comma is what this is about."""
    group.sections = group.sections or [item for item in carried if item.term.kind == "section"]
    group.stems = group.stems or [item for item in carried if item.term.kind == "stem"]
    group.leading = True


def _plain(text: str) -> tuple[str, list[str]]:
    """The text in small letters, each in its place, without control characters, and what is to be said."""
    problems, letters = [], []
    strange = 0
    for letter in text:
        small = letter.lower()
        if letter not in "\n\t" and unicodedata.category(letter) in _CONTROLS:
            strange, small = strange + 1, " "
        letters.append({"’": "'", "−": "-", "–": "-", "‑": "-", "—": ",", "‘": "'"}.get(letter, small)[:1])
    if strange:
        problems.append(f"the goal holds {strange} control characters: they were left out")
    return "".join(letters), problems


def _tokens(plain: str) -> list[Token]:
    found = []
    for match in _TOKEN.finditer(plain):
        kind = str(match.lastgroup)
        # Of "lo-fi" and "8-bit" the hyphen is none of a figure's.
        before = plain[match.start() - 1 : match.start()]
        start = match.start()
        words = match.group()
        if kind == "figure" and words[0] == "-" and before.isalnum():
            words, start = words[1:], start + 1
        found.append(Token(words, kind, start, match.end()))
    return found


def _items(tokens: Sequence[Token], spelling: bool) -> tuple[list[Item], list[Corrected]]:
    """The tokens as terms, as what each is in its place, and the words that were taken for misspelt."""
    matched, corrected = [], []
    run: list[Token] = []
    for token in (*tokens, Token("", "stop", 0, 0)):
        if token.kind == "word":
            run.append(token)
            continue
        for match in vocabulary().match([each.words for each in run], spelling):
            start, stop = run[match.start].start, run[match.stop - 1].stop
            matched.append((match, start, stop))
            if match.read_as:
                corrected.append(Corrected(match.words, match.read_as))
        run = []
        if token.words:
            kind: Term = Term("number" if token.kind == "figure" else "separator")
            matched.append((Match(token.words, (kind,), 0, 1), token.start, token.stop))
    return [_item(matched, n) for n in range(len(matched))], corrected


def _item(matched: Sequence[tuple[Match, int, int]], at: int) -> Item:
    match, start, stop = matched[at]
    following = matched[at + 1][0].terms if at + 1 < len(matched) else ()
    before_noun = any(
        term.kind == "noun" or (term.instrument is not None and term.instrument.stem == "bass")
        for term in following
    )
    term = _chosen(matched, at, before_noun)
    item = Item(match.words, term, start, stop, match.comparative)
    if term.kind != "number":
        return item
    figure = _FIGURE.match(match.words)
    assert figure is not None
    number, unit = figure.group(1), figure.group(2).strip()
    value = float(_SPELT[number]) if number in _SPELT else float(number.replace(",", "."))
    if unit in _HZ:
        return replace(item, term=Term("noun", _band(_HZ[unit] * abs(value))))
    return replace(
        item,
        value=value,
        unit=_UNITS[unit],
        signed=number[0] in "+-",
    )


def _band(hz: float) -> str:
    """The dimension that a frequency belongs to."""
    return next((name for below_hz, name in _BANDS if hz < below_hz), "brightness")


def _chosen(matched: Sequence[tuple[Match, int, int]], at: int, before_noun: bool) -> Term:
    """What a word of several meanings means: of "pop", by whether it is said of a part of the song."""
    terms = matched[at][0].terms
    kinds = {term.kind: term for term in terms}
    if "style" in kinds and "word" in kinds:
        around = matched[max(at - 3, 0) : at]
        about = any(term.kind in ("section", "stem") for match, _, _ in around for term in match.terms)
        return kinds["word" if about else "style"]
    return terms[0] if before_noun else terms[-1]


def _clauses(items: Sequence[Item]) -> Iterator[list[Item]]:
    clause: list[Item] = []
    for item in items:
        if item.term.kind != "separator":
            clause.append(item)
            continue
        if clause:
            yield clause
        clause = []
    if clause:
        yield clause


_ASKING = ("modifier", "word", "style", "genre", "platform", "keeping", "number", "exception", "unknown")


def _read_clause(clause: Sequence[Item]) -> list[Group]:
    """The groups of a clause; one that asks for nothing by itself belongs to the next, else to the last."""
    groups: list[Group] = []
    held: list[Item] = []
    joined = False
    for item in (*clause, None):
        if item is not None and item.term.kind != "joining":
            held.append(replace(item, joined=joined))
            joined = False
            continue
        joined = True
        asks = any(each.term.kind in _ASKING for each in held)
        if held and (asks or (item is None and not groups)):
            groups.append(Group(held))
            held = []
        elif groups and _names_both(held):
            # "Add warmth to the vocals and air to the strings".
            groups.append(
                Group([*(each for each in groups[-1].items if each.term.kind == "modifier"), *held])
            )
            held = []
    if held and groups:
        groups[-1].items += held
    taking = False
    for group in groups:
        _read(group, taking)
        taking = group.taking
    return groups


def _names_both(items: Sequence[Item]) -> bool:
    """True for a dimension together with a stem or section of its own."""
    kinds = {item.term.kind for item in items}
    return "noun" in kinds and bool({"stem", "section"} & kinds)


def _read(group: Group, taking: bool) -> None:
    """What a group is about and asks for, filled in."""
    items = _excepting(group, _numbered(group, group.items))
    if any(item.term.kind == "keeping" for item in items):
        _read_keeping(group, items)
        return
    items = _bass_settled(items)
    _Reader(group, taking).read(items)
    _settle(group)


def _excepting(group: Group, items: Sequence[Item]) -> list[Item]:
    """The items without what an exception is about, and without what the rest is held against."""
    kept: list[Item] = []
    excepting = comparing = False
    for item in items:
        kind = item.term.kind
        comparing = kind == "comparison" or (comparing and kind in ("stem", "section", "filler", "joining"))
        if kind == "exception":
            excepting = True
        elif comparing:
            group.against.append(item)
        elif excepting and kind == "stem":
            group.excepted.append(item)
        elif not excepting or kind not in ("filler", "joining"):
            excepting = False
            kept.append(item)
    return kept


def _numbered(group: Group, items: Sequence[Item]) -> list[Item]:
    """The items without the figures of targets, which become pieces, and with factors as numbers."""
    kept: list[Item] = []
    n = 0
    while n < len(items):
        item = items[n]
        n += 1
        if item.words in ("minus", "plus") and n < len(items) and items[n].term.kind == "number":
            sign = -1.0 if item.words == "minus" else 1.0
            item = replace(items[n], value=sign * abs(items[n].value), signed=True, start=item.start)
            n += 1
        if item.term.kind != "number":
            kept.append(_factor(item))
            continue
        figure = next((each for each in reversed(kept) if each.term.kind == "figure"), None)
        following = items[n] if n < len(items) and items[n].term.kind == "figure" else None
        named = figure or following
        if item.unit in ("LUFS", "dBTP") or (named is not None and item.unit in ("dB", "")):
            if figure is not None:
                kept.remove(figure)
            elif following is not None:
                n += 1
            group.set_pieces.append(_target(item, named))
        else:
            kept.append(item)
    return kept


def _factor(item: Item) -> Item:
    factor = _FACTORS.get(item.words)
    return item if factor is None else replace(item, term=Term("number"), value=factor, unit="x")


def _target(item: Item, named: Item | None) -> Piece:
    """The piece of a loudness or a ceiling; one without its sign is under 0 all the same."""
    ceiling = item.unit == "dBTP" or (named is not None and named.term.meaning == "ceiling")
    items = [item] if named is None else sorted((item, named), key=lambda each: each.start)
    return Piece(
        " ".join(each.words for each in items),
        _spans(items),
        Scope(),
        "ceiling" if ceiling else "loudness",
        "",
        "set",
        amount=Amount(item.value if item.signed else -abs(item.value), "dBTP" if ceiling else "LUFS"),
    )


def _bass_settled(items: Sequence[Item]) -> list[Item]:
    """ "Bass" as the stem, where a fader or another dimension is meant, else as the lows of the mix."""
    table = vocabulary()
    either = [item for item in items if item.term.instrument is not None and item.instrument.either]
    if not either:
        return [*items]
    asks = [item for item in items if item not in either]
    about = [item for item in asks if item.term.kind in ("stem", "word", "noun")]
    as_stem = (
        any(item.words in table.faders for item in asks)
        or any(item.term.kind == "number" and item.unit in ("dB", "LU") for item in asks)
        or any(item.term.kind in ("word", "noun") and item.term.meaning not in ("bass",) for item in about)
        or any(item.term.kind == "stem" for item in about)
    )
    if as_stem:
        return [*items]
    lows = Term("noun", "bass")
    return [replace(item, term=lows) if item in either else item for item in items]


def _read_keeping(group: Group, items: Sequence[Item]) -> None:
    """What is to stay: a dimension, all of a scope, or, of a part of the song, a word's little."""
    group.stems = [item for item in items if item.term.kind == "stem"]
    group.sections = [item for item in items if item.term.kind == "section"]
    group.leading = True
    asked = [item for item in items if item.term.kind in ("word", "noun")]
    group.lost += [item for item in items if item.term.kind in ("unknown", "number", "figure")]
    keeping = [item for item in items if item.term.kind == "keeping"]
    scoped = bool(group.stems or group.sections)
    sign = -1.0 if any(item.words in vocabulary().negations for item in items) else 1.0
    for item in asked:
        little = item.term.kind == "word" and scoped and not _leaves(keeping)
        group.asks.append(
            Ask((*keeping, item), item.term.meaning, sign * item.term.steps * 0.5, word=True)
            if little
            else Ask((*keeping, item), item.term.meaning, 0.0, "keep")
        )
    if not asked and scoped:
        group.asks.append(Ask((*keeping, *group.stems, *group.sections), ALL, 0.0, "keep"))
    elif not asked:
        group.lost += keeping
    styles = [item for item in items if item.term.kind in ("style", "genre", "platform")]
    group.set_pieces += [_style(item, 1.0, ()) for item in styles]


def _leaves(keeping: Sequence[Item]) -> bool:
    return any(item.words.startswith(("leave", "don't", "do not", "hands")) for item in keeping)


@dataclass
class _Reader:
    """The items of a group, read from the first to the last."""

    group: Group
    taking: bool
    modifiers: list[Item] = field(default_factory=list)
    amounts: list[Item] = field(default_factory=list)
    nouns: list[Item] = field(default_factory=list)
    stated: bool = False
    last: Item | None = None

    def read(self, items: Sequence[Item]) -> None:
        for n, item in enumerate(items):
            kind = item.term.kind
            if kind == "modifier":
                self.modifiers.append(item)
            elif kind == "statement":
                self.stated = True
            elif kind == "number":
                self.amount(item)
            elif kind in ("unknown", "figure"):
                self.group.lost.append(item)
            elif kind in ("style", "genre", "platform"):
                self.style(item)
            elif kind == "section":
                self.about(item, self.group.sections)
            elif kind == "stem":
                self.stem(item, next((each for each in items[n + 1 :] if each.term.kind != "filler"), None))
            elif kind in ("word", "noun"):
                self.dimension(item)
        self.followed()

    def amount(self, item: Item) -> None:
        if item.signed:
            self.modifiers.append(replace(item, term=Term("modifier", steps=copysign(1.0, item.value))))
        self.amounts.append(item)

    def style(self, item: Item) -> None:
        steps = _together(self.modifiers) if self.modifiers else 1.0
        self.group.set_pieces.append(_style(item, steps, self.modifiers))
        self.modifiers = []

    def about(self, item: Item, where: list[Item]) -> None:
        self.group.leading |= not self.group.asks
        where.append(item)
        self.last = item

    def stem(self, item: Item, following: Item | None) -> None:
        goes_on = item.joined and self.last_level()
        if following is not None and following.term.kind == "noun":
            # "Vocal reverb": what follows is what there is to be more of.
            self.about(item, self.group.stems)
        elif self.modifiers and not (following is not None and following.term.kind == "word"):
            self.ask(item, "level", self.modifiers, own=item.instrument)
        elif goes_on:
            ask = self.group.asks[-1]
            self.group.asks.append(replace(ask, items=(*ask.items[:-1], item), own=item.instrument))
        else:
            self.about(item, self.group.stems)
        self.last = item

    def last_level(self) -> bool:
        return bool(self.group.asks) and self.group.asks[-1].own is not None

    def dimension(self, item: Item) -> None:
        goes_on = self.taking and item.joined and (item.term.fault or item.term.kind == "noun")
        if self.modifiers:
            self.ask(item, item.term.meaning, self.modifiers)
        elif goes_on or (self.stated and item.term.fault):
            self.ask(item, item.term.meaning, (), -1.0)
        elif item.term.kind == "word":
            self.ask(item, item.term.meaning, ())
        elif self.group.asks and item.joined and not self.group.asks[-1].word:
            last = self.group.asks[-1]
            self.group.asks.append(
                replace(last, items=(*last.items[:-1], item), name=item.term.meaning, own=None)
            )
        else:
            self.nouns.append(item)
        self.last = item

    def ask(
        self,
        item: Item,
        name: str,
        modifiers: Sequence[Item],
        sign: float = 1.0,
        own: Instrument | None = None,
    ) -> None:
        own_steps = item.term.steps if item.term.kind in ("word", "noun") else 1.0
        factor = _together(modifiers) if modifiers else sign
        direction: Direction = "keep" if _says_no(modifiers, item) else "more"
        self.taking = factor < 0
        self.group.asks.append(
            Ask(
                (*modifiers, item),
                name,
                own_steps * factor,
                direction,
                own=own,
                word=item.term.kind == "word",
            )
        )
        self.modifiers = []
        self.stated = False

    def followed(self) -> None:
        """Modifiers that stand behind what they are said of: "vocals up", "highs need taming"."""
        group = self.group
        if self.modifiers:
            self._behind()
        self.group.taking = self.taking
        bare = self.nouns
        reaching = [ask for ask in group.asks if ask.word and vocabulary().dimensions[ask.name].reaches]
        for ask in reaching if bare else ():
            group.asks.remove(ask)
        if bare and reaching:
            noun = bare.pop()
            steps = sum(ask.steps for ask in reaching) * noun.term.steps
            items = (*(item for ask in reaching for item in ask.items), noun)
            group.asks.append(Ask(items, noun.term.meaning, steps, reaching[-1].direction))
        if bare and not group.asks and not group.set_pieces:
            # Who knows what is to be done with it: "dial back the brightness".
            group.lost += bare
        elif bare and group.asks:
            last = group.asks[-1]
            group.asks[-1] = replace(last, items=(*last.items, *bare))
        elif bare:
            self._beside(bare)
        self._amounts()

    def _beside(self, bare: Sequence[Item]) -> None:
        """Nouns beside a style ask for more ("vinyl warmth"), those beside a target are its own."""
        last = self.group.set_pieces[-1]
        if last.what in ("genre", "mood", "era"):
            self.group.asks += [Ask((item,), item.term.meaning, item.term.steps) for item in bare]
            return
        words = " ".join([last.words, *(item.words for item in bare)])
        self.group.set_pieces[-1] = replace(last, words=words, spans=(*last.spans, *_spans(bare)))

    def _behind(self) -> None:
        group, table = self.group, vocabulary()
        factor = _together(self.modifiers)
        open_asks = [ask for ask in group.asks if len(ask.items) == 1]
        faults = [ask for ask in open_asks if ask.items[0].term.fault and factor < 0]
        if self.nouns and not faults:
            noun = self.nouns.pop()
            self.ask(noun, noun.term.meaning, self.modifiers)
        elif open_asks:
            ask = (faults or open_asks)[-1]
            changed = replace(ask, items=(*self.modifiers, *ask.items), steps=ask.steps * factor)
            group.asks[group.asks.index(ask)] = changed
        elif (group.stems and not group.asks) or (group.sections and not group.asks):
            group.asks.append(Ask(tuple(self.modifiers), "level", factor))
        elif group.asks and not any(item.words in table.negations for item in self.modifiers):
            # "More drums up": said twice, or how much of it: "vocals up a bit".
            ask = group.asks[-1]
            away = min(factor, ask.steps) if ask.own is not None else ask.steps
            steps = copysign(ask.steps * factor, away)
            group.asks[-1] = replace(ask, items=(*ask.items, *self.modifiers), steps=steps)
        elif not group.asks and all(item.words in table.sizes for item in self.modifiers):
            big = replace(self.modifiers[-1], term=Term("style", "big"))
            group.set_pieces.append(_style(big, factor, self.modifiers[:-1]))
        elif not group.set_pieces:
            group.lost += [item for item in self.modifiers if item.term.kind == "modifier"]
        self.modifiers = []

    def _amounts(self) -> None:
        """Each figure to what stands next to it; one that nothing stands by was not understood."""
        group = self.group
        for item in self.amounts:
            free = [ask for ask in group.asks if ask.amount is None]
            if not free:
                group.lost.append(item)
                continue
            ask = min(free, key=lambda ask: min(abs(each.start - item.start) for each in ask.items))
            changed = _with_figure(ask, item)
            group.asks[group.asks.index(ask)] = changed


def _with_figure(ask: Ask, item: Item) -> Ask:
    """The ask with the figure that it names; a factor under 1 asks for less."""
    unit = item.unit or "dB"
    steps, value = ask.steps, abs(item.value)
    if unit == "x":
        steps = copysign(min(2.0 * abs(_octaves(value)), LARGEST), ask.steps if value >= 1 else -ask.steps)
    elif unit == "%":
        steps = copysign(min(value / 25.0, LARGEST), ask.steps)
    items = ask.items if item in ask.items else (*ask.items, item)
    return replace(ask, items=items, steps=steps or ask.steps, amount=Amount(value, unit))  # type: ignore[arg-type]


def _octaves(factor: float) -> float:
    return log2(factor) if factor > 0 else 0.0


def _settle(group: Group) -> None:
    """The asks of a group, faders made of words that say how loud a stem or section is."""
    table = vocabulary()
    stems = [*group.stems, *(item for ask in group.asks for item in ask.items if item.term.kind == "stem")]
    sized = []
    for ask in group.asks:
        if ask.name == "level" or not ask.word:
            sized.append(ask)
        elif stems and table.dimensions[ask.name].reaches:
            sized.append(replace(ask, name="level"))
        else:
            sized.append(ask)
    group.asks = sized
    if group.against and group.asks:
        last = group.asks[-1]
        about = (replace(item, term=Term("filler")) for item in group.against)
        group.asks[-1] = replace(last, items=(*last.items, *about))
    elif group.against:
        group.lost += group.against


def _says_no(modifiers: Sequence[Item], item: Item) -> bool:
    """True for "not louder", "no more reverb": it is to stay as it is."""
    table = vocabulary()
    negated = [m for m in modifiers if m.words in table.negations]
    more = [m for m in modifiers if m not in negated and (m.term.steps >= 1.0 or m.words.endswith("less"))]
    return bool(negated) and (item.comparative or bool(more))


def _together(modifiers: Sequence[Item]) -> float:
    """Modifiers in a row: their product, below 0 where one of them is."""
    factors = [item.term.steps for item in modifiers]
    return copysign(prod(map(abs, factors)), min(factors))


def _inherit(groups: Sequence[Group]) -> None:
    """Scopes that are said once for several groups: "the chorus wider and brighter"."""
    for before, group in pairwise(groups):
        if not group.sections and before.leading:
            group.sections = [*before.sections]
        levels = any(ask.name == "level" for ask in before.asks)
        plain = all(ask.word or not levels for ask in group.asks) and bool(group.asks)
        if not group.stems and plain and before.leading and not any(ask.own for ask in group.asks):
            group.stems = [*before.stems]
            group.leading = True
    for group, following in reversed([*pairwise(groups)]):
        plain = all(ask.word for ask in group.asks) and bool(group.asks)
        if plain and not group.stems and not group.sections and not following.leading:
            group.stems = [*following.stems]
            group.sections = [*following.sections]


def _styles(group: Group) -> Iterator[Piece]:
    """The targets and styles of a group, a style for each section or stem that the group is about."""
    about = [*group.sections, *([] if group.asks else group.stems)]
    for piece in group.set_pieces:
        if piece.what not in ("genre", "mood", "era") or not about:
            yield piece
            continue
        for item in about:
            instrument = item.term.instrument
            scope = (
                Scope(section=item.term.meaning)
                if instrument is None
                else Scope(instrument.stem, instrument.part)
            )
            yield replace(
                piece,
                words=f"{piece.words} {item.words}",
                spans=(*piece.spans, *_spans([item])),
                scope=scope,
            )


def _pieces(group: Group) -> Iterator[Piece]:
    """The pieces of a group: each ask for each stem in each section that it is about."""
    sections: list[Item | None] = [*group.sections] or [None]
    for ask in group.asks:
        for section in sections:
            place = None if section is None else section.term.meaning
            instruments: list[Item | Instrument | None] = [ask.own] if ask.own else [*group.stems] or [None]
            for about in instruments:
                yield _piece(ask, about, section, place)
    for item in group.excepted:
        yield _excepted(item)


def _piece(ask: Ask, about: Item | Instrument | None, section: Item | None, place: str | None) -> Piece:
    instrument = about.instrument if isinstance(about, Item) else about
    extra = [item for item in (about, section) if isinstance(item, Item) and item not in ask.items]
    items = sorted((*ask.items, *extra), key=lambda item: item.start)
    scope = Scope() if instrument is None else Scope(instrument.stem, instrument.part)
    name, direction = ask.name, ask.direction
    if name == "level":
        name = LEVEL
        if instrument is not None and instrument.level_as and ask.steps < 0 and ask.own is not None:
            name = instrument.level_as
    if direction == "more" and ask.steps < 0:
        direction = "less"
    steps = 0.0 if direction == "keep" else min(max(ask.steps, -LARGEST), LARGEST)
    return Piece(
        " ".join(item.words for item in items),
        _spans(items),
        replace(scope, section=place),
        "dimension",
        name,
        direction,
        steps,
        ask.amount,
    )


def _spans(items: Sequence[Item]) -> tuple[tuple[int, int], ...]:
    return tuple(dict.fromkeys((item.start, item.stop) for item in items))


def _excepted(item: Item) -> Piece:
    scope = Scope(item.instrument.stem, item.instrument.part)
    return Piece(item.words, _spans([item]), scope, "dimension", LEVEL, "keep")


def _style(item: Item, steps: float, modifiers: Sequence[Item]) -> Piece:
    """The piece of a platform, a genre with a profile, or a style."""
    items = sorted((*modifiers, item), key=lambda each: each.start)
    style = vocabulary().styles.get(item.term.meaning) if item.term.kind == "style" else None
    what = style.kind if style is not None else item.term.kind
    size = min(max(steps, -LARGEST), LARGEST)
    return Piece(
        " ".join(each.words for each in items),
        _spans(items),
        Scope(),
        what,  # type: ignore[arg-type]
        item.term.meaning,
        "set",
        1.0 if what == "platform" else size,
    )


def _unknown(item: Item) -> UnknownWords:
    known = item.term.kind in ("noun", "stem") and f"more {item.words}"
    return UnknownWords(item.words, item.start, item.stop, known or vocabulary().alike(item.words))


def _language(tokens: Sequence[Token], lost: Sequence[Item]) -> str:
    """A line where hardly anything of a goal is known, by its function words; nothing where enough is."""
    words = [token.words for token in tokens if token.kind == "word"]
    unknown = [item.words for item in lost if item.term.kind == "unknown"]
    strange = any(word.isalpha() and not word.isascii() and not _is_latin(word) for word in unknown)
    if not strange and len(unknown) < max(2, _OTHER_LANGUAGE * len(words)):
        return ""
    counts = {name: sum(word in known for word in words) for name, known in vocabulary().languages.items()}
    language = max(counts, key=lambda name: counts[name])
    if counts[language]:
        return f"the goal seems to be in {language}: only English is understood"
    if strange:
        return "the goal is in letters that are not read here: only English is understood"
    return "hardly anything of the goal was understood: say it such as “warm, wide, less harsh”"


def _is_latin(word: str) -> bool:
    return all("LATIN" in unicodedata.name(letter, "") for letter in word)
