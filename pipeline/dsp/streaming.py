"""Processors that keep state from block to block, and the loop that runs them over a source."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from mixagent.pipeline.types import BLOCK_FRAMES, AudioSource, FloatArray, blocks

PIECE_FRAMES = 1 << 13
"""The frames of a stereo block that, several times over, stay in a processor's caches."""


class Processor(Protocol):
    """One effect with its state. Its output is the same however its input is cut into blocks."""

    @property
    def latency(self) -> int:
        """Frames by which the output lags the input."""

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, float32 (channels, frames); same shape out. The input is not written to."""


class Delay:
    """The same signal `latency` frames late; a `Processor`."""

    def __init__(self, latency: int, channels: int) -> None:
        self.latency = latency
        self._held = np.zeros((channels, latency), np.float32)

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames)."""
        if not self.latency:
            return block
        waiting = np.concatenate((self._held, block), axis=1)
        self._held = waiting[:, block.shape[1] :].copy()
        return waiting[:, : block.shape[1]]


def in_pieces(
    process: Callable[[FloatArray], FloatArray], block: FloatArray, frames: int = PIECE_FRAMES
) -> FloatArray:
    """A block (channels, frames) processed in pieces of so many frames."""
    cuts = range(0, block.shape[1], frames)
    parts = [process(block[:, cut : cut + frames]) for cut in cuts]
    return np.concatenate(parts, axis=1) if parts else block


def half_overlapping(parts: Iterable[FloatArray], channels: int, size: int) -> Iterator[FloatArray]:
    """Windows of `size` frames that overlap by half, however the stream is cut into blocks.

    Gives views (channels, windows, size) of as many windows as a block completes; what is left at the
    end is too short for one.
    """
    held = np.zeros((channels, 0), np.float32)
    for part in parts:
        held = np.concatenate([held, part], axis=1)
        count = (held.shape[1] - size) // (size // 2) + 1
        if count > 0:
            view = np.lib.stride_tricks.sliding_window_view(held, size, axis=1)
            yield view[:, :: size // 2][:, :count]
            held = held[:, count * (size // 2) :]


def process_blocks(
    source: AudioSource, processors: Sequence[Processor], size: int = BLOCK_FRAMES
) -> Iterator[FloatArray]:
    """The source through the processors in order, latency compensated.

    Gives exactly `source.frames` frames: the first `latency` frames are dropped and as many frames
    of silence are pushed through at the end.
    """
    latency = sum(processor.latency for processor in processors)
    skip = latency
    for block in _with_tail(source, latency, size):
        for processor in processors:
            block = processor.process(block)
        if skip >= block.shape[1]:
            skip -= block.shape[1]
            continue
        yield block[:, skip:]
        skip = 0


def through(
    parts: Iterator[FloatArray], processors: Sequence[Processor], channels: int
) -> Iterator[FloatArray]:
    """Blocks (channels, frames) through processors, latency compensated, of as many frames in all."""
    skip = tail = sum(processor.latency for processor in processors)
    for part in itertools.chain(parts, [np.zeros((channels, tail), np.float32)] if tail else []):
        for processor in processors:
            part = processor.process(part)
        dropped = min(skip, part.shape[1])
        skip -= dropped
        if dropped < part.shape[1]:
            yield part[:, dropped:]


def _with_tail(source: AudioSource, tail: int, size: int) -> Iterator[FloatArray]:
    yield from blocks(source, size)
    if tail:
        yield np.zeros((source.channels, tail), np.float32)
