"""What a phone leaves out: lows and treble, never the middle."""

import numpy as np
import pytest
from scipy import signal

from mixagent.pipeline.audio import Audio
from mixagent.pipeline.speakers import phone_loss_lu

RATE = 44_100


def tone(hz: float, rate: int = RATE, right: float = 1.0) -> Audio:
    wave = 0.2 * np.sin(2 * np.pi * hz * np.arange(2 * rate) / rate)
    return Audio(np.stack([wave, right * wave]).astype(np.float32), rate)


@pytest.mark.parametrize("hz", [100.0, 300.0, 1000.0, 8000.0, 12000.0])
def test_a_tone_loses_what_butterworths_band_takes_of_it(hz):
    bands = [
        signal.butter(4, corner, kind, fs=RATE) for corner, kind in ((300, "highpass"), (8000, "lowpass"))
    ]
    power = np.prod([abs(signal.freqz(*band, worN=[hz], fs=RATE)[1][0]) ** 2 for band in bands])
    assert phone_loss_lu(tone(hz)) == pytest.approx(-10 * np.log10(power), abs=0.5)


def test_the_loss_does_not_count_what_mono_loses():
    assert phone_loss_lu(tone(1000.0, right=-0.5)) == pytest.approx(phone_loss_lu(tone(1000.0)), abs=1e-3)


def test_a_rate_below_the_band_has_no_treble_to_lose():
    assert phone_loss_lu(tone(2000.0, rate=8000)) == pytest.approx(0.0, abs=0.05)


def test_silence_and_what_mono_cancels_lose_nothing():
    assert phone_loss_lu(Audio(np.zeros((2, RATE), np.float32), RATE)) == 0.0
    assert phone_loss_lu(tone(500.0, right=-1.0)) == 0.0
