"""Resampling keeps time, level and exact length."""

import numpy as np
import pytest
import soxr

from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.types import Audio, DiskAudio

PAIRS = [(44100, 48000), (48000, 44100), (192000, 44100), (8000, 96000), (44100, 22050)]


def chirp(rate, frames=60_001):
    time_s = np.arange(frames) / rate
    tones = [np.sin(2 * np.pi * hz * time_s + hz) for hz in (100.0, 997.0, 2500.0)]
    return Audio(np.stack([sum(tones), tones[1]]).astype(np.float32) * np.float32(0.2), rate)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_length_is_exact_and_the_signal_in_place(before, after):
    source = chirp(before)
    out = resample(source, after)
    assert (out.rate, out.channels, out.frames) == (after, 2, round(source.frames * after / before))
    ideal = chirp(after, out.frames)
    inner = slice(2000, -2000)
    error = out.read(0, out.frames)[:, inner] - ideal.samples[:, inner]
    assert 20 * np.log10(np.abs(error).max()) < -100


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_streamed_is_what_soxr_gives_at_once(tmp_path, before, after):
    source = Audio(np.random.default_rng(0).standard_normal((1, 300_000)).astype(np.float32), before)
    out = resample(source, after, tmp_path / "raw")
    assert isinstance(out, DiskAudio)
    whole = soxr.resample(source.samples.T, before, after, quality="VHQ").T
    np.testing.assert_allclose(out.read(0, whole.shape[1]), whole[:, : out.frames], atol=1e-6)


def test_a_source_at_the_rate_is_given_back():
    source = chirp(44100)
    assert resample(source, 44100) is source


@pytest.mark.parametrize("frames", [0, 1, 7])
def test_tiny_sources_work(frames):
    assert resample(Audio(np.zeros((2, frames), np.float32), 44100), 48000).frames == round(
        frames * 48 / 44.1
    )
