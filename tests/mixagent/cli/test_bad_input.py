"""Whatever is handed to `master`: one clear line and the right exit code, or a correct master."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from songs import RATE, song_samples, write_song

from mixagent.pipeline.measure.meters import measure
from mixagent.pipeline.types import Audio

KEPT = ("meta.json", "lock")
"""What a cache holds beside finished stages."""

PROGRAM = [sys.executable, "-m", "mixagent"]


def text(folder: Path) -> Path:
    path = folder / "notes.wav"
    path.write_text("Verse, chorus, verse.\n" * 400)
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.wav"
    path.touch()
    return path


def cut(folder: Path, suffix: str, share: float) -> Path:
    path = folder / f"cut{suffix}"
    soundfile.write(path, song_samples(6.0), RATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    return path


def samples(folder: Path, values: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> Path:
    path = folder / "song.wav"
    soundfile.write(path, values, rate, subtype)
    return path


def spoilt(folder: Path, value: float) -> Path:
    values = song_samples()
    values[RATE, 0] = value
    return samples(folder, values)


def square(folder: Path) -> Path:
    return samples(folder, np.sign(np.sin(2 * np.pi * 110 * (np.arange(3 * RATE) + 0.5) / RATE)))


def two_hours(folder: Path) -> Path:
    path, noise = folder / "long.wav", np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_U8") as file:
        for _ in range(120):
            file.write(0.05 * noise.standard_normal(60 * 8000))
    return path


def folder_named_as_song(folder: Path) -> Path:
    path = folder / "folder.wav"
    path.mkdir()
    return path


def impulses(folder: Path) -> Path:
    values = np.zeros(3 * RATE, np.float32)
    values[:: RATE // 20] = 1.0
    return samples(folder, values)


CASES = [
    pytest.param(empty, 3, "is empty", id="empty file"),
    pytest.param(text, 3, "is not an audio file", id="text renamed wav"),
    pytest.param(lambda f: cut(f, ".wav", 0.5), 0, "", id="truncated wav"),
    pytest.param(lambda f: cut(f, ".mp3", 0.5), 0, "", id="truncated mp3"),
    pytest.param(lambda f: cut(f, ".wav", 0.0005), 3, "is damaged", id="hardly any wav"),
    pytest.param(lambda f: cut(f, ".mp3", 0.004), 3, "", id="hardly any mp3"),
    pytest.param(lambda f: write_song(f / "s.wav", "PCM_U8", channels=1), 0, "", id="8-bit mono"),
    pytest.param(lambda f: write_song(f / "s.wav", rate=192_000), 0, "", id="192 kHz"),
    pytest.param(lambda f: write_song(f / "s.wav", rate=8_000, channels=1), 0, "", id="8 kHz"),
    pytest.param(lambda f: write_song(f / "s.wav", rate=16_000), 0, "", id="16 kHz"),
    pytest.param(lambda f: write_song(f / "s.wav", rate=22_050), 0, "", id="22.05 kHz"),
    pytest.param(lambda f: write_song(f / "s.wav", channels=6), 3, "6 channels (5.1)", id="5.1"),
    pytest.param(lambda f: write_song(f / "s.wav", seconds=0.05), 3, "too short: 0.05 s", id="0.05 s"),
    pytest.param(two_hours, 0, "", id="2 h", marks=pytest.mark.slow),
    pytest.param(lambda f: samples(f, np.zeros((RATE, 2))), 4, "silent", id="silence"),
    pytest.param(square, 0, "", id="full-scale square wave"),
    pytest.param(impulses, 4, "more would take", id="full-scale impulse train"),
    pytest.param(lambda f: spoilt(f, np.nan), 3, "NaN samples, the first at 1.000 s", id="NaN"),
    pytest.param(lambda f: spoilt(f, np.inf), 3, "infinite samples", id="Inf"),
    pytest.param(folder_named_as_song, 3, "holds no audio files", id="a folder without songs"),
    pytest.param(lambda f: f / "nowhere.wav", 3, "does not exist", id="missing file"),
]


@pytest.mark.parametrize(("make", "code", "words"), CASES)
def test_bad_input_gets_one_line_or_a_correct_master(mixagent, tmp_path, make, code, words):
    song = make(tmp_path)
    before = contents(tmp_path)
    master = tmp_path / "out" / "master.wav"
    master.parent.mkdir()
    ran = mixagent("master", song, "-o", master, "--separator", "none", "--bit-depth", "32f")
    assert ran.code == code
    assert words in " ".join((ran.out + ran.err).split())
    assert {path: digest for path, digest in contents(tmp_path).items() if path != master} == before
    if code == 3:
        assert len(ran.err.splitlines()) == 1
        assert ran.err.startswith(f"mixagent: {song}")
        assert ran.out == ""
        assert not master.exists()
    else:
        assert ran.err == ""
        assert_correct(song, master, met=code == 0)


def assert_correct(song: Path, master: Path, *, met: bool) -> None:
    made, info = soundfile.SoundFile(master), soundfile.info(master)
    source = soundfile.SoundFile(song)
    assert (info.channels, info.samplerate) == (source.channels, source.samplerate)
    values = made.read(dtype="float32", always_2d=True).T
    assert values.shape[1] in (source.frames, readable_frames(song))
    assert np.isfinite(values).all()
    loudness = measure(Audio(np.ascontiguousarray(values), info.samplerate))
    assert loudness.true_peak_dbtp <= -1.0
    if met:
        assert loudness.integrated_lufs == pytest.approx(-14.0, abs=0.1)


def readable_frames(song: Path) -> int:
    return len(soundfile.read(song)[0])


def contents(folder: Path) -> dict[Path, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextmanager
def small_disk(folder: Path, options: str):
    """A file system of its own on `folder`: `size=1m` for one that is soon full, `ro` for no writing."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("options", "words"), [("size=64k", "no space left"), ("ro", "may not be written to")]
)
def test_an_output_on_a_full_or_protected_disk_gets_one_line(mixagent, song, tmp_path, options, words):
    before = contents(song.parent)
    with small_disk(tmp_path / "disk", options) as disk:
        ran = mixagent("master", song, "-o", disk / "m.wav", "--separator", "none")
        assert list(disk.iterdir()) == []
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (6, "", 1)
    assert words in ran.err
    assert contents(song.parent) == before


