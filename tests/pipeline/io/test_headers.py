"""The bytes count and not the header: what a file holds is read, or a warning names what was not."""

import io
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile
from test_files import RATE, noise

from mixagent.pipeline.errors import InputError
from mixagent.pipeline.io import decode
from mixagent.pipeline.types import load

SONG = noise(4.0).samples
FRAMES = SONG.shape[1]
SHORT = RATE
FFMPEG = shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None
needs_ffmpeg = pytest.mark.skipif(not FFMPEG, reason="ffmpeg is not installed")


def written(form, subtype="PCM_16", samples=SONG, rate=RATE):
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, subtype, format=form)
    return bytearray(file.getvalue())


def ffmpeg(tmp_path, name, *options, samples=SONG):
    soundfile.write(tmp_path / "in.wav", samples.T, RATE, "PCM_16")
    command = ["ffmpeg", "-v", "error", "-y", "-i", tmp_path / "in.wav", *options, tmp_path / name]
    subprocess.run([*map(str, command)], check=True)
    return bytearray((tmp_path / name).read_bytes())


def decoded(tmp_path, data, name="song.bin"):
    (tmp_path / name).write_bytes(data)
    found = decode(tmp_path / name, tmp_path / "raw")
    assert found.info.frames == found.audio.frames
    assert all(str(tmp_path / name) in warning for warning in found.warnings)
    return load(found.audio).samples, " ".join(found.warnings)


def expected(subtype="PCM_16"):
    read, _ = soundfile.read(io.BytesIO(written("WAV", subtype)), dtype="float32", always_2d=True)
    return read.T


def sized(form, size, subtype="PCM_16"):
    """A file whose header states `size` bytes of samples."""
    data = written(form, subtype)
    if form in ("WAV", "RF64", "BW64"):
        at = data.find(b"data")
        if form == "WAV":
            data[at + 4 : at + 8] = struct.pack("<I", size)
        else:
            data[28:36] = struct.pack("<Q", size)
    elif form == "AIFF":
        at = data.find(b"SSND")
        data[at + 4 : at + 8] = struct.pack(">I", size + 8)
    elif form == "W64":
        at = data.find(b"data")
        data[at + 16 : at + 24] = struct.pack("<Q", size + 24)
    elif form == "CAF":
        at = data.find(b"data")
        data[at + 4 : at + 12] = struct.pack(">q", size + 4)
    else:
        data[8:12] = struct.pack(">I", size)
    return data


@pytest.mark.parametrize("form", ["WAV", "RF64", "AIFF", "W64", "CAF", "AU"])
@pytest.mark.parametrize("size", [0, 4 * SHORT])
def test_a_size_that_states_less_costs_no_sample_and_is_told(tmp_path, form, size):
    samples, told = decoded(tmp_path, sized(form, size))
    np.testing.assert_array_equal(samples, expected())
    assert f"states {size / 4 / RATE:.1f} s of audio; 4.0 s are there and were read" in told


@pytest.mark.parametrize("form", ["WAV", "RF64", "AIFF", "W64", "CAF", "AU"])
def test_a_size_that_states_more_gives_what_is_there_and_is_told(tmp_path, form):
    samples, told = decoded(tmp_path, sized(form, 4 * 9 * RATE))
    np.testing.assert_array_equal(samples, expected())
    assert "4.0 s of 9.0 s could be decoded" in told


