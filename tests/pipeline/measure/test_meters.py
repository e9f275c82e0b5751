"""The EBU cases of Tech 3341 and Tech 3342, and agreement with libebur128."""

import math

import numpy as np
import pyebur128
import pytest

from mixagent.pipeline.measure.meters import (
    EnergyMeter,
    LoudnessMeter,
    PeakMeter,
    integrated_lufs,
    k_weighting,
    measure,
    true_peak_dbtp,
)
from mixagent.pipeline.types import Audio

RATE = 48000


def tones(*levels, channels=2, rate=RATE):
    """1 kHz at each (dBFS or one dBFS a channel, seconds) in turn, phase running through."""
    gains = [
        np.repeat(np.broadcast_to(10 ** (np.asarray(dbfs, float) / 20), channels)[:, None], n, axis=1)
        for dbfs, n in ((dbfs, round(seconds * rate)) for dbfs, seconds in levels)
    ]
    gain = np.concatenate(gains, axis=1)
    carrier = np.sin(2 * np.pi * 1000 * np.arange(gain.shape[1]) / rate)
    return Audio((gain * carrier).astype(np.float32), rate)


def coloured_noise(rate, channels, seconds=8.0, seed=1):
    """Pink-like noise whose level wanders by 12 dB, channels alike but not the same."""
    rng = np.random.default_rng(seed)
    n = round(rate * seconds)
    spectrum = np.fft.rfft(rng.standard_normal((channels, n)) + rng.standard_normal(n))
    spectrum /= np.sqrt(np.arange(spectrum.shape[1]) + 20.0)
    samples = np.fft.irfft(spectrum, n) * 10 ** (0.3 * np.sin(np.arange(n) / rate * 1.1))
    return Audio((0.7 * samples / np.abs(samples).max()).astype(np.float32), rate)


def drums_and_chords(rate, channels, seconds=8.0):
    """Decaying noise bursts over sawtooth chords, clipped here and there like a hot master."""
    rng = np.random.default_rng(5)
    t = np.arange(round(rate * seconds)) / rate
    chord = sum(((t * hz) % 1.0) - 0.5 for hz in (110.0, 138.6, 164.8)) * (0.2 + 0.1 * (t % 4 > 2))
    burst = rng.standard_normal((channels, t.size)) * np.exp(-((t % 0.5) / 0.03))
    return Audio(np.clip(chord + burst, -0.98, 0.98).astype(np.float32), rate)


def by_libebur128(audio):
    """Integrated loudness, range, sample peak and true peak by libebur128."""
    mode = pyebur128.MeasurementMode
    state = pyebur128.R128State(
        audio.channels, audio.rate, mode.MODE_I | mode.MODE_LRA | mode.MODE_TRUE_PEAK | mode.MODE_SAMPLE_PEAK
    )
    state.add_frames(np.ascontiguousarray(audio.samples.T).ravel(), audio.frames)
    channels = range(audio.channels)
    return (
        pyebur128.get_loudness_global(state),
        pyebur128.get_loudness_range(state),
        20 * math.log10(max(pyebur128.get_sample_peak(state, c) for c in channels)),
        20 * math.log10(max(pyebur128.get_true_peak(state, c) for c in channels)),
    )


