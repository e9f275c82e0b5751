"""Audio files to samples: wav, flac, mp3, ogg and aiff by libsndfile, m4a and a few others by ffmpeg.

Every failure is an `InputError` of one line that names the file, what is wrong and what to do.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import soundfile

from mixagent.pipeline.errors import InputError, OutputError, reason
from mixagent.pipeline.types import DiskAudio, DiskAudioWriter, FloatArray

Progress = Callable[[float], None]

SHORTEST_S = 0.4
"""One gating block of BS.1770: the loudness of anything shorter is undefined."""
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 192_000

_FRAMES = 1 << 14
_MISSING_S = 1.0
_UNKNOWN_SIZE = 0xFFFFFFFF
_OGG_PAGE_BYTES = 27 + 255 + 255 * 255
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}
_READABLE = "wav, flac, mp3, ogg or aiff, and m4a where ffmpeg is installed"


@dataclass(frozen=True)
class FileInfo:
    """What a file says about itself.

    `container` and `subtype` are libsndfile's names (`WAV`, `PCM_24`) or ffmpeg's in capitals
    (`MOV`, `AAC`); `bit_depth` is None for a lossy codec; `frames` is per channel.
    """

    container: str
    subtype: str
    bit_depth: int | None
    rate: int
    channels: int
    frames: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate


@dataclass(frozen=True)
class Decoded:
    """A decoded file: its samples, what it is, and what the user should know about it."""

    audio: DiskAudio
    info: FileInfo
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Stream:
    info: FileInfo
    blocks: Iterator[FloatArray]


class _DamagedError(Exception):
    """Decoding stopped before the end of the file."""


def content_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex.

    Raises:
        InputError: the file cannot be read.
    """
    _check_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def probe(path: Path) -> FileInfo:
    """Format, rate, channels and length as the file states them, without decoding it.

    Raises:
        InputError: no such file, not an audio file, or of a kind that is not supported.
    """
    with _open(path) as stream:
        return stream.info


def decode(path: Path, to: Path, progress: Progress | None = None, shortest_s: float = SHORTEST_S) -> Decoded:
    """Decode a file into the raw file `to`, in bounded memory.

    A file that ends early, or breaks in the middle, gives what could be read and a warning.
    `progress` is called with the share done, 0 to 1; what it raises ends the decoding. What is cut short
    has to last `SHORTEST_S` in any case.

    Raises:
        InputError: missing, unreadable, not audio, over two channels, NaN or infinite samples,
            shorter than `shortest_s`, or a rate outside 8–192 kHz.
        OutputError: `to` cannot be written.
    """
    try:
        with _open(path) as stream:
            return _spool(path, stream, to, progress or (lambda share: None), shortest_s)
    except BaseException:
        to.unlink(missing_ok=True)
        raise


def _spool(path: Path, stream: _Stream, to: Path, progress: Progress, shortest_s: float) -> Decoded:
    info, done, damaged = stream.info, 0, False
    try:
        with DiskAudioWriter(to, info.rate, info.channels) as writer:
            try:
                for block in stream.blocks:
                    _check_finite(path, block, done, info.rate)
                    writer.write(block)
                    done += block.shape[1]
                    progress(min(done / max(info.frames, 1), 1.0))
                damaged = info.container == "OGG" and not _ends_an_ogg_stream(path)
            except _DamagedError:
                damaged = True
            audio = writer.close()
    except OSError as error:
        raise OutputError(f"cannot write the scratch file {to}: {reason(error)}") from error
    cut = damaged or info.frames > done
    if done < max((SHORTEST_S if cut else shortest_s) * info.rate, 1):
        raise InputError(_too_short(path, done / info.rate, cut))
    return Decoded(audio, replace(info, frames=done), _warnings(path, info, done, damaged))


def _too_short(path: Path, duration_s: float, cut: bool) -> str:
    if cut:
        return f"{path} is damaged: only {duration_s:.2f} s of it can be decoded; get a complete copy"
    return f"{path} is too short: {duration_s:.2f} s, and loudness is defined from {SHORTEST_S} s on"


def _warnings(path: Path, info: FileInfo, done: int, damaged: bool) -> tuple[str, ...]:
    if damaged or info.frames - done > _MISSING_S * info.rate:
        stated = f" of {info.duration_s:.1f} s" if info.frames > done else ""
        return (f"{path} is cut short or damaged: {done / info.rate:.1f} s{stated} could be decoded",)
    return ()


