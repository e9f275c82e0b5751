"""An offset of the wave from zero: what a sound card or a synthesiser adds, and a limiter pays for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mixagent.pipeline.decibels import db_to_amplitude

LEAST_SHARE = 0.005
"""Share of the highest sample from which an offset counts; half of finished songs have a tenth of it."""


def offset_share(dc: Sequence[float], sample_peak_dbfs: float) -> float:
    """The largest mean of a channel as a share of the highest sample, both linear; 0 for silence."""
    if not math.isfinite(sample_peak_dbfs):
        return 0.0
    return max(map(abs, dc), default=0.0) / db_to_amplitude(sample_peak_dbfs)


def is_offset(dc: Sequence[float], sample_peak_dbfs: float) -> bool:
    """True if an offset is large enough to be removed."""
    return offset_share(dc, sample_peak_dbfs) >= LEAST_SHARE


def offset_words(dc: Sequence[float]) -> str:
    """The offset of each channel for a reader: “+0.050” or “+0.050 left, −0.001 right”."""
    told = [f"{mean:+.3f}".replace("-", "−") for mean in dc]
    if len(set(told)) == 1:
        return told[0]
    return ", ".join(f"{each} {side}" for each, side in zip(told, ("left", "right"), strict=False))
