"""What holds for every setting of the whole chain, whatever an optimiser finds."""

from functools import lru_cache, partial

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixagent.pipeline.audio import Audio, AudioSource, FloatArray, Stems, collect, load
from mixagent.pipeline.dsp.gaps import Gaps, measure_gaps
from mixagent.pipeline.dsp.programme import measure_programme
from mixagent.pipeline.mastering import band_programmes, master_processors
from mixagent.pipeline.mixing import Levels, measure_levels, mix_blocks
from mixagent.pipeline.parameters import ParameterSpace, Settings
from mixagent.pipeline.render import premaster, render
from mixagent.pipeline.streaming import process_blocks
from mixagent.pipeline.targets import LoudnessTarget
from tests.short_cases import HalfSeparator, music

SPACE = ParameterSpace.for_stems(["vocals", "accompaniment"])
TARGET = LoudnessTarget("test", -16.0)

few = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
ENDS = np.array([-1.0, -0.4, *[0.0] * 5, 0.3, 1.0])


def drawn(size: int, seed: int) -> NDArray[np.floating]:
    """An action: some of the parameters are moved, many of them to an end."""
    return np.random.default_rng(seed).choice(ENDS, size)


actions = st.integers(0, 1 << 16).map(partial(drawn, len(SPACE)))


@lru_cache(maxsize=8)
def heard(kind: str, channels: int) -> tuple[Stems, Levels, Gaps]:
    samples = music(0.5, 2).samples[:channels]
    samples = {
        "music": samples,
        "hot": samples * np.float32(30.0),
        "faint": samples * np.float32(1e-5),
        "silence": np.zeros_like(samples),
        "click": np.eye(channels, samples.shape[1], 1000, dtype=np.float32),
    }[kind]
    stems = HalfSeparator().separate(Audio(np.ascontiguousarray(samples), 44100))
    return stems, measure_levels(stems), measure_gaps(stems.mix)


def of(action: NDArray[np.floating]) -> Settings:
    return SPACE.from_action(np.asarray(action, np.float64))


@few
@given(action=actions, kind=st.sampled_from(["music", "hot", "faint", "silence", "click"]),
       channels=st.sampled_from([1, 2]))  # fmt: skip
def test_any_setting_gives_as_many_finite_samples_under_the_ceiling(
    action: NDArray[np.floating], kind: str, channels: int
) -> None:
    stems, levels, gaps = heard(kind, channels)
    done = render(stems, of(action), TARGET, levels=levels, gaps=gaps)
    samples = load(done.audio).samples
    assert samples.shape == load(stems.mix).samples.shape
    assert np.isfinite(load(done.premaster).samples).all()
    assert np.abs(samples).max() <= 10 ** (TARGET.ceiling_dbtp / 20)
    if kind == "silence":
        assert not samples.any()


def in_blocks(source: AudioSource, size: int, action: NDArray[np.floating], kind: str) -> FloatArray:
    stems, levels, gaps = heard(kind, source.channels)
    mix = collect(mix_blocks(stems, of(action), levels, size), 44100, source.channels)
    bands = band_programmes(source, of(action))
    chain = master_processors(of(action), 44100, source.channels, levels["mix"], gaps, bands)
    return collect(process_blocks(mix, chain, size), 44100, source.channels).samples


@few
@given(action=actions, size=st.sampled_from([2000, 5000, 11025]))
def test_no_setting_sounds_otherwise_in_other_blocks(action: NDArray[np.floating], size: int) -> None:
    source = heard("music", 2)[0].mix
    whole = in_blocks(source, 1 << 17, action, "music")
    cut = in_blocks(source, size, action, "music")
    np.testing.assert_allclose(cut, whole, atol=2e-4 * max(float(np.abs(whole).max()), 1e-3))


@few
@given(action=actions)
def test_any_setting_gives_the_same_bytes_twice(action: NDArray[np.floating]) -> None:
    stems, levels, gaps = heard("music", 2)
    once, twice = (load(premaster(stems, of(action), levels=levels, gaps=gaps)) for _ in range(2))
    assert once.samples.tobytes() == twice.samples.tobytes()


def test_neutral_is_the_input_bit_for_bit() -> None:
    for kind in ("music", "hot", "silence"):
        for channels in (1, 2):
            stems, levels, gaps = heard(kind, channels)
            after = premaster(stems, of(np.zeros(len(SPACE))), levels=levels, gaps=gaps)
            assert load(after).samples.tobytes() == load(stems.mix).samples.tobytes()


MASTER_SPACE = ParameterSpace.for_stems([])
# What leans to a side, what draws its phases by the clock, and what fills the gaps of one song only.
UNEVEN = ("balance_db", "extend_from_hz", "gap_fill_db")
masters = st.integers(0, 1 << 16).map(partial(drawn, len(MASTER_SPACE)))


def mastered(
    samples: FloatArray, action: NDArray[np.floating], heard_as: FloatArray | None = None
) -> FloatArray:
    """Through the master chain; its levels are measured of `heard_as`, or else of the samples."""
    source = Audio(np.ascontiguousarray(samples), 44100)
    known = source if heard_as is None else Audio(heard_as, 44100)
    moved = MASTER_SPACE.from_action(action).changed()
    setting = MASTER_SPACE.settings({k: value for k, value in moved.items() if not k.endswith(UNEVEN)})
    levels, bands = measure_programme(known), band_programmes(known, setting)
    chain = master_processors(setting, 44100, source.channels, levels, None, bands)
    return collect(process_blocks(source, chain), 44100, source.channels).samples


def close(one: FloatArray, other: FloatArray) -> None:
    np.testing.assert_allclose(one, other, atol=3e-3 * max(float(np.abs(other).max()), 1e-3))


@few
@given(action=masters)
def test_left_and_right_are_treated_alike_and_mono_stays_mono(action: NDArray[np.floating]) -> None:
    samples = music(0.4, 3).samples
    close(mastered(samples[::-1], action)[::-1], mastered(samples, action))
    left, right = mastered(np.stack([samples[0]] * 2), action)
    np.testing.assert_array_equal(left, right)


@few
@given(action=masters, gain=st.sampled_from([0.25, 4.0]))
def test_the_master_chain_does_not_know_how_loud_the_song_is(
    action: NDArray[np.floating], gain: float
) -> None:
    samples = music(0.4, 4).samples
    close(mastered(samples * np.float32(gain), action) / np.float32(gain), mastered(samples, action))


@few
@given(action=masters)
def test_what_begins_later_comes_out_later_and_the_same(action: NDArray[np.floating]) -> None:
    samples, frames = music(0.4, 5).samples, 1 << 14
    late = mastered(np.pad(samples, ((0, 0), (frames, 0))), action, samples)
    assert np.abs(late[:, : frames // 4]).max() < 1e-6
    close(late[:, frames:], mastered(samples, action, samples))
