"""The master's finer tools, each by what it promises."""

import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest

from mixagent.pipeline.chain.bands import measure_bands
from mixagent.pipeline.chain.mastering import Chain, band_programmes, master_processors
from mixagent.pipeline.chain.parameters import ADVANCED, BAND_PLACES, ParameterSpace
from mixagent.pipeline.dsp.dynamics import Curve
from mixagent.pipeline.dsp.programme import measure_programme
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.render import premaster
from mixagent.pipeline.types import Audio, FloatArray, Stems, collect, load

RATE = 44100
SPACE = ParameterSpace.for_stems([])
EFFECTS = {
    "mid_side": {"mid.eq_air_db": 4.0, "side.eq_bass_db": -6.0},
    "linear": {"equaliser.linear_phase": 1.0, "master.eq_mid_db": 3.0, "side.eq_presence_db": 2.0},
    "dynamic": {"dynamic_2.range_db": -6.0, "dynamic_2.threshold_db": 0.0, "dynamic_7.range_db": 5.0},
    "compressor": {"low_band.comp_ratio": 3.0, "high_band.comp_ratio": 2.0},
    "expander": {"low_band.expand_ratio": 1.6, "high_mid_band.expand_ratio": 2.0},
    "saturation": {"low_mid_band.drive_db": 12.0, "high_band.drive_db": 18.0},
    "transients": {"high_mid_band.transient_attack_db": 5.0},
    "width": {"low_band.width": 0.2, "high_band.width": 1.4},
    "three bands": {"crossover.low_hz": 20.0, "low_mid_band.comp_ratio": 2.0, "high_band.drive_db": 9.0},
}


def song(seconds: float = 1.0, channels: int = 2, seed: int = 0) -> FloatArray:
    """Noise that falls as music does, with a beat."""
    random, frames = np.random.default_rng(seed), round(seconds * RATE)
    spectrum = np.fft.rfft(random.standard_normal((channels, frames)))
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.shape[1]), 20)), frames)
    beat = 0.3 + np.exp(-(np.arange(frames) / RATE % 0.25) / 0.05)
    return (0.1 * pink / pink.std() * beat).astype(np.float32)


def mastered(
    samples: FloatArray, values: dict[str, float], size: int = 1 << 17, rate: int = RATE
) -> FloatArray:
    source, settings = Audio(samples, rate), SPACE.settings(values)
    bands = band_programmes(source, settings)
    chain = master_processors(Chain(settings, rate, source.channels, measure_programme(source), None, bands))
    return collect(process_blocks(source, chain, size), rate, source.channels).samples


def level_db(samples: FloatArray) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_tool_does_something_and_keeps_the_length(effect: str) -> None:
    samples = song()
    after = mastered(samples, EFFECTS[effect])
    assert after.shape == samples.shape
    assert np.isfinite(after).all()
    assert level_db(after - samples) > level_db(samples) - 45.0


@pytest.mark.parametrize("effect", EFFECTS)
def test_output_is_the_same_however_the_input_is_cut(effect: str) -> None:
    samples = song(0.6)
    whole = mastered(samples, EFFECTS[effect])
    np.testing.assert_allclose(mastered(samples, EFFECTS[effect], 3001), whole, atol=3e-6)


@pytest.mark.parametrize("effect", EFFECTS)
def test_left_and_right_are_treated_alike_and_mono_stays_mono(effect: str) -> None:
    samples = song(0.6)
    after = mastered(samples, EFFECTS[effect])
    swapped = mastered(np.ascontiguousarray(samples[::-1]), EFFECTS[effect])
    np.testing.assert_allclose(swapped[::-1], after, atol=3e-6)
    left, right = mastered(np.stack([samples[0]] * 2), EFFECTS[effect])
    np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_louder_song_comes_out_the_same_but_louder(effect: str) -> None:
    samples = song(0.6)
    louder = mastered(samples * np.float32(8.0), EFFECTS[effect]) / np.float32(8.0)
    np.testing.assert_allclose(louder, mastered(samples, EFFECTS[effect]), atol=1e-4)


def test_silence_stays_silent_and_neutral_bands_are_the_song_itself() -> None:
    silence = np.zeros((2, 8000), np.float32)
    for values in EFFECTS.values():
        assert not mastered(silence, values).any()
    stems = Stems(Audio(song(0.3), RATE), {})
    at_ratio_1 = {f"{place}.comp_threshold_db": -10.0 for place in BAND_PLACES}
    at_ratio_1 |= {f"{place}.expand_ratio": 1.0 for place in BAND_PLACES}
    unheard = {"equaliser.linear_phase": 1.0, "dynamic_1.hz": 90.0, "crossover.mid_hz": 700.0}
    after = premaster(stems, SPACE.settings(at_ratio_1 | unheard))
    assert load(after).samples.tobytes() == load(stems.mix).samples.tobytes()


@pytest.mark.parametrize(("rate", "channels"), [(8000, 2), (16000, 1), (96000, 2)])
def test_the_ends_of_all_ranges_stay_finite_at_every_rate(rate: int, channels: int) -> None:
    samples = song(0.4, channels)
    for pick in ("low", "high"):
        values = {f"{where}.{row.what}": getattr(row, pick) for where, rows in ADVANCED for row in rows}
        after = mastered(samples, values, rate=rate)
        assert after.shape == samples.shape
        assert np.isfinite(after).all()


@pytest.mark.parametrize("drive_db", [3.0, 9.0, 18.0])
def test_saturation_keeps_the_level(drive_db: float) -> None:
    samples = song(3.0)
    after = mastered(samples, {f"{place}.drive_db": drive_db for place in BAND_PLACES})
    assert level_db(after) == pytest.approx(level_db(samples), abs=0.4)


