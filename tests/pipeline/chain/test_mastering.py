from typing import Literal

import numpy as np
import pedalboard
import pytest
from scipy import signal

from mixagent.pipeline.chain.mastering import Chain, master_processors
from mixagent.pipeline.chain.parameters import EQ_BANDS, MASTER, ParameterSpace
from mixagent.pipeline.dsp.cascade import Cascade
from mixagent.pipeline.dsp.equaliser import BANDS_HZ, Filter
from mixagent.pipeline.dsp.programme import measure_programme
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.types import Audio, FloatArray, collect

RATE = 44100
SPACE = ParameterSpace.for_stems([])
EFFECTS = {
    "balance_db": {"balance_db": 4.0},
    "low_mid_cut_db": {"low_mid_cut_db": 6.0},
    "shimmer_cut_db": {"shimmer_cut_db": 6.0},
    "resonance_cut_db": {"resonance_cut_db": 18.0},
    "eq": {"eq_low_mid_db": -6.0, "eq_air_db": 3.0},
    "bell": {"bell_1_db": -6.0},
    "extend": {"extend_from_hz": 9000.0},
    "transient": {"transient_attack_db": 6.0, "transient_sustain_db": -3.0},
    "expand_ratio": {"expand_ratio": 1.5},
    "comp": {"comp_ratio": 3.0},
    "width": {"width": 0.4},
    "mono_below_hz": {"mono_below_hz": 120.0},
}


def mastered(samples: FloatArray, size: int = 1 << 17, rate: int = RATE, **values: float) -> FloatArray:
    source = Audio(samples, rate)
    settings = SPACE.settings({f"master.{name}": value for name, value in values.items()})
    chain = master_processors(Chain(settings, rate, source.channels, measure_programme(source)))
    return collect(process_blocks(source, chain, size), rate, source.channels).samples


def noise(seconds: float = 2.0, channels: int = 2, rate: int = RATE, seed: int = 0) -> FloatArray:
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal((channels, int(seconds * rate)))).astype(np.float32)


def level_db(samples: FloatArray, low_hz: float, high_hz: float, rate: int = RATE) -> float:
    hz, power = signal.welch(samples, rate, nperseg=8192)
    chosen = power[:, (hz >= low_hz) & (hz < high_hz)]
    return float(10 * np.log10(chosen.mean() + 1e-20))


def test_neutral_settings_need_no_processor() -> None:
    programme = measure_programme(Audio(noise(0.5), RATE))
    assert master_processors(Chain(SPACE.settings(), RATE, 2, programme)) == []


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("effect", EFFECTS)
def test_output_is_the_same_however_the_input_is_cut(effect: str, channels: int) -> None:
    samples = noise(0.6, channels)
    whole = mastered(samples, **EFFECTS[effect])
    assert whole.shape == samples.shape
    for size in (997, 4096):
        np.testing.assert_allclose(mastered(samples, size, **EFFECTS[effect]), whole, atol=2e-6)


@pytest.mark.parametrize("effect", EFFECTS)
def test_left_and_right_are_treated_alike(effect: str) -> None:
    samples = noise(0.6)
    values = EFFECTS[effect]
    turned = {name: -value if name == "balance_db" else value for name, value in values.items()}
    swapped = mastered(np.ascontiguousarray(samples[::-1]), **turned)[::-1]
    np.testing.assert_allclose(swapped, mastered(samples, **values), atol=2e-6)


@pytest.mark.parametrize("band", range(len(EQ_BANDS)))
def test_each_band_control_changes_its_own_band(band: int) -> None:
    samples = noise(6.0)
    after = mastered(samples, **{f"eq_{EQ_BANDS[band]}_db": -6.0})
    for other, (low, high) in enumerate(BANDS_HZ):
        inner = (high / low) ** 0.15
        edges = (low * inner, high / inner)
        change = level_db(after, *edges) - level_db(samples, *edges)
        assert change == pytest.approx(-6.0 if other == band else 0.0, abs=1.0)


