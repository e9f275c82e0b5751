"""What holds for every setting of the whole chain, whatever an optimiser finds."""

from functools import lru_cache

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixagent.pipeline.audio import Audio, AudioSource, FloatArray, Stems, collect, load
from mixagent.pipeline.dsp.gaps import Gaps, measure_gaps
from mixagent.pipeline.mastering import master_processors
from mixagent.pipeline.mixing import Levels, measure_levels, mix_blocks
from mixagent.pipeline.parameters import ParameterSpace, Settings
from mixagent.pipeline.render import premaster, render
from mixagent.pipeline.streaming import process_blocks
from mixagent.pipeline.targets import LoudnessTarget
from tests.short_cases import HalfSeparator, music

SPACE = ParameterSpace.for_stems(["vocals", "accompaniment"])
TARGET = LoudnessTarget("test", -16.0)

few = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
ends = st.sampled_from([-1.0, -0.4, 0.0, 0.0, 0.0, 0.3, 1.0])
actions = st.lists(ends, min_size=len(SPACE), max_size=len(SPACE)).map(np.array)


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
    chain = master_processors(of(action), 44100, source.channels, levels["mix"], gaps)
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
