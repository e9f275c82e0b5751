import numpy as np
import pytest

from mixagent.pipeline.chain.mixing import measure_levels, mix_blocks, strip_blocks
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.types import Audio, FloatArray, Stems, collect
from tests import tracks

RATE = 44100
NAMES = ("vocals", "drums", "other")
SPACE = ParameterSpace.for_stems(NAMES)


def stems(channels: int = 2, seconds: float = 0.7) -> Stems:
    random = np.random.default_rng(3)
    parts = (0.05 * random.standard_normal((4, channels, int(seconds * RATE)))).astype(np.float32)
    named = {name: Audio(part, RATE) for name, part in zip(NAMES, parts, strict=False)}
    return Stems(Audio(parts.sum(axis=0), RATE), named)


def mixed(source: Stems, size: int = 1 << 17, **values: float) -> FloatArray:
    settings = SPACE.settings({name.replace("__", "."): value for name, value in values.items()})
    return collect(mix_blocks(source, settings, size=size), RATE, source.mix.channels).samples


def test_a_neutral_mix_is_the_input_bit_for_bit() -> None:
    source = stems()
    assert np.array_equal(mixed(source), source.mix.samples)


def test_no_stems_give_the_input() -> None:
    source = Stems(stems().mix, {})
    assert np.array_equal(mixed(source, vocals__gain_db=3.0), source.mix.samples)


def test_a_fader_moves_its_stem_alone() -> None:
    source = stems()
    change = mixed(source, drums__gain_db=6.0) - source.mix.samples
    np.testing.assert_allclose(change, source.parts["drums"].samples * (10**0.3 - 1), atol=1e-6)


def test_a_bus_fader_moves_the_stem_that_feeds_it() -> None:
    source = stems()
    np.testing.assert_allclose(
        mixed(source, vocal_bus__gain_db=-4.0), mixed(source, vocals__gain_db=-4.0), atol=1e-6
    )


def test_latencies_of_strips_are_aligned() -> None:
    # A shaper of a hundredth of a dB lags by its look-ahead; what it changes must stay near nothing.
    source = stems()
    change = mixed(source, drums__transient_attack_db=0.01) - source.mix.samples
    assert np.abs(change).max() < 1e-3


def test_full_pan_silences_the_other_side_and_mono_does_not_care() -> None:
    source = stems()
    change = mixed(source, other__pan=1.0) - source.mix.samples
    np.testing.assert_allclose(change[0], -source.parts["other"].samples[0], atol=1e-6)
    assert np.array_equal(mixed(stems(1), other__pan=1.0), stems(1).mix.samples)


@pytest.mark.parametrize("send", ["reverb", "delay"])
def test_a_send_only_adds_its_return(send: str) -> None:
    source = stems()
    change = mixed(source, **{f"vocals__{send}_send_db": -6.0, "delay__time_ms": 100.0}) - source.mix.samples
    assert change.std() > 1e-3
    assert np.array_equal(mixed(source, delay__time_ms=100.0), source.mix.samples)


def test_a_compressor_keeps_the_loudness_of_drums_whatever_its_attack() -> None:
    drums = tracks.stereo(tracks.kick() + tracks.hats()).T.astype(np.float32)
    source = Stems(Audio(drums, RATE), {"drums": Audio(drums, RATE)})
    squeezed = {"drums__comp_threshold_db": -12.0, "drums__comp_ratio": 6.0}
    for attack_ms in (1.0, 30.0):
        made = mixed(source, **squeezed, drums__comp_attack_ms=attack_ms)
        assert power_db(made) == pytest.approx(power_db(drums), abs=0.1)


def test_a_low_mid_cut_works_on_a_stem_that_is_full_throughout_and_further_the_deeper_it_is() -> None:
    source = stems()
    part = source.parts["other"].samples
    bands = [third_octave_db(strip(source, other__low_mid_cut_db=db), 315) for db in (0.0, 6.0, 12.0)]
    assert bands[0] == pytest.approx(third_octave_db(part, 315), abs=0.01)
    assert bands[1] < bands[0]
    assert bands[2] < bands[1] - 1.0


