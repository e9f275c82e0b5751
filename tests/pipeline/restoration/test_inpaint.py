"""Glitches are found and mended; music without them is left as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.glitches import BURST, DROPOUT, JUMP, find_glitches
from mixagent.pipeline.restoration import inpaint
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.types import Audio, FloatArray, load

RATE = 44100


def _song(seconds: float = 8.0, rate: int = RATE, channels: int = 2) -> FloatArray:
    """Chords that decay and drums, twice a second, the second half of them the first again."""
    random = np.random.default_rng(0)
    beat = rate // 2
    time = np.arange(beat) / rate
    bars = []
    for root in (220.0, 165.0, 196.0, 247.0):
        chord = sum(
            np.sin(2 * np.pi * root * k * time + k) * np.exp(-2 * time) / k for k in (1, 2, 3, 4, 5, 6)
        )
        drum = random.normal(size=beat) * np.exp(-40 * time)
        bars += [
            0.15 * chord + 0.1 * drum,
            0.12 * chord + 0.05 * np.exp(-90 * time) * random.normal(size=beat),
        ]
    loop = np.concatenate(bars)
    mono = np.resize(loop, round(seconds * rate))
    wide = 0.01 * random.normal(size=(channels, len(mono)))
    return np.asarray(mono + 0.05 * wide, np.float32)


def _nop(_: float) -> None:
    pass


def _found(samples: FloatArray, rate: int = RATE) -> Found | None:
    audio = Audio(samples, rate)
    return inpaint.find(audio, analyse(audio), _nop)


def _restored(samples: FloatArray, scratch: Path, rate: int = RATE) -> tuple[Found, Restored, FloatArray]:
    audio = Audio(samples, rate)
    found = inpaint.find(audio, analyse(audio), _nop)
    assert found is not None
    restored = inpaint.run(audio, found, scratch, _nop)
    return found, restored, load(restored.audio).samples


def _levels_db(samples: FloatArray) -> FloatArray:
    windows = samples.mean(axis=0)[: samples.shape[1] // 1024 * 1024].reshape(-1, 1024)
    powers = np.abs(np.fft.rfft(windows * np.hanning(1024), axis=1)) ** 2
    return np.asarray(10 * np.log10(powers[:, 1:257].reshape(len(powers), 16, 16).mean(axis=2) + 1e-6))


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2])
def test_music_without_glitches_is_left(rate: int, channels: int) -> None:
    assert _found(_song(rate=rate, channels=channels), rate) is None


def test_silence_and_next_to_nothing_are_left() -> None:
    assert find_glitches(Audio(np.zeros((2, RATE), np.float32), RATE), _nop).glitches == ()
    assert find_glitches(Audio(np.zeros((1, 3), np.float32), RATE), _nop).glitches == ()


@pytest.mark.parametrize("milliseconds", [6, 30, 120, 400])
def test_a_dropout_is_found_to_the_sample_and_filled_like_the_music(
    milliseconds: int, tmp_path: Path
) -> None:
    song = _song()
    start, stop = 145000, 145000 + milliseconds * RATE // 1000
    hurt = song.copy()
    hurt[:, start:stop] = 0
    found, restored, mended = _restored(hurt, tmp_path)
    (glitch,) = found.details["glitches"]
    assert glitch["kind"] == DROPOUT
    assert abs(glitch["start"] - start) <= 4 and abs(glitch["stop"] - stop) <= 4
    assert restored.applied
    error = (
        np.sqrt(np.mean((_levels_db(mended[:, start:stop]) - _levels_db(song[:, start:stop])) ** 2))
        if milliseconds > 30
        else 0
    )
    assert error < 9
    gap = slice(start, stop)
    assert 0.4 < np.sqrt(np.mean(mended[:, gap] ** 2) / np.mean(song[:, gap] ** 2)) < 2


def test_outside_the_glitch_not_a_sample_changes(tmp_path: Path) -> None:
    hurt = _song()
    hurt[:, 145000:150000] = 0
    _, _, mended = _restored(hurt, tmp_path)
    changed = np.nonzero(np.any(mended != hurt, axis=0))[0]
    assert changed.min() >= 144990 and changed.max() <= 150010


@pytest.mark.parametrize("rate", [8000, 22050, 96000])
def test_a_dropout_is_filled_at_any_rate(rate: int, tmp_path: Path) -> None:
    song = _song(rate=rate, channels=1)
    start, stop = int(3.3 * rate), int(3.45 * rate)
    hurt = song.copy()
    hurt[:, start:stop] = 0
    _, _, mended = _restored(hurt, tmp_path, rate)
    assert 0.4 < np.sqrt(np.mean(mended[:, start:stop] ** 2) / np.mean(song[:, start:stop] ** 2)) < 2


def test_the_other_channel_says_what_one_lost(tmp_path: Path) -> None:
    song = _song()
    song[1] = 0.7 * song[0] + 0.001 * song[1]
    hurt = song.copy()
    hurt[1, 145000:160000] = 0
    found, _, mended = _restored(hurt, tmp_path)
    assert found.details["glitches"][0]["channels"] == (1,)
    np.testing.assert_array_equal(mended[0], song[0])
    wrong, right = mended[1] - song[1], song[1]
    inner = slice(146000, 159000)
    assert 10 * np.log10(np.mean(wrong[inner] ** 2) / np.mean(right[inner] ** 2)) < -20


def test_a_gap_of_more_than_two_seconds_is_told_and_left(tmp_path: Path) -> None:
    hurt = _song(12.0)
    hurt[:, 3 * RATE : round(5.2 * RATE)] = 0
    found, restored, mended = _restored(hurt, tmp_path)
    assert "too long to fill" in found.why
    assert not restored.applied
    np.testing.assert_array_equal(mended, hurt)


def test_a_foreign_burst_goes(tmp_path: Path) -> None:
    song = _song()
    hurt = song.copy()
    hurt[:, 150000:151000] = 0.3 * np.random.default_rng(1).normal(size=1000)
    found, _, mended = _restored(hurt, tmp_path)
    assert [g["kind"] for g in found.details["glitches"]] == [BURST]
    assert np.sqrt(np.mean(mended[:, 150000:151000] ** 2)) < 0.1


def test_a_jump_of_level_is_taken_back(tmp_path: Path) -> None:
    song = _song()
    hurt = song.copy()
    hurt[:, 140000:200000] *= np.float32(10 ** (6 / 20))
    found, _, mended = _restored(hurt, tmp_path)
    (glitch,) = found.details["glitches"]
    assert glitch["kind"] == JUMP
    assert glitch["size"] == pytest.approx(6, abs=1)
    inner = slice(145000, 195000)
    error = np.mean((mended[:, inner] - song[:, inner]) ** 2) / np.mean(song[:, inner] ** 2)
    assert 10 * np.log10(error) < -18


def test_a_song_full_of_dropouts_keeps_its_texture() -> None:
    hurt = _song(20.0)
    for at in range(RATE, 19 * RATE, RATE // 3):
        hurt[:, at : at + 500] = 0
    found = find_glitches(Audio(hurt, RATE), _nop)
    assert DROPOUT in found.texture
    assert not any(g.kind == DROPOUT for g in found.glitches)
