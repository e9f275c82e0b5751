"""Peak memory of a separator in a process of its own."""

import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import re, sys
from importlib import import_module
from pathlib import Path
import numpy as np

class Endless:
    rate, channels = 44100, 2
    def __init__(self, seconds): self.frames = seconds * 44100
    def read(self, start, stop):
        stop = min(stop, self.frames)
        return np.random.default_rng(start).normal(0, .1, (2, stop - start)).astype(np.float32)

module, name, seconds, folder = sys.argv[1:]
getattr(import_module(module), name)().separate(Endless(int(seconds)), Path(folder))
# Not getrusage: its peak also counts the process that this one was forked from.
print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def peak_kb(separator: type, seconds: int, folder: Path) -> int:
    """The most memory that was resident while noise of that length was separated into the folder."""
    named = [separator.__module__, separator.__name__, str(seconds), str(folder)]
    command = [sys.executable, "-c", _SCRIPT, *named]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)