@pytest.mark.parametrize(
    ("kind", "peer"),
    [
        ("low_shelf", pedalboard.LowShelfFilter),
        ("bell", pedalboard.PeakFilter),
        ("high_shelf", pedalboard.HighShelfFilter),
    ],
)
def test_bells_and_shelves_sound_as_pedalboards_and_measure_as_the_cookbook_says(
    kind: Literal["low_shelf", "bell", "high_shelf"], peer: type[pedalboard.Plugin]
) -> None:
    click = np.zeros((1, 1 << 15), np.float32)
    click[0, 0] = 1.0
    hz = np.fft.rfftfreq(1 << 15, 1 / RATE)[8:-8]
    section = Filter(kind, 3000.0, 7.0, 0.9)
    after = Cascade(section.section(RATE)[None], 1).process(click)
    np.testing.assert_allclose(after, peer(3000.0, 7.0, 0.9)(click, RATE), atol=1e-6)
    measured = 20 * np.log10(np.abs(np.fft.rfft(after[0]))[8:-8])
    np.testing.assert_allclose(measured, section.response_db(hz, RATE), atol=1e-3)


def test_low_mid_cut_acts_on_a_boomy_passage_only() -> None:
    samples = noise(8.0)
    boom = signal.sosfilt(signal.butter(2, (200, 500), "band", fs=RATE, output="sos"), samples) * 4
    boomy = samples.copy()
    boomy[:, 3 * RATE : 4 * RATE] += boom[:, 3 * RATE : 4 * RATE].astype(np.float32)
    after = mastered(boomy, low_mid_cut_db=9.0)
    inside, outside = slice(int(3.2 * RATE), 4 * RATE), slice(5 * RATE, 8 * RATE)
    assert level_db(after[:, inside], 220, 450) - level_db(boomy[:, inside], 220, 450) < -4
    assert level_db(after[:, outside], 220, 450) - level_db(boomy[:, outside], 220, 450) > -0.5


def test_attack_raises_the_crest_of_clicks_and_leaves_a_steady_tone() -> None:
    time = np.arange(2 * RATE) / RATE
    hits = np.exp(-((time % 0.25) / 0.06)) * noise(2.0, 1)[0]
    after = mastered(hits[None].astype(np.float32), transient_attack_db=6.0)
    crest = [20 * np.log10(np.abs(x).max() / x.std()) for x in (hits, after)]
    assert crest[1] - crest[0] > 1.0
    tone = (0.3 * np.sin(2 * np.pi * 60 * time))[None].astype(np.float32)
    steady = mastered(tone, transient_attack_db=6.0)[:, RATE:]
    assert 20 * np.log10(steady.std() / tone[:, RATE:].std()) == pytest.approx(0, abs=0.3)


def test_compression_keeps_the_power_and_narrows_the_range() -> None:
    loudness = np.repeat(10 ** (np.array([-12, 0] * 4) / 20), RATE)
    samples = noise(8.0) * loudness.astype(np.float32)
    after = mastered(samples, comp_ratio=4.0, comp_threshold_db=-12.0)
    assert 20 * np.log10(after.std() / samples.std()) == pytest.approx(0, abs=1.0)
    loud, quiet = slice(int(1.3 * RATE), 2 * RATE), slice(int(2.6 * RATE), 3 * RATE)
    before_db, after_db = (20 * np.log10(x[:, loud].std() / x[:, quiet].std()) for x in (samples, after))
    assert after_db < before_db - 3


def test_expander_raises_the_loud_against_the_quiet() -> None:
    loudness = np.repeat(10 ** (np.array([-6, 0] * 2) / 20), RATE)
    samples = noise(4.0) * loudness.astype(np.float32)
    after = mastered(samples, expand_ratio=1.8)
    gain_db = 20 * np.log10(np.abs(after).reshape(2, 4, RATE).mean(axis=2))
    gain_db -= 20 * np.log10(np.abs(samples).reshape(2, 4, RATE).mean(axis=2))
    assert (gain_db[:, 1] > gain_db[:, 0] + 0.8).all()


