"""The terms that judge stems, and the edits of single stems that they must never pay for."""

import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.measure.stem_measures import ROLES
from mixagent.pipeline.types import Audio, Stems, load
from mixagent.reward.adversarial_edits import SHOUTED_DB, STEM_EDITS, edit_stem_adversarially
from mixagent.reward.model import load_reward
from mixagent.reward.render_pair import AnalysedAudio, AnalysedStems, RenderPair
from mixagent.reward.stem_critic import StemCritic
from mixagent.reward.terms.stems import Balance, Cancellation, StemBalance
from tests.reward.render_pairs import gained, make_song

PARTS = {role: make_song(seed, 2.0) for seed, role in enumerate(ROLES, 1)}
MIX = Audio(sum(part.samples for part in PARTS.values()), 44100)
STEMS = Stems(MIX, PARTS)
SHIPPED = Path(str(resources.files("mixagent.checkpoints"))) / "stem_critic"
TERMS = (StemBalance(), Balance(StemCritic.load()))


def pair_of(after: Stems, before: Stems = STEMS) -> RenderPair:
    """Stems moved from one mix to another."""
    mixes = [AnalysedAudio(load(stems.mix)) for stems in (before, after)]
    sides = [
        AnalysedStems(mix, {name: load(part) for name, part in stems.parts.items()})
        for mix, stems in zip(mixes, (before, after), strict=True)
    ]
    return RenderPair(*mixes, stems_before=sides[0], stems_after=sides[1])


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_stems_that_nothing_moved_score_zero_and_ruined_ones_stay_in_range(term):
    assert term.score([pair_of(STEMS)])[0] == pytest.approx(0.0, abs=1e-6)
    ruined = [pair_of(edit_stem_adversarially(STEMS, "vocals", edit)) for edit in STEM_EDITS]
    scores = term.score(ruined)
    assert np.all((term.low <= scores) & (scores <= term.high))


def test_a_stem_that_was_muted_lies_outside_and_its_move_is_a_loss():
    muted, shouted = (edit_stem_adversarially(STEMS, "drums", edit) for edit in ("muted", "shouted"))
    band, critic = TERMS
    assert band.score([pair_of(muted)])[0] < 0.0
    assert max(critic.score([pair_of(muted), pair_of(shouted)])) < 0.0


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_without_stems_of_the_four_roles_there_is_no_opinion(term):
    assert np.isnan(term.score([RenderPair(AnalysedAudio(MIX), AnalysedAudio(MIX))])[0])
    two = Stems(MIX, {"vocals": PARTS["vocals"], "accompaniment": PARTS["other"]})
    assert np.isnan(term.score([pair_of(two, two)])[0])
    both = term.score([pair_of(two, two), pair_of(STEMS)])
    assert list(np.isnan(both)) == [True, False]


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_one_gain_of_everything_is_not_heard(term):
    louder = Stems(gained(MIX, 6.0), {name: gained(part, 6.0) for name, part in PARTS.items()})
    assert term.score([pair_of(louder)])[0] == pytest.approx(0.0, abs=0.02)


def test_stems_are_known_on_both_sides_or_on_none():
    pair = pair_of(STEMS)
    with pytest.raises(ValueError, match="both sides"):
        replace(pair, stems_after=None)


def test_what_is_sent_keeps_measures_and_the_voice_if_it_is_wanted():
    stems = pair_of(STEMS).stems_before
    assert stems is not None
    for voice in (True, False):
        sent = stems.without_audio(voice)
        np.testing.assert_array_equal(sent.measures, stems.measures)
        assert (sent.voice is None) != voice
        assert not sent.stems


def test_edits_ruin_one_stem_and_the_mix_with_it():
    for edit in STEM_EDITS:
        ruined = edit_stem_adversarially(STEMS, "bass", edit)
        changed = load(ruined.mix).samples - MIX.samples
        part = load(ruined.parts["bass"]).samples - PARTS["bass"].samples
        np.testing.assert_allclose(changed, part, atol=1e-5)
        assert ruined.parts["vocals"] is PARTS["vocals"]
    shouted = load(edit_stem_adversarially(STEMS, "bass", "shouted").parts["bass"]).samples
    np.testing.assert_allclose(shouted, PARTS["bass"].samples * 10 ** (SHOUTED_DB / 20), rtol=1e-4, atol=1e-5)


def test_a_critic_for_other_measures_or_a_broken_one_is_refused(tmp_path):
    with pytest.raises(ModelMissingError, match="train_stem_critic"):
        StemCritic.load(tmp_path)
    other = shutil.copytree(SHIPPED, tmp_path / "other")
    config = (other / "config.json").read_text()
    (other / "config.json").write_text(config.replace("level_db", "loudness"))
    with pytest.raises(ModelMissingError, match="other measures"):
        StemCritic.load(other)


def test_a_reward_with_these_terms_hears_stems_and_one_without_does_not():
    assert load_reward({"terms": {"stems": {"weight": 1.0}, "lean": {"weight": 1.0}}}).hears_stems
    assert not load_reward({"terms": {"lean": {"weight": 1.0}}}).hears_stems


def test_a_stem_that_shares_a_sound_is_heard_when_its_polarity_turns_and_not_when_its_fader_moves():
    bleeding = {name: Audio(part.samples + 0.2 * MIX.samples, 44100) for name, part in PARTS.items()}
    stems = Stems(Audio(sum(part.samples for part in bleeding.values()), 44100), bleeding)
    turned, raised = (edit_stem_adversarially(stems, "bass", edit) for edit in ("inverted", "shouted"))
    assert Cancellation().score([pair_of(turned, stems)])[0] < -0.5
    quiet = Cancellation().harm(pair_of(raised, stems))
    assert quiet < Cancellation().harm(pair_of(turned, stems)) / 2
    known = AnalysedStems(AnalysedAudio(MIX), {"a": PARTS["vocals"], "b": gained(PARTS["vocals"], -6.0)})
    np.testing.assert_allclose(known.correlations, 1.0, atol=1e-4)


def test_a_voice_that_is_only_what_a_separator_leaves_does_not_sing():
    left = {**PARTS, "vocals": gained(PARTS["vocals"], -40.0)}
    assert not AnalysedStems(AnalysedAudio(MIX), left).sings
    assert AnalysedStems(AnalysedAudio(MIX), PARTS).sings
