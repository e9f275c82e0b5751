"""LangGraph and the runner of our own walk one graph over the same nodes, to one trajectory."""

from dataclasses import replace

import pytest

pytest.importorskip("langgraph.checkpoint.sqlite", reason="needs the extra conductor")

from mixagent.conductor import runner, with_langgraph
from mixagent.conductor.state import State
from mixagent.pipeline.errors import CancelledError

DAMAGE = {"master.balance_db": 9.0, "master.transient_attack_db": 9.0, "other.gain_db": 12.0}
BEGUN = State(DAMAGE, dict.fromkeys(DAMAGE, "by hand"))


class Walk:
    """The nodes of a run, with the state that each left."""

    def __init__(self):
        self.steps = []

    def __call__(self, node, state):
        self.steps.append((node, state))


@pytest.fixture(scope="module")
def walked(studio):
    from mixagent.conductor.graph import Means

    walk = Walk()
    return Means(studio), runner.run(Means(studio), BEGUN, walk), walk.steps


def test_both_come_to_one_end_by_the_same_steps(walked, tmp_path):
    means, end, steps = walked
    walk = Walk()
    assert with_langgraph.run(means, BEGUN, walk, tmp_path / "runs" / "checkpoints.db") == end
    assert walk.steps == steps
    assert {"plan", "phase", "consent", "render", "grade", "decide"} <= {node for node, _ in steps}
    assert {each.kept for each in end.rounds} == {True, False}


def test_a_run_that_was_cut_off_goes_on_from_its_last_node(walked, tmp_path):
    means, end, steps = walked

    def cut_off(node, state):
        if state.renders == 2 and node == "grade":
            raise CancelledError("interrupted")

    file = tmp_path / "checkpoints.db"
    with pytest.raises(CancelledError):
        with_langgraph.run(means, BEGUN, cut_off, file, "song")
    walk = Walk()
    assert with_langgraph.run(means, State({}, {}), walk, file, "song") == end
    assert walk.steps == steps[-len(walk.steps) :]
    assert walk.steps[0][0] == "grade"


def test_a_node_that_fails_for_a_file_is_tried_again(walked):
    means, end, _ = walked
    failed = []

    def once(node, state):
        if node == "render" and not failed:
            failed.append(node)
            raise OSError("the disk was away")

    assert with_langgraph.run(means, BEGUN, once) == end
    assert failed == ["render"]


def test_a_person_is_asked_before_the_first_render_of_a_move(walked):
    means, _, _ = walked
    asked = []

    def no_to_phase(move):
        asked.append(move)
        return move.agent != "phase"

    asking = replace(means, consent=no_to_phase)
    ours = runner.run(asking, BEGUN)
    first = list(asked)
    assert [move.agent for move in ours.declined] == ["phase"]
    assert "phase" not in {each.move.agent for each in ours.rounds}
    asked.clear()
    assert with_langgraph.run(asking, BEGUN) == ours
    assert asked == first


def test_a_question_waits_in_the_file_for_whoever_comes_next(walked, tmp_path):
    means, _, _ = walked
    file = tmp_path / "checkpoints.db"

    def away(move):
        raise CancelledError("nobody is there")

    with pytest.raises(CancelledError):
        with_langgraph.run(replace(means, consent=away), BEGUN, None, file)
    waiting = Walk()
    yes = replace(means, consent=lambda move: True)
    end = with_langgraph.run(yes, BEGUN, waiting, file)
    assert waiting.steps[0][0] == "consent"
    assert end == runner.run(yes, BEGUN)


def test_a_state_survives_json(walked):
    _, end, _ = walked
    assert State.from_json(end.to_json()) == end
