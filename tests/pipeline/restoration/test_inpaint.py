"""Glitches are found and mended; music without them is left as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.glitches import BURST, DROPOUT, JUMP, find_glitches
from mixagent.pipeline.restoration import inpaint, inpainting_network
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.restoration.gap_filling import predicted
from mixagent.pipeline.restoration.inpainting_network import InpaintingNetwork
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
    assert glitch["start"] == pytest.approx(start, abs=4)
    assert glitch["stop"] == pytest.approx(stop, abs=4)
    assert restored.applied
    gap = slice(start, stop)
    assert 0.4 < np.sqrt(np.mean(mended[:, gap] ** 2) / np.mean(song[:, gap] ** 2)) < 2
    if milliseconds > 50:
        differs = _levels_db(mended[:, gap]) - _levels_db(song[:, gap])
        assert np.sqrt(np.mean(differs**2)) < 9


def test_outside_the_glitch_not_a_sample_changes(tmp_path: Path) -> None:
    hurt = _song()
    hurt[:, 145000:150000] = 0
    _, _, mended = _restored(hurt, tmp_path)
    changed = np.nonzero(np.any(mended != hurt, axis=0))[0]
    assert changed.min() >= 144990
    assert changed.max() <= 150010


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


def test_the_crackle_of_a_record_is_told_as_texture_and_left(tmp_path: Path) -> None:
    hurt = _song(20.0)
    random = np.random.default_rng(2)
    for at in random.integers(RATE, 19 * RATE, 160):
        hurt[:, at] += np.float32(random.choice([-0.3, 0.3]))
    found, restored, mended = _restored(hurt, tmp_path)
    assert "texture" in found.why
    assert not restored.applied
    np.testing.assert_array_equal(mended, hurt)


def test_a_song_that_begins_with_a_note_and_dies_away_is_left() -> None:
    song = _song()
    song[:, : 3 * RATE] = 0
    song[:, 5 * RATE : 6 * RATE] *= np.linspace(1, 0, RATE, dtype=np.float32) ** 2
    song[:, 6 * RATE :] = 0
    assert _found(song) is None


@pytest.mark.parametrize("end", ["start", "end"])
def test_a_song_that_was_cut_into_is_told_and_left(end: str, tmp_path: Path) -> None:
    hurt = _song()
    hurt[:, slice(None, RATE // 3) if end == "start" else slice(-(RATE // 3), None)] = 0
    found, restored, mended = _restored(hurt, tmp_path)
    assert f"{'begins' if end == 'start' else 'ends'} in the middle of its music" in found.why
    assert found.values[f"cut_{end}_s"] == pytest.approx(1 / 3, abs=0.002)
    assert not restored.applied
    np.testing.assert_array_equal(mended, hurt)


@pytest.mark.parametrize("milliseconds", [8, 30])
def test_a_dropout_right_behind_the_start_or_before_the_end_is_filled(
    milliseconds: int, tmp_path: Path
) -> None:
    song = _song()
    hurt = song.copy()
    count = milliseconds * RATE // 1000
    gaps = [(700, 700 + count), (song.shape[1] - 700 - count, song.shape[1] - 700)]
    for start, stop in gaps:
        hurt[:, start:stop] = 0
    found, _, mended = _restored(hurt, tmp_path)
    assert [(g["start"], g["stop"]) for g in found.details["glitches"]] == [
        (pytest.approx(start, abs=4), pytest.approx(stop, abs=4)) for start, stop in gaps
    ]
    for start, stop in gaps:
        assert np.sqrt(np.mean(mended[:, start:stop] ** 2)) > 0.2 * np.sqrt(np.mean(song[:, start:stop] ** 2))


def test_a_song_too_short_for_a_passage_keeps_a_long_gap(tmp_path: Path) -> None:
    hurt = _song(3.0, channels=1)
    hurt[:, 50000:100000] = 0
    _, _, mended = _restored(hurt, tmp_path)
    np.testing.assert_array_equal(mended, hurt)


def test_a_network_that_gives_no_numbers_leaves_the_passage_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurt = _song()
    hurt[:, 145000:155000] = 0
    network = InpaintingNetwork()
    torch.nn.init.constant_(network.leave.bias, float("nan"))
    monkeypatch.setattr(inpainting_network, "load_network", network.eval)
    _, restored, mended = _restored(hurt, tmp_path)
    assert "gave no numbers for 1 of them" in restored.why
    assert np.isfinite(mended).all()
    assert np.sqrt(np.mean(mended[:, 145000:155000] ** 2)) > 0.01


def test_the_same_gap_is_filled_alike_each_time(tmp_path: Path) -> None:
    hurt = _song()
    hurt[:, 145000:155000] = 0
    (tmp_path / "again").mkdir()
    _, _, once = _restored(hurt, tmp_path)
    _, _, again = _restored(hurt, tmp_path / "again")
    np.testing.assert_array_equal(once, again)


def test_what_was_found_can_be_written_down() -> None:
    hurt = _song()
    hurt[:, 145000:150000] = 0
    found = _found(hurt)
    assert found is not None
    assert json.loads(json.dumps(found.details)) == json.loads(json.dumps(dict(found.details)))


def test_find_can_be_stopped() -> None:
    def stop(_: float) -> None:
        raise InterruptedError

    audio = Audio(_song(), RATE)
    with pytest.raises(InterruptedError):
        inpaint.find(audio, analyse(audio), stop)


def test_prediction_brings_back_a_sum_of_tones() -> None:
    time = np.arange(8000) / RATE
    tones = sum(np.sin(2 * np.pi * hz * time + hz) for hz in (220.0, 1234.5, 3210.0, 7777.0))
    hurt = tones.copy()
    hurt[4000:4500] = 0
    wrong = predicted(hurt, 4000, 4500, RATE) - tones[4000:4500]
    assert 10 * np.log10(np.mean(wrong**2) / np.mean(tones**2)) < -30
