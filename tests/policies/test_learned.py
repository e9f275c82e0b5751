"""The trained policy: what it needs of a checkpoint, what it decides and why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mixagent.envs.observation import DIAGNOSIS_NAMES, TARGET_NAMES
from mixagent.pipeline.analysis import analyse
from mixagent.pipeline.audio import Audio
from mixagent.pipeline.diagnosis import diagnose
from mixagent.pipeline.errors import ModelMissingError, UsageError
from mixagent.pipeline.features import FEATURE_NAMES, describe
from mixagent.pipeline.parameters import ParameterSpace
from mixagent.pipeline.targets import TARGETS
from mixagent.policies import NeutralPolicy, load_policy
from mixagent.policies.base import Context
from mixagent.policies.learned import Checkpoint, LearnedPolicy, batched, steered
from mixagent.policies.network import Actor, Layout, Sizes

STEMS = ("vocals", "accompaniment")
PATTERNS = ("*.gain_db", "*.presence_db", "master.eq_*", "master.balance_db")
SIZES = Sizes(len(FEATURE_NAMES), len(DIAGNOSIS_NAMES), len(TARGET_NAMES), hidden=24, stem_hidden=8)


def _context(stems: tuple[str, ...] = STEMS, seed: int = 0) -> Context:
    random = np.random.default_rng(seed)
    audio = Audio((random.standard_normal((2, 44100)) * 0.1).astype(np.float32), 44100)
    analysis = analyse(audio)
    return Context(
        mix=analysis,
        stems=dict.fromkeys(stems, analysis),
        diagnosis=diagnose(audio, analysis),
        target=TARGETS["streaming"],
        space=ParameterSpace.for_stems(stems),
        features=dict.fromkeys(("mix", *stems), describe(audio)),
    )


def _checkpoint(spread: float = 0.05) -> Checkpoint:
    """An actor that moves: its heads are random."""
    torch.manual_seed(0)
    layout = Layout.of(steered(ParameterSpace.for_stems(STEMS), PATTERNS), STEMS)
    actor = Actor(layout, SIZES).eval()
    for head in (actor.shared, actor.strip):
        torch.nn.init.normal_(head.weight, std=spread)
    return Checkpoint(actor, PATTERNS, STEMS, "rules", {"seed": 3}, {"recovery": 0.4})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _checkpoint().save(tmp_path / "mine", "# A policy\n")
    return tmp_path / "mine"


def test_what_was_saved_decides_the_same_after_loading(folder: Path) -> None:
    context = _context()
    fresh = LearnedPolicy(_checkpoint(), load_policy("rules"))
    loaded = load_policy(str(folder))
    assert loaded.decide(context).settings.changed()
    assert loaded.decide(context).settings == fresh.decide(context).settings
    assert loaded.name == str(folder)


def test_the_record_of_the_training_comes_back(folder: Path) -> None:
    checkpoint = Checkpoint.load(folder)
    assert (checkpoint.training, checkpoint.results) == ({"seed": 3}, {"recovery": 0.4})


def test_it_decides_the_same_song_alike_and_other_songs_otherwise() -> None:
    policy = LearnedPolicy(_checkpoint(), NeutralPolicy())
    assert policy.decide(_context()) == policy.decide(_context())
    assert policy.decide(_context()).settings != policy.decide(_context(seed=1)).settings


@pytest.mark.parametrize("stems", [(), ("vocals",), ("vocals", "drums", "bass", "other")])
def test_it_serves_songs_with_other_stems_than_it_was_trained_with(stems: tuple[str, ...]) -> None:
    decision = LearnedPolicy(_checkpoint(spread=0.3), NeutralPolicy()).decide(_context(stems))
    moved = {name.split(".")[0] for name in decision.settings.changed()}
    assert moved <= {*stems, "master", "drum_bus", "vocal_bus"}
    assert set(stems) <= moved


def test_only_steered_parameters_move_and_each_move_has_a_reason() -> None:
    decision = LearnedPolicy(_checkpoint(), NeutralPolicy()).decide(_context())
    changed = decision.settings.changed()
    assert set(changed) <= set(steered(decision.settings.space, PATTERNS))
    assert changed.keys() == decision.reasons.keys()
    assert all(decision.reasons.values())


def test_a_move_too_small_to_hear_is_left_out() -> None:
    decision = LearnedPolicy(_checkpoint(spread=1e-4), NeutralPolicy()).decide(_context())
    assert decision.settings.changed() == {}


def test_the_reason_is_the_measure_that_moved_it_most() -> None:
    checkpoint, context = _checkpoint(spread=0.0), _context()
    encoder, place = checkpoint.actor.encoder, FEATURE_NAMES.index("tone_315hz")
    first, second = (layer for layer in encoder.song if isinstance(layer, torch.nn.Linear))
    with torch.no_grad():
        for layer in (first, second):
            layer.weight.zero_()
            layer.bias.zero_()
        # One unit hears nothing but this band; the other gives the layer's normalisation something to hold.
        first.weight[0, place], first.bias[1] = 1.0, 4.0
        second.weight[0, 0] = 1.0
        checkpoint.actor.shared.weight[len(encoder.layout.shared) :, 0] = 1.0
    features = context.features["mix"].copy()
    features[place] = 3.0
    heard = replace(context, features={**context.features, "mix": features})
    decision = LearnedPolicy(checkpoint, NeutralPolicy()).decide(heard)
    assert decision.reasons
    assert set(decision.reasons.values()) == {"tone around 315 Hz: +3.0 dB against the training songs"}


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="rules, neutral"):
        load_policy("no-such-policy")


def _edited(folder: Path, **changes: object) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


def test_weights_of_another_hash_are_refused(folder: Path) -> None:
    weights = bytearray((folder / "actor.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "actor.safetensors").write_bytes(weights)
    with pytest.raises(ModelMissingError, match="is not the file"):
        load_policy(str(folder))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 99}, "format 99"),
        ({"measures": {"features": "other"}}, "other measures"),
        ({"sizes": {"features": 3, "findings": 1, "target": 1}}, "do not go together"),
        ({"layout": None}, "do not go together"),
        ({"adviser": "oracle"}, "'oracle', which is gone"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(
    folder: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ModelMissingError, match=said) as error:
        load_policy(str(_edited(folder, **changes)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ["actor.safetensors", "config.json"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ModelMissingError, match=missing.replace(".", r"\.")):
        Checkpoint.load(folder)


def test_a_damaged_configuration_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelMissingError, match="damaged"):
        load_policy(str(folder))


def test_nothing_is_unpickled(folder: Path) -> None:
    checkpoint = Checkpoint.load(folder)
    replace(checkpoint, training={"seed": 4}).save(folder, "again")
    assert not [file for file in folder.iterdir() if file.suffix not in (".safetensors", ".json", ".md")]
    assert Checkpoint.load(folder).training == {"seed": 4}


def test_a_batch_of_one_holds_the_observation() -> None:
    rows = batched({"mix": np.arange(3, dtype=np.float32)})
    assert rows["mix"].tolist() == [[0.0, 1.0, 2.0]]
