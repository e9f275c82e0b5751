"""The stand-in for the renderer against the renderer itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mixagent.envs.cases import Case, Damage, make_case
from mixagent.envs.pathologies import Kind
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.render import premaster
from mixagent.pipeline.types import Audio, load
from mixagent.policies.surrogate import Response, Surrogate, measure_response, totals
from mixagent.reward.recovery import DIMENSIONS, Original

SPACE = ParameterSpace.for_stems(())
NAMES = (
    *("master.balance_db", "master.resonance_cut_db", "master.gap_fill_db"),
    *("master.eq_low_mid_db", "master.eq_brilliance_db", "master.eq_air_db"),
    *("master.bell_1_hz", "master.bell_1_db", "master.bell_1_q"),
    *("master.extend_from_hz", "master.extend_db", "master.width"),
    *("side.eq_bass_db", "side.eq_presence_db"),
)
CUTOFF_HZ = 9000.0


def _music(seconds: float = 2.0) -> Audio:
    """Noise with music's slope, bursts, and another part on each side."""
    random = np.random.default_rng(0)
    frames = round(seconds * 44100)
    spectrum = np.fft.rfft(random.standard_normal((2, frames)))
    pink = np.fft.irfft(spectrum / np.sqrt(np.arange(spectrum.shape[1]) + 20.0), frames)
    bursts = 0.3 + np.exp(-(np.arange(frames) % 11025) / 2000.0)
    samples = (pink + 0.5 * pink[::-1]) * bursts
    return Audio((0.3 * samples / np.abs(samples).max()).astype(np.float32), 44100)


@pytest.fixture(scope="module")
def case() -> Case:
    severities: dict[Kind, float] = {"mud": 0.6, "panning": 0.5, "holes": 0.6}
    mechanisms: dict[Kind, str] = {"mud": "bell", "panning": "lean", "holes": "codec"}
    damage = Damage(severities, mechanisms, None, 3)
    return make_case("noise@0#3", _music(), damage, None, TARGETS["streaming"])


@pytest.fixture(scope="module")
def response(case: Case) -> Response:
    return measure_response(case, CUTOFF_HZ)


def _predicted(response: Response, values: dict[str, float]) -> torch.Tensor:
    surrogate = Surrogate([SPACE[name] for name in NAMES], [response])
    action = [[SPACE[name].action(values.get(name, SPACE[name].neutral)) for name in NAMES]]
    return surrogate.distance(torch.tensor([0]), torch.tensor(action))[0]


def _rendered(case: Case, values: dict[str, float]) -> torch.Tensor:
    assert case.original is not None
    audio = load(premaster(case.stems, SPACE.settings(values)))
    distance = Original(case.original).distance(audio)
    return torch.tensor([getattr(distance, name) for name in DIMENSIONS])


def test_without_a_move_it_is_the_distance_of_the_input(case: Case, response: Response) -> None:
    torch.testing.assert_close(_predicted(response, {}), _rendered(case, {}), atol=0.03, rtol=0)


@pytest.mark.parametrize(
    "values",
    [
        {"master.balance_db": -4.0},
        {"master.width": 0.4},
        {"master.width": 1.5, "master.balance_db": 3.0},
        {"master.eq_low_mid_db": -6.0},
        {"master.eq_brilliance_db": 4.0, "master.eq_air_db": -3.0},
        {"master.bell_1_hz": 300.0, "master.bell_1_db": -9.0, "master.bell_1_q": 1.2},
        {"master.extend_from_hz": CUTOFF_HZ, "master.extend_db": 0.0},
        {"master.gap_fill_db": 36.0, "master.resonance_cut_db": 24.0},
        {"side.eq_presence_db": 5.0},
        {"side.eq_bass_db": -8.0, "side.eq_presence_db": -4.0, "master.balance_db": 3.0, "master.width": 1.3},
    ],
)
def test_it_predicts_what_the_renderer_does(case: Case, response: Response, values: dict[str, float]) -> None:
    difference = (_predicted(response, values) - _rendered(case, values)).abs()
    assert difference.max() < 0.3


def test_its_gradient_leads_to_settings_whose_render_is_nearer(case: Case, response: Response) -> None:
    surrogate = Surrogate([SPACE[name] for name in NAMES], [response])
    action = torch.zeros(1, len(NAMES), requires_grad=True)
    steps = torch.optim.Adam([action], lr=0.05)
    for _ in range(150):
        steps.zero_grad()
        loss = totals(surrogate.distance(torch.tensor([0]), action)).sum() + surrogate.outside(action).sum()
        loss.backward()
        steps.step()
    values = zip(NAMES, action[0].tolist(), strict=True)
    settled = {name: SPACE[name].value(value) for name, value in values}
    before, after = (totals(_rendered(case, moves)[None]) for moves in ({}, settled))
    assert after < 0.6 * before


def test_an_action_at_a_closed_end_does_nothing_but_can_be_led_back(response: Response) -> None:
    surrogate = Surrogate([SPACE[name] for name in NAMES], [response])
    action = torch.zeros(1, len(NAMES))
    action[0, NAMES.index("master.gap_fill_db")] = -0.7
    action.requires_grad_()
    distance = surrogate.distance(torch.tensor([0]), action)
    torch.testing.assert_close(distance[0], surrogate.before[0])
    assert surrogate.outside(action).sum().item() == pytest.approx(0.7)
    surrogate.outside(action).sum().backward()
    assert action.grad is not None
    assert action.grad[0, NAMES.index("master.gap_fill_db")] == -1.0


def test_a_response_is_read_back_as_it_was_written(response: Response, tmp_path: Path) -> None:
    response.save(tmp_path / "a" / "b.safetensors")
    again = Response.load(tmp_path / "a" / "b.safetensors")
    assert again.effects.keys() == response.effects.keys()
    np.testing.assert_array_equal(again.powers, response.powers)
    np.testing.assert_array_equal(again.effects["master.extend_db"], response.effects["master.extend_db"])
