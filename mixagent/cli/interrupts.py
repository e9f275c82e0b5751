"""Ctrl-C and its kin: one `KeyboardInterrupt` whenever the first comes, and no other while it is tidied up.

Nothing here takes time to load, so that an interruption of the imports that follow finds it in place.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Those that ask for an end, as far as the system has them."""


_AGAIN_S = 0.02


class Interrupted(KeyboardInterrupt):
    """An interruption. Python ends with a signal of its own after a plain one that met `exec`."""


def catch_interrupts() -> None:
    """Raise `Interrupted` in the main thread on the first of `SIGNALS`; ignore those that follow.

    One that this process was started to ignore stays ignored.
    """
    raised = False

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise Interrupted

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        nonlocal raised
        if not issubclass(unraisable.exc_type, Interrupted):
            sys.__unraisablehook__(unraisable)
            return
        # It came while a finaliser ran, where nothing can be raised, nor can it here: a moment later.
        raised = False
        threading.Timer(_AGAIN_S, _thread.interrupt_main).start()

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupted)
    sys.unraisablehook = lost


def ignore_interrupts() -> None:
    """Let nothing interrupt the last that is left to do: Python's own end would be killed by a signal."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
