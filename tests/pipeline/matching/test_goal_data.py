"""A goal that somebody else filled in, as a language model does: held to the same table."""

import math
from typing import Any

import pytest
from goal_phrases_developed import DEVELOPED

from mixagent.pipeline.matching.goal_data import MOST_PIECES, goal_from_dict, goal_schema, goal_to_dict
from mixagent.pipeline.matching.goals import Goal
from mixagent.pipeline.matching.reading import understood

TEXT = "brighter vocals, -9 LUFS"


def row(**changed: Any) -> dict[str, Any]:
    """A piece that the table holds, but for what is changed."""
    piece = {
        "words": "brighter vocals",
        "scope": {"stem": "vocals", "part": "", "section": None},
        "what": "dimension",
        "name": "brightness",
        "direction": "more",
        "steps": 1.0,
        "amount": None,
    }
    return piece | changed


def read(*rows: object) -> Goal:
    return goal_from_dict(TEXT, {"pieces": [*rows]})


def test_what_was_read_comes_back_as_it_was() -> None:
    for text, _ in DEVELOPED:
        goal = understood(text)
        if any(", " in piece.words or piece.words not in text.lower() for piece in goal.pieces):
            continue
        data = goal_to_dict(goal)
        pieces = goal_from_dict(text, {"pieces": data["pieces"]}).pieces
        assert [(p.scope, p.what, p.name, p.direction, p.steps, p.amount) for p in pieces] == [
            (p.scope, p.what, p.name, p.direction, p.steps, p.amount) for p in goal.pieces
        ], text


def test_what_is_out_of_range_is_bounded() -> None:
    goal = read(row(steps=99.0), loudness(-99.0))
    assert goal.pieces[0].steps == 2.0
    assert goal.lufs == -40.0
    assert len(goal.problems) == 1


def loudness(value: float) -> dict[str, Any]:
    amount = {"value": value, "unit": "LUFS"}
    return row(words="-9 LUFS", scope={}, what="loudness", name="", direction="set", amount=amount)


@pytest.mark.parametrize(
    "bad",
    [
        row(words="delete the files"),
        row(words=""),
        row(name="os.system"),
        row(what="shell"),
        row(direction="sideways"),
        row(direction="set"),
        row(steps=math.nan),
        row(steps="many"),
        row(scope={"stem": "kazoo"}),
        row(scope={"section": "coda"}),
        row(scope="vocals"),
        row(amount={"value": 3.0, "unit": "parsecs"}),
        row(amount={"value": math.inf, "unit": "dB"}),
        row(what="loudness", name="", direction="set"),
        row(what="platform", name="myspace", direction="set"),
        {"words": "brighter vocals"},
        "brighter",
        None,
        7,
    ],
)
def test_a_piece_that_the_table_does_not_hold_is_left_out_with_a_line(bad: object) -> None:
    goal = read(bad, row())
    assert [piece.name for piece in goal.pieces] == ["brightness"]
    assert len(goal.problems) == 1
    assert "\n" not in goal.problems[0]


def test_no_list_and_a_list_without_end_are_told() -> None:
    assert goal_from_dict(TEXT, {}).problems != ()
    assert goal_from_dict(TEXT, {"pieces": "all"}).pieces == ()
    goal = read(*[row()] * (MOST_PIECES + 50))
    assert len(goal.pieces) == 1
    assert str(MOST_PIECES) in goal.problems[0]


def test_the_schema_names_what_the_table_holds() -> None:
    piece = goal_schema()["properties"]["pieces"]["items"]["properties"]
    assert {"brightness", "cassette", "spotify", "game-metal"} <= {*piece["name"]["enum"]}
    assert piece["steps"]["maximum"] == 2.0
