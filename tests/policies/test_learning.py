"""Learning from the user: what is preferred gets likelier, what was there stays, and no loser is promoted."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from mixagent.envs.cases import Case, CaseStore, Damage, make_case
from mixagent.envs.context import Context
from mixagent.envs.mixing import Choice, HeldCases, Material
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.types import Audio
from mixagent.policies.experience import Experience, Preference
from mixagent.policies.learned import Checkpoint
from mixagent.policies.learning import (
    Corpus,
    LearnSettings,
    agreement,
    blended,
    compare,
    divergence,
    fine_tune,
    learn,
    preference_logits,
    preference_loss,
)
from mixagent.policies.network import Actor, Layout, Sizes, measure_statistics
from mixagent.policies.preference_data import PreferenceData, anchors, preference_data
from mixagent.policies.validation import Outcome, play
from mixagent.policies.warm_start import WarmStart, fit, load_examples, measure_responses
from mixagent.reward.model import RewardModel, load_reward

PATTERNS = ("master.balance_db", "master.eq_low_mid_db")
CHOICE = Choice.of(PATTERNS, ())
REWARD: RewardModel = load_reward("debug")
QUICK = LearnSettings(steps=150)


def _advise(context: Context) -> Settings:
    return context.space.settings()


# --- the formulas ----------------------------------------------------------------------------------


def _preference_data(random: np.random.Generator, count: int = 4, size: int = 3) -> PreferenceData:
    actions = torch.from_numpy(random.uniform(-1, 1, (3, count, size)).astype(np.float32))
    return PreferenceData(
        observation={},
        order=torch.arange(size),
        actions=actions[0],
        weights=torch.zeros(count),
        rows=torch.arange(count),
        better=actions[1],
        worse=actions[2],
    )


def test_a_preference_is_the_change_of_the_log_likelihood_ratio() -> None:
    random = np.random.default_rng(0)
    data, deviation = _preference_data(random), 0.2
    now, before = (torch.from_numpy(random.uniform(-1, 1, (4, 3)).astype(np.float32)) for _ in range(2))

    def ratio(mean: torch.Tensor) -> torch.Tensor:
        gaussian = Normal(mean, deviation)
        return (gaussian.log_prob(data.better) - gaussian.log_prob(data.worse)).sum(dim=-1)

    logits = preference_logits(now, before, data, deviation)
    assert torch.allclose(logits, ratio(now) - ratio(before), atol=1e-3)


def test_the_divergence_is_that_of_two_gaussians() -> None:
    moved = torch.tensor([[0.1, -0.2], [0.0, 0.3]])
    expected = kl_divergence(Normal(moved, 0.15), Normal(torch.zeros(2, 2), 0.15)).sum(dim=-1).mean()
    assert divergence(moved, 0.15).item() == pytest.approx(expected.item())


def test_the_loss_falls_towards_the_better_and_ends_near_it() -> None:
    data = _preference_data(np.random.default_rng(1), count=1)
    way = data.better - data.worse
    losses = [
        preference_loss(data.worse + share * way, data.worse, data, LearnSettings()).item()
        for share in (0.0, 0.5, 1.0, 2.0)
    ]
    assert losses[0] > losses[1] > losses[2]
    assert losses[3] > losses[2]


# --- a person and a new genre ----------------------------------------------------------------------


def _old_genre(seed: int) -> Audio:
    """Pink noise with a common middle."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal((2, 44100)))
    pink = np.fft.irfft(spectrum / np.sqrt(np.arange(spectrum.shape[1]) + 20.0), 44100)
    samples = pink + 0.5 * pink[::-1]
    return Audio((0.3 * samples / np.abs(samples).max()).astype(np.float32), 44100)


def _new_genre(seed: int) -> Audio:
    """A beat: bursts of bright noise over a bass note."""
    random = np.random.default_rng(seed)
    time = np.arange(44100) / 44100
    bursts = np.exp(-(time % random.uniform(0.15, 0.3)) / 0.04) * random.standard_normal((2, time.size))
    samples = 0.1 * bursts + 0.1 * np.sin(2 * np.pi * random.uniform(60, 90) * time)
    return Audio(samples.astype(np.float32), 44100)


def _lean(seed: int) -> Case:
    damage = Damage({"panning": 0.4 + 0.1 * (seed % 4)}, {"panning": "lean"}, None, seed)
    return make_case(f"old{seed}@0#0", _old_genre(seed), damage, None, TARGETS["streaming"])


def _mud(seed: int) -> Case:
    damage = Damage({"mud": 0.6 + 0.1 * (seed % 4)}, {"mud": "bell"}, None, seed)
    return make_case(f"new{seed}@0#0", _new_genre(seed), damage, None, TARGETS["streaming"])


