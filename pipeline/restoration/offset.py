"""An offset of the wave from zero, taken out before it costs the limiter headroom.

An offset that stays is subtracted as it is: nothing else of the song changes, and its ends have no
transient. One that moves is followed from half second to half second, far below what is heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.offset import is_offset, offset_words
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, Progress, blocks, spool

_STEP_S = 0.5
_STEADY = 0.5
"""Share of the offset by which its half seconds may typically differ from it."""


def find(source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
    """An offset that is large against the song's peak."""
    if not is_offset(analysis.dc, analysis.sample_peak_dbfs):
        return None
    means = {f"offset_{channel}": float(mean) for channel, mean in enumerate(analysis.dc)}
    return Found(f"The wave is off zero by {offset_words(analysis.dc)}.", means, {"dc": list(analysis.dc)})


def run(source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
    """The source without its offset."""
    dc = found.details["dc"]
    step = max(round(_STEP_S * source.rate), 1)
    means = np.stack([block.mean(axis=1, dtype=np.float64) for block in blocks(source, step)], axis=1)
    whole = np.array(dc, np.float64)
    worst = int(np.argmax(np.abs(whole)))
    steady = float(np.median(np.abs(means[worst] - whole[worst]))) <= _STEADY * abs(whole[worst])
    curve = np.repeat(whole[:, None], 2, axis=1) if steady else _smoothed(means)
    audio = spool(
        _lowered(source, curve, step, progress), scratch / "centred.f32", source.rate, source.channels
    )
    moved = "" if steady else " It moved, and was followed."
    return Restored(
        audio, True, f"An offset from zero of {offset_words(dc)} was taken out.{moved}", found.values
    )


def _smoothed(means: Float64Array) -> Float64Array:
    around = np.pad(means, ((0, 0), (1, 1)), mode="edge")
    return (around[:, :-2] + 2 * around[:, 1:-1] + around[:, 2:]) / 4


def _lowered(source: AudioSource, curve: Float64Array, step: int, progress: Progress) -> Iterator[FloatArray]:
    """The source less the curve, which has a value for the middle of each step."""
    middles = (np.arange(curve.shape[1]) + 0.5) * step
    start = 0
    for block in blocks(source):
        frames = np.arange(start, start + block.shape[1])
        offset = np.stack([np.interp(frames, middles, channel) for channel in curve])
        yield (block - offset).astype(np.float32)
        start += block.shape[1]
        progress(start / source.frames)
