"""Audio files to samples: wav, flac, mp3, ogg and aiff by libsndfile, m4a and a few others by ffmpeg.

Every failure is an `InputError` of one line that names the file, what is wrong and what to do.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
import shutil
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import soundfile

from mixagent.pipeline.errors import InputError, OutputError, reason
from mixagent.pipeline.files import check_room, scratch_folder
from mixagent.pipeline.io.flac_frames import FlacStream, flac_streams, stated_right
from mixagent.pipeline.io.joined_files import asf_duration_s, second_file
from mixagent.pipeline.io.mpeg_frames import Kind, scan_aac, scan_frames, stream_pieces
from mixagent.pipeline.io.mpeg_frames import Scan as MpegScan
from mixagent.pipeline.io.mpeg_frames import Stream as MpegStream
from mixagent.pipeline.io.ogg_pages import ends_a_stream, ogg_links
from mixagent.pipeline.io.sized_chunks import more_than_stated, put_right
from mixagent.pipeline.io.spliced_file import Piece, SplicedFile
from mixagent.pipeline.names import for_libsndfile
from mixagent.pipeline.types import DiskAudio, DiskAudioWriter, FloatArray, Progress
from mixagent.pipeline.untrusted import decimal_number, whole_number

SHORTEST_S = 0.4
"""One gating block of BS.1770: the loudness of anything shorter is undefined."""
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 192_000

_FRAMES = 1 << 14
_FLOAT_BYTES = 4
_MISSING_S = 1.0
_SHORTEST_LEFT_S = 0.2
_LONGEST_S = 1e7
# A change within the clock of a file system (2 s at most) after another one may not show in its times.
_SETTLED_NS = 2_000_000_000
_UNKNOWN_SIZE = 0xFFFFFFFF
_ENCODER_PADDING = 8192
_DECODER_DELAY = 529
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
    """An open file; `joined` is how many streams follow one another in it.

    `warnings` may grow while the blocks are read.
    """

    info: FileInfo
    blocks: Iterator[FloatArray]
    warnings: list[str] = field(default_factory=list)
    joined: int = 1


class _DamagedError(Exception):
    """Decoding stopped before the end of the file."""


def content_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex.

    Raises:
        InputError: the file cannot be read.
    """
    _check_file(path)
    state = path.stat()
    changed_ns = max(state.st_mtime_ns, state.st_ctime_ns)
    if time.time_ns() - changed_ns < _SETTLED_NS:
        return _hash_of(path)
    return _settled_hash(path.resolve(), state.st_dev, state.st_ino, state.st_size, changed_ns)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1024)
def _settled_hash(path: Path, _device: int, _inode: int, _size: int, _changed_ns: int) -> str:
    """The hash of a file in this state, read once: a song is asked for it wherever it is named."""
    return _hash_of(path)


def probe(path: Path) -> FileInfo:
    """Format, rate, channels and length as the file states them, without decoding it.

    Raises:
        InputError: no such file, not an audio file, or of a kind that is not supported.
    """
    with _open(path) as stream:
        return stream.info


def decode(path: Path, to: Path, progress: Progress | None = None, shortest_s: float = SHORTEST_S) -> Decoded:
    """Decode a file into the raw file `to`, in bounded memory.

    The header is not trusted over the bytes: what is there is read whole where the header states less, and
    a warning names what was not read. A file that ends early, or breaks in the middle, gives what could be
    read and a warning.
    `progress` is called with the share done, 0 to 1; what it raises ends the decoding. What is cut short
    has to last `SHORTEST_S` in any case.

    Raises:
        InputError: missing, unreadable, not audio, over two channels, NaN or infinite samples,
            shorter than `shortest_s`, or a rate outside 8–192 kHz.
        OutputError: `to` cannot be written.
    """
    try:
        with _open(path) as stream:
            _check_room(path, stream.info, to.parent)
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
                damaged |= info.container == "AAC" and _is_cut_aac(path)
            except _DamagedError:
                damaged = True
            audio = writer.close()
    except OSError as error:
        raise OutputError(f"cannot write the scratch file {to}: {reason(error)}") from error
    missing = info.frames - done
    cut = damaged or missing > 0
    if done < max((SHORTEST_S if cut else shortest_s) * info.rate, 1):
        raise InputError(_too_short(path, done / info.rate, cut))
    cut = damaged or missing > _MISSING_S * info.rate * stream.joined
    told = (f"{path}: {warning}" for warning in stream.warnings)
    return Decoded(audio, replace(info, frames=done), (*told, *_cut_short(path, info, done, cut)))


