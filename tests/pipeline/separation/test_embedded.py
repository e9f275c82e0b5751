import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from memory import peak_kb

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.separation import choose_separator, embedded
from mixagent.pipeline.separation.embedded import EmbeddedSeparator, shipped_checkpoint
from mixagent.pipeline.separation.spleeter import SpleeterSeparator
from mixagent.pipeline.separation.splitter_network import (
    BANDS,
    EDGES,
    FRAMES,
    LOW,
    NET_BINS,
    TAPS,
    SplitterNetwork,
    band_of_bins,
    turns,
    weighted_taps,
)
from mixagent.pipeline.types import Audio, FloatArray, Stems, load
from mixagent.pipeline.warm import MODELS

RATE, WINDOW, HOP = 44100, 4096, 1024


def noise(seconds: float, rate: int = RATE, channels: int = 2, seed: int = 0) -> Audio:
    samples = np.random.default_rng(seed).normal(0, 0.1, (channels, round(seconds * rate)))
    return Audio(samples.astype(np.float32), rate)


def band_music(seconds: float, rate: int = RATE) -> dict[str, FloatArray]:
    """A bass note each beat, noise bursts on the off-beats and a held chord, each in stereo."""
    t = np.arange(round(seconds * rate)) / rate
    beat = t % 0.5
    bass = 0.3 * np.sin(2 * np.pi * 55 * t) * np.exp(-2 * beat)
    hit = np.random.default_rng(1).normal(0, 0.4, t.size) * np.exp(-40 * ((t + 0.25) % 0.5))
    chord = sum(0.06 * np.sin(2 * np.pi * f * t) for f in (440.0, 554.4, 659.3, 880.0))
    return {
        name: np.tile(wave.astype(np.float32), (2, 1))
        for name, wave in {"drums": hit, "bass": bass, "other": chord}.items()
    }


def separate(mix: Audio, folder: Path) -> Stems:
    folder.mkdir(exist_ok=True)
    return EmbeddedSeparator().separate(mix, folder)


def null_db(stems: Stems) -> float:
    total = load(stems.residual).samples + sum(load(part).samples for part in stems.parts.values())
    return float(20 * np.log10(np.abs(total - load(stems.mix).samples).max() + 1e-12))


def sdr_db(truth: FloatArray, estimate: FloatArray) -> float:
    return float(10 * np.log10(np.sum(truth**2) / (np.sum((truth - estimate) ** 2) + 1e-20)))