@dataclass(frozen=True)
class World:
    """A policy that was trained on the old genre, and cases of both; the last four are not learned from."""

    checkpoint: Checkpoint
    old: HeldCases
    new: HeldCases

    def corpus(self) -> Corpus:
        names = tuple(self.old.names)
        return Corpus(self.old, names[:8], names[8:], REWARD)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    old = {case.name: case for case in map(_lean, range(12))}
    new = {case.name: case for case in map(_mud, range(10))}
    store = CaseStore(tmp_path_factory.mktemp("cases"))
    for case in old.values():
        store.save(case)
    names, folder = tuple(old), tmp_path_factory.mktemp("responses")
    measure_responses(store, names[:8], folder)
    examples = load_examples(store, names[:8], folder, _advise, CHOICE)
    torch.manual_seed(0)
    sizes = Sizes(*(examples.observation[key].shape[-1] for key in ("mix", "diagnosis", "target")), hidden=16)
    layout = Layout.of(CHOICE.names, ())
    actor = Actor(layout, sizes)
    actor.encoder.standardise(measure_statistics(examples.observation))
    how = WarmStart(epochs=60, patience=60, batch=8, learning_rate=3e-3, noise=0.0, weight_decay=0.0)
    fitted = fit(actor, layout.order(CHOICE.names, ()), examples, examples, how, seed=0)
    return World(Checkpoint(fitted, PATTERNS, (), "neutral"), HeldCases(old), HeldCases(new))


def _played(world: World, actor: Actor, names: Sequence[str]) -> list[Outcome]:
    cases = HeldCases({**world.old.cases, **world.new.cases})
    return play(actor.frozen(), cases, names, CHOICE, _advise, REWARD)


def _undone(outcomes: Sequence[Outcome]) -> float:
    return float(np.mean([each.info["recovery"]["total"] for each in outcomes]))


def _mastered(case: Case, settings: Settings, number: int) -> Experience:
    score = REWARD.score(Material(case, CHOICE.space).render_pair(settings))
    return Experience(
        song=case.name,
        master=str(number),
        name=case.name,
        context=case.context(CHOICE.space),
        settings=settings.changed(),
        policy="any",
        policy_sha256="",
        terms={},
        blind=score.blind,
        version="0",
        number=number,
    )


@pytest.fixture(scope="module")
def told(world: World) -> tuple[list[Experience], list[Preference]]:
    """Each song of the new genre, mastered by the policy and by hand; a person likes what is truly nearer."""
    experiences, preferences = [], []
    for outcome in _played(world, world.checkpoint.actor, tuple(world.new.names)[:6]):
        case, number = world.new.load(outcome.case), len(experiences) + 1
        by_hand = CHOICE.space.settings({"master.eq_low_mid_db": -6.0})
        both = (CHOICE.settings(outcome.action), by_hand)
        pair = [_mastered(case, each, number + k) for k, each in enumerate(both)]
        undone = [
            Material(case, CHOICE.space).render_pair(CHOICE.space.settings(each.settings)) for each in pair
        ]
        distances = [pair.after.distance(pair.original).total for pair in undone if pair.original]
        better = int(np.argmin(distances))
        experiences += pair
        preferences.append(Preference(case.name, number + better, number + 1 - better))
    return experiences, preferences


def test_a_new_genre_gets_better_and_the_old_one_no_worse(
    world: World, told: tuple[list[Experience], list[Preference]]
) -> None:
    learned = learn(world.checkpoint, *told, world.corpus(), _advise, QUICK)
    assert learned.checkpoint is not None, learned.why
    unheard = {"new": tuple(world.new.names)[6:], "old": tuple(world.old.names)[8:]}
    before, after = (
        {genre: _undone(_played(world, each.actor, names)) for genre, names in unheard.items()}
        for each in (world.checkpoint, learned.checkpoint)
    )
    assert after["new"] > before["new"] + 0.1
    assert after["old"] > before["old"] - QUICK.margin
    assert learned.agreement[1] > learned.agreement[0]


def test_what_harms_the_old_genre_is_not_promoted(world: World) -> None:
    experiences, preferences = [], []
    for number, name in enumerate(tuple(world.old.names)[:4], 1):
        ruined = CHOICE.space.settings({"master.eq_low_mid_db": -12.0, "master.balance_db": 0.0})
        experiences.append(_mastered(world.old.load(name), ruined, number))
        preferences.append(Preference(name, number, None))
    learned = learn(world.checkpoint, experiences, preferences, world.corpus(), _advise, QUICK)
    assert learned.checkpoint is None
    assert learned.comparison is not None
    assert learned.comparison.recovery.mean < 0
    assert "it loses for certain" in learned.why


def test_the_policys_own_masters_teach_it_nothing(world: World) -> None:
    outcomes = _played(world, world.checkpoint.actor, tuple(world.new.names)[:2])
    own = [
        _mastered(world.new.load(each.case), CHOICE.settings(each.action), number)
        for number, each in enumerate(outcomes, 1)
    ]
    learned = learn(world.checkpoint, own, [], world.corpus(), _advise, replace(QUICK, steps=20))
    assert (learned.checkpoint, learned.comparison) == (None, None)
    assert "teach nothing" in learned.why
    assert learned.to_json()["agreement"] == {"before": None, "after": None}


