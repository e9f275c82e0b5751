"""The extension: one envelope across the end, falling, following the song, and nothing where nothing ends."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.measure.highs import measure_highs
from mixagent.pipeline.render import premaster
from mixagent.pipeline.restoration.extension import extension
from mixagent.pipeline.types import Audio, FloatArray, Stems, collect
from tests.highs import RATE, brick_wall, bright_music, butterworth, through_mp3


def extended(samples: FloatArray, from_hz: float | None = None, gain_db: float = 0.0) -> FloatArray:
    """The samples extended from their measured end, or as a setting of `from_hz` has it."""
    audio = Audio(samples, RATE)
    highs = measure_highs(audio)
    made = extension(from_hz or highs.end_hz, gain_db, RATE, audio.channels, highs)
    return collect(process_blocks(audio, [made] if made else []), RATE, audio.channels).samples


def curve_db(samples: FloatArray, per_octave: int = 12) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Density in dB at points from 2 to 18.5 kHz, smoothed over a step."""
    hz, power = signal.welch(samples, RATE, nperseg=4096)
    power = power.sum(axis=0)
    at = 2000 * 2 ** (np.arange(int(per_octave * np.log2(9.25)) + 1) / per_octave)
    reach = 2 ** (0.5 / per_octave)
    levels = [power[(hz >= f / reach) & (hz < f * reach)].mean() for f in at]
    return at, 10 * np.log10(np.array(levels) + 1e-20)


@pytest.mark.parametrize("end_hz", [4000.0, 5600.0, 8000.0, 11000.0, 13000.0, 14900.0])
@pytest.mark.parametrize("cut", [brick_wall, butterworth])
def test_there_is_neither_a_notch_nor_a_bump_at_the_seam_and_nothing_rises(cut, end_hz: float) -> None:
    original = bright_music(slope_db=-12.0)
    hz, before = curve_db(original)
    _, after = curve_db(extended(cut(original, end_hz)))
    seam = (hz > end_hz * 2**-0.2) & (hz < end_hz * 2**0.2)
    assert np.abs(after - before)[seam].max() < 4.0
    falling = after[(hz > end_hz * 2**-0.5) & (hz < 18000)]
    assert np.diff(falling).min() > -5.0
    assert (falling - np.minimum.accumulate(falling)).max() < 1.5


def test_the_air_through_a_real_codec_meets_what_was_lost() -> None:
    original = bright_music(slope_db=-12.0)
    decoded = through_mp3(original, 0.85)
    end_hz = measure_highs(Audio(decoded, RATE)).end_hz
    hz, before = curve_db(original)
    lost, after = (curve_db(samples)[1] - before for samples in (decoded, extended(decoded)))
    above = (hz > end_hz * 1.05) & (hz < 17500)
    assert lost[above].mean() < -20
    assert np.abs(after[above]).mean() < 8


def test_the_air_follows_the_level_of_the_song_in_time() -> None:
    loud = np.repeat([1.0, 0.1] * 3, RATE).astype(np.float32)
    samples = brick_wall(bright_music(), 9000.0) * loud
    after = extended(samples)
    air = signal.sosfilt(signal.butter(8, 10500, "high", fs=RATE, output="sos"), after)
    level_db = 10 * np.log10((air.reshape(2, 6, RATE)[:, :, RATE // 5 :] ** 2).mean(axis=(0, 2)))
    assert level_db[::2].mean() - level_db[1::2].mean() == pytest.approx(20.0, abs=1.5)


def test_blips_above_the_end_are_lowered_into_the_air() -> None:
    samples = brick_wall(bright_music(), 11000.0)
    time = np.arange(samples.shape[1]) / RATE
    with_blips = samples.copy()
    for start in np.arange(0.5, 5.5, 0.35):
        inside = (time >= start) & (time < start + 0.03)
        with_blips[:, inside] += (0.003 * np.sin(2 * np.pi * 15000 * time[inside])).astype(np.float32)
    hz, clean = curve_db(extended(samples), 24)
    _, untouched = curve_db(with_blips, 24)
    _, after = curve_db(extended(with_blips), 24)
    near = (hz > 12500) & (hz < 17500)
    assert (untouched - clean)[near].max() > 10
    assert np.abs(after - clean)[near].max() < 6


def test_a_song_whose_highs_do_not_end_comes_back_bit_for_bit() -> None:
    space = ParameterSpace.for_stems(())
    wide = Audio(bright_music(3.0, -9.0), RATE)
    for from_hz in (6000.0, 11000.0, 16000.0, 20000.0):
        settings = space.settings({"master.extend_from_hz": from_hz})
        after = premaster(Stems(wide, {}), settings)
        assert after.read(0, wide.frames).tobytes() == wide.samples.tobytes()


def test_highs_that_end_where_finished_musics_do_are_extended_only_where_that_is_asked_for() -> None:
    samples = brick_wall(bright_music(), 16500.0)
    assert np.array_equal(extended(samples, 11000.0), samples)
    assert not np.array_equal(extended(samples, 16000.0), samples)


def test_half_of_the_way_to_neutral_is_half_of_the_air_and_opens_no_gap() -> None:
    original = brick_wall(bright_music(slope_db=-12.0), 9000.0)
    end_hz = measure_highs(Audio(original, RATE)).end_hz
    hz, whole = curve_db(extended(original))
    _, half = curve_db(extended(original, (end_hz * 22050.0) ** 0.5))
    above = (hz > end_hz * 1.25) & (hz < 17500)
    np.testing.assert_allclose((half - whole)[above], -20 * np.log10(2), atol=1.0)


def test_a_gain_never_makes_the_envelope_rise() -> None:
    hz, after = curve_db(extended(brick_wall(bright_music(slope_db=-12.0), 8000.0), gain_db=12.0))
    above = after[(hz > 8000) & (hz < 18000)]
    assert (above - np.minimum.accumulate(above)).max() < 1.5


def test_each_side_has_its_own_level_and_silence_stays_silent() -> None:
    samples = brick_wall(bright_music(), 9000.0)
    samples[1] *= 0.1
    left, right = (curve_db(side[None])[1] for side in extended(samples))
    hz = curve_db(samples)[0]
    assert (left - right)[hz > 10500].mean() == pytest.approx(20.0, abs=1.5)
    samples[1] = 0.0
    assert not extended(samples)[1].any()
