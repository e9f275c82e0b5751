"""The networks: stems are a set, an untrained actor is neutral, and only the value network sees the truth."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mixagent.policies.network import Actor, Layout, Sizes, Value, measure_statistics

SIZES = Sizes(features=12, findings=5, target=3, truth=4, hidden=16, stem_hidden=8)
STEMS = ("vocals", "drums", "bass")
STRIP = ("gain_db", "width")
SHARED = ("master.width", "master.eq_air_db")


def _parameters(stems: tuple[str, ...]) -> list[str]:
    return [f"{stem}.{what}" for stem in stems for what in STRIP] + list(SHARED)


def _observation(stems: int, batch: int = 4, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    actions = stems * len(STRIP) + len(SHARED)
    return {
        "mix": torch.randn(batch, 12),
        "stems": torch.randn(batch, stems, 12),
        "present": torch.ones(batch, stems),
        "diagnosis": torch.randn(batch, 5),
        "advice": torch.rand(batch, actions) * 2 - 1,
        "target": torch.randn(batch, 3),
        "last": torch.randn(batch, 12 + actions + 2),
        "truth": torch.randn(batch, 4),
    }


@pytest.fixture
def layout() -> Layout:
    return Layout.of(_parameters(STEMS), STEMS)


@pytest.fixture
def actor(layout: Layout) -> Actor:
    """An actor whose heads are no longer zero."""
    torch.manual_seed(1)
    actor = Actor(layout, SIZES).eval()
    for head in (actor.strip, actor.shared):
        torch.nn.init.normal_(head.weight, std=0.1)
    return actor


def _permuted(observation: dict[str, Tensor], stems: list[int]) -> dict[str, Tensor]:
    """The same song with its stems in another order, and with them their parameters."""
    places = [len(STRIP) * stem + row for stem in stems for row in range(len(STRIP))]
    actions = [*places, *(len(STRIP) * len(stems) + k for k in range(len(SHARED)))]
    change, last, flags = observation["last"].tensor_split((12, -2), dim=-1)
    return {
        **observation,
        "stems": observation["stems"][:, stems],
        "present": observation["present"][:, stems],
        "advice": observation["advice"][:, actions],
        "last": torch.cat((change, last[:, actions], flags), -1),
    }


def test_an_untrained_actor_is_neutral_whatever_it_is_shown(layout: Layout) -> None:
    order = layout.order(_parameters(STEMS), STEMS)
    assert torch.equal(Actor(layout, SIZES).eval()(_observation(3), order), torch.zeros(4, 8))


def test_an_actor_that_leans_on_its_adviser_answers_with_the_mean_of_both(
    actor: Actor, layout: Layout
) -> None:
    order, observation = layout.order(_parameters(STEMS), STEMS), _observation(3)
    alone = actor(observation, order)
    actor.lean(0.25)
    torch.testing.assert_close(actor(observation, order), 0.75 * alone + 0.25 * observation["advice"])


def test_strips_follow_their_stems_and_the_master_does_not_care_for_their_order(
    actor: Actor, layout: Layout
) -> None:
    order = layout.order(_parameters(STEMS), STEMS)
    observation = _observation(3)
    strips, master = actor(observation, order).split([6, 2], dim=-1)
    moved_strips, moved_master = actor(_permuted(observation, [2, 0, 1]), order).split([6, 2], dim=-1)
    expected = strips.reshape(4, 3, 2)[:, [2, 0, 1]].reshape(4, 6)
    torch.testing.assert_close(moved_strips, expected)
    torch.testing.assert_close(moved_master, master)


@pytest.mark.parametrize("stems", [("vocals",), (*STEMS, "other", "piano"), ()])
def test_any_number_of_stems_is_served_by_the_same_weights(
    actor: Actor, layout: Layout, stems: tuple[str, ...]
) -> None:
    names = _parameters(stems)
    action = actor(_observation(len(stems)), layout.order(names, stems))
    assert action.shape == (4, len(names))
    assert torch.isfinite(action).all()


def test_the_order_of_the_parameters_is_the_order_of_the_action(actor: Actor, layout: Layout) -> None:
    observation, names = _observation(3), _parameters(STEMS)
    turned = {**observation, "advice": observation["advice"].flip(1)}
    change, last, flags = observation["last"].tensor_split((12, -2), dim=-1)
    turned["last"] = torch.cat((change, last.flip(1), flags), -1)
    action = actor(observation, layout.order(names, STEMS))
    torch.testing.assert_close(actor(turned, layout.order(names[::-1], STEMS)), action.flip(1))


def test_an_absent_stem_neither_moves_nor_counts(actor: Actor, layout: Layout) -> None:
    observation = _observation(3)
    observation["present"][:, 1] = 0.0
    order = layout.order(_parameters(STEMS), STEMS)
    action = actor(observation, order)
    assert torch.equal(action[:, 2:4], torch.zeros(4, 2))
    other = {**observation, "stems": observation["stems"].clone()}
    other["stems"][:, 1] = 100.0
    torch.testing.assert_close(actor(other, order), action)


def test_only_the_value_network_sees_the_truth(actor: Actor, layout: Layout) -> None:
    order = layout.order(_parameters(STEMS), STEMS)
    observation = _observation(3)
    lied = {**observation, "truth": observation["truth"] + 3.0}
    value = Value(layout, SIZES).eval()
    assert torch.equal(actor(lied, order), actor(observation, order))
    assert not torch.equal(value(lied, order), value(observation, order))


def test_measures_are_standardised_by_the_statistics_of_the_training_songs(layout: Layout) -> None:
    observation = _observation(3, batch=400)
    observation["mix"] = observation["mix"] * 7.0 + 20.0
    observation["mix"][:, 3] = 5.0
    encoder = Actor(layout, SIZES).encoder
    encoder.standardise(measure_statistics(observation))
    standard = (observation["mix"] - encoder.mix_mean) / encoder.mix_spread
    varying = [k for k in range(12) if k != 3]
    torch.testing.assert_close(standard.mean(dim=0), torch.zeros(12), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard[:, varying].std(dim=0, correction=0), torch.ones(11))
    assert torch.equal(standard[:, 3], torch.zeros(400))


def test_statistics_leave_absent_stems_out() -> None:
    observation = _observation(3, batch=50)
    observation["present"][:, 0] = 0.0
    observation["stems"][:, 0] = 1000.0
    assert measure_statistics(observation).mean["stems"].abs().max() < 1.0


def test_a_parameter_that_is_not_steered_is_refused(layout: Layout) -> None:
    with pytest.raises(KeyError):
        layout.order(["vocals.pan"], STEMS)