def _check_room(path: Path, info: FileInfo, folder: Path) -> None:
    """Whether there is room for the samples of a file: a small one may hold hours of silence.

    A header may state any length: what is there is counted before a song is refused.
    """
    try:
        check_room(folder, info.frames * info.channels * _FLOAT_BYTES, f"{path} decoded")
    except OutputError:
        done = 0
        with suppress(_DamagedError), _open(path) as stream:
            for block in stream.blocks:
                done += block.size * _FLOAT_BYTES
                check_room(folder, done, f"{path} decoded")


def _too_short(path: Path, duration_s: float, cut: bool) -> str:
    if cut:
        return f"{path} is damaged: only {duration_s:.2f} s of it can be decoded; get a complete copy"
    return f"{path} is too short: {duration_s:.2f} s, and loudness is defined from {SHORTEST_S} s on"


def _cut_short(path: Path, info: FileInfo, done: int, cut: bool) -> tuple[str, ...]:
    if cut:
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
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not a name that a file can have") from error
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
    opener = {"sndfile": _open_sndfile, "mp3": _open_mp3, "ffmpeg": open_ffmpeg}[_reader(path)]
    with opener(path) as stream:
        _check_layout(path, stream.info)
        with closing(stream.blocks):  # type: ignore[type-var]
            yield stream


def _reader(path: Path) -> Literal["sndfile", "mp3", "ffmpeg"]:
    """Which reader a file needs, by its first bytes: extensions lie."""
    head = _head(path)
    if head[4:8] == b"ftyp" or head[:4] in _FFMPEG_MAGIC or _is_adts(head) or _is_ogg_flac(head):
        return "ffmpeg"
    if head[:4] in _SNDFILE_MAGIC:
        return "sndfile"
    is_mpeg = head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")
    return "mp3" if is_mpeg or path.suffix.lower() == ".mp3" else "sndfile"


def _head(path: Path) -> bytes:
    """A file's first bytes after the ID3 tags, which may stand before a file of any kind."""
    with path.open("rb") as file:
        head, at = file.read(64), 0
        for _ in range(_MOST_TAGS):
            if head[:3] != b"ID3" or len(head) < 10 or max(head[6:10]) > 127:
                return head
            at += 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + 10 * bool(head[5] & 16)
            file.seek(at)
            after = file.read(64)
            if not after.strip(b"\0"):
                # Padding, or the end: that it is an MPEG file is the likeliest.
                return head
            head = after
    return head


_FFMPEG_MAGIC = (b"\x1aE\xdf\xa3", b"0&\xb2u", b"wvpk", b"MAC ", b"TTA1")
"""Matroska and WebM, ASF (wma), WavPack, Monkey's Audio, True Audio."""

_SNDFILE_MAGIC = (b"fLaC", b"RIFF", b"RF64", b"BW64", b"FORM", b"riff", b"caff", b".snd", b"OggS")
_MOST_TAGS = 16


def _is_adts(head: bytes) -> bool:
    # ADTS is MPEG audio's sync word with layer 0, which no MPEG audio frame has.
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def _is_ogg_flac(head: bytes) -> bool:
    return head[:4] == b"OggS" and head[28:33] == b"\x7fFLAC"


@contextmanager
def _open_sndfile(path: Path) -> Iterator[_Stream]:
    layout = _sndfile_layout(path)
    opened = for_libsndfile(path) if layout.streams is None else SplicedFile(path, layout.streams[0])
    try:
        file = soundfile.SoundFile(opened)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path} is not an audio file that can be read: give {_READABLE}") from error
    with file:
        bits = _BITS.get(file.subtype)
        stated = max(file.frames, _stated_frames(file), layout.stated_frames)
        info = FileInfo(file.format, file.subtype, bits, file.samplerate, file.channels, stated)
        others = () if layout.streams is None else layout.streams[1:]
        warnings = list(layout.warnings)
        yield _Stream(info, _joined_blocks(path, file, others, warnings), warnings, 1 + len(others))


@dataclass(frozen=True)
class _Layout:
    """How libsndfile is to read a file: as it is, or its streams as these pieces of it."""

    streams: tuple[tuple[Piece, ...], ...] | None = None
    stated_frames: int = 0
    warnings: tuple[str, ...] = ()


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _sndfile_layout(path: Path) -> _Layout:
    magic = _head(path)[:4]
    with _mapped(path) as data:
        if magic == b"fLaC":
            return _flac_layout(flac_streams(data), data)
        if magic == b"OggS":
            links = ogg_links(data)
            return _Layout(tuple((link,) for link in links) if len(links) > 1 else None)
        right = put_right(data)
    streams = None if right.pieces is None else (right.pieces,)
    return _Layout(streams, right.stated_frames, (right.warning,) if right.warning else ())


