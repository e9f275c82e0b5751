"""The conductor's rounds and its talk with a language model, in plain words: `--explain` and the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixagent.report.model import ConductorSection, DeclinedRow, ExchangeRow, ModelSection, RoundRow
from mixagent.report.words import number

LONGEST_SHOWN = 1000
"""Characters of a text of the talk that a terminal shows; page and JSON have all."""

_NAMED = 3
"""Parameters of a move that are named; the others are counted."""


@dataclass(frozen=True)
class Explained:
    """What the conductor did.

    Attributes:
        rounds: a sentence each, in their order.
        asked: of the language model; empty where none was asked.
        talk: what was sent and what came back, each with its heading.
        ended: why it ended.
    """

    rounds: tuple[str, ...]
    asked: str
    talk: tuple[tuple[str, str], ...]
    ended: str


def explained(section: ConductorSection) -> Explained:
    """The section in words."""
    rounds = [_round_words(place, row) for place, row in enumerate(section.rounds, 1)]
    model = section.model
    talk = [] if model is None else [part for each in enumerate(model.exchanges, 1) for part in _talk(*each)]
    return Explained(
        rounds=(*rounds, *map(_declined_words, section.declined)),
        asked="" if model is None else model_words(model),
        talk=tuple(talk),
        ended=f"It ended because {section.over}.",
    )


def explained_lines(section: ConductorSection) -> list[str]:
    """The same, line by line, with long texts of the talk cut."""
    told = explained(section)
    said = [f"{heading}: {_cut(text)}" for heading, text in told.talk]
    return [*told.rounds, told.ended, *([told.asked] if told.asked else []), *said]


def _cut(text: str) -> str:
    more = len(text) - LONGEST_SHOWN
    return text if more <= 0 else f"{text[:LONGEST_SHOWN]} … and {more} characters more in the report"


def model_words(model: ModelSection) -> str:
    """What a language model was asked, what it cost, and whether that was of use."""
    count = len(model.exchanges)
    if not count:
        return f"The language model {model.name} was not asked: nothing was left to ask with or for"
    times = "once" if count == 1 else f"{count} times"
    cost = f"{model.tokens} tokens, {model.seconds:.1f} s; numbers and the goal were sent, no audio"
    said = f"The language model {model.name} at {model.host} was asked {times}: {cost}"
    return f"{said}. It was of no use ({model.failed}): the planner's moves stand" if model.failed else said


def _round_words(place: int, row: RoundRow) -> str:
    who = f"the {row.agent} agent" if row.agent != "model" else "the language model"
    asked = ", asked by the language model," if row.led and row.agent != "model" else ""
    tried = f"Round {place}: {who}{asked} moved {_moves_words(row.values, row.before)}"
    because = f", because {row.reason}" if row.reason else ""
    return f"{tried}{because}. {'Kept' if row.kept else 'Dropped'}: {row.why}."


def _declined_words(row: DeclinedRow) -> str:
    return f"Declined: the {row.agent} agent's {_moves_words(row.values, {})}; {row.reason}."


def _moves_words(values: Mapping[str, float], before: Mapping[str, float]) -> str:
    named = [
        f"{name} from {number(before[name], 2)} to {number(value, 2)}"
        if name in before
        else f"{name} to {number(value, 2)}"
        for name, value in list(values.items())[:_NAMED]
    ]
    more = len(values) - len(named)
    return ", ".join([*named, *([f"{more} more"] if more else [])])


def _talk(place: int, row: ExchangeRow) -> list[tuple[str, str]]:
    cost = f"{row.seconds:.1f} s, {row.tokens} tokens"
    parts = [(f"Sent {place}", row.sent), (f"Answered {place} ({cost})", row.answered or "nothing")]
    left_out = [("Not followed", each) for each in row.ignored]
    return [*parts, *([("Of no use", row.error)] if row.error else []), *left_out]
