import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from mixagent.pipeline.measure.features import FEATURE_NAMES, describe, describe_song, percentiles
from mixagent.pipeline.types import Audio

RATE = 44100


def noise(seconds: float = 2.0, seed: int = 0, width: float = 0.5) -> Audio:
    """Decorrelated channels of falling noise with a slow beat, as different from each other as `width`."""
    random = np.random.default_rng(seed)
    mid, side = random.standard_normal((2, round(seconds * RATE)))
    beat = 0.3 + np.abs(np.sin(np.pi * 2 * np.arange(mid.size) / RATE))
    both = np.stack([mid + width * side, mid - width * side]) * beat
    pink = signal.lfilter([1.0], [1.0, -0.9], both)
    return Audio(np.asarray(0.1 * pink / np.abs(pink).max(), np.float32), RATE)


def features(audio: Audio) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, describe(audio).tolist(), strict=True))


def filtered(audio: Audio, sections: np.ndarray) -> Audio:
    return Audio(signal.sosfilt(sections, audio.samples).astype(np.float32), audio.rate)


def test_there_is_one_name_for_each_feature() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)
    vector = describe(noise())
    assert vector.shape == (len(FEATURE_NAMES),)
    assert vector.dtype == np.float32


@pytest.mark.parametrize("gain_db", [-30.0, -6.0, 12.0])
def test_level_changes_nothing(gain_db: float) -> None:
    audio = noise()
    louder = Audio(audio.samples * np.float32(10 ** (gain_db / 20)), RATE)
    np.testing.assert_allclose(describe(louder), describe(audio), atol=0.01)


@pytest.mark.parametrize("frames", [0, 1, 1000, round(0.4 * RATE), RATE])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_length_is_described_in_finite_numbers(frames: int, channels: int) -> None:
    assert np.isfinite(describe(Audio(noise().samples[:channels, :frames], RATE))).all()


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000, 192000])
def test_any_rate_is_described_in_finite_numbers(rate: int) -> None:
    assert np.isfinite(describe(Audio(noise().samples, rate))).all()


