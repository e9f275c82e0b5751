"""What holds for every setting of the whole chain, whatever an optimiser finds."""

from dataclasses import fields
from functools import lru_cache, partial

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixagent.pipeline.chain.amounts import Strengths
from mixagent.pipeline.chain.mastering import Chain, band_programmes, master_processors
from mixagent.pipeline.chain.mixing import Levels, measure_levels, mix_blocks
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.dsp.programme import measure_programme
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.render import premaster, render
from mixagent.pipeline.restoration.spectral_holes import SpectralHoles, measure_spectral_holes
from mixagent.pipeline.types import Audio, AudioSource, FloatArray, Stems, collect, load
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
def heard(kind: str, channels: int) -> tuple[Stems, Levels, SpectralHoles]:
    samples = music(0.5, 2).samples[:channels]
    samples = {
        "music": samples,
        "hot": samples * np.float32(30.0),
        "faint": samples * np.float32(1e-5),
        "silence": np.zeros_like(samples),
        "click": np.eye(channels, samples.shape[1], 1000, dtype=np.float32),
    }[kind]
    stems = HalfSeparator().separate(Audio(np.ascontiguousarray(samples), 44100))
    return stems, measure_levels(stems), measure_spectral_holes(stems.mix)


def of(action: NDArray[np.floating]) -> Settings:
    return SPACE.from_action(np.asarray(action, np.float64))


@few
@given(action=actions, kind=st.sampled_from(["music", "hot", "faint", "silence", "click"]),
       channels=st.sampled_from([1, 2]))  # fmt: skip
def test_any_setting_gives_as_many_finite_samples_under_the_ceiling(
    action: NDArray[np.floating], kind: str, channels: int
) -> None:
    stems, levels, holes = heard(kind, channels)
    done = render(stems, of(action), TARGET, levels=levels, holes=holes)
    samples = load(done.audio).samples
    assert samples.shape == load(stems.mix).samples.shape
    assert np.isfinite(load(done.premaster).samples).all()
    assert np.abs(samples).max() <= 10 ** (TARGET.ceiling_dbtp / 20)
    if kind == "silence":
        assert not samples.any()


def in_blocks(source: AudioSource, size: int, action: NDArray[np.floating], kind: str) -> FloatArray:
    stems, levels, holes = heard(kind, source.channels)
    mix = collect(mix_blocks(stems, of(action), levels, size), 44100, source.channels)
    bands = band_programmes(source, of(action))
    chain = master_processors(Chain(of(action), 44100, source.channels, levels["mix"], holes, bands))
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
    stems, levels, holes = heard("music", 2)
    once, twice = (load(premaster(stems, of(action), levels=levels, holes=holes)) for _ in range(2))
    assert once.samples.tobytes() == twice.samples.tobytes()


def test_neutral_is_the_input_bit_for_bit() -> None:
    for kind in ("music", "hot", "silence"):
        for channels in (1, 2):
            stems, levels, holes = heard(kind, channels)
            after = premaster(stems, of(np.zeros(len(SPACE))), levels=levels, holes=holes)
            assert load(after).samples.tobytes() == load(stems.mix).samples.tobytes()


MASTER_SPACE = ParameterSpace.for_stems([])
# What draws its phases by the clock, and what fills the gaps of one song only.
OF_THE_MOMENT = ("extend_from_hz", "gap_fill_db")
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
FRAMES = 17_640


def chosen(seed: int) -> Settings:
    """Master settings, those of the finer tools with them, some of them at their ends."""
    moved = MASTER_SPACE.from_action(drawn(len(MASTER_SPACE), seed)).changed()
    return MASTER_SPACE.settings({k: v for k, v in moved.items() if not k.endswith(OF_THE_MOMENT)})


masters = st.integers(0, 1 << 16).map(chosen)


def sound(kind: str, seed: int, level_db: float) -> FloatArray:
    """A short stereo signal of some kind at an RMS level."""
    random, time = np.random.default_rng(seed), np.arange(FRAMES) / 44100
    noise = random.standard_normal((2, FRAMES))
    tones = np.sin(2 * np.pi * 10 ** random.uniform(1.5, 4.2, (2, 4, 1)) * time).sum(axis=1)
    samples = {
        "music": music(0.4, seed % 8).samples,
        "noise": noise,
        "tones": tones,
        "bursts": tones * (time % 0.1 < random.uniform(0.01, 0.09)),
        "clicks": noise * (random.random(FRAMES) < 1e-3) + 1e-3 * noise,
        "one side": noise * [[1.0], [0.0]],
    }[kind]
    return (samples * 10 ** (level_db / 20) / np.sqrt(np.mean(samples**2))).astype(np.float32)


