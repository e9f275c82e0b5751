"""What playbacks lose: by filters' closed forms, by powers of channels, and against finished music."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from mixagent.pipeline.measure.analysis import BANDS_HZ
from mixagent.pipeline.measure.playbacks import PLAYBACKS, Noise, Resonance
from mixagent.pipeline.measure.translation import (
    FOUND,
    MOST_DB,
    LossMeter,
    PlaybackLoss,
    finished_losses,
    judged,
    k_power,
    measure_losses,
    told,
    translate,
)
from mixagent.pipeline.types import Audio, FloatArray

RATE = 44_100


def tone(*hz: float, seconds: float = 3.0, rate: int = RATE, right: float = 1.0) -> Audio:
    time_s = np.arange(round(seconds * rate)) / rate
    # Faded, since an abrupt start is no tone.
    fade = np.minimum(1.0, np.minimum(time_s, time_s[-1] - time_s) / 0.3)
    wave = sum(0.1 * np.sin(2 * np.pi * one * time_s) for one in hz) * np.sin(np.pi / 2 * fade) ** 2
    return Audio(np.stack([wave, right * wave]).astype(np.float32), rate)


def noise(seconds: float = 10.0, channels: int = 2, seed: int = 0) -> FloatArray:
    random = np.random.default_rng(seed)
    return np.float32(0.1) * random.standard_normal((channels, round(seconds * RATE)), np.float32)


def losses(source: Audio) -> dict[str, PlaybackLoss]:
    return {loss.playback: loss for loss in measure_losses(source)}


def band_of(hz: float) -> str:
    return next(name for name, (low, high) in BANDS_HZ.items() if low <= hz < high)


@pytest.mark.parametrize("playback", ["earbuds", "phone", "laptop"])
@pytest.mark.parametrize("hz", [50.0, 100.0, 300.0, 1000.0, 12000.0])
def test_a_tone_loses_what_butterworths_slopes_take_of_it(playback: str, hz: float) -> None:
    row = PLAYBACKS[playback]
    power = 1.0
    for slope, kind in ((row.low, "highpass"), (row.high, "lowpass")):
        b, a = signal.butter(slope.order, slope.corner_hz, kind, analog=True)
        power *= abs(signal.freqs(b, a, worN=[hz])[1][0]) ** 2
    wanted_db = min(-10 * np.log10(power), MOST_DB)
    loss = losses(tone(hz))[playback]
    # A frame's bins reach over a tone: on a slope of 24 dB an octave they weigh unlike.
    assert loss.lost_db[band_of(hz)] == pytest.approx(wanted_db, abs=0.3)
    assert loss.loudness_lost_lu == pytest.approx(wanted_db, abs=0.3)


def test_a_resonance_is_that_of_the_audio_eq_cookbook() -> None:
    row, hz = replace(PLAYBACKS["earbuds"], resonance=Resonance(2000.0, 6.0, 1.4)), np.geomspace(200, 9000, 9)
    amplitude = 10 ** (6.0 / 40)
    s = 1j * hz / 2000.0
    bell = (s**2 + s * amplitude / 1.4 + 1) / (s**2 + s / (amplitude * 1.4) + 1)
    np.testing.assert_allclose(row.mid_power(hz) / PLAYBACKS["earbuds"].mid_power(hz), np.abs(bell) ** 2)


def test_the_shelf_of_a_cabin_has_its_gain_in_the_lows_and_half_of_its_decibels_between() -> None:
    car = replace(PLAYBACKS["car"], low=replace(PLAYBACKS["car"].low, corner_hz=0.01))
    middle_hz = car.lows_hz * 10 ** (car.lows_db / 40)
    gain_db = 10 * np.log10(car.mid_power(np.array([0.5, middle_hz, 2000.0])))
    assert gain_db == pytest.approx([car.lows_db, car.lows_db / 2, 0.0], abs=0.1)


def test_k_weighting_is_0_691_db_at_997_hz() -> None:
    assert 10 * np.log10(k_power(np.array([997.0]), 48000)[0]) == pytest.approx(0.691, abs=0.01)


@pytest.mark.parametrize("playback", ["phone", "club"])
def test_channels_with_nothing_in_common_lose_3_db_in_mono(playback: str) -> None:
    loss = losses(Audio(noise(), RATE))[playback]
    for band in ("mid", "presence", "air"):
        assert loss.cancels_db[band] == pytest.approx(10 * np.log10(2), abs=0.2)


def test_a_laptop_leaves_of_the_side_what_the_law_of_sines_does() -> None:
    sines_db = 20 * np.log10(np.sin(np.radians(30)) / np.sin(np.radians(12)))
    assert losses(tone(1000.0, right=-1.0))["laptop"].cancels_db["mid"] == pytest.approx(sines_db, abs=0.1)
    assert losses(tone(1000.0))["laptop"].cancels_db["mid"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("playback", ["earbuds", "car"])
def test_what_is_stereo_cancels_nothing(playback: str) -> None:
    assert not any(losses(Audio(noise(), RATE))[playback].cancels_db.values())


def test_the_place_where_channels_cancel_is_found() -> None:
    both = noise(channels=1)
    band = signal.butter(8, (400, 2500), "bandpass", fs=RATE, output="sos")
    apart = 2 * signal.sosfiltfilt(band, both)
    source = Audio(np.concatenate([both, both - apart]).astype(np.float32), RATE)
    translation = {t.loss.playback: t for t in translate(source)}["club"]
    at = translation.loss.cancelled["mid"]
    # From the edges of a third octave: of the outer ones only a part is turned.
    assert 400 <= at.low_hz <= 570
    assert 1700 <= at.high_hz <= 2300
    assert at.most_db > 15
    assert translation.loss.cancels_most == "mid"
    assert "left and right cancel" in translation.says


def test_a_bass_without_overtones_is_gone_on_a_phone_and_one_with_them_is_carried() -> None:
    plain = losses(tone(60.0))["phone"].bass
    assert (plain.share, plain.carried, plain.missing) == pytest.approx((1.0, 0.0, 1.0), abs=1e-4)
    rich = losses(tone(*(60.0 * n for n in range(1, 11))))["phone"].bass
    assert rich.carried == 1.0
    assert rich.missing == 0.0


def test_noise_over_a_bass_is_hardly_ever_taken_for_its_overtones() -> None:
    bass = tone(60.0, seconds=20.0).samples + noise(20.0, 1)
    assert losses(Audio(bass.astype(np.float32), RATE))["phone"].bass.carried < 0.15


def test_a_bass_line_that_a_phone_leaves_nothing_of_is_told_in_words() -> None:
    mids = signal.sosfiltfilt(signal.butter(8, 800, "highpass", fs=RATE, output="sos"), noise(6.0, 1))
    source = Audio((tone(60.0, seconds=6.0).samples + 0.3 * mids).astype(np.float32), RATE)
    phone = {t.loss.playback: t for t in translate(source)}["phone"]
    assert "on a phone the bass line is gone: 100 % of its power lies under 228 Hz" in " ".join(
        lost.says for lost in phone.found
    )


def test_passages_under_the_noise_of_a_car_are_counted() -> None:
    gains = np.repeat(np.array([1.0, 10 ** (-40 / 20), 1.0], np.float32), 20 * RATE)
    loss = losses(Audio(noise(60.0) * gains, RATE))
    # Three seconds count together, so the ends of the loud passages cover a little of the quiet one.
    assert 16.0 < loss["car"].masked_s <= 20.0
    assert loss["earbuds"].masked_s == 0.0
    assert losses(Audio(noise(20.0), RATE))["car"].masked_s == 0.0


def test_silence_between_is_not_music_under_noise() -> None:
    gains = np.repeat(np.array([1.0, 0.0, 1.0], np.float32), 10 * RATE)
    assert losses(Audio(noise(30.0) * gains, RATE))["car"].masked_s < 2.0


def test_the_level_of_a_song_does_not_matter() -> None:
    samples = noise(6.0)
    for loud, quiet in zip(
        measure_losses(Audio(samples, RATE)), measure_losses(Audio(samples / 64, RATE)), strict=True
    ):
        assert quiet.measures() == pytest.approx(loud.measures(), abs=1e-4)


def test_figures_are_the_same_however_the_stream_is_cut() -> None:
    samples = noise(4.0)

    def cut(size: int) -> Iterator[PlaybackLoss]:
        meter = LossMeter(RATE)
        for start in range(0, samples.shape[1], size):
            meter.update(samples[:, start : start + size])
        yield from meter.losses()

    for whole, parts in zip(cut(1 << 20), cut(3001), strict=True):
        assert parts.measures() == pytest.approx(whole.measures(), abs=1e-5)


@pytest.mark.parametrize(
    "source",
    [
        Audio(np.zeros((2, RATE), np.float32), RATE),
        Audio(np.zeros((1, 0), np.float32), RATE),
        Audio(noise(0.02, 1), RATE),
        tone(440.0, rate=8000),
        tone(440.0, right=-1.0),
        tone(440.0, right=0.0),
    ],
)
def test_what_is_hardly_a_song_has_finite_figures_and_words(source: Audio) -> None:
    for translation in translate(source):
        row = translation.to_json()
        assert json.loads(json.dumps(row, allow_nan=False)) == row
        assert row["says"]


def test_silence_loses_nothing() -> None:
    for translation in translate(Audio(np.zeros((2, RATE), np.float32), RATE)):
        assert translation.loss.loudness_lost_lu == 0.0
        assert translation.says == "nothing is lost"


def test_the_reference_has_every_measure_and_edges_over_medians() -> None:
    reference = finished_losses()
    for loss in measure_losses(Audio(noise(1.0), RATE)):
        usual = reference.usual[loss.playback]
        assert set(usual) == set(loss.measures())
        assert all(one.edge > one.median for one in usual.values())


def test_severity_is_half_at_the_edge_and_nothing_at_the_median() -> None:
    usual = finished_losses().usual["phone"]["loudness"]
    assert usual.severity(usual.median) == 0.0
    assert usual.severity(usual.edge) == pytest.approx(FOUND)
    assert usual.severity(3 * usual.edge) == 1.0


def test_the_worst_loss_comes_first() -> None:
    loss = losses(tone(60.0, 100.0, 1000.0, 4000.0, right=-0.98))["phone"]
    translation = judged(loss, finished_losses())
    assert {lost.kind for lost in translation.found} == {"loudness", "bass", "cancels"}
    severities = [lost.severity for lost in translation.found]
    assert severities == sorted(severities, reverse=True)
    assert translation.says.startswith(told(translation.found)[0])
    assert translation.says.count("on a phone") == 1


def test_every_playback_says_where_its_figures_are_from_and_noise_has_every_band() -> None:
    assert list(PLAYBACKS) == ["earbuds", "phone", "laptop", "car", "club"]
    assert all(playback.source for playback in PLAYBACKS.values())
    with pytest.raises(ValueError, match="levels of noise"):
        Noise((60.0,), 80.0)