def test_k_weighting_at_48_khz_is_the_table_of_bs1770():
    expected = [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
    np.testing.assert_allclose(k_weighting(48000), expected, rtol=0, atol=1e-11)


TECH_3341 = {
    1: ((-23, 20),),
    2: ((-33, 20),),
    3: ((-36, 10), (-23, 60), (-36, 10)),
    4: ((-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)),
    5: ((-26, 20), (-20, 20.1), (-26, 20)),
}


@pytest.mark.parametrize("case", TECH_3341)
def test_ebu_tech_3341_integrated_loudness(case):
    expected = -33.0 if case == 2 else -23.0
    loudness = measure(tones(*TECH_3341[case]))
    assert loudness.integrated_lufs == pytest.approx(expected, abs=0.1)
    if case < 3:
        assert loudness.short_term_max_lufs == pytest.approx(expected, abs=0.1)
        assert loudness.momentary_max_lufs == pytest.approx(expected, abs=0.1)


def test_ebu_tech_3341_case_6_weights_five_channels():
    source = tones(((-28, -28, -24, -30, -30), 20), channels=5)
    assert integrated_lufs(source) == pytest.approx(-23.0, abs=0.1)


def test_the_lfe_of_5_1_does_not_count():
    without = tones(((-28, -28, -24, -30, -30), 5), channels=5)
    with_lfe = np.insert(without.samples, 3, without.samples[2], axis=0)
    assert integrated_lufs(Audio(with_lfe, RATE)) == pytest.approx(integrated_lufs(without), abs=1e-9)


def test_ebu_tech_3341_case_9_short_term_is_constant():
    short_term = measure(tones(*[(-20, 1.34), (-30, 1.66)] * 5)).short_term_lufs
    assert short_term.size == 121
    np.testing.assert_allclose(short_term, -23.0, atol=0.1)


@pytest.mark.parametrize(
    ("case", "divisor", "amplitude", "phase_deg", "expected"),
    [
        (15, 4, 0.50, 0.0, -6.0),
        (16, 4, 0.50, 45.0, -6.0),
        (17, 6, 0.50, 60.0, -6.0),
        (18, 8, 0.50, 67.5, -6.0),
        (19, 4, 1.41, 45.0, 3.0),
    ],
)
def test_ebu_tech_3341_true_peak(case, divisor, amplitude, phase_deg, expected):
    n = np.arange(RATE)
    fade = np.minimum(1.0, np.minimum(n, n[::-1]) / 1000)
    sine = amplitude * fade * np.sin(2 * np.pi * n / divisor + math.radians(phase_deg))
    peak = true_peak_dbtp(Audio(np.stack([sine, sine]).astype(np.float32), RATE))
    assert expected - 0.4 <= peak <= expected + 0.2


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((-20, -30), 10),
        ((-20, -15), 5),
        ((-40, -20), 20),
        ((-50, -35, -20, -35, -50), 15),
    ],
)
def test_ebu_tech_3342_loudness_range(levels, expected):
    source = tones(*((level, 20) for level in levels))
    assert measure(source).range_lu == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 88200, 96000, 192000])
@pytest.mark.parametrize("signal", [coloured_noise, drums_and_chords])
def test_agrees_with_libebur128(signal, rate, channels):
    audio = signal(rate, channels)
    lufs, range_lu, sample_peak, true_peak = by_libebur128(audio)
    ours = measure(audio)
    assert ours.integrated_lufs == pytest.approx(lufs, abs=0.02)
    assert ours.range_lu == pytest.approx(range_lu, abs=0.02)
    assert ours.sample_peak_dbfs == pytest.approx(sample_peak, abs=1e-5)
    assert ours.true_peak_dbtp == pytest.approx(true_peak, abs=0.1)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_true_peak_of_a_band_limited_signal_is_that_of_its_fine_interpolation(rate):
    rng = np.random.default_rng(3)
    n = 1 << 14
    spectrum = np.zeros(n // 2 + 1, complex)
    band = slice(100, int(n * 0.35))
    spectrum[band] = np.exp(2j * np.pi * rng.random(band.stop - band.start))
    fine = np.fft.irfft(spectrum, 16 * n)
    scale = 0.5 / np.abs(fine).max()
    period = np.fft.irfft(spectrum, n) * scale / 16
    audio = Audio(np.tile(period, 3)[None].astype(np.float32), rate)
    assert true_peak_dbtp(audio) == pytest.approx(20 * math.log10(0.5), abs=0.4)


@pytest.mark.parametrize("size", [1, 37, 4410, 65536])
def test_every_figure_is_the_same_whatever_the_blocks(size):
    audio = drums_and_chords(44100, 2, seconds=4.0 if size > 1 else 0.7)
    whole, cut = LoudnessMeter(44100, 2), LoudnessMeter(44100, 2)
    whole.update(audio.samples)
    for start in range(0, audio.frames, size):
        cut.update(audio.samples[:, start : start + size])
    expected, got = whole.loudness(), cut.loudness()
    for name in vars(expected):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)


