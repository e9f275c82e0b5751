import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from memory import peak_kb

from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.separation import NoSeparator, Separator, choose_separator
from mixagent.pipeline.separation.chunks import run_batches, run_chunks
from mixagent.pipeline.separation.spleeter import SpleeterSeparator, fast_hop
from mixagent.pipeline.types import Audio, AudioSource, FloatArray, Stems, collect, load

RATE = 44100


def noise(seconds: float, rate: int = RATE, channels: int = 2, seed: int = 0) -> Audio:
    samples = np.random.default_rng(seed).normal(0, 0.1, (channels, round(seconds * rate)))
    return Audio(samples.astype(np.float32), rate)


def sdr_db(truth: FloatArray, estimate: FloatArray) -> float:
    return float(10 * np.log10(np.sum(truth**2) / np.sum((truth - estimate) ** 2)))


def null_db(stems: Stems) -> float:
    total = load(stems.residual).samples + sum(load(part).samples for part in stems.parts.values())
    return float(20 * np.log10(np.abs(total - load(stems.mix).samples).max() + 1e-12))


@pytest.fixture(scope="module")
def clip() -> dict[str, FloatArray]:
    """Six seconds of a song with its true vocals."""
    stempeg = pytest.importorskip("stempeg", reason="stempeg carries the clip with true stems")
    folder = Path(stempeg.__file__).parent / "data"
    (path,) = folder.glob("*.stem.mp4")
    reader = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le"]
    stems = []
    for stream in (1, 2, 3, 4):
        raw = subprocess.run([*reader, "-map", f"0:a:{stream}", "-"], capture_output=True, check=True)
        stems.append(np.frombuffer(raw.stdout, np.float32).reshape(-1, 2).T)
    return {"mix": np.sum(stems, axis=0), "vocals": stems[3]}


class TestChunks:
    def test_an_identity_model_gives_the_source_back(self):
        for frames in (1, 99, 100, 101, 180, 190, 191, 1000):
            source = noise(frames / RATE)
            pieces = [piece[0] for piece in run_chunks(source, lambda chunk: chunk[None].copy(), 100, 10)]
            joined = collect(pieces, RATE, 2).samples
            np.testing.assert_allclose(joined, source.samples, atol=1e-7)

    def test_every_chunk_has_the_same_context_however_long_the_source(self):
        seen = []

        def model(chunk: FloatArray) -> FloatArray:
            seen.append(chunk.shape[1])
            return chunk[None].copy()

        list(run_chunks(noise(1003 / RATE), model, 100, 10))
        assert set(seen) == {100}

    def test_chunks_that_disagree_are_joined_by_a_linear_fade(self):
        levels = itertools.count()

        def model(chunk: FloatArray) -> FloatArray:
            return np.full((1, *chunk.shape), next(levels), np.float32)

        joined = np.concatenate([p[0, 0] for p in run_chunks(noise(190 / RATE), model, 100, 9)])
        assert joined[:91].max() == 0
        np.testing.assert_allclose(joined[91:100], np.arange(1, 10) / 10, atol=1e-6)
        assert joined[100:182].min() == 1

    def test_chunks_in_batches_give_the_same_blocks(self):
        source, sizes = noise(1003 / RATE), []

        def model(chunks: Sequence[FloatArray]) -> list[FloatArray]:
            sizes.append(len(chunks))
            return [np.stack([chunk, chunk * chunk]) for chunk in chunks]

        one = list(run_chunks(source, lambda chunk: model([chunk])[0], 100, 10))
        sizes.clear()
        batches = list(run_batches(source, model, 100, 10, 4))
        assert sizes == [4, 4, 4]
        for expected, got in zip(one, batches, strict=True):
            np.testing.assert_array_equal(got, expected)

    def test_an_empty_source_gives_nothing(self):
        assert list(run_chunks(noise(0), lambda chunk: chunk[None], 100, 10)) == []


