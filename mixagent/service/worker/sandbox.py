"""What a process that reads strangers' files gives up, as far as the system lets it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_FIRST_TO_GO = 500
"""For the kernel, where memory runs out: of 1000."""


def die_with_parent() -> None:
    """Be killed when the process that started this one ends, however it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def give_way_in_need() -> None:
    """Where the machine's memory runs out, go before the service does."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_GO))


def confine(memory_bytes: int, cpu_s: int, file_bytes: int, files: int = 64) -> None:
    """Bound this process for good: memory, time of the processor, size and number of files, no network."""
    for which, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(which)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (bound, bound))
    # A write over the bound is then an error, and not the end.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def leave_network() -> None:
    """Go where there is no network but this process's own; not every system lets one."""
    if sys.platform != "linux":
        return
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None).unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return
    own = Path("/proc/self")
    with suppress(OSError):
        (own / "setgroups").write_text("deny")
        (own / "uid_map").write_text(f"{user} {user} 1")
        (own / "gid_map").write_text(f"{group} {group} 1")