sounds = st.builds(
    sound,
    st.sampled_from(["music", "noise", "tones", "bursts", "clicks", "one side"]),
    st.integers(0, 1 << 16),
    st.sampled_from([-40.0, -20.0, -6.0]),
)


def mastered(samples: FloatArray, setting: Settings, heard_as: FloatArray | None = None) -> FloatArray:
    """Through the master chain; its levels are measured of `heard_as`, or else of the samples."""
    source = Audio(np.ascontiguousarray(samples), 44100)
    known = source if heard_as is None else Audio(heard_as, 44100)
    levels, bands = measure_programme(known), band_programmes(known, setting)
    chain = master_processors(Chain(setting, 44100, source.channels, levels, None, bands))
    return collect(process_blocks(source, chain), 44100, source.channels).samples


def close(one: FloatArray, other: FloatArray) -> None:
    np.testing.assert_allclose(one, other, atol=3e-3 * max(float(np.abs(other).max()), 1e-3))


def with_balance(setting: Settings, by: float) -> Settings:
    leans = [name for name in setting.values if ".balance_" in name]
    return MASTER_SPACE.settings({**setting.values, **{name: by * setting[name] for name in leans}})


@few
@given(setting=masters, samples=sounds, lufs=st.sampled_from([-16.0, -8.0]))
def test_any_sound_is_finished_under_the_ceiling_finite_and_as_long(
    setting: Settings, samples: FloatArray, lufs: float
) -> None:
    target = LoudnessTarget("test", lufs)
    done = render(Stems(Audio(samples, 44100), {}), setting, target)
    after = load(done.audio).samples
    assert after.shape == samples.shape
    assert np.isfinite(after).all()
    assert np.abs(after).max() <= 10 ** (target.ceiling_dbtp / 20)
    assert done.finish is not None
    assert done.finish.true_peak_dbtp <= target.ceiling_dbtp


@few
@given(setting=masters, samples=sounds)
def test_left_and_right_are_treated_alike_and_the_balance_the_other_way(
    setting: Settings, samples: FloatArray
) -> None:
    close(mastered(samples[::-1], with_balance(setting, -1.0))[::-1], mastered(samples, setting))


@few
@given(setting=masters, samples=sounds)
def test_mono_stays_mono(setting: Settings, samples: FloatArray) -> None:
    left, right = mastered(np.stack([samples[0]] * 2), with_balance(setting, 0.0))
    np.testing.assert_array_equal(left, right)


@few
@given(setting=masters, samples=sounds, gain=st.sampled_from([0.25, 4.0]))
def test_the_master_chain_does_not_know_how_loud_the_song_is(
    setting: Settings, samples: FloatArray, gain: float
) -> None:
    close(mastered(samples * np.float32(gain), setting) / np.float32(gain), mastered(samples, setting))


@few
@given(setting=masters, samples=sounds)
def test_what_begins_later_comes_out_later_and_the_same(setting: Settings, samples: FloatArray) -> None:
    frames = 1 << 14
    late = mastered(np.pad(samples, ((0, 0), (frames, 0))), setting, samples)
    # In linear phase single precision leaves its rounding before a sound; it grows with what is behind it.
    assert np.abs(late[:, : frames // 4]).max() < 1e-6 * max(float(np.abs(late).max()), 1.0)
    close(late[:, frames:], mastered(samples, setting, samples))


def spectra(samples: FloatArray) -> NDArray[np.floating]:
    windows = np.lib.stride_tricks.sliding_window_view(samples, 1024, axis=1)[:, ::512]
    return np.abs(np.fft.rfft(windows * np.hanning(1024), axis=2))


def at_strength(setting: Settings, strength: float) -> Settings:
    return Strengths(**{field.name: strength for field in fields(Strengths)}).applied(setting, 1.0)


@few
@given(setting=masters, samples=sounds)
def test_the_stronger_a_setting_the_farther_from_the_song(setting: Settings, samples: FloatArray) -> None:
    def moved(strength: float) -> float:
        after = mastered(samples, at_strength(setting, strength))
        return float(np.linalg.norm(spectra(after) - spectra(samples)))

    assert mastered(samples, at_strength(setting, 0.0)).tobytes() == samples.tobytes()
    steps = [moved(strength) for strength in STRENGTHS]
    assert steps == sorted(steps)
