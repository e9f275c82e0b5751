"""The shift trick: what is averaged, what is told of it, and what is left behind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixagent.pipeline.separation import SeparatedStems
from mixagent.pipeline.separation.shifts import MOST_S, Delayed, ShiftedSeparator
from mixagent.pipeline.types import Audio, AudioSource, Progress, Stems, load, spool

RATE = 8000


def noise(seconds: float = 2.0, channels: int = 2) -> Audio:
    samples = np.random.default_rng(0).normal(0, 0.1, (channels, round(seconds * RATE)))
    return Audio(samples.astype(np.float32), RATE)


class Half:
    """Gives half of the mix, and `error` of the pass on top of it; remembers what it was given."""

    name, version, stem_names = "half", "1", ("part",)

    def __init__(self, error: Callable[[int], float] = lambda number: 0.0) -> None:
        self.error, self.frames = error, list[int]()

    def separate(self, mix: AudioSource, scratch: Path, progress: Progress | None = None) -> Stems:
        samples = mix.read(0, mix.frames) * np.float32(0.5 + self.error(len(self.frames)))
        self.frames.append(mix.frames)
        if progress:
            progress(0.5)
            progress(1.0)
        part = spool([samples], scratch / "part.f32", mix.rate, mix.channels)
        return SeparatedStems(mix, {"part": part}, device_peak_bytes=len(self.frames) * 100)


def separated(separator: Half, tmp_path: Path, shifts: int, seed: int = 0) -> SeparatedStems:
    stems = ShiftedSeparator(separator, shifts, seed).separate(noise(), tmp_path)
    assert isinstance(stems, SeparatedStems)
    return stems


def test_stems_lie_where_the_mix_has_them_however_it_was_shifted(tmp_path):
    stems = separated(Half(), tmp_path, 5)
    np.testing.assert_allclose(load(stems.parts["part"]).samples, 0.5 * noise().samples, atol=1e-7)
    assert load(stems.residual).samples.shape == noise().samples.shape


def test_every_pass_is_shifted_on_its_own_by_half_a_second_at_most(tmp_path):
    half = Half()
    separated(half, tmp_path, 8)
    delays = np.array(half.frames) - noise().frames
    assert len(set(delays)) > 4
    assert delays.min() >= 0
    assert delays.max() <= MOST_S * RATE


def test_passes_that_differ_are_averaged_and_their_spread_is_told(tmp_path):
    stems = separated(Half(lambda number: 0.05 * (-1) ** number), tmp_path, 2)
    np.testing.assert_allclose(load(stems.parts["part"]).samples, 0.5 * noise().samples, atol=1e-7)
    # ±0.05 about 0.5: 20 dB.
    assert stems.agreement_db["part"] == pytest.approx(20.0, abs=0.01)


def test_one_pass_says_nothing_of_agreement(tmp_path):
    assert separated(Half(), tmp_path, 1).agreement_db == {}


def test_the_most_memory_of_any_pass_is_told(tmp_path):
    assert separated(Half(), tmp_path, 3).device_peak_bytes == 300


def test_a_seed_gives_the_same_shifts_and_has_its_own_version(tmp_path):
    runs = [Half(), Half(), Half()]
    for run, seed in zip(runs, (0, 0, 1), strict=True):
        separated(run, tmp_path, 3, seed)
    assert runs[0].frames == runs[1].frames != runs[2].frames
    versions = {ShiftedSeparator(Half(), n, seed).version for n, seed in ((2, 0), (3, 0), (2, 1))}
    assert len(versions) == 3


def test_only_the_stems_are_left_in_the_scratch_folder(tmp_path):
    separated(Half(), tmp_path, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["part.f32"]


def test_progress_rises_to_one_over_all_passes(tmp_path):
    shares: list[float] = []
    ShiftedSeparator(Half(), 4).separate(noise(), tmp_path, shares.append)
    np.testing.assert_allclose(shares, np.arange(1, 9) / 8)


def test_a_delayed_source_is_silent_first_wherever_it_is_read():
    source = noise(0.01)
    delayed = Delayed(source, 30)
    expected = np.pad(source.samples, ((0, 0), (30, 0)))
    assert delayed.frames == 110
    for start, stop in ((0, 110), (0, 10), (25, 35), (30, 40), (100, 200), (29, 30)):
        np.testing.assert_array_equal(delayed.read(start, stop), expected[:, start:stop])
