"""Training on made-up stems: the loss is the error it says, and a run that was killed goes on alike."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from script_modules import load_script

from mixagent.pipeline.separation.embedded import read_weights
from mixagent.pipeline.separation.splitter_network import TAPS, load_splitter

RATE = 44100


@pytest.fixture(scope="module")
def splitting():
    return load_script("train_splitter")


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> Path:
    """Two songs of 3 s, one of a composition that is trained on and one that is kept back."""
    folder = tmp_path_factory.mktemp("songs")
    random = np.random.default_rng(0)
    for piece in ("b", "kept 4"):
        song = folder / piece
        song.mkdir()
        (song / "song.json").write_text(json.dumps({"piece": piece}))
        t = np.arange(3 * RATE) / RATE
        stems = {
            "drums": random.normal(0, 0.2, t.size) * np.exp(-30 * (t % 0.5)),
            "bass": 0.2 * np.sin(2 * np.pi * 65 * t),
            "piano": 0.1 * np.sin(2 * np.pi * 700 * t),
            "guitar": 0.1 * np.sin(2 * np.pi * 900 * t),
        }
        for name, wave in stems.items():
            soundfile.write(song / f"{name}.flac", np.stack((wave, 0.7 * wave), 1), RATE, "PCM_24")
    return folder


@pytest.fixture(scope="module")
def store(splitting, songs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    splitting.prepare_songs([songs], folder)
    return folder


def test_the_loss_from_band_sums_is_the_error_of_the_spectra(splitting):
    random = np.random.default_rng(0)
    frames, low = 4, splitting.LOW
    shape = (3, 2, splitting.EDGES[-1], frames)
    stems = complex_noise(random, shape)
    example = splitting.Example.of(stems, np.ones((3, 2, splitting.BANDS), np.float32))
    matrices = random.normal(size=(3, 2, 2, splitting.BANDS, frames)).astype(np.float32)
    weights = complex_noise(random, (3, len(TAPS), low, frames))
    given = (torch.from_numpy(x)[None] for x in (matrices, weights))
    found = splitting.Batch.of([example]).errors(*given)[0].numpy()
    mix = stems.sum(0)
    made = np.einsum("koibt,ibt->kobt", np.repeat(matrices, np.diff(splitting.EDGES), axis=-2), mix)
    made[:, :, :low] += filtered(weights, mix[:, :low])
    wrong = np.add.reduceat(np.abs(stems - made) ** 2, splitting.EDGES[:-1], axis=2)
    np.testing.assert_allclose(found, wrong * 2 / (4096 * 1536), rtol=1e-2, atol=1e-6)


def complex_noise(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)


def filtered(weights: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Each bin's weights times the bins around it, whose phase is that of their own time and frequency."""
    bins, frames = low.shape[1:]
    made = np.zeros((3, *low.shape), np.complex64)
    for tap, (up, later) in enumerate(TAPS):
        for k in range(max(-up, 0), min(bins, bins - up)):
            for t in range(max(-later, 0), min(frames, frames - later)):
                turned = low[:, k + up, t + later] * np.exp(-0.5j * np.pi * k * later) * (-1) ** up
                made[:, :, k, t] += weights[:, tap, k, t, None] * turned
    return made


def test_compositions_are_kept_back_by_name(splitting, store):
    kept = {path.stem for path in (store / "validation").glob("*.npy")}
    trained = {path.stem for path in (store / "train").glob("*.npy")}
    assert kept == {name for name in ("b", "kept 4") if splitting.is_kept_back(name)}
    assert kept | trained == {"b", "kept 4"}


def test_what_is_neither_drums_nor_bass_is_other(songs, splitting, store):
    (path,) = store.rglob("b.npy")
    other = np.load(path)[2] / 32768
    expected = sum(soundfile.read(songs / "b" / f"{name}.flac")[0].T for name in ("piano", "guitar"))
    np.testing.assert_allclose(other, expected, atol=1e-4)