def _flac_layout(streams: Sequence[FlacStream], data: mmap.mmap) -> _Layout:
    if not any(stream.states_less for stream in streams) and len(streams) < 2:
        return _Layout()
    pieces = tuple(
        stated_right(stream, data) if stream.states_less else ((stream.start, stream.stop),)
        for stream in streams
    )
    less = [stream for stream in streams if stream.states_less and stream.stated]
    told = [
        more_than_stated(stream.stated / stream.rate, (stream.there or 0) / stream.rate) for stream in less
    ]
    return _Layout(pieces, 0, tuple(told))


def _joined_blocks(
    path: Path, first: soundfile.SoundFile, others: Sequence[Sequence[Piece]], warnings: list[str]
) -> Iterator[FloatArray]:
    """The samples of the streams that follow one another in a file, as far as they fit the first one."""
    yield from _sndfile_blocks(first)
    left: list[str] = []
    for pieces in others:
        try:
            with soundfile.SoundFile(SplicedFile(path, pieces)) as file:
                if (file.samplerate, file.channels) == (first.samplerate, first.channels):
                    yield from _sndfile_blocks(file)
                else:
                    left.append(_left_out(file.frames / file.samplerate, file.samplerate, file.channels))
        except soundfile.LibsndfileError:
            left.append("a stream that cannot be decoded")
    warnings += [_not_read(left)] if left else []


def _left_out(duration_s: float, rate: int, channels: int) -> str:
    return f"{duration_s:.1f} s at {rate} Hz {'mono' if channels == 1 else f'with {channels} channels'}"


def _not_read(left: Sequence[str]) -> str:
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    return f"{', '.join(left[:3])}{more} joined to it could not be read with the rest"


def _sndfile_blocks(file: soundfile.SoundFile) -> Iterator[FloatArray]:
    try:
        while len(block := file.read(_FRAMES, dtype="float32", always_2d=True)):
            yield block.T
    except soundfile.LibsndfileError as error:
        raise _DamagedError from error


def _ends_an_ogg_stream(path: Path) -> bool:
    with _mapped(path) as data:
        return ends_a_stream(data, 0, len(data))


def _is_cut_aac(path: Path) -> bool:
    with _mapped(path) as data:
        found = scan_aac(data)
    return found is not None and not found.whole


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
    with _mapped(path) as data:
        scan = scan_frames(data)
    if not scan.is_ordinary:
        with _open_mpeg_streams(path, scan) as stream:
            yield stream
        return
    # Without a header a decoder guesses, well where the bit rate is constant and nothing else stands there.
    counted = sum(stream.samples for stream in scan.streams if stream.stated is None)
    with _mp3_stream(path) as (header, samples):
        if header is None:
            raise InputError(f"{path} is not an audio file that can be read: give {_READABLE}")
        frames = 0 if header.size == _UNKNOWN_SIZE else header.size // (4 * header.channels)
        if frames < counted - _DECODER_DELAY:
            with _open_mpeg_streams(path, scan) as stream:
                yield stream
            return
        frames, is_cut = counted or frames, scan.is_cut and counted > 0
        info = FileInfo("MP3", "MPEG_LAYER_III", None, header.rate, header.channels, frames)
        yield _Stream(info, _damaged_at_the_end(samples) if is_cut else samples)


def _damaged_at_the_end(blocks: Iterator[FloatArray]) -> Iterator[FloatArray]:
    yield from blocks
    raise _DamagedError


@contextmanager
def _open_mpeg_streams(path: Path, scan: MpegScan) -> Iterator[_Stream]:
    """A file whose header does not state all of it: each of its streams, with a header that does."""
    kind = _main_kind(scan.streams)
    same = [stream for stream in scan.streams if _fits(stream.kind, kind)]
    left = [
        _left_out(stream.duration_s, stream.kind.rate, stream.kind.channels)
        for stream in scan.streams
        if not _fits(stream.kind, kind) and stream.duration_s > _SHORTEST_LEFT_S
    ]
    frames = sum(stream.samples for stream in same)
    info = FileInfo("MP3", "MPEG_LAYER_III", None, kind.rate, kind.channels, frames)
    warnings = [_not_read(left)] if left else []
    with scratch_folder() as folder:
        blocks = _mpeg_blocks(path, same, folder / "stream.mp3")
        is_cut = scan.is_cut and same[-1] is scan.streams[-1] and same[-1].stated is None
        yield _Stream(info, _damaged_at_the_end(blocks) if is_cut else blocks, warnings, len(same))


def _main_kind(streams: Sequence[MpegStream]) -> Kind:
    longest = max(streams, key=lambda stream: sum(s.duration_s for s in streams if s.kind == stream.kind))
    return longest.kind


def _fits(kind: Kind, main: Kind) -> bool:
    return (kind.rate, kind.channels) == (main.rate, main.channels)


