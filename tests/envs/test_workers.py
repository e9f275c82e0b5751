"""The processes of a pool end with the program that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

PROGRAM = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from mixagent.envs.workers import end_with_parent
pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=end_with_parent)
print(pool.submit(os.getpid).result(), flush=True)
time.sleep(60)
"""

PATIENCE_S = 30.0


def _there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_end_when_their_program_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        worker = int(program.stdout.readline())
        assert _there(worker)
        program.send_signal(signal.SIGKILL)
    until = time.monotonic() + PATIENCE_S
    while _there(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _there(worker)
