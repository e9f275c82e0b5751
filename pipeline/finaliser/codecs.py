# mypy: allow-untyped-calls
"""Codec round trips: what lossy codecs make of a master's peaks, and a ceiling that holds through them.

A lossy codec gives back another wave of the same sound, whose peaks are higher: a master at its ceiling
goes over it once it was encoded and decoded.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from mixagent.pipeline.errors import ModelMissingError, OutputError, UsageError
from mixagent.pipeline.files import scratch_folder
from mixagent.pipeline.finaliser.loop import Finish, finalise
from mixagent.pipeline.finaliser.prediction import SourceMeasures
from mixagent.pipeline.finaliser.settings import BY_TARGET, FinaliserSettings
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.io.decoding import decode
from mixagent.pipeline.io.encoding import MP3_RATES_HZ, encode
from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.measure.meters import measure
from mixagent.pipeline.names import for_libsndfile
from mixagent.pipeline.types import AudioSource, Progress, blocks

MAX_RENDERS = 4
"""Times that a song is finished at most until its ceiling holds."""

_ROOM_DB = 0.02
_FRAMES = 1 << 14


@dataclass(frozen=True)
class Codec:
    """A lossy codec at the setting that it is checked at.

    Attributes:
        name: what it is called.
        kbps: its rate, for two channels.
        suffix: of its files.
        rates_hz: sample rates that it takes; others are converted first, as a platform would.
        write: encodes a source into a file.
        missing: why it cannot be used here; empty where it can.
    """

    name: str
    kbps: int
    suffix: str
    rates_hz: tuple[int, ...]
    write: Callable[[AudioSource, Path], object]
    missing: Callable[[], str]

    def require(self) -> None:
        """Check that the codec can be used here.

        Raises:
            ModelMissingError: it is not installed.
        """
        if self.missing():
            raise ModelMissingError(f"{self.name} cannot be checked: {self.missing()}")


@dataclass(frozen=True)
class CodecCheck:
    """A master after a codec: its highest peak and its loudness; −inf for silence."""

    codec: str
    kbps: int
    true_peak_dbtp: float
    integrated_lufs: float


@dataclass(frozen=True)
class CodecPlan:
    """Codecs by name: those that a master is checked with, and those that its ceiling has to hold through.

    `absent` are those that were wished for and are not here.
    """

    checked: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not {*self.checked, *self.held} <= CODECS.keys():
            raise UsageError(f"an unknown codec was named: give {', '.join(CODECS)}")


@dataclass(frozen=True)
class CodecRender:
    """One time that a song was finished: the ceiling that the limiter had, and what codecs made of it."""

    ceiling_dbtp: float
    integrated_lufs: float
    true_peak_dbtp: float
    max_reduction_db: float
    checks: tuple[CodecCheck, ...]


def _encode(source: AudioSource, path: Path) -> None:
    encode(source, path)


def _encode_opus(source: AudioSource, path: Path) -> None:
    # libsndfile takes 0 as 256 kb/s a channel and 1 as 6.
    level = 1 - (CODECS["opus"].kbps / 2 - 6) / 250
    options = {"format": "OGG", "subtype": "OPUS", "compression_level": level}
    with soundfile.SoundFile(for_libsndfile(path), "w", source.rate, source.channels, **options) as file:
        for part in blocks(source, _FRAMES):
            file.write(np.ascontiguousarray(part.T))


def _encode_aac(source: AudioSource, path: Path) -> None:
    raw = ["-f", "f32le", "-ar", str(source.rate), "-ac", str(source.channels), "-i", "pipe:0"]
    made = ["-c:a", "aac", "-b:a", f"{CODECS['aac'].kbps * source.channels // 2}k", "-y", f"file:{path}"]
    command = ["ffmpeg", "-v", "error", *raw, *made]
    # In a group of its own, so that a Ctrl-C reaches this program alone.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    ) as process:
        assert process.stdin is not None
        try:
            for part in blocks(source, _FRAMES):
                process.stdin.write(np.ascontiguousarray(part.T, dtype="<f4").tobytes())
            process.stdin.close()
        except BrokenPipeError:
            process.kill()
    if process.returncode != 0:
        raise OutputError("ffmpeg cannot encode aac: leave the check out, or install an ffmpeg that has it")


def _no_ffmpeg() -> str:
    here = shutil.which("ffmpeg") and shutil.which("ffprobe")
    return "" if here else "ffmpeg is not installed"


def _no_opus() -> str:
    return "" if "OPUS" in soundfile.available_subtypes("OGG") else "libsndfile was built without it"


def _nothing_missing() -> str:
    return ""


_AAC_RATES_HZ = (*MP3_RATES_HZ, 64000, 88200, 96000)
_VORBIS_RATES_HZ = (*_AAC_RATES_HZ, 176400, 192000)

CODECS: Mapping[str, Codec] = {
    codec.name: codec
    for codec in (
        Codec("mp3", 320, ".mp3", MP3_RATES_HZ, _encode, _nothing_missing),
        Codec("aac", 256, ".m4a", _AAC_RATES_HZ, _encode_aac, _no_ffmpeg),
        Codec("ogg", 340, ".ogg", _VORBIS_RATES_HZ, _encode, _nothing_missing),
        Codec("opus", 128, ".opus", (48000,), _encode_opus, _no_opus),
    )
}
"""mp3 and ogg as `encode` writes them, AAC as Apple Music streams it, Opus as YouTube does."""


def planned(check: bool, hold: bool | None, suffixes: Sequence[str], named: Sequence[str] = ()) -> CodecPlan:
    """The plan of which codecs are checked and which hold the ceiling.

    The codecs of the files that are written are always checked. Without a wish the ceiling is also held
    through them, where no lossless file is among them: that one would be limited for the others' sake.

    Args:
        check: check with every codec that is here.
        hold: hold the ceiling through every codec that is here, or through none; None is no wish.
        suffixes: of the files that are written, such as `.mp3`.
        named: the codecs that are meant by "every", where it is not all of them.

    Raises:
        UsageError: no codec has one of these names.
        ModelMissingError: one that was named is not installed.
    """
    for name in CodecPlan(checked=tuple(named)).checked:
        CODECS[name].require()
    own = tuple(codec.name for codec in CODECS.values() if codec.suffix in suffixes)
    wanted = tuple(named) or tuple(CODECS)
    here = tuple(name for name in wanted if not CODECS[name].missing())
    lossy = all(suffix in {codec.suffix for codec in CODECS.values()} for suffix in suffixes)
    held = here if hold else own if hold is None and lossy else ()
    if not check and not hold:
        return CodecPlan(checked=own, held=held)
    checked = tuple(dict.fromkeys((*here, *own)))
    return CodecPlan(checked, held, absent=tuple(name for name in wanted if name not in here))


def round_trip(source: AudioSource, codec: Codec, scratch: Path | None = None) -> CodecCheck:
    """Encode a source, decode it again, and measure what came back.

    Args:
        source: the master, mono or stereo.
        codec: a row of `CODECS`.
        scratch: folder for the files in between, which are gone afterwards.

    Raises:
        ModelMissingError: the codec is not installed here.
        OutputError: the files in between cannot be written.
    """
    codec.require()
    with scratch_folder(scratch) as name:
        folder = Path(name)
        taken = resample(source, _taken_rate(codec, source.rate), folder / "resampled.f32")
        codec.write(taken, folder / f"encoded{codec.suffix}")
        decoded = decode(folder / f"encoded{codec.suffix}", folder / "decoded.f32", shortest_s=0.0)
        measured = measure(decoded.audio)
    return CodecCheck(codec.name, codec.kbps, measured.true_peak_dbtp, measured.integrated_lufs)


def _taken_rate(codec: Codec, rate: int) -> int:
    if rate in codec.rates_hz:
        return rate
    family = 44_100 if rate % 11_025 == 0 else 48_000
    return family if family in codec.rates_hz else codec.rates_hz[-1]


def finalise_through(
    source: AudioSource,
    target: LoudnessTarget,
    plan: CodecPlan,
    scratch: Path,
    progress: Progress,
    measures: SourceMeasures,
    by_hand: FinaliserSettings = BY_TARGET,
) -> tuple[Finish, tuple[CodecRender, ...]]:
    """`finalise`, with the ceiling lowered until what codecs make of the song holds it too.

    After each time the song is encoded and decoded by the codecs of `plan.held`; where that goes over the
    target's ceiling, the limiter's is lowered by as much and the song finished again, `MAX_RENDERS`
    times at most. What holds, or the last one, is checked with the other codecs as well.

    Returns:
        The finish, missed where the ceiling does not hold; and each time that it was made, in order.
    """
    renders: list[CodecRender] = []
    ceiling_dbtp = target.ceiling_dbtp
    while True:
        lowered = replace(target, ceiling_dbtp=ceiling_dbtp)
        finish = finalise(source, lowered, scratch, progress, measures, by_hand)
        checks = _checked(finish.audio, plan.held, scratch, progress)
        over_db = max((check.true_peak_dbtp for check in checks), default=-np.inf) - target.ceiling_dbtp
        last = over_db <= 0.0 or len(renders) + 1 == MAX_RENDERS
        if last:
            others = [name for name in plan.checked if name not in plan.held]
            checks = (*checks, *_checked(finish.audio, others, scratch, progress))
        renders.append(_render(ceiling_dbtp, finish, checks))
        if last:
            break
        ceiling_dbtp -= over_db + _ROOM_DB * 2 ** len(renders)
    if finish.met and over_db > 0.0:
        worst = max(renders[-1].checks, key=lambda check: check.true_peak_dbtp)
        finish = replace(finish, met=False, missed=_not_held(worst, target, len(renders)))
    return finish, tuple(renders)


def _checked(
    audio: AudioSource, names: Sequence[str], scratch: Path, progress: Progress
) -> tuple[CodecCheck, ...]:
    checks = []
    for done, name in enumerate(names):
        progress(done / len(names))
        checks.append(round_trip(audio, CODECS[name], scratch))
    return tuple(checks)


def _render(ceiling_dbtp: float, finish: Finish, checks: tuple[CodecCheck, ...]) -> CodecRender:
    return CodecRender(
        ceiling_dbtp=ceiling_dbtp,
        integrated_lufs=finish.integrated_lufs,
        true_peak_dbtp=finish.true_peak_dbtp,
        max_reduction_db=finish.max_reduction_db,
        checks=checks,
    )


def _not_held(worst: CodecCheck, target: LoudnessTarget, renders: int) -> str:
    return (
        f"{worst.codec} still peaks at {worst.true_peak_dbtp:.2f} dBTP after {renders} renders, over the "
        f"ceiling of {target.ceiling_dbtp:g}: lower the ceiling"
    )
