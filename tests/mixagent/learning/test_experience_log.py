"""What a master leaves behind: measures, settings and its reward; sound only with consent; no failure."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reports import make_report
from short_cases import HalfSeparator, music

from mixagent.learning.experience_log import Made, corrected_by, experience_of, hand_over, record
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import diagnose
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.features import FEATURE_NAMES, describe_song
from mixagent.pipeline.render import render
from mixagent.pipeline.types import Audio, load
from mixagent.policies.base import Context
from mixagent.policies.experience import CORRECTION, Experience, ExperienceStore, Preference
from mixagent.reward.model import load_reward


@pytest.fixture(scope="module")
def made() -> Made:
    """A master of a short song, as the session has it at hand."""
    song = music(5.0)
    stems = HalfSeparator().separate(song)
    analysis, space = analyse(song), ParameterSpace.for_stems(HalfSeparator.stem_names)
    heard = {name: analyse(part) for name, part in stems.parts.items()}
    settings = space.settings({"master.eq_air_db": 2.0})
    rendered = load(render(stems, settings, TARGETS["streaming"]).audio)
    report = make_report(song, rendered, "music/song.wav")
    return Made(
        report=replace(
            report,
            input=replace(report.input, sha256="a" * 64),
            output=replace(report.outputs[0], sha256="b" * 64),
        ),
        context=Context(analysis, heard, diagnose(song, analysis), TARGETS["streaming"], space),
        features={"mix": describe_song(song)},
        settings=settings,
        stems=stems,
        song=song,
        master=rendered,
    )


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ExperienceStore:
    monkeypatch.setenv("MIXAGENT_DATA", str(tmp_path))
    return ExperienceStore.default()


def test_a_master_is_remembered_and_judged_blind(made: Made, store: ExperienceStore) -> None:
    assert record(made) == []
    (kept,) = store.all()
    assert (kept.name, kept.song, kept.policy, kept.policy_sha256) == ("song.wav", "a" * 64, "rules", "")
    assert kept.settings == {"master.eq_air_db": 2.0}
    assert kept.context is not None
    assert set(kept.context.features) == {"mix", "vocals", "accompaniment"}
    assert all(values.shape == (len(FEATURE_NAMES),) for values in kept.context.features.values())
    reward = load_reward()
    assert kept.terms.keys() <= {term.name for term in reward.terms if term.blind}
    assert kept.blind == pytest.approx(sum(reward.weights[name] * each for name, each in kept.terms.items()))
    assert store.excerpts(kept.number) == []


def test_sound_is_kept_with_consent_only(made: Made, store: ExperienceStore) -> None:
    assert record(made, keep_audio=True) == []
    (kept,) = store.all()
    pieces = store.excerpts(kept.number)
    assert {piece.side for piece in pieces} == {"before", "after"}
    start = round(pieces[0].start_s * 44100)
    first = next(piece for piece in pieces if piece.side == "before")
    length = first.audio.frames
    assert np.abs(first.audio.samples - load(made.song).samples[:, start : start + length]).max() <= 2**-15


def test_a_broken_store_is_one_warning(made: Made, store: ExperienceStore) -> None:
    store.path.write_bytes(b"broken" * 1000)
    (warning,) = record(made)
    assert "not remembered" in warning
    assert "\n" not in warning


def test_a_song_that_is_silent_is_remembered_without_a_reward(made: Made, store: ExperienceStore) -> None:
    silence = Audio(np.zeros((2, 44100), np.float32), 44100)
    analysis = analyse(silence)
    context = replace(made.context, mix=analysis, diagnosis=diagnose(silence, analysis))
    stems = HalfSeparator().separate(silence)
    assert record(replace(made, context=context, stems=stems, song=silence, master=silence)) == []
    (kept,) = store.all()
    assert (kept.blind, kept.terms) == (None, {})


def test_surround_is_not_remembered(made: Made, store: ExperienceStore) -> None:
    surround = Audio(np.zeros((6, 44100), np.float32), 44100)
    assert record(replace(made, song=surround)) == []
    assert not store.path.exists()


def test_judging_a_master_does_not_load_what_only_damage_needs() -> None:
    code = (
        "import sys, mixagent.envs.mixing, mixagent.policies.trial, mixagent.reward.model\n"
        "assert not {'scipy.signal', 'scipy.stats', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- corrections ------------------------------------------------------------------------------------


def _version(made: Made, name: str, db: float, asked: dict[str, float], **changed: object) -> Made:
    """The song once more, with another setting and as another file."""
    output = replace(made.report.outputs[0], sha256=name * 64)
    return replace(
        made,
        report=replace(made.report, output=output),
        settings=made.context.space.settings({"master.eq_air_db": db}),
        asked=asked,
        **changed,
    )


def _said(store: ExperienceStore) -> list[tuple[str, str, str]]:
    masters = {each.number: each.master[0] for each in store.all()}
    return [(masters[p.better or 0], masters[p.worse or 0], p.source) for p in store.preferences()]


def _corrected(made: Made, later: Made) -> bool:
    """Whether a version that follows another one is taken for its correction."""
    one, two = (experience_of(each, brief=True) for each in (made, later))
    return corrected_by(two, [one]) == one


@pytest.mark.parametrize("asked", [{"master.eq_air_db": 0.5}, {"amount": 0.5}, {"amount.eq": 0.2}])
def test_what_is_set_right_by_hand_is_a_correction(made: Made, asked: dict[str, float]) -> None:
    assert _corrected(made, _version(made, "c", 0.5, asked))


def test_another_target_or_policy_or_nothing_by_hand_is_none(made: Made) -> None:
    loud = replace(made.context, target=TARGETS["loud"])
    other = _version(made, "d", 0.5, {"amount": 0.5})
    decision = replace(other.report.decision, policy="neutral")
    assert not _corrected(made, _version(made, "c", 0.5, {"amount": 0.5}, context=loud))
    assert not _corrected(made, replace(other, report=replace(other.report, decision=decision)))
    assert not _corrected(made, _version(made, "c", 0.5, {}))
    assert not _corrected(made, _version(made, "c", 2.0, {"amount": 0.5}))


def test_a_correction_is_preferred_and_turned_round_where_it_is_given_up(
    made: Made, store: ExperienceStore
) -> None:
    record(made)
    record(_version(made, "c", 0.5, {"amount": 0.5}))
    assert _said(store) == [("c", "b", CORRECTION)]
    record(made)
    assert _said(store) == [("b", "c", CORRECTION)]
    one, two = store.all()
    store.prefer(Preference(two.song, two.number, one.number))
    said = _said(store)
    record(_version(made, "c", 0.5, {"amount": 0.5}))
    # What was said stands over what is done.
    assert _said(store) == said == [(two.master[0], one.master[0], "rating")]


def test_a_master_handed_over_is_brief_and_costs_no_judging(
    made: Made, store: ExperienceStore, tmp_path: Path
) -> None:
    assert hand_over(replace(made, features={}), tmp_path / "one.bin") == []
    again = Experience.from_bytes((tmp_path / "one.bin").read_bytes())
    assert (again.song, again.settings, again.blind) == ("a" * 64, {"master.eq_air_db": 2.0}, None)
    assert again.context is not None
    assert (again.context.mix, dict(again.context.features)) == (made.context.mix, {})
    assert not store.path.exists()
    (warning,) = hand_over(made, tmp_path / "no folder" / "one.bin")
    assert "not remembered" in warning
