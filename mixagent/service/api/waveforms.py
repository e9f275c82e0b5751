"""Waveforms as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixagent.service.problems import Problem
from mixagent.service.worker.waveform import unpacked


def waveform(peaks: bytes | None, audio: Mapping[str, Any] | None, points: int) -> dict[str, Any]:
    """Lows and highs of so many stretches, −1 to 1, over all channels.

    Raises:
        Problem: it is no sound.
    """
    if peaks is None or audio is None:
        raise Problem("missing", "it has no waveform: it is no sound that is ready")
    low, high = unpacked(peaks, points)
    return {"points": points, "duration_s": audio["duration_s"], "channels": 1, "min": low, "max": high}
