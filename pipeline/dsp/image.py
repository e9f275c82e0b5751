"""The stereo image: a matrix of gains between the two channels, and what works on mid and side."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.dsp.cascade import Butterworth, Cascade, even_rows
from mixagent.pipeline.dsp.streaming import Processor
from mixagent.pipeline.types import FloatArray


def image_matrix(
    gain_db: float = 0.0, pan: float = 0.0, width: float = 1.0, balance_db: float = 0.0
) -> NDArray[np.float32]:
    """Width, then balance and pan, then gain, as one matrix over (left, right), shape (2, 2).

    `width` scales the side (L − R)/2. `pan` is a constant-power balance of 0 dB at the centre;
    `balance_db` raises right against left by as much, half on either side.
    """
    same, other = (1 + width) / 2, (1 - width) / 2
    angle = (pan + 1) * math.pi / 4
    left = math.sqrt(2) * math.cos(angle) * 10 ** (-balance_db / 40)
    right = math.sqrt(2) * math.sin(angle) * 10 ** (balance_db / 40)
    rows = np.array([[left * same, left * other], [right * other, right * same]])
    return np.asarray(rows * db_to_amplitude(gain_db), np.float32)


class Image:
    """A stereo block times a matrix of gains; other channel counts only take the gain."""

    latency = 0

    def __init__(self, matrix: NDArray[np.float32], gain_db: float = 0.0) -> None:
        self._matrix = matrix
        self._gain = np.float32(db_to_amplitude(gain_db))

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames)."""
        if block.shape[0] != 2:
            return block * self._gain
        (left_left, left_right), (right_left, right_right) = self._matrix
        left, right = block
        return np.stack([left * left_left + right * left_right, left * right_left + right * right_right])


class MidSide:
    """A processor of two channels over mid (L + R)/2 and side (L − R)/2 of a stereo block."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self.latency = processor.latency

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (2, frames)."""
        half = np.float32(0.5)
        mid, side = self._processor.process(np.stack([block[0] + block[1], block[0] - block[1]]) * half)
        return np.stack([mid + side, mid - side])


def mono_below(corner_hz: float, rate: int) -> MidSide:
    """Makes the lows of a stereo signal mono by a fourth-order Linkwitz–Riley crossover.

    The side passes the crossover's high-pass alone. The mid passes low- and high-pass, whose sum is
    an all-pass of second order, so that mid and side keep their phase and the mid stays flat.
    """
    halves = Butterworth.at(corner_hz, rate)
    return MidSide(Cascade(even_rows([[halves.all_pass], [halves.high] * 2]), 2))
