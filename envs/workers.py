"""Ends the processes of a pool when the program that started them is killed."""

from __future__ import annotations

import multiprocessing
import os
from threading import Thread


def end_with_parent() -> None:
    """Called in a worker process, ends it as soon as the process that started it is gone.

    The workers of a `ProcessPoolExecutor` hold both ends of the queue that they wait at. So they never
    see it close, and would stay for ever, with their memory, after a kill.
    """
    if multiprocessing.parent_process() is not None:
        Thread(target=_end_with_parent, name="end_with_parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
