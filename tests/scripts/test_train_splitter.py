"""Training on made-up stems: the loss is the error it says, and a run that was killed goes on alike."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

ROOT = Path(__file__).parents[2]
RATE = 44100


@pytest.fixture(scope="module")
def splitting():
    spec = importlib.util.spec_from_file_location("train_splitter", ROOT / "scripts" / "train_splitter.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_splitter"] = module
    spec.loader.exec_module(module)
    return module


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
    shape = (3, 2, splitting.EDGES[-1], 2)
    stems = (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)
    powers, own, shared = splitting.band_sums(
        stems, np.ones((3, 2, splitting.BANDS), np.float32), splitting.EDGES
    )
    matrices = random.normal(size=(1, 3, 2, 2, splitting.BANDS, 2)).astype(np.float32)
    found = splitting.errors(
        torch.from_numpy(matrices), *(torch.from_numpy(x)[None] for x in (powers, own, shared))
    )
    widths = np.diff(splitting.EDGES)
    on_bins = np.repeat(matrices[0], widths, axis=-2)
    made = np.einsum("koibt,ibt->kobt", on_bins, stems.sum(0))
    wrong = np.add.reduceat(np.abs(stems - made) ** 2, splitting.EDGES[:-1], axis=2)
    np.testing.assert_allclose(found[0].numpy(), wrong * 2 / (4096 * 1536), rtol=1e-2, atol=1e-6)


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
            trainer.steps, trainer.pool = stop, 1
            trainer.run(every=2)
        return torch.load(folder / "state.pt", weights_only=True)["average"]

    whole, resumed = run(tmp_path / "whole", 2), run(tmp_path / "resumed", 1, 2)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=1e-3, rtol=1e-3)
    splitting.ship_weights(tmp_path / "whole", tmp_path / "shipped")
    config = json.loads((tmp_path / "shipped" / "config.json").read_text())
    assert config["run"]["step"] == 2
    from mixagent.pipeline.separation.embedded import read_weights
    from mixagent.pipeline.separation.splitter_network import load_splitter

    network = load_splitter(read_weights(tmp_path / "shipped"), "cpu")
    assert sum(p.numel() for p in network.parameters()) < 3_000_000
