"""A placed track is its samples moved, turned, panned and scaled; sums are the same in any blocks."""

import numpy as np
import pytest

from mixagent.pipeline.multitrack.placement import Placed, Placement, Plan, summed
from mixagent.pipeline.types import Audio, load

RATE, FRAMES = 8000, 50
RANDOM = np.random.default_rng(0)
MONO = Audio(RANDOM.standard_normal((1, FRAMES)).astype(np.float32), RATE)
STEREO = Audio(RANDOM.standard_normal((2, FRAMES)).astype(np.float32), RATE)


def placed(source, channels=2, frames=FRAMES, **placement):
    return load(Placed(source, Placement("drums", "name", "kick", **placement), channels, frames)).samples


def test_a_track_as_it_is_keeps_every_bit():
    np.testing.assert_array_equal(placed(STEREO), STEREO.samples)
    np.testing.assert_array_equal(placed(MONO, channels=1), MONO.samples)


def test_mono_stands_in_both_channels_or_on_its_side():
    (mono,) = MONO.samples
    np.testing.assert_array_equal(placed(MONO), [mono, mono])
    np.testing.assert_array_equal(placed(MONO, side=-1), [mono, 0 * mono])
    np.testing.assert_array_equal(placed(MONO, side=1), [0 * mono, mono])


def test_stereo_is_folded_to_a_mono_mix():
    np.testing.assert_allclose(placed(STEREO, channels=1)[0], STEREO.samples.mean(axis=0), atol=1e-7)


@pytest.mark.parametrize("advance", [-60, -7, -1, 1, 7, 60])
def test_an_advance_moves_it_and_silence_fills_up(advance):
    padded = np.pad(STEREO.samples, ((0, 0), (100, 100)))
    wanted = padded[:, 100 + advance : 100 + advance + 70]
    np.testing.assert_array_equal(placed(STEREO, frames=70, advance=advance), wanted)


def test_polarity_and_gain():
    np.testing.assert_allclose(placed(STEREO, invert=True, gain_db=-6.0206), -0.5 * STEREO.samples, atol=1e-6)


@pytest.mark.parametrize("frames", [20, 80])
def test_a_song_s_length_cuts_or_pads(frames):
    wanted = np.pad(STEREO.samples, ((0, 0), (0, 100)))[:, :frames]
    np.testing.assert_array_equal(placed(STEREO, frames=frames), wanted)


def test_any_blocks_give_the_same_samples():
    track = Placed(STEREO, Placement("drums", "name", "kick", advance=-13, gain_db=-3.0), 2, 80)
    whole = track.read(0, 80)
    for size in (1, 7, 64):
        pieces = [track.read(start, start + size) for start in range(0, 80, size)]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
    assert track.read(90, 100).shape == (2, 0)
    assert track.read(-5, 3).shape == (2, 3)


@pytest.fixture
def plan():
    roles = ("drums", "drums", "residual", "out", "bass")
    return Plan(tuple(Placement(role, "name", role) for role in roles), 2, FRAMES)


def test_roles_are_summed_and_what_is_left_out_is_in_no_sum(plan):
    tracks = [STEREO, MONO, STEREO, STEREO, MONO]
    assert plan.roles == ("drums", "bass")
    drums, residual, bass = (
        load(summed(tracks, plan, role)).samples for role in ("drums", "residual", "bass")
    )
    np.testing.assert_allclose(drums, STEREO.samples + MONO.samples, atol=1e-6)
    np.testing.assert_allclose(load(summed(tracks, plan)).samples, drums + residual + bass, atol=1e-6)


def test_a_plan_without_a_track_of_a_role_sums_to_silence(plan):
    assert not load(summed([STEREO] * 5, plan, "vocals")).samples.any()