class TestStems:
    @pytest.mark.parametrize(
        ("rate", "channels", "seconds"),
        [(44100, 2, 0.2), (48000, 2, 1.3), (8000, 2, 1.0), (44100, 1, 1.0), (96000, 2, 0.5), (44100, 5, 0.3)],
    )
    def test_they_keep_rate_length_and_channels_and_sum_to_the_mix(self, tmp_path, rate, channels, seconds):
        mix = noise(seconds, rate, channels)
        stems = separate(mix, tmp_path)
        assert tuple(stems.parts) == ("vocals", "drums", "bass", "other")
        for part in stems.parts.values():
            assert (part.rate, part.channels, part.frames) == (rate, channels, mix.frames)
            assert np.isfinite(load(part).samples).all()
        assert null_db(stems) < -90
        assert np.abs(load(stems.residual).samples).max() < 1e-5

    def test_vocals_are_spleeters(self, tmp_path):
        mix = noise(1)
        expected = load(SpleeterSeparator().separate(mix, tmp_path).parts["vocals"]).samples
        got = load(separate(mix, tmp_path / "four").parts["vocals"]).samples
        np.testing.assert_allclose(got, expected, atol=1e-6)

    def test_bass_bursts_and_a_chord_are_told_apart(self, tmp_path):
        truth = band_music(6)
        mix = Audio(np.sum(list(truth.values()), axis=0), RATE)
        parts = separate(mix, tmp_path).parts
        for name, true in truth.items():
            found = load(parts[name]).samples
            assert sdr_db(true, found) > sdr_db(true, mix.samples) + 3, name

    def test_silence_gives_silence(self, tmp_path):
        stems = separate(Audio(np.zeros((2, RATE), np.float32), RATE), tmp_path)
        assert not any(load(part).samples.any() for part in stems.parts.values())

    def test_mono_is_heard_as_both_sides(self, tmp_path):
        mono = noise(1, channels=1)
        both = Audio(np.repeat(mono.samples, 2, axis=0), RATE)
        one, two = separate(mono, tmp_path / "one").parts, separate(both, tmp_path / "two").parts
        # Spleeter does not hear its two sides quite alike, so the right of the two differs by a little.
        for name in one:
            assert sdr_db(load(two[name]).samples[0], load(one[name]).samples[0]) > 20

    def test_the_level_of_the_mix_does_not_matter(self, tmp_path):
        loud = Audio(np.sum(list(band_music(2).values()), axis=0), RATE)
        quiet = Audio(loud.samples * np.float32(0.001), RATE)
        one, two = separate(loud, tmp_path / "one").parts, separate(quiet, tmp_path / "two").parts
        for name in ("drums", "bass", "other"):
            assert sdr_db(load(one[name]).samples, load(two[name]).samples * 1000) > 50

    def test_the_same_mix_gives_the_same_bytes(self, tmp_path):
        mix = noise(2)
        one, two = separate(mix, tmp_path / "one").parts, separate(mix, tmp_path / "two").parts
        for name in one:
            assert load(one[name]).samples.tobytes() == load(two[name]).samples.tobytes()

    def test_what_comes_later_does_not_change_what_was_written(self, tmp_path):
        long = noise(14)
        short = Audio(long.samples[:, : 12 * RATE], RATE)
        # Noise of one level: both are heard at nearly the same gain.
        one, two = separate(long, tmp_path / "one").parts, separate(short, tmp_path / "two").parts
        for name in one:
            start = load(one[name]).samples[:, : 8 * RATE]
            assert sdr_db(start, load(two[name]).samples[:, : 8 * RATE]) > 40

    def test_memory_does_not_grow_with_the_song(self, tmp_path):
        short, long = (peak_kb(EmbeddedSeparator, seconds, tmp_path) for seconds in (24, 60))
        assert long < 1_500_000
        assert long - short < 100_000  # What is resident differs by some 50 MB from run to run.


class TestCheckpoint:
    def test_it_is_the_one_that_the_name_gives(self):
        assert isinstance(choose_separator("embedded", "cpu").separator, EmbeddedSeparator)

    def test_the_version_names_the_weights(self):
        config = json.loads((shipped_checkpoint() / "config.json").read_text())
        assert config["weights_sha256"][:12] in EmbeddedSeparator().version

    def test_weights_that_are_not_those_named_are_refused(self, tmp_path):
        folder = shutil.copytree(shipped_checkpoint(), tmp_path / "splitter")
        with (folder / "weights.safetensors").open("ab") as file:
            file.write(b"\0")
        with pytest.raises(ModelMissingError, match="SHA-256"):
            EmbeddedSeparator(checkpoint=folder).separate(noise(0.1), tmp_path)

    @pytest.mark.parametrize("missing", ["weights.safetensors", "config.json"])
    def test_a_missing_file_is_named(self, tmp_path, missing):
        folder = shutil.copytree(shipped_checkpoint(), tmp_path / "splitter")
        (folder / missing).unlink()
        with pytest.raises(ModelMissingError, match=missing):
            EmbeddedSeparator(checkpoint=folder).separate(noise(0.1), tmp_path)

    def test_another_versions_checkpoint_is_refused(self, tmp_path):
        folder = shutil.copytree(shipped_checkpoint(), tmp_path / "splitter")
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "version": 1}))
        with pytest.raises(ModelMissingError, match="version 1, and this program's of 2"):
            EmbeddedSeparator(checkpoint=folder).separate(noise(0.1), tmp_path)

    def test_it_is_small_enough_to_ship(self):
        assert sum(path.stat().st_size for path in shipped_checkpoint().iterdir()) < 25 * 2**20


