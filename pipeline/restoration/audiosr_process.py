"""The process that AudioSR runs in: how it is asked, what it may take, and how it is ended."""

from __future__ import annotations

import json
import math
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from mixagent.pipeline.memory import resident_bytes
from mixagent.pipeline.restoration.audiosr_files import AudioSRFiles, worker_environment
from mixagent.pipeline.types import FloatArray, Progress

_POLL_S = 0.1
_TRAINED_STEPS = 1000
# Of the time that a song may take; by then the first steps say how long all of them will.
_FORESEEN_SHARE = 0.03
_LONGEST_WORD = 200


@dataclass(frozen=True)
class Sampling:
    """How the model is run.

    Attributes:
        device: `auto`, `cpu` or `cuda`.
        steps: of the sampler; a divisor of 1000, for the package counts past its end with others.
        guidance: how closely the result keeps to what is there.
        seed: of the noise that it begins with.
    """

    device: str = "auto"
    steps: int = 50
    guidance: float = 3.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or _TRAINED_STEPS % self.steps:
            raise ValueError(f"{self.steps} steps: give a divisor of {_TRAINED_STEPS}")


@dataclass(frozen=True)
class Limits:
    """What the process may take before it is ended.

    Attributes:
        start_s: until its model is loaded.
        silent_s: between two signs of life.
        total_s: for the song. A run that is foreseen to pass it is ended early on.
        memory_bytes: resident, with what it starts.
    """

    start_s: float = 900.0
    silent_s: float = 900.0
    total_s: float = 3600.0
    memory_bytes: float = 12e9


class WorkerError(Exception):
    """The process failed, or was ended for its limits; the message stands behind a colon."""


class Worker:
    """The process, started by the context and ended with it, however it ends.

    Args:
        files: where its Python and its weights are.
        sampling: how the model is run.
        limits: what it may take.
        scratch: a folder for what passes between the processes.
        progress: called all the while with the share of the song that is done; what it raises ends the
            process.
    """

    def __init__(
        self, files: AudioSRFiles, sampling: Sampling, limits: Limits, scratch: Path, progress: Progress
    ) -> None:
        self._files, self._sampling, self._limits = files, sampling, limits
        self._scratch, self._progress = scratch, progress
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._share, self._begun = 0.0, math.inf
        self._device = ""

    @property
    def device_said(self) -> str:
        """The device that the model runs on, in words."""
        return "CPU" if self._device == "cpu" else "GPU"

    def __enter__(self) -> Worker:
        threads = os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count() or 1)
        command = [self._files.python, "-I", self._files.worker, "serve", self._files.weights]
        # What its packages cache goes with the scratch folder.
        caches = {"NUMBA_CACHE_DIR": str(self._scratch), "MPLCONFIGDIR": str(self._scratch)}
        with (self._scratch / "audiosr.log").open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    [*map(str, command), self._sampling.device, threads],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    env=worker_environment() | caches,
                    start_new_session=True,
                )
            except OSError as error:
                raise WorkerError(f"its process did not start ({error.strerror})") from error
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=_read, args=(self._process.stdout, self._events), daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        self._reader.join()
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def begin(self) -> None:
        """Wait until the model is loaded.

        Raises:
            WorkerError: it failed, or took more than its limits.
        """
        for event in self._until("ready", self._limits.start_s):
            self._device = str(event.get("device", ""))
        self._begun = time.monotonic()

    def extended(self, wave: FloatArray, from_hz: float, done: float, share: float) -> FloatArray:
        """A mono wave with highs, of the same length and of a level of its own.

        Args:
            wave: float32 (frames,), at most `LONGEST_FRAMES`, with nothing above `from_hz`.
            from_hz: where it ends.
            done: share of the song that lies behind.
            share: of the song that this wave is.

        Raises:
            WorkerError: it failed, took more than its limits, or gave what is no sound.
        """
        given, made = self._scratch / "audiosr-in.f32", self._scratch / "audiosr-out.f32"
        wave.astype("<f4").tofile(given)
        made.unlink(missing_ok=True)
        self._ask(
            {
                "input": str(given),
                "output": str(made),
                "from_hz": from_hz,
                "steps": self._sampling.steps,
                "guidance": self._sampling.guidance,
                "seed": self._sampling.seed,
            }
        )
        self._share = done
        for event in self._until("done", self._limits.silent_s):
            if event["event"] == "progress":
                self._share = max(self._share, done + share * min(_number(event.get("share")), 1.0))
                self._look_ahead()
        return _sound(made, len(wave))

    def _ask(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(self._ending()) from error

    def _until(self, wanted: str, patience_s: float) -> Iterator[dict[str, Any]]:
        """The events up to the one that is waited for; its limits are held against it all the while."""
        heard = time.monotonic()
        while True:
            self._progress(self._share)
            self._check(time.monotonic() - heard, patience_s)
            try:
                event = self._events.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if event is None:
                raise WorkerError(self._ending())
            if event["event"] == "failed":
                raise WorkerError(_word(event.get("why")))
            heard = time.monotonic()
            self._hold(_number(event.get("peak_bytes")))
            yield event
            if event["event"] == wanted:
                return

    def _check(self, silent_s: float, patience_s: float) -> None:
        if silent_s > patience_s:
            raise WorkerError(f"it gave no sign of life for {_duration(patience_s)}")
        if time.monotonic() - self._begun > self._limits.total_s:
            raise WorkerError(f"it took more than {_duration(self._limits.total_s)}")
        self._hold(resident_bytes(self._process.pid) or 0)

    def _hold(self, taken_bytes: float) -> None:
        if taken_bytes > self._limits.memory_bytes:
            raise WorkerError(f"it took more than {self._limits.memory_bytes / 1e9:.1f} GB of memory")

    def _look_ahead(self) -> None:
        """End a run early on that would not end in time."""
        spent_s = time.monotonic() - self._begun
        if spent_s < _FORESEEN_SHARE * self._limits.total_s or self._share <= 0.0:
            return
        if spent_s / self._share > self._limits.total_s:
            allowed = _duration(self._limits.total_s)
            raise WorkerError(
                f"on this {self.device_said} the song would take {_duration(spent_s / self._share)}, and "
                f"{allowed} is allowed"
            )

    def _ending(self) -> str:
        try:
            status = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "its process fell silent"
        return f"its process ended with status {status}"


def _read(lines: IO[str], events: queue.Queue[dict[str, Any] | None]) -> None:
    """Hand the worker's events on, and None at their end; what is no event is passed over."""
    with suppress(ValueError, OSError), lines:
        for line in lines:
            with suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and isinstance(event.get("event"), str):
                    events.put(event)
    events.put(None)


def _sound(path: Path, frames: int) -> FloatArray:
    try:
        made = np.fromfile(path, "<f4")
    except OSError as error:
        raise WorkerError("it left no file") from error
    if len(made) != frames:
        raise WorkerError(f"it gave {len(made)} samples for {frames}")
    if not np.isfinite(made).all():
        raise WorkerError("it gave numbers that are no sound (NaN)")
    return np.asarray(made, np.float32)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def _word(value: object) -> str:
    """What the worker said, on one line and short: it may hold anything."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return text[:_LONGEST_WORD] or "it failed without a word"


def _duration(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:g} s"
