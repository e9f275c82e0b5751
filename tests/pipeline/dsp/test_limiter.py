"""The limiter's promises: the ceiling by two meters, transparency under it, and the image kept."""

import numpy as np
import pyebur128
import pytest
from scipy.signal import firwin, resample_poly

from mixagent.pipeline.dsp.limiter import LEFT_TO_CORRECTIONS_DB, MARGIN_DB, TruePeakLimiter
from mixagent.pipeline.dsp.oversampling import METERS_DISAGREE
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.types import Audio, collect

RATE = 44100
CEILING_DBTP = -1.0
METER_TAPS = firwin(2 * 256 * 8 + 1, 1 / 8, window=("kaiser", 8.0))


def limited(samples, size=1 << 17, ceiling_dbtp=CEILING_DBTP):
    limiter = TruePeakLimiter(RATE, samples.shape[0], ceiling_dbtp)
    return collect(process_blocks(Audio(samples, RATE), [limiter], size), RATE, samples.shape[0]).samples


def libebur128_dbtp(samples):
    state = pyebur128.R128State(samples.shape[0], RATE, pyebur128.MeasurementMode.MODE_TRUE_PEAK)
    state.add_frames(np.ascontiguousarray(samples.T, np.float64).ravel(), samples.shape[1])
    peak = max(pyebur128.get_true_peak(state, channel) for channel in range(samples.shape[0]))
    return 20 * np.log10(peak + 1e-12)


def eightfold_dbtp(samples):
    between = resample_poly(samples.astype(np.float64), 8, 1, axis=-1, window=METER_TAPS)
    return 20 * np.log10(np.abs(between).max() + 1e-12)


def scipy_dbtp(samples):
    return 20 * np.log10(np.abs(resample_poly(samples.astype(np.float64), 8, 1, axis=-1)).max() + 1e-12)


def stereo(mono):
    return np.stack([mono, 0.9 * mono]).astype(np.float32)


def tone(share_of_rate, phase_degrees=0.0, frames=RATE):
    return np.sin(2 * np.pi * share_of_rate * np.arange(frames) + np.radians(phase_degrees))


