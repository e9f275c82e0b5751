"""The conductor: nodes lead to an end, agents move what is theirs, and what measures worse does not stand."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from short_cases import RATE, music

from mixagent.conductor.agents.base import Desk
from mixagent.conductor.agents.opinion import OpinionAgent
from mixagent.conductor.agents.phase import LEAST_RISE_DB, PhaseAgent, alignment
from mixagent.conductor.agents.table import AGENTS
from mixagent.conductor.grading import verdict
from mixagent.conductor.graph import END, NODES, ROUTES, START, Means, drawn, following
from mixagent.conductor.judges import OwnJudge
from mixagent.conductor.runner import run
from mixagent.conductor.state import Grade, Move, Proof, State
from mixagent.conductor.studio import Heard, Studio
from mixagent.envs.cases import measure_case
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.types import Audio, Stems
from mixagent.reward.model import load_reward

REWARD = load_reward()


def low_notes(seconds: float = 3.0) -> np.ndarray:
    """Notes of a bass, each with an attack and a decay, mono."""
    time = np.arange(round(seconds * RATE)) / RATE
    hz = 50.0 + 12.0 * np.floor(time / 0.4)
    return 0.2 * np.sin(2 * np.pi * np.cumsum(hz) / RATE) * np.exp(-(time % 0.4) / 0.2)


def studio_of(parts: Mapping[str, np.ndarray], **options: object) -> Studio:
    audio = {
        name: Audio(np.stack([part, part]).astype(np.float32) if part.ndim == 1 else part, RATE)
        for name, part in parts.items()
    }
    mix = Audio(np.sum([part.samples for part in audio.values()], axis=0, dtype=np.float32), RATE)
    case = measure_case("song", Stems(mix, audio), TARGETS["streaming"])
    space = ParameterSpace.for_stems(tuple(audio))
    return Studio([case], space, REWARD, None, **options)


def two_takes(later_ms: float, inverted: bool) -> Studio:
    """The same bass in two stems, one of them later or turned round."""
    bass = low_notes()
    frames = round(later_ms * RATE / 1000)
    other = np.concatenate([np.zeros(frames), bass])[: bass.size] * (-1 if inverted else 1)
    return studio_of({"bass": bass, "other": (other + music(3.0).samples[0]).astype(np.float32)})


def desk(studio: Studio, agent, held: frozenset[str] = frozenset(), step: float = 1.0) -> Desk:
    return Desk(studio, studio.hear({}), {}, held, agent.owns, step)


# --- the graph -------------------------------------------------------------------------------------


def test_every_route_leads_to_a_node_or_the_end_and_is_drawn() -> None:
    for node, targets in ROUTES.items():
        assert node in NODES
        assert all(target in NODES or target == END for target in targets)
        assert all(f"{node} --> {target}" in drawn() for target in targets)
    assert START in NODES


def test_a_state_is_numbers_and_words_alone_and_comes_back_from_json() -> None:
    studio = two_takes(0.0, inverted=True)
    states: list[State] = []
    run(Means(studio), State({}, {}), lambda _, state: states.append(state))
    assert len(states) > 5
    for state in states:
        assert State.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_run_follows_its_routes_and_ends_within_its_renders() -> None:
    walked: list[tuple[str, State]] = []
    end = run(Means(two_takes(0.0, True), renders=3), State({}, {}), lambda *left: walked.append(left))
    for (node, state), (then, _) in itertools.pairwise(walked):
        assert following(node, state) == then
        assert then in ROUTES[node]
    assert end.over
    assert end.renders <= 3


def test_a_run_is_the_same_twice() -> None:
    first, second = (run(Means(two_takes(0.0, True)), State({}, {})) for _ in range(2))
    assert first == second


# --- the agents ------------------------------------------------------------------------------------


def test_two_takes_of_one_bass_are_brought_into_step() -> None:
    studio = two_takes(4.0, inverted=False)
    found = alignment(studio.hear({}))
    assert found is not None
    assert found.rise_db > LEAST_RISE_DB
    moved = found.later_ms if found.stem == "bass" else -found.later_ms
    assert moved == pytest.approx(4.0, abs=0.1)
    assert not found.inverted


def test_a_take_that_was_turned_round_is_turned_back_and_the_lows_rise() -> None:
    studio = two_takes(0.0, inverted=True)
    move = PhaseAgent().propose(desk(studio, PhaseAgent()))
    assert move is not None
    assert any(name.endswith(".invert") and value == 1.0 for name, value in move.values.items())
    after = studio.hear(studio.settings(move.values).changed())
    assert after.grade.lows_db > studio.hear({}).grade.lows_db + 3.0
    assert PhaseAgent().concern(after) < move.concern


def test_stems_that_have_nothing_in_common_are_left_in_place() -> None:
    random = np.random.default_rng(0)
    noise = (0.05 * random.standard_normal((2, 3 * RATE))).astype(np.float32)
    studio = studio_of({"bass": low_notes(), "other": noise})
    assert PhaseAgent().propose(desk(studio, PhaseAgent())) is None


def test_what_is_held_is_not_moved() -> None:
    studio = two_takes(0.0, inverted=True)
    held = frozenset(name.name for name in studio.space if name.name.endswith((".invert", ".align_ms")))
    assert PhaseAgent().propose(desk(studio, PhaseAgent(), held)) is None


def test_no_agent_moves_what_is_not_its_own() -> None:
    studio = two_takes(0.0, inverted=True)
    for agent in AGENTS.values():
        sat = desk(studio, agent)
        assert not sat.may_move("no.such_db")
        if "*" not in agent.owns:
            assert not sat.may_move("vocals.gain_db")


def test_a_second_opinion_takes_the_place_of_all_that_stands() -> None:
    studio = studio_of({"bass": low_notes()}, opinions={"reading": {"master.eq_air_db": 3.0}})
    agent = OpinionAgent("reading", "so it is")
    standing = {"master.eq_sub_db": 2.0}
    move = agent.propose(Desk(studio, studio.hear(standing), standing, frozenset(), agent.owns))
    assert move is not None
    assert move.values == {"master.eq_sub_db": 0.0, "master.eq_air_db": 3.0}
    assert agent.concern(studio.hear({"master.eq_air_db": 3.0})) == 0.0


# --- the verdict -----------------------------------------------------------------------------------

BEFORE = Grade(0.1, {"tone": 1.0, "width": 0.5}, {"vocals": 0.4}, voice={"nisqa": 3.0})
MOVE = Move("eq", {"graphic.tone_1000_db": 1.0}, "because", 2.0)
BETTER = replace(BEFORE, blind=0.2)


def test_a_move_stands_where_its_figure_falls_and_nothing_else_is_worse() -> None:
    assert verdict(BEFORE, BETTER, MOVE, 1.0)[0]


@pytest.mark.parametrize(
    ("after", "left", "why"),
    [
        (BETTER, 1.95, "its own figure"),
        (BEFORE, 1.0, "blind reward"),
        (replace(BEFORE, blind=-math.inf), 1.0, "blind reward"),
        (replace(BEFORE, blind=math.nan), 1.0, "blind reward"),
        (replace(BETTER, outside={"tone": 1.0, "width": 0.6}), 1.0, "the song came"),
        (replace(BETTER, stems={"vocals": 0.6}), 1.0, "the stems came"),
        (replace(BETTER, voice={"nisqa": 2.8}), 1.0, "nisqa fell"),
    ],
)
def test_a_move_falls_with_the_reason(after: Grade, left: float, why: str) -> None:
    kept, said = verdict(BEFORE, after, MOVE, left)
    assert not kept
    assert why in said


def test_a_larger_move_has_more_to_show() -> None:
    opinion = replace(MOVE, proof=Proof(blind=0.05, outside=0.2))
    assert not verdict(BEFORE, BETTER, opinion, 0.0)[0]
    assert verdict(BEFORE, replace(BETTER, outside={"tone": 0.7, "width": 0.5}), opinion, 0.0)[0]


# --- the studio ------------------------------------------------------------------------------------


def test_settings_that_break_the_chain_are_graded_worst(monkeypatch) -> None:
    from mixagent.envs.mixing import Material
    from mixagent.pipeline.render import ChainError

    studio = studio_of({"bass": low_notes()})

    def broken(*_: object, **__: object) -> None:
        raise ChainError("no")

    monkeypatch.setattr(Material, "render_pair", broken)
    heard = studio.hear({"master.eq_air_db": 1.0})
    assert isinstance(heard, Heard)
    assert heard.grade.blind == -math.inf


def test_lows_that_cancel_between_the_channels_are_made_mono() -> None:
    bass = low_notes()
    parts = np.stack([bass, -bass]).astype(np.float32) + 0.3 * music(3.0).samples
    studio = studio_of({"other": parts})
    move = PhaseAgent().propose(desk(studio, PhaseAgent()))
    assert move is not None
    assert move.values == {"master.mono_below_hz": 120.0}


# --- judges ----------------------------------------------------------------------------------------


class Steady:
    """A judge that gives every voice one score."""

    def __init__(self, score: float) -> None:
        self.score = score

    def grade(self, mono: np.ndarray, rate: int) -> Mapping[str, float]:
        assert mono.ndim == 1
        return {"nisqa": self.score, "coloration": 1.0}


def sung(judge: Steady) -> Studio:
    voice = np.stack([0.2 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)] * 2).astype(np.float32)
    return studio_of({"vocals": voice, "other": music(3.0).samples}, judges=[judge])


def test_a_voice_that_is_good_enough_ends_a_run_at_its_first_render() -> None:
    end = run(Means(sung(Steady(4.6)), until=4.5), State({}, {}))
    assert (end.renders, end.rounds) == (1, ())
    assert end.over == "the voice is graded 4.60"


def test_a_coloured_voice_is_the_equaliser_s_first(monkeypatch) -> None:
    seen: list[State] = []
    run(Means(sung(Steady(2.0)), until=4.5), State({}, {}), lambda _, state: seen.append(state))
    assert seen[0].agenda[0] == "eq"


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_user_s_own_judge_is_read_and_one_that_is_none_is_told(tmp_path) -> None:
    torch = pytest.importorskip("torch")

    class Loud(torch.nn.Module):
        def forward(self, heard: torch.Tensor) -> torch.Tensor:
            return 1.0 + heard.abs().mean(dim=1)

    torch.jit.script(Loud()).save(str(tmp_path / "own.pt"))
    grade = OwnJudge.load(tmp_path / "own.pt").grade(np.full(RATE, 0.5, np.float32), RATE)
    assert grade["judge"] == pytest.approx(1.5, abs=0.05)
    (tmp_path / "none.pt").write_text("no module")
    with pytest.raises(ModelMissingError, match="no TorchScript module"):
        OwnJudge.load(tmp_path / "none.pt")
