"""Sample-rate conversion of sources of any length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr

from mixagent.pipeline.types import AudioSource, FloatArray, blocks, collect, spool


def resample(source: AudioSource, rate: int, to: Path | None = None) -> AudioSource:
    """The source at `rate` Hz, `round(source.frames * rate / source.rate)` frames long.

    Uses soxr at its highest quality (VHQ, linear phase, delay compensated). The result is written
    to the raw file `to`, or kept in memory without one. A source at that rate is given back as it is.
    """
    if source.rate == rate:
        return source
    frames = round(source.frames * rate / source.rate)
    parts = _exact_length(_converted(source, rate), frames, source.channels)
    if to is None:
        return collect(parts, rate, source.channels)
    return spool(parts, to, rate, source.channels)


def _converted(source: AudioSource, rate: int) -> Iterator[FloatArray]:
    stream = soxr.ResampleStream(source.rate, rate, source.channels, dtype="float32", quality="VHQ")
    for block in blocks(source):
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
    yield stream.resample_chunk(np.zeros((0, source.channels), np.float32), last=True).T


def _exact_length(parts: Iterator[FloatArray], frames: int, channels: int) -> Iterator[FloatArray]:
    # soxr's own length can differ by a frame from the rounded one.
    for part in parts:
        yield part[:, :frames]
        frames -= min(part.shape[1], frames)
    if frames:
        yield np.zeros((channels, frames), np.float32)