def drums():
    rng, out = np.random.default_rng(3), np.zeros(RATE)
    for start in range(0, RATE, RATE // 4):
        time = np.arange(min(8000, RATE - start))
        out[start : start + time.size] += 2 * rng.standard_normal(time.size) * np.exp(-time / 600)
        out[start : start + time.size] += np.sin(2 * np.pi * 60 / RATE * time) * np.exp(-time / 4000)
    return out


def impulses(period):
    out = np.zeros(RATE)
    out[50::period] = 2.0
    return out


def click():
    out = 0.1 * tone(440 / RATE)
    out[RATE // 2] = 4.0
    return out


def adversarial():
    rng = np.random.default_rng(1)
    signals = {f"fs4-{phase}": 1.4 * tone(0.25, phase) for phase in (0, 22.5, 45, 67.5)}
    signals |= {f"impulses-{period}": impulses(period) for period in (7, 100, 4410)}
    signals |= {f"square-{hz}": 1.5 * np.sign(tone(hz / RATE, 5)) for hz in (50, 440, 5000)}
    signals["noise"] = rng.uniform(-1, 1, RATE)
    signals["clipped"] = np.clip(0.8 * rng.standard_normal(RATE), -1, 1)
    signals["click"] = click()
    signals["drums"] = drums()
    signals["dc"] = np.full(RATE, 1.3)
    signals["silence"] = np.zeros(RATE)
    return signals


@pytest.mark.parametrize("name", adversarial())
def test_the_ceiling_holds_by_libebur128_and_by_two_eightfold_meters(name):
    out = limited(stereo(adversarial()[name]))
    assert libebur128_dbtp(out) <= CEILING_DBTP
    assert eightfold_dbtp(out) <= CEILING_DBTP
    assert scipy_dbtp(out) <= CEILING_DBTP


def test_a_signal_under_the_ceiling_comes_out_bit_for_bit():
    quiet = stereo(0.3 * tone(997 / RATE))
    assert np.array_equal(limited(quiet), quiet)


def test_it_is_bit_exact_again_after_a_peak():
    samples = stereo(click())
    assert np.array_equal(limited(samples)[:, : RATE // 4], samples[:, : RATE // 4])
    late = np.concatenate([samples, np.zeros((2, 6 * RATE), np.float32), samples[:, : RATE // 4]], axis=1)
    assert np.array_equal(limited(late)[:, -RATE // 4 :], late[:, -RATE // 4 :])


@pytest.mark.parametrize("size", [97, 3584, 5000])
def test_the_output_does_not_depend_on_the_blocks(size):
    samples = stereo(drums())
    assert np.array_equal(limited(samples, size), limited(samples))


def test_both_channels_get_the_same_gain():
    left, right = 2.0 * tone(440 / RATE), 0.25 * tone(440 / RATE)
    out = limited(np.stack([left, right]).astype(np.float32))
    np.testing.assert_allclose(out[0], 8.0 * out[1], atol=1e-6)


def test_a_peak_stays_where_it_was():
    samples = np.zeros((1, RATE), np.float32)
    samples[0, 20000] = 3.0
    out = limited(samples)
    assert out.shape == samples.shape
    assert np.argmax(np.abs(out)) == 20000
    # A lone sample is its own true peak. Its spectrum reaches the Nyquist frequency, so all of the room
    # for meters that disagree there is kept free beside the margin, and no more than that.
    lowest = 10 ** ((CEILING_DBTP - MARGIN_DB) / 20) / (1 + METERS_DISAGREE)
    assert lowest * (1 - 1e-5) <= out[0, 20000] <= 10 ** (CEILING_DBTP / 20)


def test_a_peak_below_the_nyquist_region_comes_out_at_the_ceiling():
    """A 500 Hz burst, on which meters agree: only the margin and the first stage's room are kept free."""
    burst = 2.0 * np.hanning(RATE) * tone(500 / RATE)
    out = limited(stereo(burst))
    aim_dbtp = CEILING_DBTP - MARGIN_DB - LEFT_TO_CORRECTIONS_DB
    assert libebur128_dbtp(out) == pytest.approx(aim_dbtp, abs=0.005)


def test_the_edges_of_a_song_that_starts_and_ends_at_full_level_stay_under_the_ceiling():
    """Silence surrounds a song: what its abrupt ends ring between the samples counts, and is limited."""
    out = np.pad(limited(stereo(1.5 * np.cos(2 * np.pi * 0.2 * np.arange(RATE // 4)))), ((0, 0), (600, 600)))
    assert eightfold_dbtp(out) <= CEILING_DBTP
    assert scipy_dbtp(out) <= CEILING_DBTP


def test_a_low_note_is_turned_down_and_not_bent():
    """The gain holds through the waves of 41 Hz, the lowest note of a bass."""
    frames = 4 * RATE
    out = limited(stereo(2.0 * tone(41 / RATE, frames=frames)))[0, RATE:].astype(np.float64)
    power = np.abs(np.fft.rfft(out * np.blackman(out.size))) ** 2
    line = [power[round(41 * k * out.size / RATE) - 4 :][:9].sum() for k in range(1, 12)]
    assert 10 * np.log10(sum(line[1:]) / line[0]) < -80.0


@pytest.mark.parametrize("rate", [8000, 22050, 96000, 192000])
def test_the_ceiling_holds_at_other_rates(rate):
    rng = np.random.default_rng(4)
    source = Audio(rng.standard_normal((1, rate // 2)).astype(np.float32), rate)
    limiter = TruePeakLimiter(rate, 1, CEILING_DBTP)
    assert eightfold_dbtp(collect(process_blocks(source, [limiter]), rate, 1).samples) <= CEILING_DBTP


def test_the_same_input_gives_the_same_bytes():
    samples = stereo(drums())
    assert limited(samples).tobytes() == limited(samples).tobytes()
