"""Finds out what an upload is, in a process with bounds that is ended where it takes too long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixagent.pipeline.files import scratch_folder
from mixagent.service.problems import Problem
from mixagent.service.settings import Limits

_MEMORY_BYTES = 3_000_000_000
_CPU_S = 300
_WALL_S = 600.0
_KEPT = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "HOME")


@dataclass(frozen=True)
class Found:
    """What an upload is.

    Attributes:
        kind: audio, profile or cue.
        audio: format, rate, channels and length of a song.
        peaks: of its waveform, as `waveform.Peaks` packs them.
        warnings: about the file.
    """

    kind: str
    audio: dict[str, Any] | None
    peaks: bytes | None
    warnings: tuple[str, ...]


def check_upload(file: Path, name: str, scratch: Path, limits: Limits) -> Found:
    """What a file is, told by its content.

    Args:
        file: the bytes.
        name: as the sender calls it.
        scratch: folder for what lies in between.
        limits: of songs.

    Raises:
        Problem: it is nothing that can be worked on.
    """
    if file.stat().st_size == 0:
        raise Problem("type", f"{name} is empty: 0 bytes arrived")
    with scratch_folder(scratch) as folder:
        words = json.dumps({"duration_s": limits.duration_s, "memory_bytes": _MEMORY_BYTES, "cpu_s": _CPU_S})
        arguments = [str(file.absolute()), name, str(folder.absolute()), words]
        told = _asked(arguments, folder, name)
    if "problem" in told:
        raise Problem(told["problem"]["code"], told["problem"]["detail"])
    audio = told.get("audio")
    if audio is not None and audio["duration_s"] < limits.shortest_s:
        raise Problem(
            "input", f"{name} lasts {audio['duration_s']:g} s: loudness needs {limits.shortest_s:g}"
        )
    peaks = told.get("peaks")
    return Found(
        told["kind"],
        audio,
        None if peaks is None else bytes.fromhex(peaks),
        tuple(told.get("warnings", ())),
    )


def _asked(arguments: list[str], folder: Path, name: str) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "mixagent.service.worker.check_child", *arguments]
    environment = {key: os.environ[key] for key in _KEPT if key in os.environ}
    # One thread: more would only take address space.
    environment |= {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=_WALL_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Problem("input", f"{name} took too long to decode") from error
    if done.returncode != 0 or not done.stdout:
        raise Problem("type", f"{name} cannot be decoded: the decoder ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