def _mpeg_blocks(path: Path, streams: Sequence[MpegStream], scratch: Path) -> Iterator[FloatArray]:
    damaged = False
    for stream in streams:
        with SplicedFile(path, stream_pieces(stream)) as source, scratch.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        with _mp3_stream(scratch) as (header, samples):
            if header is None or (header.rate, header.channels) != (stream.kind.rate, stream.kind.channels):
                damaged = True
                continue
            try:
                yield from samples
            except _DamagedError:
                damaged = True
    if damaged:
        raise _DamagedError


@contextmanager
def _mp3_stream(path: Path) -> Iterator[tuple[_AuHeader | None, Iterator[FloatArray]]]:
    decoder = Path(__file__).with_name("mp3_decoder.py")
    with _au_stream([sys.executable, "-P", str(decoder), str(path)]) as stream:
        yield stream


@contextmanager
def open_ffmpeg(path: Path) -> Iterator[_Stream]:
    """Open any audio file that ffmpeg decodes, as a stream of float32 blocks.

    Raises:
        InputError: ffmpeg is not there, or cannot read the file.
    """
    ffmpeg, ffprobe = shutil.which("ffmpeg"), shutil.which("ffprobe")
    if ffmpeg is None or ffprobe is None:
        raise InputError(f"{path} needs ffmpeg to be read: install it, or convert the file to wav")
    # A file may name others to open, and be called what it is not: only containers that hold their own
    # samples are read, from this file alone.
    containers = "aac,ape,asf,flac,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,ogg,tta,wav,w64,wv"
    source = ["-v", "error", "-protocol_whitelist", "file", "-format_whitelist", containers]
    source += ["-i", f"file:{path}"]
    info = _ffprobe(path, [ffprobe, *source])
    target = ["-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    with _au_stream([ffmpeg, "-nostdin", *source, *target]) as (header, samples):
        if header is None:
            raise InputError(f"{path} is damaged: ffmpeg cannot decode it; get a complete copy")
        info = replace(info, rate=header.rate, channels=header.channels)
        if info.container == "AAC":
            info = replace(info, frames=_aac_frames(path, info.rate))
        warnings = []
        with _mapped(path) as data:
            second = second_file(data)
            if info.container == "ASF":
                info = replace(info, frames=max(info.frames, round(asf_duration_s(data) * info.rate)))
            if second is not None:
                warnings.append(f"a second file joined to it, {len(data) - second} bytes long, was not read")
        padded = info.container == "MOV" and info.frames > 0
        yield _Stream(info, _unpadded(samples, info, warnings) if padded else samples, warnings)


def _aac_frames(path: Path, rate: int) -> int:
    # ffmpeg guesses the length of a file without a header from its first bytes.
    with _mapped(path) as data:
        found = scan_aac(data)
    return 0 if found is None else round(found.duration_s * rate)


def _unpadded(parts: Iterator[FloatArray], info: FileInfo, warnings: list[str]) -> Iterator[FloatArray]:
    """Samples up to the stated end: what follows is what the encoder filled its last packet with.

    More than a packet can be is no padding: then the header states too little, and all is given.
    """
    done, held = 0, np.zeros((info.channels, 0), np.float32)
    for part in parts:
        fits = part[:, : max(info.frames - done, 0)]
        done += part.shape[1]
        if fits.shape[1]:
            yield fits
        held = np.concatenate([held, part[:, fits.shape[1] :]], axis=1)
        if done - info.frames > _ENCODER_PADDING:
            yield held
            held = held[:, :0]
    if done - info.frames > _ENCODER_PADDING:
        warnings.append(more_than_stated(info.duration_s, done / info.rate))


def _ffprobe(path: Path, command: list[str]) -> FileInfo:
    entries = "stream=codec_name,sample_rate,channels,duration:format=duration,format_name"
    command = [*command, "-select_streams", "a:0", "-show_entries", entries, "-of", "json"]
    shown = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    try:
        found: dict[str, Any] = json.loads(shown.stdout or b"{}")
    except ValueError:
        found = {}
    stream: dict[str, Any] = next(iter(found.get("streams", ())), {})
    form = found.get("format", {})
    rate = whole_number(str(stream.get("sample_rate", "")), 1, 10**7)
    channels = whole_number(str(stream.get("channels", "")), 1, 1024)
    if rate is None or channels is None:
        raise InputError(f"{path} is damaged or holds no audio: ffmpeg finds none; get a complete copy")
    durations = (decimal_number(str(each.get("duration", "")), 1e-6, _LONGEST_S) for each in (stream, form))
    duration_s = next((duration for duration in durations if duration is not None), 0.0)
    container = str(form.get("format_name", "")).split(",")[0].upper()
    codec = str(stream.get("codec_name", "unknown")).upper()
    return FileInfo(container, codec, None, rate, channels, round(duration_s * rate))


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