def _check_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path} is a folder: name an audio file")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is not a regular file: name an audio file")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path} is empty (0 bytes): export it again")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the name") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read: check its permissions") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error


def _check_layout(path: Path, info: FileInfo) -> None:
    if info.channels > 2:
        layout = {6: " (5.1)", 8: " (7.1)"}.get(info.channels, "")
        raise InputError(f"{path} has {info.channels} channels{layout}: fold it down to stereo first")
    if not LOWEST_RATE_HZ <= info.rate <= HIGHEST_RATE_HZ:
        raise InputError(f"{path} has a sample rate of {info.rate} Hz: resample it to 8–192 kHz first")


def _check_finite(path: Path, block: FloatArray, start: int, rate: int) -> None:
    if not np.isfinite(block).all():
        bad = int(np.argmin(np.isfinite(block).all(axis=0)))
        kind = "NaN" if np.isnan(block[:, bad]).any() else "infinite"
        raise InputError(
            f"{path} holds {kind} samples, the first at {(start + bad) / rate:.3f} s: render it again"
        )


@contextmanager
def _open(path: Path) -> Iterator[_Stream]:
    _check_file(path)
    opener = {"sndfile": _open_sndfile, "mp3": _open_mp3, "ffmpeg": _open_ffmpeg}[_reader(path)]
    with opener(path) as stream:
        _check_layout(path, stream.info)
        with closing(stream.blocks):  # type: ignore[type-var]
            yield stream


def _reader(path: Path) -> Literal["sndfile", "mp3", "ffmpeg"]:
    """Which reader a file needs, by its first bytes: extensions lie."""
    with path.open("rb") as file:
        head = file.read(64)
    if head[4:8] == b"ftyp" or head[:4] in _FFMPEG_MAGIC or _is_adts(head) or _is_ogg_flac(head):
        return "ffmpeg"
    is_mpeg = head[:3] == b"ID3" or (head[0] == 0xFF and head[1:2] >= b"\xe0")
    return "mp3" if is_mpeg or path.suffix.lower() == ".mp3" else "sndfile"


_FFMPEG_MAGIC = (b"\x1aE\xdf\xa3", b"0&\xb2u", b"wvpk", b"MAC ", b"TTA1")
"""Matroska and WebM, ASF (wma), WavPack, Monkey's Audio, True Audio."""


def _is_adts(head: bytes) -> bool:
    # ADTS is MPEG audio's sync word with layer 0, which no MPEG audio frame has.
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def _is_ogg_flac(head: bytes) -> bool:
    return head[:4] == b"OggS" and head[28:33] == b"\x7fFLAC"


@contextmanager
def _open_sndfile(path: Path) -> Iterator[_Stream]:
    try:
        # As bytes: a name need not be valid text.
        file = soundfile.SoundFile(os.fsencode(path))
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path} is not an audio file that can be read: give {_READABLE}") from error
    with file:
        bits = _BITS.get(file.subtype)
        stated = max(file.frames, _stated_frames(file))
        info = FileInfo(file.format, file.subtype, bits, file.samplerate, file.channels, stated)
        yield _Stream(info, _sndfile_blocks(file))


def _sndfile_blocks(file: soundfile.SoundFile) -> Iterator[FloatArray]:
    try:
        while len(block := file.read(_FRAMES, dtype="float32", always_2d=True)):
            yield block.T
    except soundfile.LibsndfileError as error:
        raise _DamagedError from error


