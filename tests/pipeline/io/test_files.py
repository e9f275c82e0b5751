"""Audio files: every format there and back, never half a file, the same bytes twice."""

import errno
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mixagent.pipeline.errors import CancelledError, OutputError, UsageError
from mixagent.pipeline.io import check_output, content_hash, decode, encode, encode_all, probe
from mixagent.pipeline.io.encoding import container_of
from mixagent.pipeline.types import Audio, load

RATE = 44100


def noise(seconds=1.0, rate=RATE, channels=2, level=0.1, seed=0):
    samples = np.random.default_rng(seed).standard_normal((channels, int(seconds * rate)))
    return Audio((samples * level).astype(np.float32), rate)


def tone(seconds=1.0, rate=RATE, channels=2, level=0.5):
    time_s = np.arange(int(seconds * rate)) / rate
    return Audio(np.tile(level * np.sin(2 * np.pi * 441 * time_s), (channels, 1)).astype(np.float32), rate)


def there_and_back(source, path, **options):
    encode(source, path, **options)
    return load(decode(path, path.with_suffix(".raw")).audio)


@pytest.mark.parametrize(
    ("name", "bit_depth", "tolerance"),
    [
        ("a.wav", "32f", 0.0),
        ("a.wav", "24", 0.5 / 2**23),
        ("a.flac", "24", 0.5 / 2**23),
        ("a.wav", "16", 1.5 / 2**15),
        ("a.flac", "16", 1.5 / 2**15),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossless_formats_keep_every_sample_within_their_step(tmp_path, name, bit_depth, tolerance, channels):
    source = noise(channels=channels)
    back = there_and_back(source, tmp_path / name, bit_depth=bit_depth)
    assert (back.rate, back.samples.shape) == (RATE, source.samples.shape)
    assert np.abs(back.samples - source.samples).max() <= tolerance * 1.0001


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg"])
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_formats_keep_length_and_place(tmp_path, name, channels):
    source = tone(channels=channels)
    back = there_and_back(source, tmp_path / name)
    assert back.samples.shape == source.samples.shape
    inner = slice(4096, -4096)
    error = back.samples[:, inner] - source.samples[:, inner]
    assert np.sqrt(np.mean(error**2)) < 0.01


def test_a_24_bit_file_comes_back_bit_for_bit(tmp_path):
    whole = np.random.default_rng(1).integers(-(2**23), 2**23, (RATE, 2)) << 8
    soundfile.write(tmp_path / "in.wav", whole.astype(np.int32), RATE, subtype="PCM_24")
    there_and_back(load(decode(tmp_path / "in.wav", tmp_path / "raw").audio), tmp_path / "out.flac")
    back, _ = soundfile.read(tmp_path / "out.flac", dtype="int32")
    np.testing.assert_array_equal(back, whole)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_equal_input_gives_equal_bytes(tmp_path, suffix, monkeypatch):
    encode(noise(), tmp_path / f"a.{suffix}", "16" if suffix == "flac" else "32f")
    # Another second on the clock, in a process with another history.
    script = (
        "import sys, time; time.sleep(1.1); sys.path.insert(0, sys.argv[1]); import test_files as t;"
        "from pathlib import Path; p = Path(sys.argv[2]);"
        "t.encode(t.noise(), p, '16' if p.suffix == '.flac' else '32f')"
    )
    again = tmp_path / f"b.{suffix}"
    subprocess.run([sys.executable, "-c", script, str(Path(__file__).parent), str(again)], check=True)
    assert content_hash(tmp_path / f"a.{suffix}") == content_hash(again)


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000, 192000])
def test_every_rate_is_kept(tmp_path, rate):
    assert there_and_back(noise(rate=rate), tmp_path / "a.flac").rate == rate


@pytest.mark.parametrize(
    ("subtype", "bit_depth"),
    [("PCM_U8", 8), ("PCM_16", 16), ("PCM_24", 24), ("PCM_32", 32), ("FLOAT", 32), ("DOUBLE", 64)],
)
def test_probe_and_decode_read_every_wav_subtype(tmp_path, subtype, bit_depth):
    path, source = tmp_path / "a.wav", noise(channels=1)
    soundfile.write(path, source.samples.T, RATE, subtype=subtype)
    decoded = decode(path, tmp_path / "raw")
    assert probe(path) == decoded.info
    assert (decoded.info.container, decoded.info.subtype, decoded.info.bit_depth) == (
        "WAV",
        subtype,
        bit_depth,
    )
    assert decoded.info.duration_s == 1.0
    assert np.abs(load(decoded.audio).samples - source.samples).max() <= 1.01 / 2 ** (min(bit_depth, 25) - 1)


def test_aiff_is_read(tmp_path):
    soundfile.write(tmp_path / "a.aiff", noise().samples.T, RATE, subtype="PCM_24")
    assert decode(tmp_path / "a.aiff", tmp_path / "raw").info.container == "AIFF"


def test_float_over_full_scale_is_kept_in_float_and_clips_in_integers(tmp_path):
    loud = tone(level=1.5)
    assert there_and_back(loud, tmp_path / "a.wav", bit_depth="32f").samples.max() > 1.49
    back = there_and_back(loud, tmp_path / "b.wav", bit_depth="16").samples
    assert (back.max(), back.min()) == (1.0 - 2.0**-15, -1.0)


@pytest.mark.parametrize("name", ["Ünïcødé 歌 🎵.wav", "-v.mp3", "a b'c\"d.flac", "100%.ogg"])
def test_awkward_names_work(tmp_path, name):
    assert there_and_back(tone(), tmp_path / name).frames == RATE


