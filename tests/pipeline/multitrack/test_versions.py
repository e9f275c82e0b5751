"""The offset of a version of a song is found: trimmed, delayed, filtered, turned, or not the same song."""

import numpy as np
import pytest

from mixagent.pipeline.multitrack.versions import Offset, common_spans, offset_of
from mixagent.pipeline.types import Audio

RATE = 16000


def music(seed=1, seconds=8.0, channels=2):
    """Noise bursts of irregular length, place and colour."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE)
    out = np.zeros((channels, frames))
    for at in np.cumsum(rng.uniform(0.08, 0.4, 80)) * RATE:
        start = int(at)
        if start < frames:
            burst = rng.standard_normal((channels, frames - start)) * np.exp(
                -np.arange(frames - start) / RATE / rng.uniform(0.05, 0.3)
            )
            out[:, start:] += rng.uniform(0.3, 1.0) * burst
    return (0.1 * out).astype(np.float32)


def delayed(samples, frames):
    if frames < 0:
        return samples[:, -frames:]
    return np.concatenate([np.zeros((samples.shape[0], frames), np.float32), samples], axis=1)


@pytest.mark.parametrize("frames", [0, 1, 7, 1600, 19751, -19751, 40003])
def test_an_offset_is_found_to_the_sample(frames):
    song = music()
    found = offset_of(Audio(song, RATE), Audio(delayed(song, frames), RATE))
    assert found is not None
    assert round(found.later_s * RATE) == frames
    assert not found.inverted


def test_level_clipping_and_polarity_do_not_hide_it():
    song = music()
    other = -np.tanh(4 * delayed(song, 12345))
    found = offset_of(Audio(song, RATE), Audio(other.astype(np.float32), RATE))
    assert found is not None
    assert round(found.later_s * RATE) == 12345
    assert found.inverted


def test_a_mono_version_lies_where_its_stereo_one_does():
    song = music()
    found = offset_of(Audio(song, RATE), Audio(delayed(song.mean(axis=0, keepdims=True), 5000), RATE))
    assert found is not None
    assert round(found.later_s * RATE) == 5000


@pytest.mark.parametrize(
    "other",
    [music(seed=2), np.zeros((2, 4 * RATE), np.float32), music(seconds=1.0)],
    ids=["song", "silence", "1 s"],
)
def test_another_song_silence_and_a_second_are_not_laid_on_it(other):
    assert offset_of(Audio(music(), RATE), Audio(other, RATE)) is None


def test_what_all_versions_have_is_compared():
    spans = common_spans([Offset(), Offset(1.5), Offset(-0.5)], [10.0, 11.0, 9.0])
    assert spans == [(0.5, 9.5), (2.0, 11.0), (0.0, 9.0)]
    assert common_spans([Offset(), Offset(-20.0)], [10.0, 8.0]) == [(0.0, 8.0), (0.0, 8.0)]