def _ends_an_ogg_stream(path: Path) -> bool:
    """Whether the last whole page of an Ogg file is marked as the end of its stream (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 2 * _OGG_PAGE_BYTES, 0))
        tail = file.read()
    at = len(tail) - 22
    while (at := tail.rfind(b"OggS\0", 0, at)) >= 0:
        segments = tail[at + 27 : at + 27 + tail[at + 26]]
        if at + 27 + len(segments) + sum(segments) <= len(tail):
            return bool(tail[at + 5] & 4)
    return False


def _stated_frames(file: soundfile.SoundFile) -> int:
    """The length that a cut wav or aiff still states in its header; 0 for a whole file."""
    found = re.search(r"^ ?(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    width = _BITS.get(file.subtype, 0) // 8 * int(file.channels)
    # A header with no real length (written to a pipe) holds the largest one there is.
    if found is None or not width or int(found[1]) >= 0x7FFFF000:
        return 0
    return int(found[1]) // width


@contextmanager
def _open_mp3(path: Path) -> Iterator[_Stream]:
    decoder = Path(__file__).with_name("mp3_decoder.py")
    with _au_stream([sys.executable, "-P", str(decoder), str(path)]) as (header, samples):
        if header is None:
            raise InputError(f"{path} is not an audio file that can be read: give {_READABLE}")
        frames = 0 if header.size == _UNKNOWN_SIZE else header.size // (4 * header.channels)
        info = FileInfo("MP3", "MPEG_LAYER_III", None, header.rate, header.channels, frames)
        yield _Stream(info, samples)


@contextmanager
def _open_ffmpeg(path: Path) -> Iterator[_Stream]:
    ffmpeg, ffprobe = shutil.which("ffmpeg"), shutil.which("ffprobe")
    if ffmpeg is None or ffprobe is None:
        raise InputError(f"{path} needs ffmpeg to be read: install it, or convert the file to wav")
    # A file may name others to open (playlists, references): only local ones.
    source = ["-v", "error", "-protocol_whitelist", "file", "-i", f"file:{path}"]
    info = _ffprobe(path, [ffprobe, *source])
    target = ["-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    with _au_stream([ffmpeg, "-nostdin", *source, *target]) as (header, samples):
        if header is None:
            raise InputError(f"{path} is damaged: ffmpeg cannot decode it; get a complete copy")
        info = replace(info, rate=header.rate, channels=header.channels)
        # What follows the stated end is what the encoder filled its last packet with.
        padded = info.container == "MOV" and info.frames > 0
        yield _Stream(info, _first(samples, info.frames) if padded else samples)


def _first(parts: Iterator[FloatArray], frames: int) -> Iterator[FloatArray]:
    for part in parts:
        yield part[:, :frames]
        frames -= min(frames, part.shape[1])


def _ffprobe(path: Path, command: list[str]) -> FileInfo:
    entries = "stream=codec_name,sample_rate,channels,duration:format=duration,format_name"
    command = [*command, "-select_streams", "a:0", "-show_entries", entries, "-of", "json"]
    shown = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    found: dict[str, Any] = json.loads(shown.stdout or b"{}")
    if not found.get("streams"):
        raise InputError(f"{path} is damaged or holds no audio: ffmpeg finds none; get a complete copy")
    stream, container = found["streams"][0], found["format"]["format_name"].split(",")[0].upper()
    rate, channels = int(stream["sample_rate"]), int(stream["channels"])
    duration_s = stream.get("duration") or found["format"].get("duration", 0.0)
    frames = round(float(duration_s) * rate)
    return FileInfo(container, stream["codec_name"].upper(), None, rate, channels, frames)


@dataclass(frozen=True)
class _AuHeader:
    size: int
    rate: int
    channels: int


@contextmanager
def _au_stream(command: list[str]) -> Iterator[tuple[_AuHeader | None, Iterator[FloatArray]]]:
    """Run a decoder that writes 32-bit float AU; the header is None where it wrote none."""
    # In a group of its own: a Ctrl-C that reached the decoder too would look like a damaged file.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    assert process.stdout is not None
    try:
        header = _au_header(process.stdout)
        channels = header.channels if header else 1
        yield header, _au_blocks(process, process.stdout, channels)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _au_header(pipe: IO[bytes]) -> _AuHeader | None:
    head = pipe.read(24)
    if len(head) < 24 or head[:4] != b".snd":
        return None
    _, offset, size, _, rate, channels = struct.unpack(">4s5I", head)
    pipe.read(offset - 24)
    return _AuHeader(size, rate, channels)


def _au_blocks(process: subprocess.Popen[bytes], pipe: IO[bytes], channels: int) -> Iterator[FloatArray]:
    while data := pipe.read(_FRAMES * channels * 4):
        whole = len(data) // (4 * channels) * channels
        yield np.frombuffer(data, ">f4", count=whole).reshape(-1, channels).T.astype(np.float32)
    if process.wait() != 0:
        raise _DamagedError
