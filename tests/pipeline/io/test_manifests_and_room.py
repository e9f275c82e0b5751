"""What a decoder may open, and what a song may take of a disk."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from mixagent.pipeline.errors import InputError, OutputError
from mixagent.pipeline.io import decode

RATE = 44100

CODECS = {
    "song.m4a": ("aac",),
    "song.mp4": ("alac",),
    "song.aac": ("aac",),
    "song.mka": ("flac",),
    "song.webm": ("libopus",),
    "song.wma": ("wmav2",),
    "song.wv": ("wavpack",),
    "song.tta": ("tta",),
    "song.oga": ("flac",),
}


@pytest.fixture
def tone(tmp_path):
    path = tmp_path / "tone.wav"
    time_s = np.arange(48000) / 48000
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * np.stack([time_s, time_s], 1)), 48000)
    return path


@pytest.fixture
def ffmpeg():
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        pytest.skip("ffmpeg is not installed")
    return lambda *arguments: subprocess.run(["ffmpeg", "-v", "error", *map(str, arguments)], check=True)


@pytest.mark.parametrize("name", CODECS)
def test_all_containers_that_are_read_stay_readable(tmp_path, ffmpeg, tone, name):
    ffmpeg("-i", tone, "-c:a", *CODECS[name], tmp_path / name)
    decoded = decode(tmp_path / name, tmp_path / "raw")
    assert decoded.info.duration_s == pytest.approx(1.0, abs=0.1)


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{path}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile {path}\n"
DASH = """<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
 mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>
 <AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="128000">
 <BaseURL>{path}</BaseURL></Representation></AdaptationSet></Period></MPD>"""
IMF = '<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM">{path}</AssetMap>'


@pytest.mark.parametrize("manifest", [HLS, CONCAT, DASH, IMF, "# {path}\n", "file://{path}"])
@pytest.mark.parametrize("head", ["", "    ftyp"])
@pytest.mark.parametrize("name", ["song.m4a", "song.mp3", "song.wav"])
def test_a_manifest_by_any_name_reads_no_other_file(tmp_path, ffmpeg, tone, manifest, head, name):
    (tmp_path / "secret").mkdir()
    secret = tmp_path / "secret" / "private.m4a"
    ffmpeg("-i", tone, secret)
    path = tmp_path / name
    path.write_text(head + manifest.format(path=secret))
    with pytest.raises(InputError) as refused:
        decode(path, tmp_path / "raw")
    assert "\n" not in str(refused.value)


@pytest.fixture
def silence(tmp_path):
    path = tmp_path / "silence.flac"
    soundfile.write(path, np.zeros((60 * RATE, 2), np.int16), RATE)
    return path


def free(monkeypatch, count):
    usage = shutil.disk_usage("/")._replace(free=count)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def test_a_small_file_that_needs_more_than_is_free_is_refused_before_anything_is_written(
    tmp_path, silence, monkeypatch
):
    needed = 60 * RATE * 2 * 4
    assert silence.stat().st_size < needed / 100
    free(monkeypatch, needed)
    assert decode(silence, tmp_path / "raw").info.frames == 60 * RATE
    (tmp_path / "raw").unlink()
    free(monkeypatch, needed - 1)
    with pytest.raises(OutputError, match=r"silence\.flac decoded takes 21 MB, and .* 21 MB free: make room"):
        decode(silence, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_a_length_that_only_the_header_has_refuses_no_song(tmp_path, silence, monkeypatch):
    data = bytearray(silence.read_bytes())
    # STREAMINFO: 36 bits of total samples, from the low half of byte 13 of the block on (RFC 9639, 8.2).
    start = 4 + 4 + 13
    data[start] |= 0x0F
    data[start + 1 : start + 5] = b"\xff" * 4
    silence.write_bytes(data)
    free(monkeypatch, 60 * RATE * 2 * 4)
    assert decode(silence, tmp_path / "raw").audio.frames > 59 * RATE
