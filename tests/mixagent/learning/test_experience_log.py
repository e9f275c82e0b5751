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

from mixagent.learning.experience_log import Made, record
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import diagnose
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.features import FEATURE_NAMES, describe_song
from mixagent.pipeline.render import render
from mixagent.pipeline.types import Audio, load
from mixagent.policies.base import Context
from mixagent.policies.experience import ExperienceStore
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
