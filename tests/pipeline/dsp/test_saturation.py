"""Saturation and the soft clipper: what they add, what they leave, and what folds back."""

import numpy as np
import pytest

from mixagent.pipeline.dsp.programme import Level
from mixagent.pipeline.dsp.saturation import Curve, SoftClipper, kept_db
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.types import Audio, FloatArray, collect

RATE = 44100
FRAMES = 1 << 15


def clipped(samples: FloatArray, curve: Curve, size: int = 1 << 17) -> FloatArray:
    clipper = SoftClipper(curve, samples.shape[0])
    return collect(process_blocks(Audio(samples, RATE), [clipper], size), RATE, samples.shape[0]).samples


def tone(hz: float, amplitude: float, frames: int = 3 * FRAMES) -> tuple[FloatArray, int]:
    """A tone that is periodic in FRAMES, in one channel, and its bin."""
    periods = round(hz * FRAMES / RATE)
    phase = 2 * np.pi * periods * np.arange(frames) / FRAMES
    return (amplitude * np.sin(phase)).astype(np.float32)[None], periods


def lines(samples: FloatArray) -> np.ndarray:
    """Power of each line of the middle period."""
    return np.abs(np.fft.rfft(samples[0, FRAMES : 2 * FRAMES].astype(np.float64))) ** 2


@pytest.mark.parametrize("drive_db", [-6.0, 0.0, 6.0, 11.0])
def test_what_folds_back_of_a_tone_of_10_khz_is_under_minus_80_db(drive_db: float) -> None:
    samples, periods = tone(10_000.0, 10 ** (drive_db / 20))
    power = lines(clipped(samples, Curve(0.0, 1.0)))
    folded = power.sum() - power[periods]  # its harmonics lie beyond the rate
    assert 10 * np.log10(folded / power[periods]) < -80.0


def test_harmonics_are_those_of_the_curve_without_memory() -> None:
    samples, periods = tone(500.0, 2.0)
    curve = Curve(0.0, 1.0)
    found, expected = lines(clipped(samples, curve)), lines(curve.of(samples.astype(np.float64)))
    for harmonic in (1, 3, 5, 7):
        ratio = found[harmonic * periods] / expected[harmonic * periods]
        assert 10 * np.log10(ratio) == pytest.approx(0.0, abs=0.05)


def test_what_stays_under_the_threshold_is_left_bit_for_bit() -> None:
    random = np.random.default_rng(0)
    samples = (0.1 * random.uniform(-1, 1, (2, 20_000))).astype(np.float32)
    loud = samples.copy()
    loud[:, 8000:9000] *= 9.0
    assert clipped(samples, Curve(0.5, 0.2)).tobytes() == samples.tobytes()
    np.testing.assert_array_equal(clipped(loud, Curve(0.5, 0.2))[:, 10_000:], samples[:, 10_000:])


def test_slow_peaks_end_where_the_curve_says() -> None:
    samples, _ = tone(100.0, 1.5)
    peak = np.abs(clipped(samples, Curve(0.7, 0.3))[0, FRAMES : 2 * FRAMES]).max()
    assert peak == pytest.approx(float(Curve(0.7, 0.3).of(np.array(1.5))), abs=1e-3)
    assert Curve(0.7, 0.3).of(np.array([1e6, -1e6])) == pytest.approx([1.0, -1.0])


@pytest.mark.parametrize("size", [63, 1000, 4096])
def test_the_output_does_not_depend_on_the_blocks(size: int) -> None:
    samples = (0.5 * np.random.default_rng(1).standard_normal((2, 10_000))).astype(np.float32)
    for curve in (Curve(0.0, 0.4), Curve(0.6, 0.2), Curve(1.4, 0.2)):
        np.testing.assert_allclose(clipped(samples, curve, size), clipped(samples, curve), atol=1e-6)


def test_what_a_curve_keeps_of_noise_is_predicted() -> None:
    random = np.random.default_rng(2)
    curve, spread_db = Curve(0.0, 0.3), (-3.0, 3.0)
    rms = 0.2 * 10 ** (np.array(spread_db) / 20)
    before = rms[:, None] * random.standard_normal((2, 400_000))
    measured = 10 * np.log10(np.mean(curve.of(before) ** 2) / np.mean(before**2))
    assert kept_db(curve, Level(20 * np.log10(0.2), spread_db)) == pytest.approx(measured, abs=0.02)
