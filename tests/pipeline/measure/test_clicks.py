"""Lone clicks: found and bridged in music, and neither drums, pulses nor steps taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from repairing import repair
from scipy import signal

from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.measure.meters import true_peak_dbtp
from mixagent.pipeline.restoration import declick
from mixagent.pipeline.restoration.spectral_holes import SpectralHoleFiller, measure_spectral_holes
from mixagent.pipeline.types import Audio, FloatArray, collect, load
from tests.highs import RATE, bright_music

AT_S = (0.03, 0.9, 1.7, 2.97215, 4.4)
"""The first is near the start, the fourth on the edge between two blocks of the repair."""


def clicked(samples: FloatArray, width: int = 1, height: float = 0.5) -> FloatArray:
    """The samples with a click of alternating sign at each of `AT_S`, on the left only."""
    out = samples.copy()
    shape = height * np.resize([1.0, -0.8], width)
    for at in AT_S:
        start = round(at * RATE)
        out[0, start : start + width] += shape.astype(np.float32)
    return out


def repaired(samples: FloatArray, folder) -> tuple[FloatArray, dict[str, float]]:
    audio = Audio(samples, RATE)
    restored = repair(declick, audio, folder)
    return load(restored.audio).samples, dict(restored.values)


def error_db(samples: FloatArray, truth: FloatArray) -> float:
    return float(10 * np.log10(np.sum((samples - truth) ** 2, dtype=np.float64) + 1e-20))


@pytest.mark.parametrize("width", [1, 3, 8])
def test_clicks_are_bridged_and_nothing_else_is_touched(tmp_path, width: int) -> None:
    music = bright_music()
    broken = clicked(music, width)
    after, values = repaired(broken, tmp_path)
    assert values["clicks"] == len(AT_S)
    assert error_db(after, music) < error_db(broken, music) - 20
    changed = np.flatnonzero((after != broken).any(axis=0))
    near = np.concatenate([np.arange(round(at * RATE) - 8, round(at * RATE) + width + 8) for at in AT_S])
    assert set(changed) <= set(near)
    assert np.array_equal(after[1], broken[1])


def test_the_level_of_the_song_does_not_matter(tmp_path) -> None:
    broken = clicked(bright_music())
    for gain in (0.05, 1.0):
        assert repaired((gain * broken).astype(np.float32), tmp_path)[1]["clicks"] == len(AT_S)


def drums(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """A kick with a hard beater, a snare and hats, all dry."""
    noise = np.random.default_rng(2).standard_normal(time.size)
    kick = np.sin(2 * np.pi * 90 * (time % 0.5)) * np.exp(-(time % 0.5) / 0.08) + 0.4 * noise * np.exp(
        -(time % 0.5) / 0.0007
    )
    snare = noise * np.exp(-((time + 0.25) % 0.5) / 0.04)
    hats = signal.lfilter([1, -1], [1], noise) * np.exp(-(time % 0.125) / 0.01)
    return 0.6 * kick + 0.4 * snare + 0.2 * hats


@pytest.mark.parametrize(
    "sound",
    [
        drums,
        lambda time: np.sign(np.sin(2 * np.pi * 441 * time + 0.01)),
        lambda time: (time % (1 / 30) < 1 / RATE).astype(float),
        lambda time: signal.sawtooth(2 * np.pi * 33.3 * time),
        lambda time: np.sin(2 * np.pi * 330 * time) * (time % 0.5 < 0.25),
    ],
    ids=["drums", "square", "pulses", "saw", "gated tone"],
)
def test_no_sound_that_comes_again_or_goes_on_is_a_click(tmp_path, sound) -> None:
    samples = np.tile(0.4 * sound(np.arange(5 * RATE) / RATE), (2, 1)).astype(np.float32)
    source = Audio(samples, RATE)
    restored = repair(declick, source, tmp_path)
    assert restored.audio is source
    assert not restored.applied
    assert list(tmp_path.iterdir()) == []


def test_silence_and_a_moment_come_back_untouched(tmp_path) -> None:
    for frames in (0, 100, RATE):
        source = Audio(np.zeros((2, frames), np.float32), RATE)
        assert repair(declick, source, tmp_path).audio is source


def test_a_click_that_went_first_makes_no_spike_of_the_gap_filler(tmp_path) -> None:
    music = bright_music()
    hz = np.fft.rfftfreq(music.shape[1], 1 / RATE)
    gap = np.abs(np.log2(np.maximum(hz, 1.0) / 3000)) < 0.2
    holed = np.fft.irfft(np.fft.rfft(music) * np.where(gap, 10 ** (-30 / 20), 1.0), music.shape[1])
    quiet = holed.astype(np.float32)

    def filled(samples: FloatArray) -> Audio:
        audio = Audio(samples, RATE)
        filler = SpectralHoleFiller(measure_spectral_holes(audio), 36.0, RATE, 2)
        return collect(process_blocks(audio, [filler]), RATE, 2)

    broken = clicked(quiet, height=0.8)
    after, _ = repaired(broken, tmp_path)
    assert true_peak_dbtp(filled(after)) == pytest.approx(true_peak_dbtp(filled(quiet)), abs=0.2)
