"""The actor's forward pass without torch, held against the trained network itself."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch

from mixagent.pipeline.types import FloatArray
from mixagent.policies.forward import FrozenActor
from mixagent.policies.network import Actor, Layout, Sizes

LAYOUT = Layout(("gain_db", "presence_db", "pan"), ("master.width", "master.tilt_db"))
SIZES = Sizes(features=40, findings=9, target=3, hidden=32, stem_hidden=12)
STEMS = ("vocals", "drums", "bass", "guitar", "piano", "other")


def _actor(seed: int, layout: Layout = LAYOUT) -> Actor:
    """Random weights and statistics; some measures never varied."""
    torch.manual_seed(seed)
    actor = Actor(layout, SIZES).eval()
    for weight in actor.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    for key, size in (("mix", 40), ("stems", 40), ("diagnosis", 9), ("target", 3)):
        actor.encoder.get_buffer(f"{key}_mean").copy_(3.0 * torch.randn(size))
        spread = torch.where(torch.rand(size) < 0.2, torch.inf, 0.1 + 2.0 * torch.rand(size))
        actor.encoder.get_buffer(f"{key}_spread").copy_(spread)
    return actor


def _observation(seed: int, batch: int, stems: int, parameters: int) -> dict[str, FloatArray]:
    random = np.random.default_rng(seed)

    def values(*shape: int) -> FloatArray:
        return (5.0 * random.standard_normal((batch, *shape))).astype(np.float32)

    advice, last_action = (np.clip(values(parameters), -1.0, 1.0) for _ in range(2))
    return {
        "mix": values(40),
        "stems": values(stems, 40),
        "present": (random.random((batch, stems)) < 0.7).astype(np.float32),
        "diagnosis": values(9),
        "advice": advice,
        "target": values(3),
        "last": np.concatenate((values(40), last_action, np.abs(values(2))), axis=1),
    }


def _parameters(layout: Layout, stems: tuple[str, ...]) -> list[str]:
    """In an order of their own, and not all of them."""
    names = [f"{stem}.{what}" for what in layout.strip for stem in stems] + list(layout.shared)
    return names[1:][::-1]


def _expected(
    actor: Actor, observation: dict[str, FloatArray], names: list[str], stems: tuple[str, ...]
) -> FloatArray:
    order = actor.encoder.layout.order(names, stems)
    with torch.no_grad():
        action: FloatArray = actor({k: torch.tensor(v) for k, v in observation.items()}, order).numpy()
    return action


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("count", range(7))
def test_actions_are_those_of_the_trained_network(count: int, batch: int) -> None:
    stems, actor = STEMS[:count], _actor(count)
    names = _parameters(LAYOUT, stems)
    observation = _observation(batch, batch, count, len(names))
    fast = actor.frozen()
    action = fast.action(observation, fast.order(names, stems))
    assert (action.dtype, action.shape) == (np.float32, (batch, len(names)))
    np.testing.assert_allclose(action, _expected(actor, observation, names, stems), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", [Layout((), ("master.width",) * 1), Layout(("gain_db", "pan"), ())])
def test_an_actor_may_steer_strips_only_or_the_master_only(layout: Layout) -> None:
    actor, stems = _actor(1, layout), STEMS[:3]
    names = [f"{stem}.{what}" for stem in stems for what in layout.strip] + list(layout.shared)
    observation = _observation(0, 4, 3, len(names))
    fast = actor.frozen()
    action = fast.action(observation, fast.order(names, stems))
    np.testing.assert_allclose(action, _expected(actor, observation, names, stems), rtol=1e-5, atol=1e-5)


def test_one_song_needs_no_batch() -> None:
    actor, stems = _actor(2).frozen(), STEMS[:4]
    names = _parameters(LAYOUT, stems)
    order, observation = actor.order(names, stems), _observation(3, 5, 4, len(names))
    batch = actor.action(observation, order)
    for row in range(5):
        song = {key: value[row] for key, value in observation.items()}
        np.testing.assert_allclose(actor.action(song, order), batch[row], atol=1e-5)


def test_measures_however_far_out_are_bounded_as_in_training() -> None:
    actor, stems = _actor(3), STEMS[:2]
    names = _parameters(LAYOUT, stems)
    observation = _observation(4, 3, 2, len(names))
    for key in ("mix", "stems", "diagnosis", "target"):
        observation[key] *= np.float32(1e30)
    heard = torch.isfinite(actor.encoder.get_buffer("mix_spread")).numpy()
    observation["mix"][:, heard] = np.inf
    fast = actor.frozen()
    action = fast.action(observation, fast.order(names, stems))
    assert np.isfinite(action).all()
    np.testing.assert_allclose(action, _expected(actor, observation, names, stems), rtol=1e-5, atol=1e-5)


def test_a_parameter_that_is_not_steered_is_refused() -> None:
    with pytest.raises(KeyError):
        _actor(0).frozen().order(["vocals.reverb_db"], STEMS)


@pytest.mark.parametrize(
    ("size", "change"), [("hidden", 1), ("stem_hidden", -1), ("features", 1), ("target", 2)]
)
def test_weights_of_another_network_are_refused(size: str, change: int) -> None:
    weights = {name: value.numpy() for name, value in _actor(0).state_dict().items()}
    sizes = asdict(SIZES)
    assert FrozenActor.of(weights, LAYOUT.strip, LAYOUT.shared, sizes)
    with pytest.raises(ValueError, match="another network"):
        FrozenActor.of(weights, LAYOUT.strip, LAYOUT.shared, {**sizes, size: sizes[size] + change})