def test_the_same_seed_learns_the_same(world: World, told: tuple[list[Experience], list[Preference]]) -> None:
    data = preference_data(*told, world.checkpoint, _advise, 0.1)
    actor, corpus, brief = world.checkpoint.actor, world.corpus(), replace(QUICK, steps=3)
    held = anchors(corpus.cases, corpus.training, CHOICE, _advise, actor)
    weights = actor.shared.weight.clone()
    one, same, other = (fine_tune(actor, data, held, brief, seed) for seed in (1, 1, 2))
    assert torch.equal(one.shared.weight, same.shared.weight)
    assert not torch.equal(one.shared.weight, other.shared.weight)
    assert torch.equal(actor.shared.weight, weights)


def test_half_of_the_way_is_half_of_the_weights(world: World) -> None:
    actor = world.checkpoint.actor
    moved = copy.deepcopy(actor)
    with torch.no_grad():
        moved.shared.weight += 1.0
    half = blended(actor, moved, 0.5)
    assert torch.allclose(half.shared.weight, actor.shared.weight + 0.5)
    assert torch.equal(half.encoder.get_buffer("mix_spread"), actor.encoder.get_buffer("mix_spread"))


# --- what there is to learn ------------------------------------------------------------------------


def test_without_experiences_it_says_what_to_do(world: World) -> None:
    with pytest.raises(UsageError, match="no experience yet: master a song"):
        preference_data([], [], world.checkpoint, _advise, 0.1)


def test_experiences_of_another_version_are_left_out(
    world: World, told: tuple[list[Experience], list[Preference]]
) -> None:
    experiences, preferences = told
    old = [replace(each, context=None) for each in experiences]
    with pytest.raises(UsageError, match="all 12 experiences were measured by another version"):
        preference_data(old, preferences, world.checkpoint, _advise, 0.1)
    (group,) = preference_data([*old[:2], *experiences[2:]], preferences, world.checkpoint, _advise, 0.1)
    assert len(group.actions) == 10
    assert len(group.rows) == 5


def test_the_song_as_it_came_is_the_neutral_action(world: World) -> None:
    settings = CHOICE.space.settings({"master.balance_db": 4.5, "master.eq_low_mid_db": -3.0})
    made = _mastered(world.new.load("new0@0#0"), settings, 7)
    (group,) = preference_data([made], [Preference(made.song, None, 7)], world.checkpoint, _advise, 0.1)
    assert group.worse.tolist() == [[0.5, -0.25]]
    assert group.better.tolist() == [[0.0, 0.0]]
    still = copy.deepcopy(world.checkpoint.actor)
    torch.nn.init.zeros_(still.shared.weight)
    torch.nn.init.zeros_(still.shared.bias)
    # Bradley and Terry: the log likelihoods of two actions differ by the squares over 2 σ².
    expected = 1 / (1 + np.exp(-0.3 * (0.5**2 + 0.25**2) / (2 * 0.15**2)))
    assert agreement(still, [group], LearnSettings()) == pytest.approx(expected)


def test_of_two_masters_the_one_with_more_reward_counts_more(world: World) -> None:
    neutral = _mastered(world.new.load("new0@0#0"), CHOICE.space.settings(), 1)
    masters = [replace(neutral, number=k, blind=blind) for k, blind in ((1, 0.3), (2, 0.1), (3, None))]
    (group,) = preference_data(masters, [], world.checkpoint, _advise, temperature=0.1)
    assert group.weights.tolist() == pytest.approx([np.exp(1.0), np.exp(-1.0), 0.0])
    (rated,) = preference_data(masters, [Preference(neutral.song, None, 1)], world.checkpoint, _advise, 0.1)
    assert rated.weights.tolist() == pytest.approx([0.0, np.exp(-1.0), 0.0])


# --- comparing -------------------------------------------------------------------------------------


def _outcome(case: str, blind: float, undone: float) -> Outcome:
    info = {"blind": blind, "recovery": {"total": undone}}
    return Outcome(case, (), np.zeros(2, np.float32), info, {})


def test_a_comparison_is_paired_and_counts_songs() -> None:
    old = [_outcome(name, 0.1, 0.2) for name in ("a@0#1", "a@4#2", "b@0#3")]
    new = [_outcome(each.case, 0.1 + gain, 0.2) for each, gain in zip(old, (0.1, 0.3, 0.0), strict=True)]
    found = compare(old, new)
    assert (found.cases, found.songs) == (3, 2)
    assert found.blind.mean == pytest.approx(0.1)
    assert found.blind.least == pytest.approx(0.0)
    assert (found.recovery.mean, found.recovery.least) == (0.0, 0.0)
    assert not found.loses(LearnSettings())
    assert compare(new, old).loses(LearnSettings())


def test_a_loss_that_chance_may_hide_counts_as_one() -> None:
    old = [_outcome(f"{k}@0#0", 0.0, 0.5) for k in range(10)]
    new = [_outcome(each.case, 0.0, 0.5 + (0.2 if k % 2 else -0.2)) for k, each in enumerate(old)]
    found = compare(old, new)
    assert found.recovery.mean == pytest.approx(0.0)
    assert found.loses(LearnSettings())
