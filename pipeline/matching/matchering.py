"""matchering (Sergree, GPL-3.0) as one way to match a song to a reference: tone, width and level by filters.

It works on whole files in memory, so it runs in a process of its own and on songs of bounded length only;
its limiter is left out, for the finaliser follows.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import soundfile

from mixagent.pipeline.errors import InputError, ModelMissingError, option
from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.types import AudioSource, DiskAudio, FloatArray, Progress, blocks, spool

LONGEST_S = 600.0
"""Song and reference together, for which it takes 2.2 GB (`scripts/benchmark_references.py memory`)."""

_POLL_S = 0.2


class MatcheringError(InputError):
    """matchering gave up on a song."""


def check_matchering() -> None:
    """Check that matchering is installed.

    Raises:
        ModelMissingError: it is not.
    """
    if importlib.util.find_spec("matchering") is None:
        raise ModelMissingError("matchering is not installed: pip install 'mixagent[matchering]'")


def match(song: AudioSource, reference: AudioSource, scratch: Path, progress: Progress) -> DiskAudio:
    """The song with the tone, width and level of the reference, in `scratch`, as long as the song.

    Args:
        song: mono or stereo; with the reference not longer than `LONGEST_S`.
        reference: mono or stereo, of any rate.
        scratch: an empty folder.
        progress: called while matchering works; what it raises ends it.

    Raises:
        ModelMissingError: matchering is not installed.
        MatcheringError: matchering gave up.
    """
    check_matchering()
    files = [scratch / name for name in ("song.wav", "reference.wav", "matched.wav")]
    try:
        _write(song, files[0])
        # Its own resampling takes longer than all of the rest.
        _write(resample(reference, song.rate, scratch / "reference.f32"), files[1])
        _run(files, progress)
        return _read(files[2], song.channels, scratch / "matched.f32")
    finally:
        for file in (*files, scratch / "reference.f32"):
            file.unlink(missing_ok=True)


def _write(source: AudioSource, path: Path) -> None:
    with soundfile.SoundFile(path, "w", source.rate, source.channels, "FLOAT") as file:
        for block in blocks(source):
            file.write(block.T)


def _run(files: list[Path], progress: Progress) -> None:
    worker = Path(__file__).with_name("matchering_worker.py")
    command = [sys.executable, "-P", str(worker), *map(str, files)]
    # In a group of its own: a Ctrl-C that reached it too would look like a failure.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,
        text=True,
    )
    try:
        while True:
            try:
                _, said = process.communicate(timeout=_POLL_S)
                break
            except subprocess.TimeoutExpired:
                progress(0.5)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        why = (said.strip().splitlines() or ["no reason given"])[-1]
        raise MatcheringError(f"matchering gave up: {why}; leave {option('reference_method')} out")


def _read(path: Path, channels: int, to: Path) -> DiskAudio:
    with soundfile.SoundFile(path) as file:
        parts = (
            _channels(block.T, channels) for block in file.blocks(1 << 16, dtype="float32", always_2d=True)
        )
        return spool(parts, to, file.samplerate, channels)


def _channels(block: FloatArray, channels: int) -> FloatArray:
    return block if block.shape[0] == channels else block[:channels]
