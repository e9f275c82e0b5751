"""Finds out what an upload is, in a process with bounds that is ended where it takes too long."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixagent.pipeline.files import scratch_folder
from mixagent.service.problems import Problem
from mixagent.service.settings import Limits

CHECKS = 2
"""Uploads that are decoded at a time."""

_MEMORY_BYTES = 3_000_000_000
_CPU_S = 300
_WALL_S = 600.0
_PIECE_BYTES = 1 << 16
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


class Checker:
    """Checks files in processes that are kept, so that none has to load what decoding needs again.

    Each file has a child of such a process to itself (see `check_child`), which ends with it; a process at
    which anything was odd is ended too.

    Args:
        scratch: folder for what lies in between.
        limits: of songs.
    """

    def __init__(self, scratch: Path, limits: Limits) -> None:
        self._scratch, self._limits = scratch, limits
        self._idle: list[_Process] = []
        self._lock = threading.Lock()
        self._closed = False

    def warm(self) -> None:
        """Have a process ready before the first upload."""
        self._keep(_Process(self._scratch))

    def close(self) -> None:
        """End all processes that do nothing; a check at work ends with its own."""
        with self._lock:
            self._closed, ended = True, self._idle
            self._idle = []
        for process in ended:
            process.end()

    def check(self, file: Path, name: str) -> Found:
        """What a file is, told by its content.

        Args:
            file: the bytes.
            name: as the sender calls it.

        Raises:
            Problem: it is nothing that can be worked on.
        """
        if file.stat().st_size == 0:
            raise Problem("type", f"{name} is empty: 0 bytes arrived")
        with scratch_folder(self._scratch) as folder:
            told = self._told(file, name, folder)
        if "problem" in told:
            raise Problem(told["problem"]["code"], told["problem"]["detail"])
        audio = told.get("audio")
        shortest_s = self._limits.shortest_s
        if audio is not None and audio["duration_s"] < shortest_s:
            raise Problem("input", f"{name} lasts {audio['duration_s']:g} s: loudness needs {shortest_s:g}")
        peaks = told.get("peaks")
        return Found(
            told["kind"],
            audio,
            None if peaks is None else bytes.fromhex(peaks),
            tuple(told.get("warnings", ())),
        )

    def _told(self, file: Path, name: str, folder: Path) -> dict[str, Any]:
        order = {
            "file": str(file.absolute()),
            "name": name,
            "folder": str(folder.absolute()),
            "limits": {
                "duration_s": self._limits.duration_s,
                "memory_bytes": _MEMORY_BYTES,
                "cpu_s": _CPU_S,
            },
        }
        answer = self._asked(order, name)
        if not answer:
            # The process itself was ended, by whom ever; a file can only end its own child.
            answer = self._asked(order, name)
        if answer.get("code") != 0 or not answer.get("said"):
            raise Problem(
                "type", f"{name} cannot be decoded: the decoder ended with {answer.get('code', 'nothing')}"
            )
        found: dict[str, Any] = json.loads(answer["said"])
        return found

    def _asked(self, order: dict[str, Any], name: str) -> dict[str, Any]:
        """What a process answers; nothing where it was ended. One at which all went well is kept."""
        process = self._take()
        try:
            answer = process.ask(order, _WALL_S)
        except TimeoutError as error:
            process.end()
            raise Problem("input", f"{name} took too long to decode") from error
        except BaseException:
            process.end()
            raise
        if answer.get("code") == 0:
            self._keep(process)
        else:
            process.end()
        return answer

    def _take(self) -> _Process:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.alive:
                    return process
                process.end()
        return _Process(self._scratch)

    def _keep(self, process: _Process) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < CHECKS:
                self._idle.append(process)
                return
        process.end()


class _Process:
    """One process of `check_child`, seen from outside."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-P", "-m", "mixagent.service.worker.check_child"]
        environment = {key: os.environ[key] for key in _KEPT if key in os.environ}
        # One thread: a fork takes no other along, and more would only take address space.
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def ask(self, order: dict[str, Any], wall_s: float) -> dict[str, Any]:
        """Its answer to an order; an empty one where it ended instead.

        Raises:
            TimeoutError: none came in time.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
        except BrokenPipeError:
            return {}
        line = self._line(time.monotonic() + wall_s)
        return json.loads(line) if line.endswith(b"\n") else {}

    def _line(self, until: float) -> bytes:
        assert self._process.stdout is not None
        said = bytearray()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            while not said.endswith(b"\n"):
                if not waiting.select(until - time.monotonic()):
                    raise TimeoutError
                piece = os.read(self._process.stdout.fileno(), _PIECE_BYTES)
                if not piece:
                    break
                said += piece
        return bytes(said)

    def end(self) -> None:
        """End it, and what it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
