"""pedalboard's effects as a `Processor`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pedalboard import Plugin
from pedalboard._pedalboard import Pedalboard

from mixagent.pipeline.types import FloatArray

# A plug-in resets when a block is longer than any before it, up to this length; one such block of
# silence at the start makes every later cut of the input give the same output.
_LONGEST_BLOCK = 8192


class BoardProcessor:
    """A row of pedalboard plug-ins, streamed; each instance belongs to one processor only."""

    latency = 0

    def __init__(self, plugins: Sequence[Plugin], rate: int, channels: int) -> None:
        self._board = Pedalboard(list(plugins))
        self._rate = rate
        self.process(np.zeros((channels, _LONGEST_BLOCK), np.float32))

    def process(self, block: FloatArray) -> FloatArray:
        """The next block through all plug-ins, (channels, frames)."""
        return np.asarray(self._board.process(block, self._rate, buffer_size=_LONGEST_BLOCK, reset=False))