class TestNetwork:
    def test_bands_cover_all_bins_and_are_single_ones_at_the_bottom(self):
        assert EDGES[0] == 0
        assert EDGES[-1] == NET_BINS
        assert (np.diff(EDGES) >= 1).all()
        assert (np.diff(EDGES)[:LOW] == 1).all()
        assert BANDS % 8 == 0

    def test_each_bin_is_in_the_band_whose_edges_hold_it(self):
        bands = band_of_bins(NET_BINS + 100).numpy()
        inside = np.arange(NET_BINS)
        assert (EDGES[bands[:NET_BINS]] <= inside).all()
        assert (inside < EDGES[bands[:NET_BINS] + 1]).all()
        assert (bands[NET_BINS:] == BANDS - 1).all()

    @torch.inference_mode()
    def test_the_stems_matrices_sum_to_identity_and_their_weights_to_nothing(self):
        torch.manual_seed(0)
        network = SplitterNetwork((4, 6, 8, 10), 12, (1, 2)).eval()
        for layer in (network.leave, network.low.leave):
            torch.nn.init.normal_(layer.weight)
        frames = 3 * FRAMES
        matrices, weights = network(torch.rand(2, 4, BANDS, frames), complex_noise((2, 2, LOW, frames)))
        assert matrices.shape == (2, 3, 2, 2, BANDS, frames)
        assert weights.shape == (2, 3, len(TAPS), LOW, frames)
        assert weights.abs().max() > 0.1
        total = matrices.sum(1).movedim((1, 2), (-2, -1))
        torch.testing.assert_close(total, torch.eye(2).expand_as(total), atol=1e-5, rtol=0)
        total = weights.sum(1)
        torch.testing.assert_close(total, torch.zeros_like(total), atol=1e-5, rtol=0)

    def test_a_tone_turns_by_what_it_lies_off_its_bin_from_frame_to_frame(self):
        k, off = 7, 0.3
        tone = np.cos(2 * np.pi * (k + off) / WINDOW * np.arange(4 * WINDOW) + 0.4)
        turned = turns(low_spectrum(tone))
        angle = torch.atan2(turned[0, 2], turned[0, 0])[k, 6:-6]
        assert angle.numpy() == pytest.approx(np.full(angle.shape, 2 * np.pi * off / 4), abs=1e-2)

    def test_a_click_turns_from_bin_to_bin_by_what_it_lies_off_the_windows_middle(self):
        click, late = np.zeros(4 * WINDOW), 200
        click[8 * HOP + late] = 1.0
        turned = turns(low_spectrum(click))
        angle = torch.atan2(turned[0, 3], turned[0, 1])[: LOW - 1, 8]
        assert angle.numpy() == pytest.approx(np.full(LOW - 1, -2 * np.pi * late / WINDOW), abs=1e-3)

    @pytest.mark.parametrize("tap", [(0, -1), (0, 1)])
    def test_a_steady_tone_is_what_it_was_a_frame_before_and_will_be_a_frame_after(self, tap):
        k = 7
        low = low_spectrum(np.cos(2 * np.pi * k / WINDOW * np.arange(4 * WINDOW) + 0.4))
        weights = torch.zeros((1, 3, len(TAPS), *low.shape[-2:]), dtype=torch.complex64)
        weights[:, :, TAPS.index(tap)] = 1.0
        made = weighted_taps(weights, low)[0, 0, :, k, 6:-6]
        torch.testing.assert_close(made, low[0, :, k, 6:-6], atol=1e-2, rtol=1e-3)


def complex_noise(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.complex(torch.randn(shape), torch.randn(shape))


def low_spectrum(wave: FloatArray) -> torch.Tensor:
    """The low bins of a wave on both sides, as the separator takes them, (1, 2, LOW, frames)."""
    both = torch.from_numpy(np.tile(wave.astype(np.float32), (2, 1)))
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(both, WINDOW, HOP, window=window, pad_mode="constant", return_complex=True)
    return spectrum[None, :, :LOW]


def test_networks_that_are_warm_are_not_read_again_and_give_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(MODELS, "budget_bytes", 1e9)
    MODELS.release()
    mix = Audio(np.random.default_rng(0).normal(0, 0.1, (2, RATE)).astype(np.float32), RATE)
    first = load(EmbeddedSeparator().separate(mix, tmp_path).parts["drums"]).samples.copy()
    assert len(MODELS.names) == 2
    monkeypatch.setattr(embedded, "read_weights", lambda folder: pytest.fail("read again"))
    second = load(EmbeddedSeparator().separate(mix, tmp_path).parts["drums"]).samples
    assert np.array_equal(first, second)
    MODELS.release()
    assert MODELS.names == ()