@given(
    level=st.floats(-1.0, 1.0, width=32),
    second=st.floats(-1.0, 1.0, width=32),
    every=st.integers(1, 5000),
)
@settings(max_examples=20, deadline=None)
def test_odd_signals_are_described_in_finite_numbers(level: float, second: float, every: int) -> None:
    samples = np.zeros((2, RATE // 2), np.float32)
    samples[0, ::every], samples[1, 1::every] = level, second
    assert np.isfinite(describe(Audio(samples, RATE))).all()


def test_silence_is_described_the_same_in_mono_and_stereo() -> None:
    mono, stereo = (describe(Audio(np.zeros((n, RATE), np.float32), RATE)) for n in (1, 2))
    np.testing.assert_array_equal(mono, stereo)


def test_mono_is_two_equal_channels() -> None:
    mono = noise().samples[:1]
    both = describe(Audio(np.repeat(mono, 2, axis=0), RATE))
    # Percentiles are interpolated between one channel's windows, or between both channels' alike ones.
    np.testing.assert_allclose(describe(Audio(mono, RATE)), both, atol=1.0)
    assert dict(zip(FEATURE_NAMES, both, strict=True))["correlation"] == pytest.approx(20.0, abs=0.01)


def test_tone_has_the_slope_of_its_filter() -> None:
    audio = noise(4.0)
    bell = signal.tf2sos(*signal.iirpeak(1000.0, 2.0, fs=RATE))
    response = signal.sosfreqz(bell, [250.0, 1000.0], fs=RATE)[1]
    before, after = features(audio), features(filtered(audio, bell))
    change = {hz: after[f"tone_{hz}hz"] - before[f"tone_{hz}hz"] for hz in (250, 1000)}
    expected = -20 * np.log10(abs(response[0]))
    assert change[1000] - change[250] == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize(("gain_db"), [-6.0, 3.0])
def test_width_follows_the_side(gain_db: float) -> None:
    narrow, wide = features(noise(width=0.4)), features(noise(width=0.4 * 10 ** (gain_db / 20)))
    for hz in (500, 1000, 4000):
        assert wide[f"width_{hz}hz"] - narrow[f"width_{hz}hz"] == pytest.approx(gain_db, abs=0.3)


@pytest.mark.parametrize("lean_db", [-6.0, 4.0])
def test_lean_is_right_over_left(lean_db: float) -> None:
    audio = noise()
    gains = np.array([[10 ** (-lean_db / 40)], [10 ** (lean_db / 40)]], np.float32)
    straight, leaning = features(audio), features(Audio(audio.samples * gains, RATE))
    for name in ("lean", "lean_1000hz", "lean_4000hz"):
        assert leaning[name] - straight[name] == pytest.approx(lean_db, abs=0.4)
    assert leaning["lean_abs"] == pytest.approx(abs(leaning["lean"]), abs=1e-4)


def test_opposite_channels_are_all_side() -> None:
    left = noise().samples[:1]
    opposed = features(Audio(np.concatenate([left, -left]), RATE))
    assert opposed["correlation"] == pytest.approx(-20.0, abs=0.01)
    assert opposed["width_1000hz"] == pytest.approx(20.0)


def test_crest_is_peak_over_rms() -> None:
    sine = np.sin(2 * np.pi * 1000 / RATE * np.arange(RATE))
    measured = features(Audio(np.tile(sine, (2, 1)).astype(np.float32), RATE))
    for name in ("crest", "crest_400ms_p50", "crest_10ms_p50"):
        assert measured[name] == pytest.approx(20 * np.log10(2**0.5), abs=0.05)


def test_clipping_gathers_samples_near_the_peak() -> None:
    audio = noise()
    ceiling = np.float32(0.3 * np.abs(audio.samples).max())
    before, after = features(audio), features(Audio(np.clip(audio.samples, -ceiling, ceiling), RATE))
    share = np.mean(np.abs(audio.samples) >= ceiling)
    assert after["near_peak_0.1db"] == pytest.approx(10 * np.log10(share), abs=0.5)
    assert after["near_peak_0.1db"] > before["near_peak_0.1db"] + 10
    assert after["crest_50ms_p90"] < before["crest_50ms_p90"] - 1


def test_a_steady_line_in_the_highs_stands_out() -> None:
    audio = noise(4.0)
    line = 0.003 * np.sin(2 * np.pi * 9000 / RATE * np.arange(audio.frames))
    before = features(audio)
    after = features(Audio(audio.samples + line.astype(np.float32), RATE))
    assert before["line_1"] < 8.0
    assert after["line_1"] > before["line_1"] + 6.0


def test_a_static_gap_has_its_depth() -> None:
    audio = noise(4.0)
    stop = signal.butter(6, [3000.0, 3900.0], "bandstop", fs=RATE, output="sos")
    before, after = features(audio), features(filtered(audio, stop))
    assert before["gap_1"] < 4.0
    assert after["gap_1"] > 15.0
    assert after["gap_2"] < 6.0


@pytest.mark.parametrize("cutoff_hz", [5000.0, 9000.0])
def test_the_cut_off_is_where_the_spectrum_ends(cutoff_hz: float) -> None:
    low_pass = signal.cheby2(12, 70.0, cutoff_hz * 1.05, fs=RATE, output="sos")
    after = features(filtered(noise(4.0), low_pass))
    assert 16000.0 * 2 ** (after["cut_off"] / 10) == pytest.approx(cutoff_hz, rel=0.1)
    assert after["cliff"] > 30.0


def test_gating_deepens_the_movement() -> None:
    audio = noise(4.0)
    gate = (np.arange(audio.frames) // (RATE // 8) % 2).astype(np.float32)
    before, after = features(audio), features(Audio(audio.samples * (0.01 + gate), RATE))
    assert after["punch_800-4000hz_p2"] < before["punch_800-4000hz_p2"] - 10
    assert after["level_800-4000hz_p5"] < before["level_800-4000hz_p5"] - 10
    assert after["modulation_2-4hz_800-4000hz"] > before["modulation_2-4hz_800-4000hz"] + 6


def test_a_song_is_the_mean_of_its_sounding_segments() -> None:
    first, second = noise(1.0, seed=1), noise(1.0, seed=2)
    silence = np.zeros((2, RATE), np.float32)
    song = Audio(np.concatenate([first.samples, silence, second.samples], axis=1), RATE)
    expected = (describe(first) + describe(second)) / 2
    np.testing.assert_allclose(describe_song(song, 3, 1.0), expected, atol=1e-3)


@pytest.mark.parametrize("frames", [0, 100, RATE])
def test_a_song_shorter_than_a_segment_is_described_whole(frames: int) -> None:
    short = Audio(noise().samples[:, :frames], RATE)
    np.testing.assert_allclose(describe_song(short), describe(short), atol=1e-6)


def test_describing_again_gives_the_same_bytes() -> None:
    audio = noise()
    assert describe(audio).tobytes() == describe(audio).tobytes()


@given(count=st.integers(1, 200), percent=st.floats(0.0, 100.0))
def test_percentiles_are_numpys(count: int, percent: float) -> None:
    values = np.random.default_rng(count).standard_normal((3, count)).astype(np.float32)
    expected = np.percentile(values, (percent, 50.0), axis=-1)
    np.testing.assert_allclose(percentiles(values, (percent, 50.0)), expected, atol=1e-5)
