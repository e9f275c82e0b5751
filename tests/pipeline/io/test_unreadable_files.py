"""Input that cannot be mastered gives one line that says what is wrong; what is merely odd works."""

import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from test_files import RATE, noise, tone

from mixagent.pipeline.errors import InputError
from mixagent.pipeline.io import content_hash, decode, encode, probe
from mixagent.pipeline.io.decoding import open_ffmpeg
from mixagent.pipeline.types import load


def cut(path, share):
    os.truncate(path, int(path.stat().st_size * share) + 1)


def missing(path):
    pass


def folder(path):
    path.mkdir()


def empty(path):
    path.touch()


def text(path):
    path.write_text("These are the lyrics and not the song.\n" * 50)


def pipe(path):
    os.mkfifo(path)


def random_bytes(path):
    path.write_bytes(np.random.default_rng(0).bytes(20_000))


def header_alone(path):
    encode(noise(), path)
    os.truncate(path, 60)


def six_channels(path):
    soundfile.write(path, noise(channels=6).samples.T, RATE)


def nan(path):
    samples = noise().samples.copy()
    samples[1, RATE // 2] = np.nan
    soundfile.write(path, samples.T, RATE, subtype="FLOAT")


def infinite(path):
    samples = noise().samples.copy()
    samples[0, RATE // 4] = -np.inf
    soundfile.write(path, samples.T, RATE, subtype="FLOAT")


def short(path):
    soundfile.write(path, noise(0.05).samples.T, RATE)


def no_samples(path):
    soundfile.write(path, np.zeros((0, 2)), RATE)


def slow(path):
    soundfile.write(path, noise(rate=4000).samples.T, 4000)


def mp3_of_a_few_bytes(path):
    encode(noise(), path.with_suffix(".mp3"))
    path.write_bytes(path.with_suffix(".mp3").read_bytes()[:300])
    path.with_suffix(".mp3").unlink()


def m4a_cut_before_its_index(path):
    path.write_bytes(struct.pack(">I4s4s", 24, b"ftyp", b"M4A ") + bytes(2000))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (missing, "does not exist"),
        (folder, "is a folder"),
        (pipe, "not a regular file"),
        (empty, "is empty"),
        (text, "not an audio file"),
        (random_bytes, "not an audio file"),
        (header_alone, "damaged|too short"),
        (six_channels, r"6 channels \(5.1\): fold it down to stereo first"),
        (nan, "NaN samples, the first at 0.500 s"),
        (infinite, "infinite samples, the first at 0.250 s"),
        (short, "0.05 s, and loudness is defined from 0.4 s"),
        (no_samples, "too short"),
        (slow, "4000 Hz"),
        (mp3_of_a_few_bytes, "not an audio file|damaged"),
        (m4a_cut_before_its_index, "damaged|needs ffmpeg"),
    ],
)
def test_bad_input_is_one_line_with_the_file_and_leaves_nothing(tmp_path, capfd, make, message):
    path, raw = tmp_path / "song.wav", tmp_path / "raw"
    make(path)
    with pytest.raises(InputError, match=message) as caught:
        decode(path, raw)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    assert capfd.readouterr() == ("", "")
    assert not raw.exists()


@pytest.mark.parametrize("read", [probe, content_hash])
def test_probing_and_hashing_refuse_what_is_not_there(tmp_path, read):
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "nowhere.wav")


_AS_NOBODY = """
import os, sys
from pathlib import Path
from mixagent.pipeline.errors import InputError
from mixagent.pipeline.io import probe
if os.geteuid() == 0:
    os.setuid(65534)
try:
    probe(Path("song.wav"))
except InputError as error:
    print(error)
"""


def test_a_file_without_read_permission_is_one_line(tmp_path):
    encode(tone(), tmp_path / "song.wav")
    (tmp_path / "song.wav").chmod(0)
    tmp_path.chmod(0o755)
    shown = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert shown.stdout == "song.wav may not be read: check its permissions\n", shown.stderr


@pytest.mark.parametrize("suffix", ["wav", "aiff", "flac", "mp3"])
def test_a_truncated_file_gives_what_is_there_and_a_warning(tmp_path, capfd, suffix):
    path = tmp_path / f"song.{suffix}"
    if suffix == "aiff":
        soundfile.write(path, noise(4.0).samples.T, RATE)
    else:
        encode(noise(4.0), path)
    whole = load(decode(path, tmp_path / "whole").audio).samples
    cut(path, 0.6)
    decoded = decode(path, tmp_path / "raw")
    (warning,) = decoded.warnings
    assert "cut short" in warning
    assert "of 4.0 s" in warning
    assert decoded.info.frames == decoded.audio.frames
    assert 1.8 < decoded.info.duration_s < 2.6
    # The last frame of a lossy file leans on one that is gone.
    kept = decoded.audio.frames - 3000
    np.testing.assert_array_equal(load(decoded.audio).samples[:, :kept], whole[:, :kept])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("share", [0.6, 0.999])
