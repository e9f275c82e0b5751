"""Bands that blink: filled while they are away, and left alone while they are there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from mixagent.pipeline.diagnosis.diagnose import diagnose
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.blinks import measure_blinks
from mixagent.pipeline.restoration.blinks import DEEPEST_DB, BlinkFiller
from mixagent.pipeline.types import Audio, FloatArray, collect
from tests.highs import RATE, bright_music

LOW_HZ, HIGH_HZ = 12000.0, 15500.0
SPANS_S = [(0.55 + 0.47 * k, 0.55 + 0.47 * k + 0.06 + 0.015 * (k % 5)) for k in range(11)]


def blinking(samples: FloatArray, low_hz: float = LOW_HZ, high_hz: float = HIGH_HZ) -> FloatArray:
    """The samples without a band in each of `SPANS_S`, faded over 4 ms."""
    frames = samples.shape[1]
    away = np.zeros(frames)
    for start, stop in SPANS_S:
        away[round(start * RATE) : round(stop * RATE)] = 1.0
    fade = np.hanning(round(0.004 * RATE))
    away = np.convolve(away, fade / fade.sum(), "same")
    hz = np.fft.rfftfreq(frames, 1 / RATE)
    band = np.fft.irfft(np.fft.rfft(samples) * ((hz > low_hz) & (hz < high_hz)), frames)
    return (samples - band * away).astype(np.float32)


def filled(samples: FloatArray, most_db: float = DEEPEST_DB, size: int = 1 << 17) -> FloatArray:
    audio = Audio(samples, RATE)
    filler = BlinkFiller(measure_blinks(audio), most_db, RATE, audio.channels)
    return collect(process_blocks(audio, [filler], size), RATE, audio.channels).samples


def levels_db(samples: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times, and the level of three parts of the blinking band at each of them."""
    hz, times, spectra = signal.stft(samples, RATE, nperseg=1024, noverlap=768)
    power = (np.abs(spectra) ** 2).sum(axis=0)
    edges = np.geomspace(LOW_HZ * 1.03, HIGH_HZ * 0.97, 4)
    parts = [power[(hz >= low) & (hz < high)].mean(axis=0) for low, high in itertools.pairwise(edges)]
    return times, 10 * np.log10(np.array(parts) + 1e-20)


def away_at(times: NDArray[np.float64], inner_s: float) -> NDArray[np.bool_]:
    """Whether the band is away at each time, `inner_s` inside of the edges (outside of them if negative)."""
    return np.any([(times > a + inner_s) & (times < b - inner_s) for a, b in SPANS_S], axis=0)


def test_the_band_has_its_level_again_while_it_is_away() -> None:
    original = bright_music()
    times, truth = levels_db(original)
    damaged = blinking(original)
    gone, back = (levels_db(samples)[1] - truth for samples in (damaged, filled(damaged)))
    inside = away_at(times, 0.015)
    assert gone[:, inside].mean() < -25
    assert abs(back[:, inside].mean()) < 3.5
    assert np.abs(back[:, inside]).mean() < 5


def test_nothing_is_added_while_it_is_there_nor_in_other_bands() -> None:
    gone = blinking(bright_music())
    added = filled(gone) - gone
    times = np.arange(added.shape[1]) / RATE
    there = ~away_at(times, -0.06)
    assert np.sqrt((added[:, there] ** 2).mean()) < 1e-3 * np.sqrt((gone**2).mean())
    hz = np.fft.rfftfreq(added.shape[1], 1 / RATE)
    power = (np.abs(np.fft.rfft(added)) ** 2).sum(axis=0)
    assert power[(hz < 10500) | (hz > 17000)].sum() < 0.01 * power.sum()


def test_music_without_blinks_comes_back_bit_for_bit() -> None:
    random = np.random.default_rng(0)
    time = np.arange(6 * RATE) / RATE
    hats = np.exp(-(time % 0.125) / 0.012) * random.standard_normal((2, time.size)) * 0.05
    gated = bright_music() * (time % 0.4 < 0.3)
    for samples in (bright_music(), bright_music() + hats, gated):
        samples = samples.astype(np.float32)
        assert not measure_blinks(Audio(samples, RATE)).found
        np.testing.assert_array_equal(filled(samples), samples)


def test_no_more_is_added_than_allowed() -> None:
    gone = blinking(bright_music())
    times, before = levels_db(gone)
    inside = away_at(times, 0.015)
    whole, some = (levels_db(filled(gone, most_db))[1][:, inside].mean() for most_db in (48.0, 12.0))
    assert before[:, inside].mean() < some < whole - 10


def test_the_result_does_not_depend_on_the_block_size() -> None:
    gone = blinking(bright_music())
    np.testing.assert_allclose(filled(gone, size=977), filled(gone), atol=1e-6)


def test_the_finding_afterwards_is_that_of_the_original() -> None:
    original = bright_music(slope_db=-6.0)

    def away(samples: FloatArray) -> float:
        audio = Audio(samples, RATE)
        holes = diagnose(audio, analyse(audio)).finding("holes")
        assert holes is not None
        return holes.values.get("away_share", 0.0)

    gone = blinking(original)
    assert away(original) == 0.0
    assert away(gone) > 0.05
    assert away(filled(gone)) < 0.01


@pytest.mark.parametrize(("channels", "rate"), [(1, 44100), (2, 8000), (2, 96000)])
def test_mono_and_other_rates_keep_their_shape(channels: int, rate: int) -> None:
    audio = Audio(bright_music(1.5, rate=rate)[:channels], rate)
    filler = BlinkFiller(measure_blinks(audio), 48.0, rate, channels)
    assert collect(process_blocks(audio, [filler]), rate, channels).samples.shape == audio.samples.shape
