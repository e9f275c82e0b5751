"""The warm start: measured once, taken up where it was left, fitted until other songs gain no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mixagent.envs.cases import CaseStore, Damage, make_case
from mixagent.envs.context import Context
from mixagent.envs.mixing import Choice
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.types import Audio
from mixagent.policies.network import Actor, Layout, Sizes, measure_statistics
from mixagent.policies.surrogate import Response, totals
from mixagent.policies.warm_start import (
    Examples,
    Round,
    WarmStart,
    fit,
    load_examples,
    measure_responses,
    response_path,
    undone,
)

CHOICE = Choice.of(("master.balance_db", "master.eq_low_mid_db"), ())
SETTINGS = WarmStart(epochs=60, patience=60, batch=8, learning_rate=3e-3, noise=0.0, weight_decay=0.0)


def _advise(context: Context) -> Settings:
    return context.space.settings()


def _music(seed: int) -> Audio:
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal((2, 44100)))
    pink = np.fft.irfft(spectrum / np.sqrt(np.arange(spectrum.shape[1]) + 20.0), 44100)
    samples = pink + 0.5 * pink[::-1]
    return Audio((0.3 * samples / np.abs(samples).max()).astype(np.float32), 44100)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CaseStore:
    """Eight songs: half of them lean to one side or the other, half are as they were."""
    store = CaseStore(tmp_path_factory.mktemp("cases"))
    for seed in range(8):
        damage = Damage({"panning": 0.4 + 0.1 * (seed % 4)}, {"panning": "lean"}, None, seed)
        nothing = Damage({}, {}, None, seed)
        store.save(
            make_case(
                f"song@{seed}", _music(seed), damage if seed < 4 else nothing, None, TARGETS["streaming"]
            )
        )
    return store


NAMES = tuple(f"song@{seed}" for seed in range(8))


@pytest.fixture(scope="module")
def responses(store: CaseStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("responses")
    measure_responses(store, NAMES, folder)
    return folder


@pytest.fixture
def examples(store: CaseStore, responses: Path) -> Examples:
    return load_examples(store, NAMES, responses, _advise, CHOICE)


def _actor(examples: Examples) -> tuple[Actor, torch.Tensor]:
    torch.manual_seed(0)
    layout = Layout.of(CHOICE.names, ())
    observed = examples.observation
    sizes = Sizes(
        *(observed[key].shape[-1] for key in ("mix", "diagnosis", "target")), hidden=16, dropout=0.0
    )
    actor = Actor(layout, sizes)
    actor.encoder.standardise(measure_statistics(observed))
    return actor, layout.order(CHOICE.names, ())


def test_fitting_undoes_the_damage_and_leaves_the_undamaged_alone(examples: Examples) -> None:
    actor, order = _actor(examples)
    fitted = fit(actor, order, examples, examples, SETTINGS, seed=0)
    share = undone(fitted, order, examples)
    assert share[:4].mean() > 0.6
    assert share[4:].mean() > -0.1
    assert torch.equal(undone(actor, order, examples), torch.zeros(8))


def test_the_same_seed_fits_the_same_actor(examples: Examples) -> None:
    actor, order = _actor(examples)
    brief = replace(SETTINGS, epochs=3)
    one, same, other = (fit(actor, order, examples, examples, brief, seed) for seed in (1, 1, 2))
    assert torch.equal(one.shared.weight, same.shared.weight)
    assert not torch.equal(one.shared.weight, other.shared.weight)


def test_it_stops_when_the_validation_cases_gain_no_more(
    examples: Examples, store: CaseStore, responses: Path
) -> None:
    actor, order = _actor(examples)
    rounds: list[Round] = []
    clean = load_examples(store, NAMES[4:], responses, _advise, CHOICE)
    fit(actor, order, examples, clean, replace(SETTINGS, patience=5), 0, rounds.append)
    assert len(rounds) < SETTINGS.epochs
    assert not any(each.best for each in rounds[-5:])


def test_no_epochs_leave_the_actor_as_it_was(examples: Examples) -> None:
    actor, order = _actor(examples)
    fitted = fit(actor, order, examples, examples, replace(SETTINGS, epochs=0), seed=0)
    assert all(torch.equal(value, actor.state_dict()[name]) for name, value in fitted.state_dict().items())


def test_what_was_measured_is_not_measured_again(store: CaseStore, responses: Path) -> None:
    path = response_path(responses, NAMES[0])
    before = path.stat().st_mtime_ns
    measure_responses(store, NAMES, responses)
    assert path.stat().st_mtime_ns == before


def test_cases_without_a_response_are_left_out(store: CaseStore, responses: Path, tmp_path: Path) -> None:
    Response.load(response_path(responses, NAMES[2])).save(response_path(tmp_path, NAMES[2]))
    assert load_examples(store, NAMES, tmp_path, _advise, CHOICE).names == (NAMES[2],)


def test_without_any_response_it_says_what_to_do(store: CaseStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="measure them first"):
        load_examples(store, NAMES, tmp_path, _advise, CHOICE)


def test_an_undamaged_case_is_at_no_distance(examples: Examples) -> None:
    assert totals(examples.surrogate.before[4:]).max() < 0.01