def test_big_wavs_become_rf64_and_are_read(tmp_path):
    assert container_of(".wav", 3 * 10**9) == "WAV"
    assert container_of(".wav", 5 * 10**9) == "RF64"
    soundfile.write(tmp_path / "a.wav", noise().samples.T, RATE, format="RF64")
    assert decode(tmp_path / "a.wav", tmp_path / "raw").info.container == "RF64"


def test_an_existing_output_stays_whole_until_the_new_one_is(tmp_path):
    path = tmp_path / "a.wav"
    encode(tone(), path)
    before = content_hash(path)

    def interrupt(share):
        assert content_hash(path) == before
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(noise(), path, progress=interrupt)
    assert content_hash(path) == before
    assert list(tmp_path.iterdir()) == [path]


def test_progress_of_decoding_rises_to_one_and_can_cancel(tmp_path):
    shares = []
    encode(tone(), tmp_path / "a.mp3", progress=shares.append)
    decode(tmp_path / "a.mp3", tmp_path / "raw", shares.append)
    assert shares.count(1.0) == 2

    def cancel(share):
        raise CancelledError("interrupted")

    with pytest.raises(CancelledError):
        decode(tmp_path / "a.mp3", tmp_path / "raw", cancel)
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(
    ("name", "rate", "bit_depth", "message"),
    [
        ("a.aac", 44100, "24", "use wav, flac, mp3 or ogg"),
        ("a", 44100, "24", "use wav, flac, mp3 or ogg"),
        ("a.flac", 44100, "32f", "16 or 24 bit"),
        ("a.mp3", 96000, "24", "44100 or 48000"),
    ],
)
def test_what_a_format_lacks_is_a_usage_error(tmp_path, name, rate, bit_depth, message):
    with pytest.raises(UsageError, match=message):
        check_output(tmp_path / name, rate, bit_depth)


def test_several_files_are_what_each_alone_would_be(tmp_path):
    names = ["a.wav", "a.flac", "a.mp3", "a.ogg"]
    shares: list[float] = []
    encode_all(noise(), [tmp_path / name for name in names], "16", seed=4, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    for name in names:
        encode(noise(), tmp_path / f"alone {name}", "16", seed=4)
        assert content_hash(tmp_path / name) == content_hash(tmp_path / f"alone {name}")


def test_several_files_are_written_all_or_none(tmp_path):
    (tmp_path / "a.wav").write_text("the old one")

    def fail(share):
        if share == 1.0:
            raise CancelledError("interrupted")

    with pytest.raises(CancelledError):
        encode_all(noise(), [tmp_path / "a.wav", tmp_path / "a.ogg"], progress=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert (tmp_path / "a.wav").read_text() == "the old one"


def test_the_input_is_never_overwritten_also_under_another_name(tmp_path):
    song = tmp_path / "song.wav"
    encode(tone(), song)
    (tmp_path / "link.wav").symlink_to(song)
    (tmp_path / "hard.wav").hardlink_to(song)
    for name in ("song.wav", "link.wav", "hard.wav"):
        with pytest.raises(UsageError, match="never overwritten"):
            encode(noise(), tmp_path / name, inputs=[song])


def test_an_existing_file_is_kept_when_asked(tmp_path):
    encode(tone(), tmp_path / "a.wav")
    with pytest.raises(OutputError, match="exists already"):
        encode(noise(), tmp_path / "a.wav", overwrite=False)


def test_a_missing_folder_and_a_folder_as_output_are_one_line(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        encode(tone(), tmp_path / "nowhere" / "a.wav")
    for name in ("folder.wav", "folder"):
        (tmp_path / name).mkdir()
        with pytest.raises(OutputError, match="is a folder"):
            encode(tone(), tmp_path / name)


_LIMITED = """
import resource, sys
from pathlib import Path
import test_files as t
song, path = Path(sys.argv[1]), Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    t.decode(song, path) if path.suffix == ".raw" else t.encode(t.noise(3.0), path)
except t.OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.raw"])
def test_a_refused_write_is_one_line_and_leaves_nothing(tmp_path, name):
    """A limit on the file size refuses writes in the middle of a file, as a full disk does."""
    song, path = tmp_path / "song.wav", tmp_path / "out" / name
    encode(noise(3.0), song)
    path.parent.mkdir()
    shown = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(song), str(path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.count("\n") == 1
    assert os.strerror(errno.EFBIG).lower() in shown.stdout
    assert shown.stderr == ""
    assert not list(path.parent.iterdir())
    assert OutputError.exit_code == 6


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, name):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(OutputError, match="no space left on device"):
            encode(noise(3.0), disk / name)
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_hash_is_of_the_bytes_that_are_there_now(tmp_path):
    path = tmp_path / "song.wav"
    for content in (b"first", b"later", b"again"):
        path.write_bytes(content)
        long_ago_s = 1_000_000_000
        os.utime(path, (long_ago_s, long_ago_s))
        assert content_hash(path) == hashlib.sha256(content).hexdigest()
        assert content_hash(path) == hashlib.sha256(content).hexdigest()


def test_a_file_that_has_not_changed_is_hashed_once(tmp_path, monkeypatch):
    path = tmp_path / "song.wav"
    path.write_bytes(b"samples")
    # As if an hour had passed since: what was changed a moment ago is always read.
    monkeypatch.setattr(time, "time_ns", lambda: path.stat().st_mtime_ns + 3_600_000_000_000)
    reads = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *given: reads.append(given) or digest(*given))
    assert content_hash(path) == content_hash(path) == hashlib.sha256(b"samples").hexdigest()
    assert len(reads) == 1
