import pytest
from goal_phrases import LATER, PHRASES

from mixagent.pipeline.chain.parameters import STEM_NAMES, ParameterSpace
from mixagent.pipeline.matching.goals import LARGEST, LEVEL, LOUDNESS, Goal
from mixagent.pipeline.matching.library import shipped_names
from mixagent.pipeline.matching.reading import understood
from mixagent.pipeline.matching.vocabulary import vocabulary

SPACE = ParameterSpace.for_stems(STEM_NAMES)
UNREACHED = {"piercing, fix that", "sizzling cymbals, turn those down", "chunky low end"}
"""Phrases of the sets that are taken for something else, or only in part."""


def taken(text: str) -> dict[str, int | str]:
    """What a phrase moves, by dimension; of levels by the stem."""
    goal = understood(text)
    wishes: dict[str, int | str] = {
        str(p.scope.stem) if p.name == LEVEL and p.scope.stem else p.name: 1 if p.steps > 0 else -1
        for p in goal.pieces
        if p.what == "dimension" and p.steps
    }
    return wishes | {"genre": goal.genres[0][1]} if goal.genres else wishes


def steps(text: str) -> float:
    (piece,) = understood(text).pieces
    return piece.steps


@pytest.mark.parametrize("text", sorted((PHRASES | LATER).keys() - UNREACHED))
def test_a_phrase_is_taken_for_what_it_means_or_for_nothing(text: str) -> None:
    assert taken(text) in ((PHRASES | LATER)[text], {} if text in LATER else None)


def test_how_many_of_the_phrases_are_understood() -> None:
    assert sum(taken(text) == meant for text, meant in PHRASES.items()) == 81
    assert len(PHRASES) == 82
    assert sum(taken(text) == meant for text, meant in LATER.items()) == 35
    assert len(LATER) == 40


def test_modifiers_size_a_wish() -> None:
    assert 0 < steps("slightly bright") < steps("bright") < steps("very bright") <= LARGEST
    assert steps("very very very bright") == LARGEST
    assert steps("a bit less bass") == pytest.approx(-0.5)
    assert steps("not too bright") > steps("not bright") == -steps("bright")


def test_taking_away_goes_on_over_and_to_faults_alone() -> None:
    assert taken("less harsh and muddy") == {"harshness": -1, "mud": -1}
    assert taken("less harsh and wide") == {"harshness": -1, "width": 1}
    assert taken("less harsh, muddy") == {"harshness": -1, "mud": 1}


def test_what_contradicts_itself_is_not_done() -> None:
    goal = understood("dark and bright, wide")
    assert [(row.first, row.second) for row in goal.conflicts] == [("bright", "dark")]
    assert [piece.name for piece in goal.pieces] == ["width"]


def test_words_that_are_not_known_are_named_and_misspelt_ones_are_told() -> None:
    goal = understood("agressive, purple")
    assert [(row.words, row.read_as) for row in goal.corrected] == [("agressive", "aggressive")]
    assert [row.words for row in goal.unknown] == ["purple"]


def test_a_noun_beside_unknown_words_is_left_alone() -> None:
    goal = understood("frobnicate the highs")
    assert goal.pieces == ()
    assert [row.words for row in goal.unknown] == ["frobnicate", "highs"]


@pytest.mark.parametrize("text", ["", " ", ",;, and but", "???", "=", "très fort", "音"])
def test_what_says_nothing_moves_nothing(text: str) -> None:
    goal = understood(text)
    assert (goal.pieces, goal.genres, goal.moves(SPACE)) == ((), (), ())


def test_moves_grow_with_the_wish_and_turn_with_it() -> None:
    def moves(text: str) -> dict[str, float]:
        return {move.name: move.by for move in understood(text).moves(SPACE)}

    assert moves("very wide")["master.width"] == pytest.approx(1.5 * moves("wide")["master.width"])
    assert moves("narrow")["master.width"] == pytest.approx(-moves("wide")["master.width"])
    assert moves("very dense")["master.comp_ratio"] == pytest.approx(
        moves("dense")["master.comp_ratio"] ** 1.5
    )


def test_a_wish_for_a_stem_that_is_not_there_is_out_of_reach() -> None:
    goal, without = understood("louder vocals, wide"), ParameterSpace.for_stems(())
    assert [piece.scope.stem for piece, _ in goal.out_of_reach(without)] == ["vocals"]
    assert [piece.words for piece, _ in understood("dry").out_of_reach(SPACE)] == ["dry"], (
        "no reverb is taken away"
    )
    assert goal.out_of_reach(SPACE) == ()


def test_loudness_moves_the_target_and_no_parameter() -> None:
    goal = understood("very loud")
    assert goal.loudness_lu == pytest.approx(4.5)
    assert goal.moves(SPACE) == ()
    assert goal.out_of_reach(SPACE) == ()
    assert Goal("").loudness_lu == 0.0


def test_every_move_of_the_vocabulary_is_a_parameter_in_its_range() -> None:
    for dimension in vocabulary().dimensions.values():
        for name, by in (*dimension.more.items(), *dimension.less.items()):
            if name == LOUDNESS:
                continue
            parameter = SPACE[name]
            largest = by**LARGEST if parameter.scale == "log" else LARGEST * by
            moved = parameter.neutral * largest if parameter.scale == "log" else parameter.neutral + largest
            one_sided = name.endswith("send_db") or name.startswith("repair.")
            assert one_sided or parameter.low <= moved <= parameter.high, name


def test_every_genre_is_a_profile_that_ships() -> None:
    genres = {term.meaning for terms in vocabulary().terms.values() for term in terms if term.kind == "genre"}
    assert genres <= set(shipped_names())
