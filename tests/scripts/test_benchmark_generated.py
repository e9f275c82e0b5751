"""The benchmark on generated songs: which songs, what is made once, and what severities come to."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from script_modules import load_script
from songs import RATE as SONG_RATE
from songs import song_samples

from mixagent.pipeline.types import Audio

bench = load_script("benchmark_generated")

RATE = 44100
LIST = (
    "file\trepository\tpath\tgenerator\tpart\n"
    "a.wav\tx/y\ta\tOne\treport\n"
    "b.wav\tx/y\tb\tTwo\ttune\n"
    "v.wav\tx/y\tv\tOne, a voice alone\ttune\n"
)


def noise(seconds, seed=0, channels=2):
    random = np.random.default_rng(seed)
    return Audio((0.1 * random.standard_normal((channels, round(seconds * RATE)))).astype(np.float32), RATE)


def write(path: Path, audio: Audio) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, audio.samples.T, audio.rate, "FLOAT")
    return path


def test_the_songs_are_those_of_the_part_and_the_voices_are_apart(tmp_path):
    for name in "abv":
        write(tmp_path / f"{name}.wav", noise(1))
    listed = tmp_path / "list.tsv"
    listed.write_text(LIST)
    songs = bench.generated_songs(tmp_path, listed, "report")
    assert [(song.name, song.of) for song in songs] == [("a", bench.GENERATED), ("v", bench.VOICES)]


def test_a_listed_song_that_is_not_there_is_named(tmp_path):
    listed = tmp_path / "list.tsv"
    listed.write_text(LIST)
    with pytest.raises(SystemExit, match=r"lacks a\.wav, v\.wav"):
        bench.generated_songs(tmp_path, listed, "report")


def test_no_song_that_is_judged_is_a_reference(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "LEAST_S", 1.0)
    for number in range(14):
        write(tmp_path / f"{'xy'[number % 2]}" / f"{number:02}.wav", noise(1, number))
    write(tmp_path / "x" / "mono.wav", noise(1, channels=1))
    songs, others = bench.finished_songs(tmp_path, 4)
    found = bench.references(songs, others)
    assert len(songs) == 4
    assert len(others) == 10
    assert not {song.path for song in songs} & set(found)
    assert all(song.path.parent == near.parent for song, near in zip(songs, found, strict=True))


def test_the_excerpt_is_the_middle_of_a_song(tmp_path):
    song = noise(3)
    path = write(tmp_path / "song.wav", song)
    assert np.array_equal(bench.excerpt(path, 1.0).samples, song.samples[:, RATE : 2 * RATE])
    assert np.array_equal(bench.excerpt(path, 60.0).samples, song.samples)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_a_kept_master_is_made_once_and_anew_for_another_song(tmp_path):
    maker = bench.Bench(tmp_path, tmp_path / "keep", None, sys.executable)
    song = write(tmp_path / "song.wav", noise(4))
    first = maker.master("loudnorm", song, "song", song)
    made = first.path.stat().st_mtime_ns
    again = maker.master("loudnorm", song, "song", song)
    assert again == first
    assert again.path.stat().st_mtime_ns == made
    other = maker.master("loudnorm", write(song, noise(4, seed=1)), "song", song)
    assert other.path != first.path
    assert not first.path.exists()


def test_a_content_is_measured_once(tmp_path):
    measurer = bench.Measurer(tmp_path / "measures")
    song = write(tmp_path / "song.wav", noise(4))
    first = measurer(song)
    (kept,) = (tmp_path / "measures").iterdir()
    again = measurer(write(tmp_path / "copy.wav", noise(4)))
    assert [kept] == list((tmp_path / "measures").iterdir())
    assert again.lufs == first.lufs
    assert again.judged.tone == pytest.approx(first.judged.tone, abs=1e-4)


def test_noisy_or_is_the_chance_of_any():
    assert bench.noisy_or(np.array([0.5, 0.5, 0.0])) == pytest.approx(0.75)


def test_severities_can_leave_out_what_is_about_bandwidth(tmp_path):
    song = Audio(np.ascontiguousarray(song_samples(8.0).T), SONG_RATE)
    measured = bench.Measurer(tmp_path)(write(tmp_path / "song.wav", song))
    every, without = bench.severities(measured), bench.severities(measured, bandwidth=False)
    assert len(every) - len(without) == len(bench.ABOUT_BANDWIDTH)


def test_a_table_has_minus_signs_before_numbers_and_hyphens_within_names():
    rows = [["jazz-4", "-1.0 → -2.5", "-3 [-4, 5]"]]
    assert bench.table(["song", "level", "share"], rows).splitlines()[-1] == (
        "| jazz-4 | −1.0 → −2.5 | −3 [−4, 5] |"
    )