def test_a_run_that_was_killed_goes_on_alike_and_ships_what_it_reached(
    splitting, store, tmp_path, monkeypatch
):
    monkeypatch.setattr(splitting, "FRAMES", 20)
    monkeypatch.setattr(splitting, "LONG_FRAMES", 40)

    def run(folder: Path, *stops: int) -> dict[str, torch.Tensor]:
        for stop in stops:
            trainer = splitting.Trainer.of(store, folder, 2, 0, 1e-3)
            trainer.steps, trainer.mixes = stop, 2
            trainer.run(every=2)
        return torch.load(folder / "state.pt", weights_only=True)["average"]

    whole, resumed = run(tmp_path / "whole", 2), run(tmp_path / "resumed", 1, 2)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=1e-3, rtol=1e-3)
    splitting.ship_weights(tmp_path / "whole", tmp_path / "shipped")
    config = json.loads((tmp_path / "shipped" / "config.json").read_text())
    assert config["run"]["step"] == 2
    network = load_splitter(read_weights(tmp_path / "shipped"), "cpu")
    assert sum(p.numel() for p in network.parameters()) < 5_000_000


def test_two_runs_ship_as_the_mean_of_their_weights(splitting, tmp_path):
    shipped = splitting.SplitterNetwork().state_dict()
    for name, factor in (("new", 1.0), ("old", 3.0)):
        (tmp_path / name).mkdir()
        weights = {k: v * factor if v.is_floating_point() else v for k, v in shipped.items()}
        torch.save({"average": weights}, tmp_path / name / "state.pt")
        (tmp_path / name / "run.json").write_text("{}")
    splitting.ship_weights(tmp_path / "new", tmp_path / "both", 0.75, tmp_path / "old")
    found = load_splitter(read_weights(tmp_path / "both"), "cpu").state_dict()
    for name, value in shipped.items():
        expected = value * 1.5 if value.is_floating_point() else value
        torch.testing.assert_close(found[name], expected, atol=1e-3, rtol=1e-3)


def test_a_run_begins_with_another_ones_weights_and_changes_nothing_by_what_those_lack(
    splitting, store, tmp_path, monkeypatch
):
    monkeypatch.setattr(splitting, "FRAMES", 20)
    monkeypatch.setattr(splitting, "LONG_FRAMES", 40)
    torch.manual_seed(0)
    old = splitting.SplitterNetwork()
    weights = {name: value for name, value in old.state_dict().items() if not name.startswith("low.")}
    torch.save({"average": weights}, tmp_path / "state.pt")
    trainer = splitting.Trainer.of(store, tmp_path / "new", 1, 1, 1e-3)
    trainer.begin_with(tmp_path)
    batch = splitting.Batch.of(trainer.excerpts.batch(0, 2))
    for network in (trainer.network, trainer.average):
        matrices, more = batch.split_by(network.eval())
        torch.testing.assert_close(matrices, batch.split_by(old.eval())[0])
        assert not more.any()


def test_a_step_draws_the_same_mixes_whatever_was_drawn_before(splitting, store, monkeypatch):
    monkeypatch.setattr(splitting, "FRAMES", 20)
    monkeypatch.setattr(splitting, "LONG_FRAMES", 40)
    songs = splitting.read_store(store, "train")
    steady = splitting.Excerpts(songs, 3)
    for step in range(3):
        expected = steady.batch(step, 3)
    for one, other in zip(expected, splitting.Excerpts(songs, 3).batch(2, 3), strict=True):
        np.testing.assert_array_equal(one.low, other.low)
        np.testing.assert_array_equal(one.powers, other.powers)


def test_variances_that_16_bits_cannot_hold_are_shipped_as_they_are(splitting, tmp_path):
    network = splitting.SplitterNetwork()
    network.enter_norm.running_var.fill_(1e6)
    torch.save({"average": network.state_dict()}, tmp_path / "state.pt")
    (tmp_path / "run.json").write_text("{}")
    splitting.ship_weights(tmp_path, tmp_path / "shipped")
    shipped = load_splitter(read_weights(tmp_path / "shipped"), "cpu")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(shipped.state_dict()[name], value, atol=1e-4, rtol=1e-3)