class TestEmbedded:
    @pytest.mark.parametrize(
        ("rate", "channels", "seconds"),
        [(44100, 2, 0.4), (48000, 2, 1.3), (8000, 2, 1.0), (44100, 1, 1.0), (96000, 2, 0.5), (44100, 6, 0.3)],
    )
    def test_stems_keep_rate_length_and_channels_and_null_against_the_mix(
        self, tmp_path, rate, channels, seconds
    ):
        mix = noise(seconds, rate, channels)
        stems = SpleeterSeparator().separate(mix, tmp_path)
        assert tuple(stems.parts) == ("vocals", "accompaniment")
        for part in stems.parts.values():
            assert (part.rate, part.channels, part.frames) == (rate, channels, mix.frames)
            assert np.isfinite(load(part).samples).all()
        assert null_db(stems) < -90

    def test_vocals_and_accompaniment_alone_sum_to_the_mix(self, tmp_path):
        mix = noise(1)
        stems = SpleeterSeparator().separate(mix, tmp_path)
        assert np.abs(load(stems.residual).samples).max() < 1e-6

    def test_silence_gives_silence(self, tmp_path):
        silence = Audio(np.zeros((2, RATE), np.float32), RATE)
        stems = SpleeterSeparator().separate(silence, tmp_path)
        assert not any(load(part).samples.any() for part in stems.parts.values())

    def test_mono_is_heard_as_both_sides(self, tmp_path):
        mono = noise(1, channels=1)
        both = Audio(np.repeat(mono.samples, 2, axis=0), RATE)
        (tmp_path / "both").mkdir()
        one = SpleeterSeparator().separate(mono, tmp_path).parts["vocals"]
        two = SpleeterSeparator().separate(both, tmp_path / "both").parts["vocals"]
        # The network is not symmetric in left and right, so only the left is the same.
        np.testing.assert_allclose(load(one).samples[0], load(two).samples[0], atol=1e-6)

    def test_the_same_mix_gives_the_same_bytes(self, tmp_path):
        mix = noise(2)
        first = load(SpleeterSeparator().separate(mix, tmp_path).parts["vocals"]).samples
        again = load(SpleeterSeparator().separate(mix, tmp_path).parts["vocals"]).samples
        assert first.tobytes() == again.tobytes()

    def test_progress_rises_to_one(self, tmp_path):
        shares: list[float] = []
        SpleeterSeparator().separate(noise(12), tmp_path, shares.append)
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        assert len(shares) == 2

    def test_real_vocals_come_out_ten_decibels_clearer(self, clip, tmp_path):
        stems = SpleeterSeparator().separate(Audio(clip["mix"], RATE), tmp_path)
        vocals, accompaniment = (load(part).samples for part in stems.parts.values())
        # The ideal ratio mask of this clip reaches 9.7 dB, and the mix itself stands at −7.2 dB.
        assert sdr_db(clip["vocals"], vocals) > 4
        assert sdr_db(clip["vocals"], vocals) - sdr_db(clip["vocals"], clip["mix"]) > 10
        assert sdr_db(clip["mix"] - clip["vocals"], accompaniment) > 11

    def test_the_level_of_the_mix_does_not_matter(self, clip, tmp_path):
        loud = SpleeterSeparator().separate(Audio(clip["mix"], RATE), tmp_path).parts["vocals"]
        expected = load(loud).samples
        quiet = Audio((clip["mix"] * np.float32(0.01)).astype(np.float32), RATE)
        got = load(SpleeterSeparator().separate(quiet, tmp_path).parts["vocals"]).samples * 100
        assert sdr_db(expected, got) > 60

    def test_another_rate_separates_as_well(self, clip, tmp_path):
        import soxr

        def at_48k(samples: FloatArray) -> FloatArray:
            return np.ascontiguousarray(soxr.resample(samples.T, RATE, 48000, "VHQ").T)

        stems = SpleeterSeparator().separate(Audio(at_48k(clip["mix"]), 48000), tmp_path)
        assert sdr_db(at_48k(clip["vocals"]), load(stems.parts["vocals"]).samples) > 4

    def test_a_joint_makes_no_click(self, tmp_path):
        seconds = 12
        t = np.arange(seconds * RATE) / RATE
        mix = Audio(np.tile((0.3 * np.sin(2 * np.pi * 220 * t)).astype(np.float32), (2, 1)), RATE)
        stems = SpleeterSeparator().separate(mix, tmp_path)
        curvature = np.abs(np.diff(load(stems.parts["accompaniment"]).samples, n=2, axis=1))
        bound = 0.3 * (2 * np.pi * 220 / RATE) ** 2
        assert curvature[:, RATE:-RATE].max() < 2 * bound

    @pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000])
    def test_the_hop_lasts_as_long_as_in_training(self, rate):
        assert fast_hop(rate) / rate == pytest.approx(1024 / 44100, rel=0.02)

    def test_memory_does_not_grow_with_the_song(self, tmp_path):
        short, long = (
            peak_kb(SpleeterSeparator, seconds, tmp_path) for seconds in (36, 72)
        )  # from three chunks on, all buffers are in use
        assert long < 1_000_000
        # The spectra and activations of 36 s more would take 450 MB.
        assert long - short < 40_000


class TestChoice:
    @pytest.mark.parametrize(("stems", "name"), [(None, "spleeter"), (2, "spleeter"), (4, "embedded")])
    def test_auto_on_a_cpu_is_an_embedded_one_and_says_why(self, stems, name):
        choice = choose_separator("auto", "cpu", stems)
        assert choice.separator.name == name
        assert "CPU" in choice.why

    def test_none_leaves_the_whole_mix_in_the_residual(self, tmp_path):
        mix = noise(0.1)
        stems = choose_separator("none").separator.separate(mix, tmp_path)
        assert not stems.parts
        np.testing.assert_array_equal(load(stems.residual).samples, mix.samples)

    def test_an_unknown_name_is_a_usage_error(self):
        with pytest.raises(UsageError, match="htdemucs_ft"):
            choose_separator("spleeter9")

    def test_an_unknown_device_is_a_usage_error(self):
        with pytest.raises(UsageError, match="cuda"):
            choose_separator("embedded", "abacus")


def test_a_separator_without_stems_is_one_too(tmp_path):
    separator: Separator = NoSeparator()
    source: AudioSource = noise(0.1)
    assert separator.separate(source, tmp_path).mix is source
