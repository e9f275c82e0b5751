"""The trained policy: what it needs of a checkpoint, what it decides and why."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mixagent.envs.observation import DIAGNOSIS_NAMES, TARGET_NAMES, observe
from mixagent.pipeline.chain import parameters
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import diagnose
from mixagent.pipeline.errors import ModelMissingError, UsageError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.features import FEATURE_NAMES, describe
from mixagent.pipeline.types import Audio
from mixagent.policies import NeutralPolicy, RulePolicy, load_policy
from mixagent.policies.base import Context, Policy
from mixagent.policies.learned import (
    SMALLEST_MOVE,
    Checkpoint,
    LearnedPolicy,
    chosen_action,
    decided,
    steered,
)
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


def _policy(adviser: Policy | None = None, spread: float = 0.05) -> LearnedPolicy:
    return LearnedPolicy(_checkpoint(spread).actor.frozen(), PATTERNS, adviser or NeutralPolicy())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _checkpoint().save(tmp_path / "mine", "# A policy\n")
    return tmp_path / "mine"


def test_what_was_saved_decides_the_same_after_loading(folder: Path) -> None:
    context = _context()
    fresh = _policy(load_policy("rules"))
    loaded = load_policy(str(folder))
    assert loaded.decide(context).settings.changed()
    assert loaded.decide(context).settings == fresh.decide(context).settings
    assert loaded.name == str(folder)


def test_the_record_of_the_training_comes_back(folder: Path) -> None:
    checkpoint = Checkpoint.load(folder)
    assert (checkpoint.training, checkpoint.results) == ({"seed": 3}, {"recovery": 0.4})


def test_it_decides_the_same_song_alike_and_other_songs_otherwise() -> None:
    policy = _policy()
    assert policy.decide(_context()) == policy.decide(_context())
    assert policy.decide(_context()).settings != policy.decide(_context(seed=1)).settings


@pytest.mark.parametrize("stems", [(), ("vocals",), ("vocals", "drums", "bass", "other")])
def test_it_serves_songs_with_other_stems_than_it_was_trained_with(stems: tuple[str, ...]) -> None:
    decision = _policy(spread=0.3).decide(_context(stems))
    moved = {name.split(".")[0] for name in decision.settings.changed()}
    assert moved <= {*stems, "master", "drum_bus", "vocal_bus"}
    assert set(stems) <= moved


def test_only_steered_parameters_move_and_each_move_has_a_reason() -> None:
    decision = _policy().decide(_context())
    changed = decision.settings.changed()
    assert set(changed) <= set(steered(decision.settings.space, PATTERNS))
    assert changed.keys() == decision.reasons.keys()
    assert all(decision.reasons.values())


def test_a_parameter_that_came_into_the_table_after_training_stays_neutral(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = LearnedPolicy(_checkpoint().actor.frozen(), ("*",), NeutralPolicy())
    before = policy.decide(_context()).settings.changed()
    new = parameters._Row("eq_new_db", "dB", -9.0, 0.0, 9.0, "came later")
    grown = tuple((w, (new, *rows) if w == "master" else rows) for w, rows in parameters.SHARED)
    monkeypatch.setattr(parameters, "SHARED", grown)
    assert "master.eq_new_db" in _context().space
    after = policy.decide(_context()).settings
    assert after["master.eq_new_db"] == 0.0
    assert after.changed() == pytest.approx(before)


def test_a_move_too_small_to_hear_is_left_out() -> None:
    decision = _policy(spread=1e-4).decide(_context())
    assert decision.settings.changed() == {}


# In a program of its own: the tests themselves need torch.
_DECIDES = """
import sys
import numpy as np
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.types import Audio
from mixagent.pipeline.diagnosis.diagnose import diagnose
from mixagent.pipeline.measure.features import describe
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.policies import load_policy
from mixagent.policies.base import Context

audio = Audio(np.random.default_rng(0).standard_normal((2, 44100)).astype(np.float32) * 0.1, 44100)
mix, features = analyse(audio), {"mix": describe(audio)}
space = ParameterSpace.for_stems(())
context = Context(mix, {}, diagnose(audio, mix), TARGETS["streaming"], space, features)
decision = load_policy(sys.argv[1]).decide(context)
assert decision.settings.changed() and decision.reasons
print(*({"torch", "gymnasium", "stable_baselines3"} & sys.modules.keys()))
"""


def test_deciding_and_giving_reasons_needs_no_torch(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _DECIDES, str(folder)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_validation_hears_what_the_product_would_decide() -> None:
    checkpoint, context = _checkpoint(), _context()
    names = steered(context.space, PATTERNS)
    advised = RulePolicy().decide(context).settings
    observation = observe(context, STEMS, chosen_action(context.space, names, advised.values))
    decider = checkpoint.actor.frozen()
    action = decided(decider, observation, decider.order(names, STEMS))
    batch = {key: torch.from_numpy(np.asarray(value))[None] for key, value in observation.items()}
    with torch.no_grad():
        order = checkpoint.actor.encoder.layout.order(names, STEMS)
        expected = checkpoint.actor(batch, order)[0].clamp(-1.0, 1.0).numpy()
    expected[np.abs(expected) < SMALLEST_MOVE] = 0.0
    np.testing.assert_allclose(action, expected, atol=1e-5)
    pairs = zip(names, action, strict=True)
    settings = context.space.settings({name: context.space[name].value(float(a)) for name, a in pairs})
    assert _policy(RulePolicy()).decide(context).settings == settings


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


def test_sizes_of_a_later_network_are_refused(folder: Path) -> None:
    sizes = json.loads((folder / "config.json").read_text())["sizes"]
    with pytest.raises(ModelMissingError, match="no network has"):
        Checkpoint.load(_edited(folder, sizes={**sizes, "heads": 4}))


def test_a_damaged_configuration_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelMissingError, match="damaged"):
        load_policy(str(folder))


def test_nothing_is_unpickled(folder: Path) -> None:
    checkpoint = Checkpoint.load(folder)
    replace(checkpoint, training={"seed": 4}).save(folder, "again")
    assert not [file for file in folder.iterdir() if file.suffix not in (".safetensors", ".json", ".md")]
    assert Checkpoint.load(folder).training == {"seed": 4}
