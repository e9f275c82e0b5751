"""A worker process as its keeper sees it: started, told what to do, heard, ended."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mixagent.pipeline.memory import resident_bytes

_LAST_LINES = 30
_END_S = 3.0
_HIDDEN = (
    "MIXAGENT_KEY",
    "MIXAGENT_DATABASE",
    "MIXAGENT_BROKER",
    "MIXAGENT_STORE",
    "MIXAGENT_OIDC_CLIENT_SECRET",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)


class ProcessEndedError(Exception):
    """The process is gone; the message says how."""


class WorkerProcess:
    """One process of `worker.child`.

    Attributes:
        jobs: that it has ended.
        busy: whether it was given something to do and has not said how that ended.


    Args:
        home: folder that it works below.
        engine: of what it keeps for all songs.
        warm: whether it loads what verdicts need, too.
        card: the one that it sees of the GPUs; None for all that there are, an empty text for none.
    """

    def __init__(self, home: Path, engine: Path, warm: bool, card: str | None = None) -> None:
        home.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
        # Kernels and logs outlive a song's stages.
        environment |= {"HF_HUB_OFFLINE": "1", "MIXAGENT_CACHE": str(engine.absolute())}
        if card is not None:
            environment["CUDA_VISIBLE_DEVICES"] = card
        command = [sys.executable, "-P", "-m", "mixagent.service.worker.child", *(["warm"] if warm else [])]
        self._process = subprocess.Popen(
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._heard: queue.Queue[Mapping[str, Any] | None] = queue.Queue()
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        for target in (self._listen, self._note):
            threading.Thread(target=target, daemon=True, name=f"worker-{self._process.pid}").start()
        self.jobs = 0
        self.busy = False

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def memory_bytes(self) -> int:
        """Memory that it takes now; 0 where the system does not say."""
        return resident_bytes(self.pid) or 0

    @property
    def last_words(self) -> str:
        """What it wrote on stderr of late."""
        return "\n".join(self._said)

    def say(self, **words: Any) -> None:
        """An order.

        Raises:
            ProcessEndedError: nobody is there to take it.
        """
        assert self._process.stdin is not None
        # A cancel is of what it does already.
        self.busy = self.busy or bool(words.keys() & {"run", "one stage"})
        try:
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise ProcessEndedError(self._how()) from error

    def hear(self, timeout_s: float) -> Mapping[str, Any] | None:
        """The next thing that it says; None where it says nothing for so long.

        Raises:
            ProcessEndedError: it is gone and said all that it had to say.
        """
        try:
            words = self._heard.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if words is None:
            self._heard.put(None)
            self._process.wait()
            raise ProcessEndedError(self._how())
        if "done" in words or "failed" in words:
            self.busy = False
        return words

    def kill(self) -> None:
        """End it, and what it started, at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._hang_up()

    def close(self) -> None:
        """Let it end by itself, or end it where it does not."""
        self._hang_up()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _hang_up(self) -> None:
        with suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def _how(self) -> str:
        code = self._process.poll()
        if code is not None and code < 0:
            return f"its process was ended by signal {-code}"
        return f"its process ended with {code}"

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError, OSError), self._process.stdout:
            for line in self._process.stdout:
                with suppress(json.JSONDecodeError):
                    self._heard.put(json.loads(line))
        self._heard.put(None)

    def _note(self) -> None:
        assert self._process.stderr is not None
        with suppress(ValueError, OSError), self._process.stderr:
            for line in self._process.stderr:
                self._said.append(line.rstrip()[:500])