def test_reading_the_meter_does_not_disturb_it():
    audio = drums_and_chords(44100, 2, seconds=2.0)
    meter = LoudnessMeter(44100, 2)
    for start in range(0, audio.frames, 10000):
        meter.update(audio.samples[:, start : start + 10000])
        meter.loudness()
    assert meter.loudness().true_peak_dbtp == measure(audio).true_peak_dbtp
    assert meter.loudness().integrated_lufs == measure(audio).integrated_lufs


def test_loud_parts_do_not_hide_a_later_higher_peak():
    """Chunks are skipped by a bound: the highest peak is found wherever it stands."""
    rng = np.random.default_rng(11)
    for position in (300, 2000, 7990):
        samples = (0.3 * rng.standard_normal((1, 8000))).clip(-0.5, 0.5).astype(np.float32)
        samples[0, position : position + 2] = 0.9
        audio = Audio(samples, RATE)
        assert true_peak_dbtp(audio) == pytest.approx(by_libebur128(audio)[3], abs=1e-3)


def test_a_peak_at_the_very_end_counts_as_silence_follows():
    samples = np.zeros((1, 100), np.float32)
    samples[0, -2:] = 0.5
    assert true_peak_dbtp(Audio(samples, RATE)) > 20 * math.log10(0.6)


def test_silence_reads_minus_infinity():
    loudness = measure(Audio(np.zeros((2, 5 * RATE), np.float32), RATE))
    assert loudness.integrated_lufs == -math.inf
    assert loudness.momentary_max_lufs == loudness.short_term_max_lufs == -math.inf
    assert loudness.true_peak_dbtp == loudness.sample_peak_dbfs == -math.inf
    assert loudness.range_lu == 0.0


@pytest.mark.parametrize("frames", [0, 1, 19199])
def test_less_than_400_ms_has_no_integrated_loudness(frames):
    audio = Audio(np.full((2, frames), 0.5, np.float32), RATE)
    assert integrated_lufs(audio) == -math.inf
    assert measure(audio).momentary_max_lufs == -math.inf


def test_400_ms_has_an_integrated_loudness():
    assert integrated_lufs(tones((-23, 0.4))) == pytest.approx(-23.0, abs=0.1)


def test_gain_moves_every_level_by_itself():
    audio = coloured_noise(44100, 2)
    before, after = measure(audio), measure(Audio(audio.samples * np.float32(0.5), 44100))
    for name in ("integrated_lufs", "short_term_max_lufs", "true_peak_dbtp", "sample_peak_dbfs"):
        assert getattr(after, name) - getattr(before, name) == pytest.approx(-6.0206, abs=1e-3)
    assert after.range_lu == pytest.approx(before.range_lu, abs=1e-3)


def test_strided_blocks_are_read_like_contiguous_ones():
    audio = coloured_noise(44100, 2, seconds=1.0)
    meter = LoudnessMeter(44100, 2)
    meter.update(np.asfortranarray(audio.samples))
    assert meter.loudness().integrated_lufs == integrated_lufs(audio)
    assert meter.loudness().true_peak_dbtp == true_peak_dbtp(audio)


@pytest.mark.parametrize(
    ("channels", "weights"), [(2, (1, 1)), (3, (1, 1, 1)), (6, (1, 1, 1, 0, 1.41, 1.41))]
)
def test_channels_side_by_side_are_filtered_as_each_alone(channels, weights):
    audio = coloured_noise(44100, channels, seconds=1.0)
    samples = audio.samples.copy()
    samples[0, 20000:] = 0.0
    together = EnergyMeter.k_weighted(44100, channels)
    alone = [EnergyMeter.k_weighted(44100, 1) for _ in range(channels)]
    for start in range(0, samples.shape[1], 7001):
        together.update(samples[:, start : start + 7001])
        for meter, row in zip(alone, samples, strict=True):
            meter.update(row[None, start : start + 7001])
    expected = sum(weight * meter.energies for weight, meter in zip(weights, alone, strict=True))
    np.testing.assert_allclose(together.energies, expected, rtol=1e-12)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="6 channels"):
        LoudnessMeter(48000, 7)
    with pytest.raises(ValueError, match="4000 Hz"):
        LoudnessMeter(2000, 1)
    assert PeakMeter(2000, 1).true_peak_dbtp == -math.inf
