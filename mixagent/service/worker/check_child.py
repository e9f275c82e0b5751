"""The process that finds out what uploads are: each is decoded within bounds in a child of its own.

It is started as `python -P -m mixagent.service.worker.check_child`, loads what decoding needs, and takes
orders on stdin, one line of JSON each: `{"file", "name", "folder", "limits"}`. For each it forks, so that
nothing is loaded twice and nothing that a file can do to a decoder reaches further than to the end of its own
child. It answers in a line on stdout: `{"code": …, "said": …}`, how the child ended and what it found. Where
stdin ends, it ends, and the child with it.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mixagent.service.worker.sandbox import confine, die_with_parent, leave_network

_HIGHEST_RATE_HZ, _CHANNELS, _FLOAT_BYTES = 192_000, 2, 4
_SMALL_BYTES = 4_000_000
_SLACK_BYTES = 1 << 20
_MOST_SAID_BYTES = 4_000_000
_PIECE_BYTES = 1 << 16


def main() -> None:
    """Take orders until stdin ends."""
    _load()
    for line in os.fdopen(0, "rb", buffering=0, closefd=False):
        answer = _checked(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _load() -> None:
    """Load what most songs need; children share it."""
    import mixagent.pipeline.io
    import mixagent.service.worker.waveform  # noqa: F401

    gc.collect()
    gc.freeze()


def _checked(order: Mapping[str, Any]) -> dict[str, Any]:
    """Have a child check a file; how it ended, and what it said."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        try:
            _check(order, sending)
        finally:
            os._exit(1)
    os.close(sending)
    said = _heard(receiving, child)
    os.close(receiving)
    _, status = os.waitpid(child, 0)
    return {"code": os.waitstatus_to_exitcode(status), "said": said.decode("utf-8", "replace")}


def _heard(receiving: int, child: int) -> bytes:
    """All that a child says, up to a bound; where whoever ordered it is gone, all ends here."""
    said = bytearray()
    with selectors.DefaultSelector() as waiting:
        waiting.register(receiving, selectors.EVENT_READ)
        waiting.register(0, selectors.EVENT_READ)
        while len(said) < _MOST_SAID_BYTES:
            ready = [key.fd for key, _ in waiting.select()]
            if 0 in ready:
                # Nobody orders twice before the answer: this is the end.
                os.kill(child, signal.SIGKILL)
                os._exit(0)
            piece = os.read(receiving, _PIECE_BYTES)
            if not piece:
                return bytes(said)
            said += piece
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return b""


def _check(order: Mapping[str, Any], sending: int) -> None:
    """Check one file in this process, which has nothing else to do and ends with it."""
    die_with_parent()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    folder, limits = Path(order["folder"]), order["limits"]
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    os.chdir(folder)
    leave_network()
    most_frames = limits["duration_s"] * _HIGHEST_RATE_HZ
    confine(limits["memory_bytes"], limits["cpu_s"], int(most_frames * _CHANNELS * _FLOAT_BYTES))
    told = json.dumps(found(Path(order["file"]), order["name"], folder, limits["duration_s"])).encode()
    with os.fdopen(sending, "wb") as opened:
        opened.write(told)
    os._exit(0)


def found(file: Path, name: str, folder: Path, longest_s: float) -> dict[str, Any]:
    """What a file is: `{"kind": …}`, or `{"problem": {"code": …, "detail": …}}`.

    Args:
        file: the bytes.
        name: as the sender calls it.
        folder: for its samples while they are looked at.
        longest_s: that a song may last.
    """
    from mixagent.pipeline.errors import MixagentError

    try:
        text = _text(file, name)
        return text if text is not None else _audio(file, name, folder, longest_s)
    except MixagentError as error:
        code = "type" if error.code == "input" else error.code
        return _problem(code, str(error).replace(str(file), name))
    except (MemoryError, OSError) as error:
        return _problem("input", f"{name} cannot be decoded: {error or 'it takes too much memory'}")


def _text(file: Path, name: str) -> dict[str, Any] | None:
    """A profile or a cue sheet; None for anything else."""
    suffix = Path(name).suffix.lower()
    if suffix not in (".json", ".cue"):
        return None
    if file.stat().st_size > _SMALL_BYTES:
        return _problem("too_large", f"{name}: a profile or cue sheet is smaller")
    if suffix == ".cue":
        file.read_bytes().decode("utf-8", "replace")
        return {"kind": "cue"}
    from mixagent.pipeline.matching.library import read_profile

    read_profile(file)
    return {"kind": "profile"}


def _audio(file: Path, name: str, folder: Path, longest_s: float) -> dict[str, Any]:
    from mixagent.pipeline.io import decode, probe
    from mixagent.pipeline.types import blocks
    from mixagent.service.worker.waveform import peaks_of

    stated = probe(file)
    if stated.duration_s > longest_s:
        return _too_long(name, stated.duration_s, longest_s)
    # What a header states is not all that may be in a file.
    samples = folder / "samples.f32"
    try:
        decoded = decode(file, samples, _Watch(samples, longest_s * stated.rate * stated.channels))
        info, audio = asdict(decoded.info), decoded.audio
        duration_s = audio.frames / audio.rate
        if duration_s > longest_s:
            return _too_long(name, duration_s, longest_s)
        peaks = peaks_of(blocks(audio), audio.frames)
    except _TooLongError:
        return _too_long(name, None, longest_s)
    finally:
        samples.unlink(missing_ok=True)
    return {
        "kind": "audio",
        "audio": {
            "container": info["container"],
            "codec": info["subtype"],
            "rate_hz": audio.rate,
            "channels": audio.channels,
            "bit_depth": info["bit_depth"],
            "duration_s": round(duration_s, 3),
        },
        "peaks": peaks.hex(),
        "warnings": [warning.replace(str(file), name) for warning in decoded.warnings],
    }


class _TooLongError(Exception):
    """A song that goes on."""


class _Watch:
    """Ends the decoding of what is longer than its header says."""

    def __init__(self, samples: Path, most_samples: float) -> None:
        self._samples, self._most_bytes = samples, most_samples * _FLOAT_BYTES + _SLACK_BYTES

    def __call__(self, _share: float) -> None:
        if self._samples.exists() and self._samples.stat().st_size > self._most_bytes:
            raise _TooLongError


def _too_long(name: str, duration_s: float | None, longest_s: float) -> dict[str, Any]:
    lasts = "goes on" if duration_s is None else f"lasts {_length(duration_s)}"
    return _problem("too_long", f"{name} {lasts}: a song has at most {_length(longest_s)}")


def _length(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _problem(code: str, detail: str) -> dict[str, Any]:
    return {"problem": {"code": code, "detail": detail}}


if __name__ == "__main__":
    main()
