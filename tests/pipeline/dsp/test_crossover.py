"""The crossover's bands: flat in sum, in phase, and 24 dB an octave apart."""

import numpy as np
import pytest
from scipy import signal

from mixagent.pipeline.dsp.crossover import Crossover

RATE = 44100
FRAMES = 1 << 15


def bands_of(corners_hz: list[float], rate: int = RATE) -> np.ndarray:
    """Impulse responses of the bands, (bands, frames)."""
    impulse = np.zeros((1, FRAMES), np.float32)
    impulse[0, 0] = 1.0
    return Crossover(corners_hz, rate, 1).split(impulse)[:, 0].astype(np.float64)


@pytest.mark.parametrize(
    "corners_hz", [[700.0], [900.0, 5000.0], [120.0, 900.0, 5000.0], [20.5, 400.0, 12000.0]]
)
@pytest.mark.parametrize("rate", [44100, 96000])
def test_the_bands_sum_flat_within_a_hundredth_of_a_decibel(corners_hz: list[float], rate: int) -> None:
    response = np.abs(np.fft.rfft(bands_of(corners_hz, rate).sum(axis=0)))
    assert np.abs(20 * np.log10(response)).max() < 0.01


def test_each_half_is_the_square_of_a_butterworth_filter() -> None:
    impulse = np.zeros(FRAMES)
    impulse[0] = 1.0
    for band, kind in zip(bands_of([1000.0]), ("lowpass", "highpass"), strict=True):
        once = signal.butter(2, 1000.0, kind, fs=RATE, output="sos")
        expected = signal.sosfilt(np.vstack([once, once]), impulse)
        np.testing.assert_allclose(band, expected, atol=1e-6)


def test_neighbours_are_in_phase_and_six_decibels_down_at_their_corner() -> None:
    spectra = np.fft.rfft(bands_of([120.0, 900.0, 5000.0]))
    for corner, hz in enumerate((120.0, 900.0, 5000.0)):
        low, high = spectra[corner : corner + 2, round(hz * FRAMES / RATE)]
        assert 20 * np.log10(np.abs([low, high])) == pytest.approx([-6.0, -6.0], abs=0.2)
        assert abs(np.angle(low / high)) < 0.05


def test_a_corner_beyond_the_rate_is_left_out() -> None:
    assert Crossover([120.0, 900.0, 5000.0], 8000, 2).bands == 3
