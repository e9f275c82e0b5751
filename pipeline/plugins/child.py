"""The process of a plug-in, seen from outside: how it is asked, what it may take, and how it is ended."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mixagent.pipeline.errors import InputError
from mixagent.pipeline.memory import resident_bytes
from mixagent.pipeline.untrusted import one_line

_WORKER = Path(__file__).with_name("worker.py")
_POLL_S = 0.05
_LONGEST_ANSWER = 1 << 24
_LONGEST_WORD = 200
_NO_WINDOWS = ("DISPLAY", "WAYLAND_DISPLAY")


@dataclass(frozen=True)
class Limits:
    """What the process of a plug-in may take before it is ended.

    Attributes:
        load_s: until the plug-in is loaded; one that waits for a person to close a window never is.
        block_s: for a block of sound, and `slowest` times what the block lasts on top of it.
        slowest: of real time, both of two instances together.
        memory_bytes: of its own, the plug-in's with the interpreter's.
        renders: that a process serves before another takes its place.
    """

    load_s: float = 20.0
    block_s: float = 10.0
    slowest: float = 4.0
    memory_bytes: int = 2_000_000_000
    renders: int = 32


LIMITS = Limits()


class PluginFault(InputError):
    """A plug-in that did not do its work; the message is one line.

    Attributes:
        name: of the plug-in.
        what: it did, to stand behind its name.
        died: whether its process ended by itself, which another process may not do.
    """

    code = "plugin_fault"

    def __init__(self, name: str, what: str, *, died: bool = False) -> None:
        super().__init__(f"the plug-in {name} {what}", field="plugins")
        self.name, self.what, self.died = name, what, died


class PluginChild:
    """A process that one plug-in lives in.

    Args:
        path: of the plug-in.
        name: of one of several in a file; empty for the only one.
        limits: what it may take.
    """

    def __init__(self, path: Path, name: str = "", limits: Limits = LIMITS) -> None:
        self.path, self.name, self.limits = path, name, limits
        self.called = name or path.stem
        self.renders = 0
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        environment = {key: value for key, value in os.environ.items() if key not in _NO_WINDOWS}
        command = [sys.executable, "-I", str(_WORKER), str(path), name, str(limits.memory_bytes)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=_read, args=(self._process.stdout, self._answers), name="plug-in", daemon=True
        )
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def ask(self, do: str, patience_s: float, order: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer to an order.

        Raises:
            PluginFault: none came in time, the process died or took too much memory, or the plug-in refused.
                The process is gone then, unless it was a refusal.
        """
        assert self._process.stdin is not None
        asked = json.dumps({"do": do, "patience_s": patience_s, **(order or {})})
        try:
            self._process.stdin.write(asked + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None
        answer = self._answer(do, patience_s)
        if not answer.get("ok"):
            raise PluginFault(self.called, f"failed: {_word(answer.get('why'))}")
        return answer

    def close(self) -> None:
        """End the process, whatever it does."""
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

    def _answer(self, do: str, patience_s: float) -> dict[str, Any]:
        begun = time.monotonic()
        while True:
            try:
                answer = self._answers.get(timeout=_POLL_S)
            except queue.Empty:
                self._check(do, time.monotonic() - begun, patience_s)
                continue
            if answer is None:
                raise self._died()
            return answer

    def _check(self, do: str, waited_s: float, patience_s: float) -> None:
        if (resident_bytes(self._process.pid) or 0) > self.limits.memory_bytes:
            self.close()
            allowed = f"{self.limits.memory_bytes / 1e9:.1f} GB"
            raise PluginFault(self.called, f"took more than {allowed} of memory and was ended")
        if waited_s <= patience_s:
            return
        self.close()
        if do == "process":
            raise PluginFault(self.called, f"hung: a block took it more than {patience_s:.3g} s")
        raise PluginFault(
            self.called,
            f"did not load within {patience_s:.3g} s and was ended: it may be waiting for a licence to be "
            "confirmed in a window; open it once in a workstation, or leave it out",
        )

    def _died(self) -> PluginFault:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5.0)
        status = self._process.poll()
        self.close()
        how = "fell silent" if status is None else _ending(status)
        return PluginFault(self.called, how, died=True)


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended its process with status {status}"
    try:
        return f"crashed its process ({signal.Signals(-status).name})"
    except ValueError:
        return f"crashed its process (signal {-status})"


def _read(lines: IO[str], answers: queue.Queue[dict[str, Any] | None]) -> None:
    """Hand the process's answers on, and None at their end; what is no answer is passed over."""
    with suppress(ValueError, OSError), lines:
        while line := lines.readline(_LONGEST_ANSWER):
            with suppress(ValueError):
                answer = json.loads(line)
                if isinstance(answer, dict) and "ok" in answer:
                    answers.put(answer)
    answers.put(None)


def _word(value: object) -> str:
    return one_line(str(value))[:_LONGEST_WORD] or "it said nothing"