@pytest.mark.parametrize("size", [0.05, 0.4, 1.0])
def test_a_room_of_any_size_returns_about_what_is_sent_without_its_lows(size: float) -> None:
    random = np.random.default_rng(1)
    noise = (0.05 * random.standard_normal((2, 6 * RATE))).astype(np.float32)
    source = Stems(Audio(noise, RATE), {"other": Audio(noise, RATE)})
    returned = (mixed(source, other__reverb_send_db=-0.001, reverb__size=size) - noise)[:, 4 * RATE :]
    assert power_db(returned) == pytest.approx(power_db(noise), abs=6.0)
    assert third_octave_db(returned, 50) < third_octave_db(returned, 1000) - 10.0


def power_db(samples: FloatArray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def third_octave_db(samples: FloatArray, hz: float) -> float:
    """Density of power in the third octave about `hz`."""
    power = np.square(np.abs(np.fft.rfft(samples))).mean(axis=0)
    bins_hz = np.fft.rfftfreq(samples.shape[1], 1 / RATE)
    inside = (bins_hz > hz * 2 ** (-1 / 6)) & (bins_hz < hz * 2 ** (1 / 6))
    return float(10 * np.log10(power[inside].mean()))


def strip(source: Stems, **values: float) -> FloatArray:
    settings = SPACE.settings({name.replace("__", "."): value for name, value in values.items()})
    return collect(strip_blocks(source, "other", settings), RATE, 2).samples


def test_all_effects_on_a_silent_stem_a_mono_one_and_other_rates_are_numbers() -> None:
    random = np.random.default_rng(5)
    for rate, channels, gain in ((44100, 2, 0.0), (44100, 1, 0.1), (22050, 2, 0.1), (96000, 2, 0.1)):
        part = (gain * random.standard_normal((channels, rate // 2))).astype(np.float32)
        source = Stems(Audio(part, rate), {"vocals": Audio(part, rate), "drums": Audio(0 * part, rate)})
        space = ParameterSpace.for_stems(("vocals", "drums"))
        out = collect(
            mix_blocks(source, space.from_action(random.uniform(-1, 1, len(space)))), rate, channels
        ).samples
        assert out.shape == part.shape
        assert np.isfinite(out).all()
        assert gain > 0.0 or not out.any()


def test_any_action_gives_the_same_bytes_twice_and_the_same_sound_in_other_blocks() -> None:
    source = stems()
    random = np.random.default_rng(8)
    levels = measure_levels(source)
    for _ in range(3):
        settings = SPACE.from_action(random.uniform(-1, 1, len(SPACE)))
        once, twice, cut = (
            collect(mix_blocks(source, settings, levels, size), RATE, 2).samples
            for size in (1 << 17, 1 << 17, 3001)
        )
        assert np.isfinite(once).all()
        assert once.tobytes() == twice.tobytes()
        np.testing.assert_allclose(cut, once, atol=1e-5)


@pytest.mark.parametrize("later_ms", [10.0, -10.0])
def test_a_stem_is_moved_by_whole_samples_and_the_length_stays(later_ms: float) -> None:
    source, frames = stems(), round(0.01 * RATE)
    moved = mixed(source, size=4096, drums__align_ms=later_ms)
    part = source.parts["drums"].samples
    shifted = np.zeros_like(part)
    if later_ms > 0:
        shifted[:, frames:] = part[:, :-frames]
    else:
        shifted[:, :-frames] = part[:, frames:]
    assert moved.shape == source.mix.samples.shape
    np.testing.assert_allclose(moved, source.mix.samples - part + shifted, atol=1e-6)


def test_a_stem_whose_polarity_is_turned_is_taken_off_twice() -> None:
    source = stems()
    change = mixed(source, vocals__invert=1.0) - source.mix.samples
    np.testing.assert_allclose(change, -2 * source.parts["vocals"].samples, atol=1e-6)
