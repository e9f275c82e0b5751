"""The net that mixes in torch, in NumPy, and what is known of its strips without a render."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.chain.mixing import measure_levels, strip_blocks
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.stem_features import FEATURES
from mixagent.pipeline.measure.stem_measures import ROLES, THIRDS, measures_of
from mixagent.pipeline.types import Audio, Stems, collect
from mixagent.policies.mixing.agent import MixingActor, frozen_net, strip_order
from mixagent.policies.mixing.examples import batch_of
from mixagent.policies.mixing.forward import BoundMixer
from mixagent.policies.mixing.gains import raised
from mixagent.policies.mixing.network import MixingNet, Shape
from mixagent.policies.mixing.outcome import gains_db, loss_of, outcome
from mixagent.policies.mixing.steering import STATIC, STEERED, strip_values

SMALL = Shape(hidden=12, role=3)
PARTS = {name: synthetic_song(seed, 3.0) for seed, name in enumerate(ROLES)}
MIX = Audio(np.sum([part.samples for part in PARTS.values()], axis=0), 44100)


def _net(seed: int, spread: float = 0.2) -> MixingNet:
    torch.manual_seed(seed)
    net = MixingNet(SMALL).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return net


def _shown(seed: int = 0, songs: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    shown = random.standard_normal((songs, len(ROLES), len(FEATURES))).astype(np.float32)
    there = np.ones((songs, len(ROLES)), np.float32)
    there[0, 1] = 0.0
    return torch.from_numpy(shown), torch.from_numpy(there)


def test_an_untrained_net_moves_nothing() -> None:
    assert not MixingNet(SMALL).eval()(*_shown()).any()


def test_numpy_decides_as_torch_does() -> None:
    net, (shown, there) = _net(1), _shown()
    with torch.no_grad():
        expected = net(shown, there).numpy()
    np.testing.assert_allclose(frozen_net(net).actions(shown.numpy(), there.numpy()), expected, atol=1e-5)


def test_a_stem_that_is_not_there_is_not_moved_and_tells_nothing() -> None:
    net, (shown, there) = _net(2), _shown()
    other = shown.clone()
    other[0, 1] = 7.0
    with torch.no_grad():
        first, second = net(shown, there), net(other, there)
    assert not first[0, 1].any()
    torch.testing.assert_close(first, second)


def test_learning_from_renders_stays_within_reach_of_the_start() -> None:
    start, net, (shown, there) = _net(3), _net(4), _shown()
    actor, names = MixingActor(net, start, 0.1), [f"{role}.gain_db" for role in ROLES]
    order = torch.from_numpy(strip_order(names))
    with torch.no_grad():
        action = actor({"strips": shown, "strips_present": there}, order).numpy()
        begun = start(shown, there).flatten(1)[:, order].numpy()
    assert np.abs(action - begun).max() <= 0.1 + 1e-6
    bound = BoundMixer(frozen_net(net), frozen_net(start), 0.1)
    decided = bound.actions(shown.numpy(), there.numpy()).reshape(3, -1)[:, order.numpy()]
    np.testing.assert_allclose(decided, action, atol=1e-5)


def test_a_parameter_that_no_strip_has_is_refused() -> None:
    with pytest.raises(KeyError):
        strip_order(["vocals.size"])


def _actions(**values: float) -> np.ndarray:
    actions = np.zeros((len(ROLES), len(STEERED)), np.float32)
    for name, value in values.items():
        actions[ROLES.index("bass"), STEERED.index(name)] = value
    return actions


@pytest.mark.parametrize("name", [name for name in STATIC if name != "pan"])
def test_the_known_effect_of_a_strip_is_that_of_its_render(name: str) -> None:
    actions = _actions(**{name: 0.4})
    mid_db, side_db, _ = gains_db(torch.from_numpy(actions[None, :, : len(STATIC)]))
    space, stems = ParameterSpace.for_stems(ROLES), Stems(MIX, PARTS)
    settings = space.settings(strip_values("bass", dict(zip(STEERED, actions[2], strict=True)), space))
    part = PARTS["bass"]
    done = analyse(
        collect(strip_blocks(stems, "bass", settings, measure_levels(stems)), part.rate, part.channels)
    )
    before, bands = analyse(part), slice(4, 27)
    for gains, what in ((mid_db, "third_octave_mid_db"), (side_db, "third_octave_side_db")):
        changed = (np.array(getattr(done, what)) - np.array(getattr(before, what)))[bands]
        heard = np.array(getattr(before, what))[bands] > -80.0
        np.testing.assert_allclose(changed[heard], gains[0, 2, bands].numpy()[heard], atol=1.0)


def test_measures_of_stems_that_are_raised_are_those_of_raised_stems() -> None:
    gain = np.zeros((1, len(ROLES), THIRDS), np.float32)
    gain[0, 2] = 6.0
    parts = {**PARTS, "bass": Audio(PARTS["bass"].samples * np.float32(10**0.3), 44100)}
    mix = Audio(np.sum([part.samples for part in parts.values()], axis=0), 44100)
    measured = [
        measures_of(analyse(one), {name: analyse(part) for name, part in of.items()})
        for one, of in ((MIX, PARTS), (mix, parts))
    ]
    told = raised(measured[0][None], gain, gain)[0]
    heard = measured[1][:, 4:27] > -70.0
    assert np.abs(told - measured[1])[1:, 4:27][heard[1:]].max() < 0.05
    assert np.median(np.abs(told - measured[1])[0, 4:27]) < 0.7


def test_the_strips_that_undo_a_disorder_cost_least() -> None:
    truth = measures_of(analyse(MIX), {name: analyse(part) for name, part in PARTS.items()})[None]
    gain = np.zeros((1, len(ROLES), THIRDS), np.float32)
    gain[0, 2] = -6.0
    spoilt = raised(truth, gain, gain)
    batch = batch_of(spoilt, truth, spoilt)
    costs = [
        float(
            loss_of(
                outcome(batch, torch.from_numpy(_actions(gain_db=db / 12)[None, :, : len(STATIC)])), batch
            )
        )
        for db in (-6.0, 0.0, 6.0, 12.0)
    ]
    assert np.argmin(costs) == 2
    assert costs[2] < 0.3
