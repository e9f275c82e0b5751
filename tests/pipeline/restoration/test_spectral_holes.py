"""Spectral holes are found and filled to their shoulders, and what has none is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from mixagent.envs.pathologies import damage
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.restoration.spectral_holes import SpectralHoleFiller, measure_spectral_holes
from mixagent.pipeline.types import Audio, collect
from mixagent.reward.recovery import Original

RATE = 44100


def _music(seconds: float = 4.0, channels: int = 2, rate: int = RATE) -> Audio:
    """Pink noise with a beat, level-matched as music is."""
    frames = int(seconds * rate)
    white = np.fft.rfft(np.random.default_rng(3).standard_normal((channels, frames)))
    pink = np.fft.irfft(white / np.sqrt(np.arange(1, white.shape[1] + 1)), frames)
    beat = 0.4 + np.exp(-((np.arange(frames) % (rate // 4)) / (rate * 0.05)))
    pink *= beat / np.abs(pink * beat).max()
    return Audio((0.5 * pink).astype(np.float32), rate)


def _filled(audio: Audio, most_db: float = 36.0, size: int = 1 << 16) -> Audio:
    filler = SpectralHoleFiller(measure_spectral_holes(audio), most_db, audio.rate, audio.channels)
    return collect(process_blocks(audio, [filler], size), audio.rate, audio.channels)


@pytest.mark.parametrize("severity", [0.3, 0.6, 0.9])
def test_gaps_are_filled_so_that_most_of_the_damage_is_undone(severity: float) -> None:
    original = Original(_music())
    damaged = damage(original.audio, "holes", severity, "bands", seed=5)
    assert original.recovery(damaged, _filled(damaged))["total"] > 0.4


def test_a_spectrum_without_gaps_has_none() -> None:
    assert measure_spectral_holes(_music()).holes == ()


def test_a_codecs_cliff_is_no_gap() -> None:
    assert measure_spectral_holes(damage(_music(), "holes", 0.7, "codec", seed=1)).holes == ()


def test_no_more_is_added_than_allowed() -> None:
    damaged = damage(_music(), "holes", 0.9, "bands", seed=5)
    spectrum, filled = (
        np.abs(np.fft.rfft(a.samples[0][RATE : 3 * RATE])) for a in (damaged, _filled(damaged, 6.0))
    )
    octave = np.log2(np.fft.rfftfreq(2 * RATE, 1 / RATE)[1:] / 20).astype(int)
    for k in range(octave.max()):
        inside = np.flatnonzero(octave == k) + 1
        gain_db = 20 * np.log10(np.linalg.norm(filled[inside]) / np.linalg.norm(spectrum[inside]))
        assert -0.5 < gain_db < 6.5


def test_the_result_does_not_depend_on_the_block_size() -> None:
    damaged = damage(_music(2.0), "holes", 0.8, "bands", seed=5)
    np.testing.assert_allclose(_filled(damaged).samples, _filled(damaged, size=977).samples, atol=1e-6)


@pytest.mark.parametrize(("channels", "rate"), [(1, 44100), (2, 8000), (2, 96000)])
def test_mono_and_other_rates_keep_their_shape(channels: int, rate: int) -> None:
    audio = _music(1.5, channels, rate)
    assert _filled(audio).samples.shape == audio.samples.shape
