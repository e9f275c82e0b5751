"""The net that mixes learns what is preferred, and no history puts a net in use that loses elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rated import heard_in_stems, mastered
from script_modules import load_script

from mixagent.pipeline.errors import ModelMissingError, UsageError
from mixagent.pipeline.folders import checkpoint_folder
from mixagent.policies.experience import Preference
from mixagent.policies.mixing.forward import BoundMixer, FrozenMixer
from mixagent.policies.mixing.held_out import CLEAN, HeldOut
from mixagent.policies.mixing.learning import (
    MIX_SETTINGS,
    REACH,
    MixActor,
    compare,
    learn_mix,
    learn_strips,
    observed,
    strip_data,
)
from mixagent.policies.mixing.network import Shape
from mixagent.policies.mixing.policy import MixingCheckpoint, MixPolicy, set_actions, shown_of
from mixagent.policies.mixing.steering import STATIC
from mixagent.policies.promotion import MIX, Promotions

ratings = load_script("benchmark_ratings")
SHIPPED = MixingCheckpoint.load(checkpoint_folder("mixing"))
RATED, JUDGING = ratings.halves(HeldOut.load())


def _actor(checkpoint: MixingCheckpoint = SHIPPED) -> MixActor:
    return MixActor(checkpoint.mixers, Shape(**checkpoint.shape)).eval()


def _learnt(history: str, **more):
    data = ratings.history(history, SHIPPED, RATED, 200, seed=0)
    return learn_strips(SHIPPED, data, JUDGING, **more)


# --- what is seen and set ---------------------------------------------------------------------------


def test_the_actor_does_what_the_policy_does() -> None:
    context = heard_in_stems()
    shown = shown_of(context)
    assert shown is not None
    with torch.no_grad():
        done = _actor().actions(observed(shown.measures[None], shown.shares[None]))[0].numpy()
    decided = set_actions(MixPolicy(checkpoint_folder("mixing")).decide(context).settings)
    large = np.abs(decided) > 0
    assert large.any()
    np.testing.assert_allclose(decided[large], done[large], atol=1e-3)


def test_a_master_holds_the_strips_that_were_shown_and_set() -> None:
    moved = mastered({"vocals.gain_db": 3.0, "drums.pan": 0.5, "master.eq_air_db": 2.0})
    data = strip_data([replace(moved, number=1)], [Preference(moved.song, 1, None)], 0.1)
    assert data is not None
    shown = shown_of(heard_in_stems())
    assert shown is not None
    assert torch.equal(data.observation["features"], observed(shown.measures[None])["features"])
    better = data.better.reshape(4, len(STATIC))
    # A gain that all have in common is no matter of balance: the fader is 3 of 12 dB over the others.
    assert float(better[0, 0] - better[2, 0]) == pytest.approx(0.25, abs=1e-5)
    assert float(better[1, STATIC.index("pan")]) == pytest.approx(0.5)
    assert float(data.worse.abs().max()) == 0.0


def test_versions_that_differ_in_the_master_alone_teach_no_strips() -> None:
    both = [replace(mastered({"master.eq_air_db": db}, str(db)), number=n) for n, db in ((1, 1.0), (2, 2.0))]
    data = strip_data(both, [Preference(both[0].song, 1, 2)], 0.1)
    assert data is not None
    assert len(data.rows) == 0


def test_every_author_has_as_much_to_say_as_any_other() -> None:
    both = [replace(mastered({"vocals.gain_db": db}, str(db)), number=n) for n, db in ((1, 2.0), (2, -2.0))]
    said = [Preference(both[0].song, 1, 2, author="many")] * 9 + [
        Preference(both[0].song, 2, 1, author="one")
    ]
    data = strip_data(both, said, 0.1)
    assert data is not None
    assert data.votes is not None
    assert float(data.votes[:9].sum()) == pytest.approx(float(data.votes[9]))


def test_without_a_song_heard_in_stems_it_says_what_to_do() -> None:
    alone = replace(mastered({}), context=replace(heard_in_stems(), stems={}))
    with pytest.raises(UsageError, match="--policy mix"):
        learn_mix(SHIPPED, [alone], [])


# --- the gates --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def honest():
    return _learnt("honest: nearer to the record")


def test_an_honest_history_passes_and_is_followed(honest) -> None:
    assert honest.checkpoint is not None
    assert honest.agreement[1] > honest.agreement[0]
    assert not honest.comparison.lost(MIX_SETTINGS)


@pytest.mark.parametrize("history", ["muddier", "buried voice", "louder: bass and drums up"])
def test_a_malicious_history_is_refused(history: str) -> None:
    learned = _learnt(history)
    assert learned.checkpoint is None
    assert learned.comparison is not None
    assert learned.comparison.harmed(MIX_SETTINGS)
    assert learned.agreement[1] > learned.agreement[0]  # It was learnt, and it is the gates that hold.


def test_what_the_finaliser_takes_back_teaches_nothing() -> None:
    assert _learnt("louder: every fader up").comparison is None


def test_small_steps_are_held_against_the_net_that_ships(honest) -> None:
    """A net that lost already is not lost against by a step back of a hair, but the shipped one is."""
    shown = observed(JUDGING.shown)
    lost = replace(SHIPPED, mixers=tuple(_muted(mixer) for mixer in SHIPPED.mixers))
    with torch.no_grad():
        assert float(_actor(lost).actions(shown).abs().max()) == 0.0
    data = ratings.history("honest: nearer to the record", lost, RATED, 50, seed=0)
    settings = replace(MIX_SETTINGS, steps=20)
    assert learn_strips(lost, data, JUDGING, settings).checkpoint is not None
    held = learn_strips(lost, data, JUDGING, settings, shipped=SHIPPED)
    assert held.checkpoint is None
    assert "out of balance" in held.why


def _muted(mixer: BoundMixer) -> BoundMixer:
    silent = {"strip.weight", "strip.bias"}
    weights = {
        name: np.zeros_like(value) if name in silent else value for name, value in mixer.net.weights.items()
    }
    return BoundMixer(FrozenMixer(weights), FrozenMixer(weights), mixer.reach)


def test_what_no_case_can_judge_is_left_where_it_is(honest) -> None:
    assert honest.comparison.unheard < 0.005
    shown = observed(JUDGING.shown)
    with torch.no_grad():
        old, new = (_actor(each).actions(shown) for each in (SHIPPED, honest.checkpoint))
    assert float((new - old)[..., len(STATIC) :].abs().max()) < 0.05


def test_nothing_leads_further_than_the_reach(honest) -> None:
    far = replace(MIX_SETTINGS, steps=60, learning_rate=3e-2, closeness=0.0)
    data = ratings.history("muddier", SHIPPED, RATED, 50, seed=1)
    spoilt = learn_strips(
        SHIPPED, data, JUDGING, replace(far, loss=99.0, margin=99.0, moved=99.0, moved_margin=99.0)
    )
    assert spoilt.checkpoint is not None
    shown = JUDGING.batch
    for mixer in spoilt.checkpoint.mixers:
        assert mixer.start is not None
        begun = mixer.start.actions(shown.features.numpy(), shown.present.numpy())
        decided = mixer.actions(shown.features.numpy(), shown.present.numpy())
        assert np.abs(decided - begun).max() <= REACH + 1e-6


# --- going on, and being used -----------------------------------------------------------------------


class _EndedError(Exception):
    pass


def test_an_ended_run_goes_on_to_the_same_net(tmp_path: Path, honest) -> None:
    def ended(part: str, share: float) -> None:
        if share > 0.7:
            raise _EndedError

    with pytest.raises(_EndedError):
        _learnt("honest: nearer to the record", progress=ended, kept=tmp_path)
    shares: list[float] = []
    again = _learnt(
        "honest: nearer to the record", progress=lambda _, share: shares.append(share), kept=tmp_path
    )
    assert shares[0] > 0.6
    for one, other in zip(honest.checkpoint.mixers, again.checkpoint.mixers, strict=True):
        for name, weight in one.net.weights.items():
            np.testing.assert_array_equal(weight, other.net.weights[name])


def test_a_promoted_net_is_what_mix_decides_with(honest) -> None:
    context = heard_in_stems()
    before = MixPolicy().decide(context).settings.changed()
    folder = Promotions.of(MIX).promote(lambda place: honest.checkpoint.save(place, "# Learnt\n"))
    assert (
        MixPolicy().decide(context).settings.changed() == MixPolicy(folder).decide(context).settings.changed()
    )
    assert MixPolicy().decide(context).settings.changed() != before
    assert Promotions.of(MIX).rollback() is None
    assert MixPolicy().decide(context).settings.changed() == before


# --- the cases --------------------------------------------------------------------------------------


def test_an_actor_held_against_itself_loses_nothing() -> None:
    compared = compare(_actor(), _actor(), JUDGING)
    assert (compared.truth.mean, compared.finished.mean, compared.unheard) == (0.0, 0.0, 0.0)
    assert not compared.lost(MIX_SETTINGS)


def test_the_cases_that_ship_hold_finished_songs_and_every_disorder() -> None:
    cases = HeldOut.load()
    words = {word for kind in cases.kinds for word in kind.split("+")}
    assert {"", "balance", "one stem", "tone", "dynamics", "space"} <= words
    clean = [k for k, kind in enumerate(cases.kinds) if kind == CLEAN]
    np.testing.assert_array_equal(cases.truth[clean], cases.disordered[clean])


def test_damaged_cases_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "cases.npz").write_bytes(b"no archive")
    with pytest.raises(ModelMissingError, match="held-out cases"):
        HeldOut.load(tmp_path)
