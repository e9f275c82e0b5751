import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import sosfreqz

from mixagent.pipeline.analysis import THIRD_OCTAVES_HZ, analyse
from mixagent.pipeline.audio import Audio, collect
from mixagent.pipeline.references.curve import (
    FLAT,
    HIGHEST_DB,
    LEAST_WIDENED_HZ,
    LOWS_BOUND_DB,
    TONE_BOUND_DB,
    MatchCurve,
    match_curve,
    matching_processors,
    recorded_curve,
    third_octave_sections,
)
from mixagent.pipeline.references.profile import (
    Profile,
    Statistic,
    profile_of,
    shifted,
    tone_distance_db,
    width_distance_db,
)
from mixagent.pipeline.streaming import process_blocks

RATE = 44100
BANDS = np.arange(len(THIRD_OCTAVES_HZ))
EXACT_HZ = 1000 * 10 ** ((BANDS - 16) / 10)


def noise(seconds: float = 3.0, tilt: float = 0.5, side: float = 0.5, seed: int = 0) -> Audio:
    """Noise whose spectrum falls, with a side of this level against the mid."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal((2, int(seconds * RATE))))
    hz = np.maximum(np.fft.rfftfreq(int(seconds * RATE), 1 / RATE), 20.0)
    mid, second = np.fft.irfft(spectrum * (hz / 1000) ** -tilt)
    samples = 0.05 * np.stack([mid + side * second, mid - side * second])
    return Audio(samples.astype(np.float32), RATE)


def profile(audio: Audio) -> Profile:
    return profile_of("", {"": analyse(audio)})


def matched(audio: Audio, curve: MatchCurve, size: int = 1 << 17) -> Audio:
    chain = matching_processors(curve, audio.rate, audio.channels)
    return collect(process_blocks(audio, chain, size), audio.rate, audio.channels)


def test_a_song_gets_the_tone_and_width_of_its_reference() -> None:
    song, reference = noise(tilt=0.5, side=0.5), profile(noise(tilt=0.65, side=0.35, seed=1))
    before, after = profile(song), profile(matched(song, match_curve(profile(song), reference, reference)))
    assert tone_distance_db(before, reference) > 1.5 > 0.6 > tone_distance_db(after, reference)
    far, near = width_distance_db(before, reference), width_distance_db(after, reference)
    assert far is not None
    assert near is not None
    assert far > 2.0 > 0.7 > near


def test_width_alone_leaves_the_tone() -> None:
    song = noise(side=0.3)
    curve = match_curve(profile(song), None, profile(noise(side=0.5, seed=1)))
    after = matched(song, curve)
    assert tone_distance_db(profile(song), profile(after)) < 0.3
    assert (width_distance_db(profile(song), profile(after)) or 0) > 2.0


def test_a_song_is_its_own_reference_without_a_change() -> None:
    song = profile(noise())
    assert match_curve(song, song, song).flat
    assert matching_processors(FLAT, RATE, 2) == []


def test_no_band_moves_further_than_its_bound() -> None:
    song = profile(noise())
    far = shifted(song, np.where(BANDS % 8 < 4, 40.0, -40.0), 30.0)
    curve = match_curve(song, far, None)
    assert max(map(abs, curve.mid_db)) <= TONE_BOUND_DB
    lows = [gain for hz, gain in zip(THIRD_OCTAVES_HZ, curve.mid_db, strict=True) if hz <= 40]
    assert max(lows) <= LOWS_BOUND_DB
    both = match_curve(song, far, far)
    assert max(map(abs, (*both.mid_db, *both.side_db))) <= HIGHEST_DB


def test_lows_are_never_widened() -> None:
    song = profile(noise(side=0.2))
    curve = match_curve(song, None, shifted(song, np.zeros(BANDS.size), 6.0))
    wider = np.array(curve.side_db) - np.array(curve.mid_db)
    low = np.array(THIRD_OCTAVES_HZ) < LEAST_WIDENED_HZ
    assert wider[low].max() <= 0.0
    assert wider[~low].min() > 3.0


def test_what_the_songs_of_a_profile_differ_in_is_no_target() -> None:
    song = profile(noise())
    one = shifted(song, np.linspace(-3, 3, BANDS.size), 0.0)
    spread = tuple(Statistic(band.mean, 10.0) for band in one.mid_db)
    assert not match_curve(song, one, None).flat
    assert match_curve(song, dataclasses.replace(one, mid_db=spread), None).flat


def test_a_mono_reference_says_nothing_of_width() -> None:
    mono = Audio(np.repeat(noise(seed=1).samples[:1], 2, axis=0), RATE)
    curve = match_curve(profile(noise()), profile(mono), profile(mono))
    assert curve.side_db == curve.mid_db


def test_bands_that_a_reference_lacks_follow_their_neighbours() -> None:
    song = profile(noise())
    dull = shifted(song, np.where(np.array(THIRD_OCTAVES_HZ) > 9000, -120.0, 0.0), 0.0)
    assert min(match_curve(song, dull, None).mid_db) > -0.5


@pytest.mark.parametrize("rate", [8000, 32000, 44100, 48000, 96000])
def test_the_sections_run_through_the_curve(rate: int) -> None:
    gains = 5.0 * np.sin(BANDS / 3.0)
    sections = third_octave_sections(tuple(gains), rate)
    second_order = np.insert(sections, 3, 1.0, axis=1)
    inside = (EXACT_HZ > 30) & (min(0.25 * rate, 12600) > EXACT_HZ)
    _, response = sosfreqz(second_order, EXACT_HZ[inside], fs=rate)
    assert np.abs(20 * np.log10(np.abs(response)) - gains[inside]).max() < 0.6


@pytest.mark.parametrize("channels", [1, 2])
def test_the_output_is_the_same_however_the_input_is_cut(channels: int) -> None:
    audio = Audio(noise(0.4).samples[:channels], RATE)
    curve = MatchCurve(tuple(np.sin(BANDS)), tuple(np.cos(BANDS)))
    whole, cut = matched(audio, curve), matched(audio, curve, 777)
    assert whole.samples.shape == audio.samples.shape
    np.testing.assert_array_equal(whole.samples, cut.samples)


def test_what_is_mono_in_two_channels_stays_mono() -> None:
    mono = Audio(np.repeat(noise(0.4).samples[:1], 2, axis=0), RATE)
    after = matched(mono, MatchCurve(tuple(np.sin(BANDS)), tuple(np.cos(BANDS))))
    np.testing.assert_array_equal(after.samples[0], after.samples[1])


def test_the_amount_scales_every_gain() -> None:
    curve = MatchCurve(tuple(np.sin(BANDS)), tuple(np.cos(BANDS)))
    assert curve.scaled(0.5, 0.5).mid_db == pytest.approx(0.5 * np.sin(BANDS))
    assert curve.scaled(0.5, 0.5).side_db == pytest.approx(0.5 * np.cos(BANDS))
    assert curve.scaled(1.0, 0.0).side_db == curve.mid_db
    assert curve.scaled(0.0, 0.0).flat


def test_a_curve_comes_back_from_json_and_a_damaged_one_is_refused() -> None:
    curve = MatchCurve(tuple(np.sin(BANDS)), tuple(np.cos(BANDS)))
    assert recorded_curve(dataclasses.asdict(curve)) == curve
    damaged: list[NDArray[np.float64]] = [np.zeros(7), np.full(BANDS.size, 99.0), np.full(BANDS.size, np.nan)]
    for gains in damaged:
        with pytest.raises(ValueError, match="third octave"):
            recorded_curve({"mid_db": gains.tolist(), "side_db": curve.side_db})