@pytest.mark.parametrize("form", ["RF64", "W64", "CAF", "AU", "BW64"])
def test_a_file_cut_in_its_samples_gives_what_is_there_and_is_told(tmp_path, form):
    data = written("RF64" if form == "BW64" else form)
    data[:4] = b"BW64" if form == "BW64" else data[:4]
    samples, told = decoded(tmp_path, data[: len(data) // 2])
    np.testing.assert_array_equal(samples, expected()[:, : samples.shape[1]])
    assert samples.shape[1] > 0.45 * FRAMES
    assert "of 4.0 s could be decoded" in told


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_the_rest_is_read_whatever_its_samples_are(tmp_path, subtype):
    whole = written("WAV", subtype)
    size = struct.unpack("<I", whole[whole.find(b"data") + 4 :][:4])[0]
    samples, told = decoded(tmp_path, sized("WAV", size // 2, subtype))
    np.testing.assert_array_equal(samples, expected(subtype))
    assert "states 2.0 s of audio; 4.0 s are there" in told


def test_a_bw64_file_is_read(tmp_path):
    data = written("RF64")
    data[:4] = b"BW64"
    samples, told = decoded(tmp_path, data)
    np.testing.assert_array_equal(samples, expected())
    assert not told


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (b"LIST" + struct.pack("<I", 16) + b"INFOISFT" + struct.pack("<I", 4) + b"ab\0\0", ""),
        (bytes(4000), ""),
        (bytes(4 * RATE * 2), "after the stated end were not read"),
        (np.random.default_rng(0).bytes(200_000), "the 200000 bytes after the stated end were not read"),
        (b"And I will write the lyrics down here. " * 2000, "after the stated end were not read"),
        (b"TAG" + bytes(125), ""),
        (b"ID3\4\0\0\0\0\7\x76" + bytes(1014), ""),
    ],
    ids=["chunk", "padding", "silence", "random", "text", "id3v1", "id3v2"],
)
def test_what_follows_the_samples_and_is_none_is_not_heard(tmp_path, after, words):
    samples, told = decoded(tmp_path, written("WAV") + after)
    np.testing.assert_array_equal(samples, expected())
    assert words in told
    assert bool(words) == bool(told)


def test_a_second_part_of_samples_is_named(tmp_path):
    data = written("WAV")
    samples, told = decoded(tmp_path, data + data[data.find(b"data") :])
    np.testing.assert_array_equal(samples, expected())
    assert "a second part of 4.0 s of samples was not read" in told


# --- FLAC ------------------------------------------------------------------------------------------

FLAC = written("FLAC")
IN_FLAC = soundfile.read(io.BytesIO(FLAC), dtype="float32", always_2d=True)[0].T


def totalled(total):
    word = int.from_bytes(FLAC[18:26], "big") >> 36 << 36 | total
    return FLAC[:18] + word.to_bytes(8, "big") + FLAC[26:]


@pytest.mark.parametrize("before", [b"", b"ID3\3\0\0\0\0\1\0" + bytes(128)], ids=["plain", "after ID3"])
@pytest.mark.parametrize("total", [0, SHORT, FRAMES])
def test_a_flac_is_read_to_its_last_frame(tmp_path, total, before):
    samples, told = decoded(tmp_path, before + totalled(total))
    np.testing.assert_array_equal(samples, IN_FLAC)
    assert ("states 1.0 s of audio; 4.0 s are there" in told) == (total == SHORT)
    assert bool(told) == (total == SHORT)


def test_a_flac_of_open_length_that_is_cut_is_told(tmp_path):
    samples, told = decoded(tmp_path, totalled(0)[: len(FLAC) * 6 // 10])
    assert 2 * RATE < samples.shape[1] < 2.5 * RATE
    np.testing.assert_array_equal(samples, IN_FLAC[:, : samples.shape[1]])
    assert "cut short" in told


def test_joined_flacs_are_read_one_after_the_other(tmp_path):
    samples, told = decoded(tmp_path, FLAC + totalled(0))
    np.testing.assert_array_equal(samples, np.concatenate([IN_FLAC, IN_FLAC], axis=1))
    assert not told


# --- Ogg -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_the_links_of_a_chained_ogg_are_read_one_after_the_other(tmp_path, subtype):
    link = written("OGG", subtype, noise(1.0, rate=48_000).samples, 48_000)
    one, _ = decoded(tmp_path, link)
    samples, told = decoded(tmp_path, link + link)
    np.testing.assert_array_equal(samples, np.concatenate([one, one], axis=1))
    assert not told


def test_a_link_of_another_rate_is_named(tmp_path):
    first, second = (
        written("OGG", "VORBIS"),
        written("OGG", "VORBIS", noise(2.0, rate=48_000).samples, 48_000),
    )
    samples, told = decoded(tmp_path, first + second)
    assert samples.shape[1] == FRAMES
    assert "2.0 s at 48000 Hz with 2 channels joined to it could not be read" in told


# --- MPEG ------------------------------------------------------------------------------------------

DENSE_THEN_QUIET = np.concatenate([SONG, SONG * 0.0005, SONG * 0.0005], axis=1)
ENCODERS_DELAY = 1105 + 2 * 1152


@needs_ffmpeg
@pytest.mark.parametrize("turned", [False, True])
def test_a_vbr_mp3_without_a_header_is_read_whole_and_never_called_cut(tmp_path, turned):
    song = DENSE_THEN_QUIET[:, ::-1] if turned else DENSE_THEN_QUIET
    bare = ffmpeg(tmp_path, "bare.mp3", "-q:a", 2, "-write_xing", 0, "-id3v2_version", 0, samples=song)
    headed = ffmpeg(tmp_path, "headed.mp3", "-q:a", 2, "-id3v2_version", 0, samples=song)
    samples, told = decoded(tmp_path, bare)
    whole, _ = decoded(tmp_path, headed)
    assert not told
    assert song.shape[1] <= samples.shape[1] < song.shape[1] + ENCODERS_DELAY
    # The header knows the encoder's delay, 576 samples and those of the filters.
    later = samples.shape[1] - whole.shape[1]
    offset = next(
        k
        for k in range(later + 1)
        if np.allclose(samples[:, k + 20_000 : k + 30_000], whole[:, 20_000:30_000])
    )
    np.testing.assert_allclose(samples[:, offset : offset + FRAMES], whole[:, :FRAMES], atol=1e-6)


@pytest.fixture(scope="module")
def mp3():
    file = io.BytesIO()
    soundfile.write(file, SONG.T, RATE, format="MP3")
    return bytearray(file.getvalue())


@pytest.mark.parametrize(
    "between", [b"", b"TAG" + bytes(125), b"ID3\3\0\0\0\0\1\0" + bytes(128)], ids=["bare", "id3v1", "id3v2"]
)
def test_joined_mp3s_are_read_one_after_the_other(tmp_path, mp3, between):
    one, _ = decoded(tmp_path, mp3)
    samples, told = decoded(tmp_path, mp3 + between + mp3)
    np.testing.assert_array_equal(samples, np.concatenate([one, one], axis=1))
    assert not told


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (RATE, 1)])
def test_a_joined_mp3_of_another_kind_is_named(tmp_path, mp3, rate, channels):
    file = io.BytesIO()
    soundfile.write(file, SONG[:channels, : 2 * rate].T, rate, format="MP3")
    samples, told = decoded(tmp_path, mp3 + file.getvalue())
    assert samples.shape[1] == FRAMES
    assert f"s at {rate} Hz {'mono' if channels == 1 else 'with 2 channels'} joined to it" in told


@pytest.mark.parametrize("stated", [0, 20])
def test_an_mp3_header_that_states_less_costs_no_frame(tmp_path, mp3, stated):
    at = max(mp3.find(b"Info"), mp3.find(b"Xing"))
    wrong = mp3[: at + 8] + struct.pack(">I", stated) + mp3[at + 12 :]
    whole, _ = decoded(tmp_path, mp3)
    samples, _ = decoded(tmp_path, wrong)
    np.testing.assert_array_equal(samples, whole)


def test_an_mp3_header_that_states_more_is_told(tmp_path, mp3):
    at = max(mp3.find(b"Info"), mp3.find(b"Xing"))
    _, told = decoded(tmp_path, mp3[: at + 8] + struct.pack(">I", 2000) + mp3[at + 12 :])
    assert "could be decoded" in told


def test_junk_between_frames_hides_nothing(tmp_path, mp3):
    half = len(mp3) // 2
    samples, _ = decoded(tmp_path, mp3[:half] + np.random.default_rng(0).bytes(5000) + mp3[half:])
    assert samples.shape[1] > FRAMES - 3 * 1152


# --- what ffmpeg reads -----------------------------------------------------------------------------


@needs_ffmpeg
def test_an_mp4_that_states_half_is_read_whole(tmp_path):
    data = ffmpeg(tmp_path, "song.m4a", "-movflags", "+faststart")
    at = data.find(b"mdhd") + 20
    data[at : at + 4] = struct.pack(">I", struct.unpack(">I", data[at : at + 4])[0] // 2)
    samples, told = decoded(tmp_path, data)
    assert FRAMES <= samples.shape[1] < FRAMES + 2048
    assert "states 2.0 s of audio; 4.0 s are there" in told


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["m4a", "wma", "webm", "wv", "tta"])
def test_what_is_cut_is_told(tmp_path, suffix):
    data = ffmpeg(tmp_path, f"song.{suffix}", *(["-movflags", "+faststart"] if suffix == "m4a" else []))
    _, told = decoded(tmp_path, data[: len(data) // 2])
    assert "cut short or damaged" in told


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["m4a", "wma", "wv", "tta"])
def test_a_second_file_that_is_not_read_is_named(tmp_path, suffix):
    data = ffmpeg(tmp_path, f"song.{suffix}")
    _, told = decoded(tmp_path, data + data)
    assert f"a second file joined to it, {len(data)} bytes long, was not read" in told


@needs_ffmpeg
def test_a_stream_of_aac_is_as_long_as_its_frames_and_told_when_cut(tmp_path):
    # Loud and quiet: what ffmpeg guesses from the first frames is far off.
    data = ffmpeg(tmp_path, "song.aac", samples=DENSE_THEN_QUIET)
    samples, told = decoded(tmp_path, data)
    assert not told
    assert DENSE_THEN_QUIET.shape[1] <= samples.shape[1] < DENSE_THEN_QUIET.shape[1] + 3 * 1024
    _, told = decoded(tmp_path, data[:-50])
    assert "cut short" in told


# --- anything --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["WAV", "RF64", "AIFF", "W64", "CAF", "AU", "FLAC", "OGG"])
def test_no_damage_ends_in_a_traceback_or_loses_sound_in_silence(tmp_path, form):
    rng = np.random.default_rng(7)
    data = written(form, "VORBIS" if form == "OGG" else "PCM_16")
    for _ in range(60):
        broken = bytearray(data)
        if rng.random() < 0.4:
            broken = broken[: rng.integers(1, len(broken))]
        else:
            broken[rng.integers(0, 120)] = rng.choice([0, 255, rng.integers(256)])
        (tmp_path / "song.bin").write_bytes(broken)
        try:
            found = decode(tmp_path / "song.bin", tmp_path / "raw")
        except InputError:
            continue
        lost_s = 4.0 - found.info.duration_s
        # A header may also say, and be believed, that the same bytes are samples of another kind.
        same = (found.info.rate, found.info.channels, found.info.bit_depth or 16) == (RATE, 2, 16)
        assert found.warnings or lost_s < 1.0 or not same
