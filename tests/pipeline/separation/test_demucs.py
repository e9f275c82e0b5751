"""Demucs' own loading and running code, on small networks with random weights in the hub's format."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mixagent.pipeline.errors import ModelMissingError, UsageError
from mixagent.pipeline.separation import SeparatedStems, choose_separator
from mixagent.pipeline.separation.demucs import (
    Bag,
    DemucsSeparator,
    OutOfDeviceMemoryError,
    Runner,
    metered_device_memory,
)
from mixagent.pipeline.separation.demucs_files import STEM_NAMES
from mixagent.pipeline.types import Audio, FloatArray, Stems, load

RATE = 44100
FOUR = ["drums", "bass", "other", "vocals"]
SMALL = {"channels": 16, "depth": 4, "t_layers": 1, "t_heads": 2, "bottom_channels": 16}

needs_demucs = pytest.mark.skipif(
    util.find_spec("demucs") is None, reason="the extra [demucs] is not installed"
)


def noise(seconds: float, rate: int = RATE, channels: int = 2) -> Audio:
    samples = np.random.default_rng(0).normal(0, 0.1, (channels, round(seconds * rate)))
    return Audio(samples.astype(np.float32), rate)


def null_db(stems: Stems) -> float:
    total = load(stems.residual).samples + sum(load(part).samples for part in stems.parts.values())
    return float(20 * np.log10(np.abs(total - load(stems.mix).samples).max() + 1e-12))


def difference_db(truth: FloatArray, other: FloatArray) -> float:
    return float(10 * np.log10(np.sum((truth - other) ** 2) / np.sum(truth**2) + 1e-12))


def network(klass: str, sources: Sequence[str], seed: int = 0) -> tuple[Any, dict[str, Any]]:
    """A small network and what its file says it was built with."""
    from demucs.hdemucs import HDemucs
    from demucs.htdemucs import HTDemucs

    torch.manual_seed(seed)
    if klass == "HDemucs":
        arguments: dict[str, Any] = {"sources": sources, "channels": 8, "depth": 6, "segment": 44}
        return HDemucs(**arguments), arguments
    built = HTDemucs(sources=sources, segment=Fraction(39, 5), **SMALL)
    segment = {"_type": "fraction", "numerator": 39, "denominator": 5}
    return built, {"sources": sources, "segment": segment, **SMALL}


def hub_cache(
    folder: Path,
    name: str,
    networks: int = 1,
    shares: list[list[float]] | None = None,
    sources: Sequence[str] = FOUR,
) -> Path:
    """A hub cache that holds a bag of small networks with random weights."""
    from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name
    from safetensors.torch import save_file

    repo = folder / f"models--{DEFAULT_NAMESPACE}--{hf_repo_name(name)}"
    snapshot = repo / "snapshots" / "0123456789abcdef"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(snapshot.name)
    klass = "HDemucs" if name == "hdemucs_mmi" else "HTDemucs"
    for index in range(networks):
        built, arguments = network(klass, sources, index)
        described = {
            "klass": f"demucs.{klass.lower()}.{klass}",
            "args": "[]",
            "kwargs": json.dumps(arguments),
        }
        state = {key: value.contiguous() for key, value in built.state_dict().items()}
        save_file(state, snapshot / f"net{index}.safetensors", described)
    bag = {"models": [f"net{index}" for index in range(networks)]} | ({"weights": shares} if shares else {})
    (snapshot / f"{name}.yaml").write_text(json.dumps(bag))
    return folder


@pytest.fixture(scope="module")
def three_chunks(tmp_path_factory) -> tuple[Path, Audio, Mapping[str, FloatArray]]:
    """A cache, a mix of three chunks, and its stems when they go one by one in float32."""
    folder = tmp_path_factory.mktemp("three")
    cache, mix = hub_cache(folder / "hub", "htdemucs"), noise(16)
    stems = DemucsSeparator("htdemucs", "cpu", cache).separate(mix, folder)
    return cache, mix, {name: load(part).samples for name, part in stems.parts.items()}


class TestAbsent:
    @needs_demucs
    @pytest.mark.parametrize("name", STEM_NAMES)
    def test_a_model_without_weights_says_how_to_get_them_and_what_to_use(self, monkeypatch, tmp_path, name):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(
            ModelMissingError, match=f"mixagent models pull {name}, or use separator=embedded"
        ):
            choose_separator(name, "cpu")

    def test_without_its_package_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr("mixagent.pipeline.separation.demucs_files.installed", lambda: False)
        with pytest.raises(ModelMissingError, match=r"mixagent\[demucs\]"):
            choose_separator("htdemucs", "cpu")

    @pytest.mark.parametrize(("stems", "apart"), [(5, "piano cannot"), (6, "piano and guitar cannot")])
    def test_more_than_four_stems_offer_four(self, monkeypatch, tmp_path, stems, apart):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(ModelMissingError, match=f"{apart} be told apart: use stems=4"):
            choose_separator("auto", "cpu", stems)


@needs_demucs
class TestSeparation:
    @pytest.mark.parametrize(
        ("rate", "channels", "seconds"), [(44100, 2, 9.0), (48000, 2, 0.7), (8000, 1, 1.0)]
    )
    def test_stems_have_the_mixs_shape_and_null_against_it(self, tmp_path, rate, channels, seconds):
        separator = DemucsSeparator("htdemucs", "cpu", hub_cache(tmp_path / "hub", "htdemucs"))
        mix = noise(seconds, rate, channels)
        stems = separator.separate(mix, tmp_path)
        assert tuple(stems.parts) == ("vocals", "drums", "bass", "other")
        for part in stems.parts.values():
            assert (part.rate, part.channels, part.frames) == (rate, channels, mix.frames)
        assert null_db(stems) < -90

    @pytest.mark.parametrize("name", ["htdemucs", "hdemucs_mmi"])
    def test_it_gives_what_the_package_gives(self, tmp_path, name):
        from demucs.apply import apply_model
        from demucs.hf import load_safetensors_model

        cache = hub_cache(tmp_path / "hub", name)
        mix = noise(5)
        stems = DemucsSeparator(name, "cpu", cache).separate(mix, tmp_path)
        (path,) = cache.rglob("net0.safetensors")
        loaded = load_safetensors_model(path)
        wave = torch.from_numpy(mix.samples)
        mean, deviation = wave.mean(0).mean(), wave.mean(0).std()
        chunk = int((7.8 if name == "htdemucs" else 10.0) * RATE)
        padded = torch.nn.functional.pad((wave - mean) / deviation, (0, chunk - mix.frames))
        expected = apply_model(loaded, padded[None], shifts=0, split=False)[0, :, :, : mix.frames] * deviation
        for source, truth in zip(loaded.sources, expected.numpy(), strict=True):
            np.testing.assert_allclose(load(stems.parts[source]).samples, truth, atol=1e-4)

    def test_the_six_stem_model_gives_its_stems_in_the_promised_order(self, tmp_path):
        from demucs.hf import load_safetensors_model

        sources = ["drums", "bass", "other", "vocals", "guitar", "piano"]
        cache = hub_cache(tmp_path / "hub", "htdemucs_6s", sources=sources)
        stems = DemucsSeparator("htdemucs_6s", "cpu", cache).separate(noise(1), tmp_path)
        assert tuple(stems.parts) == ("vocals", "drums", "bass", "other", "piano", "guitar")
        (path,) = cache.rglob("net0.safetensors")
        assert load_safetensors_model(path).sources == sources
        assert null_db(stems) < -90

    def test_each_network_of_a_bag_gives_the_stems_that_are_its_own(self, tmp_path):
        identity = np.eye(4).tolist()
        bag = DemucsSeparator("htdemucs_ft", "cpu", hub_cache(tmp_path / "a", "htdemucs_ft", 4, identity))
        one = DemucsSeparator("htdemucs", "cpu", hub_cache(tmp_path / "b", "htdemucs"))
        mix = noise(1)
        (tmp_path / "one").mkdir()
        together = bag.separate(mix, tmp_path).parts
        alone = one.separate(mix, tmp_path / "one").parts
        np.testing.assert_allclose(load(together["drums"]).samples, load(alone["drums"]).samples, atol=1e-5)
        assert np.abs(load(together["vocals"]).samples - load(alone["vocals"]).samples).max() > 1e-5

    def test_chunks_in_a_batch_give_the_same_stems(self, tmp_path, three_chunks):
        cache, mix, expected = three_chunks
        stems = DemucsSeparator("htdemucs", "cpu", cache, batch=8).separate(mix, tmp_path)
        for name, part in stems.parts.items():
            np.testing.assert_allclose(load(part).samples, expected[name], atol=1e-5)

    def test_half_precision_is_close_and_another_version(self, tmp_path, three_chunks):
        cache, mix, expected = three_chunks
        separator = DemucsSeparator("htdemucs", "cpu", cache, "bfloat16")
        stems = separator.separate(mix, tmp_path)
        assert separator.version != DemucsSeparator("htdemucs", "cpu", cache).version
        assert null_db(stems) < -90
        # Eight bits of mantissa round at −54 dB; some hundred roundings add up over the layers.
        assert all(difference_db(expected[name], load(p).samples) < -25 for name, p in stems.parts.items())

    def test_silence_gives_silence(self, tmp_path):
        separator = DemucsSeparator("htdemucs", "cpu", hub_cache(tmp_path / "hub", "htdemucs"))
        stems = separator.separate(Audio(np.zeros((2, RATE), np.float32), RATE), tmp_path)
        assert not any(load(part).samples.any() for part in stems.parts.values())

    def test_on_a_cpu_no_device_memory_is_told(self, tmp_path):
        separator = DemucsSeparator("htdemucs", "cpu", hub_cache(tmp_path / "hub", "htdemucs"))
        stems = separator.separate(noise(0.5), tmp_path)
        assert isinstance(stems, SeparatedStems)
        assert stems.device_peak_bytes is None


@needs_demucs
class TestWeights:
    def test_weights_that_ask_for_another_class_are_refused(self, tmp_path):
        from safetensors.torch import save_file

        cache = hub_cache(tmp_path / "hub", "htdemucs")
        (path,) = cache.rglob("net0.safetensors")
        save_file({"x": torch.zeros(1)}, path, {"klass": "os.system", "args": '["true"]', "kwargs": "{}"})
        with pytest.raises(ModelMissingError, match="not a Demucs network"):
            DemucsSeparator("htdemucs", "cpu", cache).separate(noise(0.1), tmp_path)

    def test_a_pickle_under_a_safetensors_name_is_refused(self, tmp_path):
        cache = hub_cache(tmp_path / "hub", "htdemucs")
        (path,) = cache.rglob("net0.safetensors")
        torch.save({"klass": print}, path)
        with pytest.raises(ModelMissingError, match="not a safetensors file"):
            DemucsSeparator("htdemucs", "cpu", cache).separate(noise(0.1), tmp_path)

    def test_the_version_names_the_weights(self, tmp_path):
        separator = DemucsSeparator("htdemucs", "cpu", hub_cache(tmp_path / "hub", "htdemucs"))
        assert "0123456789ab" in separator.version


class Echo:
    """Gives its input as both stems; some inputs are too large for it, or overflow in half precision."""

    sources, samplerate, segment = ("a", "b"), RATE, 1.0

    def __init__(self, most: int = 100, overflows: bool = False) -> None:
        self.most, self.overflows, self.batches = most, overflows, list[int]()

    def __call__(self, heard: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(heard))
        if len(heard) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        out = torch.stack((heard, heard), 1)
        return out * float("inf") if self.overflows and torch.is_autocast_enabled("cpu") else out


class TestDevice:
    def runner(self, network: Echo, **options: Any) -> Runner:
        bag = Bag((network,), torch.ones(1, 2), 1.0)
        return Runner(bag, ("a", "b"), (0.0, 1.0), "cpu", **options)

    def test_a_batch_that_does_not_fit_goes_in_halves(self):
        network = Echo(most=2)
        chunks = [np.full((2, RATE), level, np.float32) for level in range(1, 9)]
        stems = self.runner(network)(chunks)
        assert network.batches == [8, 4, 2, 2, 4, 2, 2]
        assert [float(out[0, 0, 0]) for out in stems] == list(range(1, 9))

    def test_a_chunk_that_does_not_fit_is_one_clear_line(self):
        with pytest.raises(OutOfDeviceMemoryError, match="device=cpu"):
            self.runner(Echo(most=0))([np.ones((2, RATE), np.float32)])

    def test_what_overflows_in_half_precision_is_computed_again(self):
        network = Echo(overflows=True)
        (out,) = self.runner(network, precision="bfloat16")([np.ones((2, RATE), np.float32)])
        assert network.batches == [1, 1]
        np.testing.assert_array_equal(out, 1.0)

    def test_memory_on_a_device_is_metered_and_released_even_after_an_error(self, monkeypatch):
        calls: list[str] = []
        for name in ("reset_peak_memory_stats", "empty_cache"):
            monkeypatch.setattr(torch.cuda, name, lambda *device, name=name: calls.append(name))
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 123)
        with suppress(KeyboardInterrupt), metered_device_memory("cuda") as peak_bytes:
            assert peak_bytes() == 123
            raise KeyboardInterrupt
        assert calls == ["reset_peak_memory_stats", "empty_cache"]

    def test_a_device_that_is_not_here_is_a_usage_error(self):
        if torch.cuda.is_available():
            pytest.skip("a CUDA device is here")
        with pytest.raises(UsageError, match="device=cpu"):
            choose_separator("embedded", "cuda")