def test_a_driven_tone_of_10_khz_folds_back_under_minus_80_db() -> None:
    frames = 1 << 15
    periods = round(10_000 * frames / RATE)
    tone = (0.3 * np.sin(2 * np.pi * periods * np.arange(4 * frames) / frames)).astype(np.float32)
    after = mastered(np.stack([tone, tone]), {"high_band.drive_db": 18.0})[0, 2 * frames : 3 * frames]
    power = np.abs(np.fft.rfft(after.astype(np.float64))) ** 2
    others = np.delete(power, periods).sum()
    assert 10 * np.log10(others / power[periods]) < -80.0


def two_passages(hz: float) -> FloatArray:
    """A song at whose end a tone stands out."""
    samples = song(4.0)
    time = np.arange(samples.shape[1]) / RATE
    samples += (0.2 * np.sin(2 * np.pi * hz * time) * (time > 3.5)).astype(np.float32)
    return samples


@pytest.mark.parametrize("range_db", [-6.0, 4.0])
def test_a_dynamic_band_acts_only_where_its_band_stands_out(range_db: float) -> None:
    samples = two_passages(800.0)
    after = mastered(
        samples, {"dynamic_4.range_db": range_db, "dynamic_4.threshold_db": 6.0, "dynamic_4.q": 2.0}
    )
    usual, loud = slice(RATE, 2 * RATE), slice(round(3.6 * RATE), round(3.95 * RATE))
    assert level_db(after[:, usual]) == pytest.approx(level_db(samples[:, usual]), abs=0.1)
    time = np.arange(samples.shape[1])[loud] / RATE
    probe = np.exp(-2j * np.pi * 800.0 * time)
    moved_db = 20 * np.log10(np.abs(after[0, loud] @ probe) / np.abs(samples[0, loud] @ probe))
    assert moved_db == pytest.approx(range_db, abs=1.0)


def test_a_band_is_compressed_against_its_own_level_and_the_others_are_left() -> None:
    samples = two_passages(60.0)
    after = mastered(samples, {"low_band.comp_ratio": 4.0, "low_band.comp_threshold_db": 0.0})
    loud, usual = slice(round(3.6 * RATE), round(3.95 * RATE)), slice(RATE, 2 * RATE)

    def change_db(part: slice, low_hz: float, high_hz: float) -> float:
        hz = np.fft.rfftfreq(samples[0, part].size, 1 / RATE)
        inside = (hz > low_hz) & (hz < high_hz)
        before, now = (np.abs(np.fft.rfft(x[0, part]))[inside] ** 2 for x in (samples, after))
        return float(10 * np.log10(now.sum() / before.sum()))

    assert change_db(loud, 40, 90) < change_db(usual, 40, 90) - 3.0
    assert change_db(loud, 1500, 4000) == pytest.approx(0.0, abs=0.1)


def test_a_band_is_expanded_where_it_stands_out_by_the_curve_and_the_others_are_left() -> None:
    samples = two_passages(60.0)
    before = measure_bands([samples], RATE, 2, SPACE.settings({"low_band.expand_ratio": 1.5}))
    after = mastered(samples, {"low_band.expand_ratio": 1.5})
    loud = slice(round(3.7 * RATE), round(3.9 * RATE))
    over_db = 10 * np.log10(0.2**2 / 2) - before.bands["low_band"].level_db
    wanted_db = Curve(0.0, 0.5, 6.0).gain_db(np.array([over_db]))[0]
    time = np.arange(samples.shape[1])[loud] / RATE
    probe = np.exp(-2j * np.pi * 60.0 * time)
    moved_db = 20 * np.log10(np.abs(after[0, loud] @ probe) / np.abs(samples[0, loud] @ probe))
    assert wanted_db > 1.0
    assert moved_db == pytest.approx(wanted_db, abs=0.7)
    hz = np.fft.rfftfreq(samples.shape[1], 1 / RATE)
    before_high, after_high = (np.abs(np.fft.rfft(x[0]))[hz > 1000] ** 2 for x in (samples, after))
    assert 10 * np.log10(after_high.sum() / before_high.sum()) == pytest.approx(0.0, abs=0.05)


def test_lows_of_no_width_are_mono_and_the_rest_keeps_its_side() -> None:
    samples = song(1.0)
    after = mastered(samples, {"low_band.width": 0.0})
    hz = np.fft.rfftfreq(samples.shape[1], 1 / RATE)
    side_before, side_after = (np.abs(np.fft.rfft(x[0] - x[1])) ** 2 for x in (samples, after))
    lows, highs = (hz > 20) & (hz < 60), hz > 1000
    assert side_after[lows].sum() < side_before[lows].sum() * 10**-2
    assert side_after[highs].sum() == pytest.approx(side_before[highs].sum(), rel=0.01)


@dataclass(frozen=True)
class Endless:
    """Noise made as it is read."""

    frames: int
    rate: int = RATE
    channels: int = 2

    def read(self, start: int, stop: int) -> FloatArray:
        random = np.random.default_rng(start)
        return np.float32(0.1) * random.standard_normal((2, stop - start), np.float32)


def test_memory_does_not_grow_with_the_length_of_the_stream() -> None:
    settings = SPACE.settings({name: value for values in EFFECTS.values() for name, value in values.items()})
    heard = Endless(1 << 15)
    bands = band_programmes(heard, settings)

    def peak_bytes(frames: int) -> int:
        chain = master_processors(Chain(settings, RATE, 2, measure_programme(heard), None, bands))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        sum(part.shape[1] for part in process_blocks(Endless(frames), chain, 1 << 14))
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        peak_bytes(1 << 17)  # what is compiled or loaded once
        assert peak_bytes(1 << 19) < 1.05 * peak_bytes(1 << 17)
    finally:
        tracemalloc.stop()