def test_width_zero_is_mono_and_mono_stays_mono() -> None:
    after = mastered(noise(0.5), width=0.0)
    np.testing.assert_allclose(after[0], after[1], atol=1e-7)
    assert np.array_equal(mastered(noise(0.5, 1), width=0.3, balance_db=5, mono_below_hz=100), noise(0.5, 1))


def test_mono_below_takes_the_low_side_and_keeps_the_mid_flat() -> None:
    samples = noise(6.0)
    after = mastered(samples, mono_below_hz=150.0)
    side, side_after = (x[:1] - x[1:] for x in (samples, after))
    mid, mid_after = (x[:1] + x[1:] for x in (samples, after))
    assert level_db(side_after, 20, 60) - level_db(side, 20, 60) < -20
    assert level_db(side_after, 600, 5000) - level_db(side, 600, 5000) == pytest.approx(0, abs=0.1)
    for low, high in BANDS_HZ:
        assert level_db(mid_after, low, high) - level_db(mid, low, high) == pytest.approx(0, abs=0.1)


def test_balance_moves_right_against_left() -> None:
    left, right = mastered(noise(0.5), balance_db=6.0) / noise(0.5)
    assert 20 * np.log10(np.median(right) / np.median(left)) == pytest.approx(6.0, abs=0.01)


def test_a_whistle_is_taken_down_and_its_neighbours_are_not() -> None:
    samples = noise(6.0)
    whistle = 0.06 * np.sin(2 * np.pi * 9300 * np.arange(samples.shape[1]) / RATE)
    after = mastered((samples + whistle).astype(np.float32), resonance_cut_db=24.0)[:, 2 * RATE :]
    before = (samples + whistle)[:, 2 * RATE :].astype(np.float32)
    assert level_db(after, 9270, 9330) - level_db(before, 9270, 9330) < -12
    for low, high in ((8800, 9200), (9400, 9800), (6000, 8000), (100, 6000)):
        assert level_db(after, low, high) - level_db(before, low, high) == pytest.approx(0, abs=1.0)


def test_cymbal_like_bursts_are_left_alone() -> None:
    time = np.arange(5 * RATE) / RATE
    bursts = (np.exp(-(time % 0.4) / 0.08) * noise(5.0)).astype(np.float32)
    after = mastered(bursts, resonance_cut_db=24.0)
    assert level_db(after, 6000, 14000) - level_db(bursts, 6000, 14000) == pytest.approx(0, abs=0.5)


def test_extension_fills_above_the_cut_off_and_leaves_the_rest() -> None:
    low_pass = signal.butter(12, 9000, fs=RATE, output="sos")
    samples = signal.sosfiltfilt(low_pass, noise(5.0)).astype(np.float32)
    after = mastered(samples, extend_from_hz=9000.0)
    assert level_db(after, 100, 8500) - level_db(samples, 100, 8500) == pytest.approx(0, abs=0.05)
    below, above = level_db(after, 6000, 8000), level_db(after, 10500, 14000)
    assert -15 < above - below < 0
    assert above - level_db(samples, 10500, 14000) > 20


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 192000])
@pytest.mark.parametrize("channels", [1, 2])
def test_extremes_stay_finite_at_every_rate(rate: int, channels: int) -> None:
    random = np.random.default_rng(rate + channels)
    ends = {row.what: float(random.choice([row.low, row.high])) for row in MASTER}
    samples = noise(0.4, channels, rate)
    samples[:, : rate // 10] = 0
    after = mastered(samples, rate=rate, **ends)
    assert after.shape == samples.shape
    assert np.isfinite(after).all()


def test_silence_stays_silent() -> None:
    silence = np.zeros((2, RATE // 2), np.float32)
    for values in EFFECTS.values():
        assert not mastered(silence, **values).any()
