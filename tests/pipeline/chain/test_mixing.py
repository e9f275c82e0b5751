import numpy as np
import pytest

from mixagent.pipeline.chain.mixing import measure_levels, mix_blocks
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.types import Audio, FloatArray, Stems, collect

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
