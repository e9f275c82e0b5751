import itertools
import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.measure.features import FEATURE_NAMES, describe
from mixagent.pipeline.types import Audio
from mixagent.reward.adversarial_edits import ADVERSARIAL_EDITS, edit_adversarially
from mixagent.reward.critic import OUTPUTS, Critic, Layers
from mixagent.reward.recovery import DIMENSIONS

SHIPPED = Path(str(resources.files("mixagent.checkpoints"))) / "critic"
FEATURES = len(FEATURE_NAMES)
RATE = 44100


@pytest.fixture(scope="module")
def segment() -> Audio:
    """Four seconds of a finished song that nothing was trained on."""
    stempeg = pytest.importorskip("stempeg", reason="stempeg carries a clip of a finished song")
    (path,) = (Path(stempeg.__file__).parent / "data").glob("*.stem.mp4")
    reader = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a:0", "-f", "f32le", "-"]
    raw = subprocess.run(reader, capture_output=True, check=True).stdout
    samples = np.frombuffer(raw, np.float32).reshape(-1, 2).T
    return Audio(np.ascontiguousarray(samples[:, RATE : 5 * RATE]), RATE)


def layers(random: np.random.Generator, inputs: int, outputs: int, networks: int = 3) -> Layers:
    sizes = (inputs, 16, 8, outputs)
    return tuple(
        (
            random.normal(0, 0.1, (networks, a, b)).astype(np.float32),
            random.normal(0.3, 0.1, (networks, 1, b)).astype(np.float32),
        )
        for a, b in itertools.pairwise(sizes)
    )


def small_critic(doubt: float = 0.0) -> Critic:
    random = np.random.default_rng(0)
    return Critic(
        mean=random.normal(0, 5, FEATURES).astype(np.float32),
        spread=random.uniform(1, 5, FEATURES).astype(np.float32),
        alone=layers(random, FEATURES, len(OUTPUTS)),
        beside=layers(random, 2 * FEATURES, len(OUTPUTS) + 1),
        limit=5.0,
        change=2.0,
        scale=np.array([0.5, 1.0, 1.0, 0.5, 2.0], np.float32),
        doubt=doubt,
    )


def by_torch(ensemble: Layers, heard: np.ndarray) -> np.ndarray:
    """The networks' outputs by torch's own layers, (networks, renders, outputs)."""
    outputs = []
    for k in range(len(ensemble[0][0])):
        signal = torch.from_numpy(heard)
        for depth, (weight, bias) in enumerate(ensemble):
            signal = torch.nn.functional.linear(
                signal, torch.from_numpy(weight[k].T.copy()), torch.from_numpy(bias[k, 0])
            )
            signal = torch.relu(signal) if depth < len(ensemble) - 1 else signal
        outputs.append(signal.numpy())
    return np.stack(outputs)


def random_features(count: int = 7, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 8, (count, FEATURES)).astype(np.float32)


def test_outputs_are_the_total_and_each_dimension() -> None:
    assert ("total", *DIMENSIONS) == OUTPUTS


@pytest.mark.parametrize("beside", [False, True])
def test_the_forward_pass_is_that_of_torch(beside: bool) -> None:
    critic, renders, inputs = small_critic(doubt=0.5), random_features(), random_features(seed=2)
    heard = np.clip((renders - critic.mean) / critic.spread, -5, 5)
    if beside:
        heard = np.concatenate([heard, np.clip((renders - inputs) / critic.spread * 2, -5, 5)], axis=1)
    raw = by_torch(critic.beside if beside else critic.alone, heard.astype(np.float32))[..., : len(OUTPUTS)]
    expected = critic.scale * np.expm1(np.clip(raw.mean(0) + 0.5 * raw.std(0), 0, 5))
    told = critic.distance(renders, inputs if beside else None)
    np.testing.assert_allclose(told, expected, rtol=1e-4, atol=1e-5)


def test_doubt_only_ever_adds() -> None:
    renders = random_features()
    sure, doubting = small_critic(0.0).distance(renders), small_critic(1.0).distance(renders)
    assert (doubting >= sure).all()
    assert (doubting > sure).any()


def test_the_share_undone_is_told_against_what_is_told_of_the_input() -> None:
    critic, renders, inputs = small_critic(doubt=0.5), random_features(), random_features(seed=2)

    def share(features: np.ndarray) -> np.ndarray:
        heard = np.clip((features - critic.mean) / critic.spread, -5, 5)
        changed = np.clip((features - inputs) / critic.spread * 2, -5, 5)
        return by_torch(critic.beside, np.concatenate([heard, changed], axis=1).astype(np.float32))[..., -1]

    raw = share(renders) - share(inputs)
    expected = np.clip(raw.mean(0) - 0.5 * raw.std(0), -1, 1)
    np.testing.assert_allclose(critic.undone(renders, inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1.0, 1e3, 1e30])
def test_an_unchanged_render_undoes_nothing_and_none_more_than_all(size: float) -> None:
    critic, renders = Critic.load(), np.float32(size) * random_features()
    np.testing.assert_array_equal(critic.undone(renders, renders), 0.0)
    assert (np.abs(critic.undone(renders, -renders)) <= 1.0).all()


def test_several_renders_are_judged_as_each_is() -> None:
    critic, renders = Critic.load(), random_features()
    one_by_one = np.concatenate([critic.distance(render[None]) for render in renders])
    np.testing.assert_allclose(critic.distance(renders), one_by_one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1e3, 1e30])
def test_whatever_is_described_gets_a_finite_distance(size: float) -> None:
    critic = Critic.load()
    renders = np.float32(size) * np.sign(random_features())
    for distance in (critic.distance(renders), critic.distance(renders, -renders)):
        assert distance.shape == (len(renders), len(OUTPUTS))
        assert np.isfinite(distance).all()
        assert (distance >= 0.0).all()


def test_level_does_not_move_the_distance(segment: Audio) -> None:
    critic = Critic.load()
    quiet = Audio(segment.samples * np.float32(0.1), segment.rate)
    heard = np.stack([describe(segment), describe(quiet)])
    told = critic.distance(heard)
    np.testing.assert_allclose(told[0], told[1], rtol=0.01)
    beside = critic.distance(heard, heard[[0, 0]])
    np.testing.assert_allclose(beside[0], beside[1], rtol=0.01)


def test_ruin_is_further_from_a_finished_record(segment: Audio) -> None:
    critic, before = Critic.load(), describe(segment)
    ruined = np.stack([describe(edit_adversarially(segment, name)) for name in ADVERSARIAL_EDITS])
    inputs = np.broadcast_to(before, ruined.shape)
    further = critic.undone(ruined, inputs) < 0.0
    assert dict(zip(ADVERSARIAL_EDITS, further.tolist(), strict=True)) == dict.fromkeys(
        ADVERSARIAL_EDITS, True
    )


def test_the_shipped_critic_is_small_and_open() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 3e6
    assert {path.suffix for path in SHIPPED.iterdir()} == {".safetensors", ".json", ".md"}


def test_a_folder_without_a_critic_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"holds no critic.*train_critic"):
        Critic.load(tmp_path)


def test_a_critic_of_other_features_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "critic"
    shutil.copytree(SHIPPED, folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["features"] = config["features"][:-1]
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelMissingError, match="made for other features"):
        Critic.load(folder)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_broken_critic_is_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "critic"
    shutil.copytree(SHIPPED, folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with pytest.raises(ModelMissingError, match="cannot be read"):
        Critic.load(folder)