@pytest.mark.parametrize(("options", "words"), [("size=64k", "make room"), ("ro", "read-only")])
def test_a_cache_on_a_full_or_protected_disk_gets_one_line(
    mixagent, monkeypatch, song, tmp_path, options, words
):
    before = contents(song.parent)
    with small_disk(tmp_path / "disk", options) as disk:
        monkeypatch.setenv("MIXAGENT_CACHE", str(disk / "cache"))
        ran = mixagent("master", song, "--separator", "none")
        assert not [path for path in disk.rglob("*") if path.is_file() and path.name not in KEPT]
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (6, "", 1)
    assert words in ran.err
    assert "cache" in ran.err
    assert contents(song.parent) == before


def test_a_file_size_limit_gets_one_line_and_leaves_nothing(song, tmp_path, cache_folder):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    before = contents(song.parent)
    command = [*PROGRAM, "master", str(song), "-o", str(tmp_path / "m.wav"), "--separator", "none"]
    ran = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (6, "", 1), ran.stderr
    assert "too large" in ran.stderr
    assert contents(song.parent) == before
    assert list(tmp_path.iterdir()) == [song.parent]


def test_a_folder_without_permission_gets_one_line(song, tmp_path, cache_folder):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    if os.access(closed, os.W_OK):
        pytest.skip("root may write anywhere; the read-only file system stands in")
    command = [*PROGRAM, "master", str(song), "-o", str(closed / "m.wav"), "--separator", "none"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (6, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("stage", ["decode", "finalise"])
def test_an_interrupted_run_leaves_nothing_half_written(tmp_path, cache_folder, number, stage):
    folder = tmp_path / "music"
    folder.mkdir()
    song = write_song(folder / "song.wav", seconds=240.0)
    before = contents(folder)
    command = [*PROGRAM, "master", str(song), "-o", str(folder / "m.wav"), "--separator", "none"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run under nohup hands down that SIGHUP is ignored.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    while not (cache_folder / stage).exists() and process.poll() is None:
        time.sleep(0.01)
    # Twice: an impatient user must not break the tidying up.
    process.send_signal(number)
    time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "mixagent: interrupted; nothing was written\n")
    assert contents(folder) == before
    assert not list(cache_folder.glob("*/*/.*"))