def test_a_truncated_ogg_gives_what_is_there_and_a_warning(tmp_path, share):
    encode(noise(4.0), tmp_path / "song.ogg")
    assert decode(tmp_path / "song.ogg", tmp_path / "raw").warnings == ()
    cut(tmp_path / "song.ogg", share)
    decoded = decode(tmp_path / "song.ogg", tmp_path / "raw")
    assert 4.0 * share - 0.9 < decoded.info.duration_s < 4.0 * share + 0.2
    (warning,) = decoded.warnings
    assert "cut short" in warning


def test_an_ogg_whose_last_page_is_empty_is_whole(tmp_path):
    encode(noise(1.0), tmp_path / "song.ogg")
    with (tmp_path / "song.ogg").open("ab") as file:
        file.write(b"OggS\0\4" + bytes(20) + b"\1\0")
    assert decode(tmp_path / "song.ogg", tmp_path / "raw").warnings == ()


def test_a_wav_written_to_a_pipe_is_whole_though_its_header_is_not(tmp_path):
    path = tmp_path / "song.wav"
    encode(noise(), path, "16")
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    decoded = decode(path, tmp_path / "raw")
    assert decoded.warnings == ()
    assert decoded.info.frames == RATE


@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac"])
def test_extensions_may_lie(tmp_path, suffix):
    encode(tone(), tmp_path / f"song.{suffix}")
    (tmp_path / f"song.{suffix}").rename(tmp_path / "song.ogg")
    assert decode(tmp_path / "song.ogg", tmp_path / "raw").info.container == suffix.upper()


def test_silence_and_a_full_scale_square_decode_as_they_are(tmp_path):
    square = np.sign(tone().samples) * np.float32(1.0)
    for index, samples in enumerate((np.zeros((2, RATE), np.float32), square)):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, samples.T, RATE, subtype="FLOAT")
        np.testing.assert_array_equal(load(decode(path, tmp_path / "raw").audio).samples, samples)


def _ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", *map(str, arguments)], check=True)


@pytest.fixture
def ffmpeg():
    import shutil

    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        pytest.skip("ffmpeg is not installed")
    return _ffmpeg


@pytest.mark.parametrize("suffix", ["m4a", "aac", "webm"])
def test_what_ffmpeg_reads_is_read_by_ffmpeg(tmp_path, ffmpeg, suffix):
    encode(tone(2.0, rate=48000), tmp_path / "song.wav")
    path = tmp_path / f"-song.{suffix}"
    ffmpeg("-i", tmp_path / "song.wav", *(["-b:a", "192k"] if suffix != "webm" else []), path)
    decoded = decode(path, tmp_path / "raw")
    assert decoded.warnings == ()
    assert (decoded.info.rate, decoded.info.channels, decoded.info.bit_depth) == (48000, 2, None)
    assert abs(decoded.info.duration_s - 2.0) < 0.1
    level = np.sqrt(np.mean(load(decoded.audio).samples[:, 9600:-9600] ** 2))
    assert level == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize("suffix", ["m4a", "oga"])
def test_what_the_encoder_padded_is_left_out(tmp_path, ffmpeg, suffix):
    encode(noise(1.01), tmp_path / "song.wav", "16")
    codec = {"m4a": "aac", "oga": "flac"}[suffix]
    ffmpeg("-i", tmp_path / "song.wav", "-c:a", codec, tmp_path / f"song.{suffix}")
    decoded = decode(tmp_path / f"song.{suffix}", tmp_path / "raw")
    assert decoded.info.frames == decoded.audio.frames == round(1.01 * RATE)
    assert decoded.warnings == ()


def test_m4a_without_ffmpeg_says_what_to_install(tmp_path, monkeypatch):
    m4a_cut_before_its_index(tmp_path / "song.m4a")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="needs ffmpeg to be read: install it, or convert"):
        decode(tmp_path / "song.m4a", tmp_path / "raw")


def test_a_playlist_is_not_followed(tmp_path, ffmpeg):
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost/a.ts\n")
    with pytest.raises(InputError), open_ffmpeg(tmp_path / "list.m3u8"):
        pass
    with pytest.raises(InputError, match="not an audio file"):
        decode(tmp_path / "list.m3u8", tmp_path / "raw")
