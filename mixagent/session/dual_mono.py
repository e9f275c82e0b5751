"""A song of one channel counted as two: as loud as it plays on two loudspeakers.

BS.1770-5 counts the loudness of one channel once, though it comes from both loudspeakers: at one figure in
LUFS it plays 3 dB louder than a song of two channels. Most measuring programs offer to count it twice, as
"dual mono".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mixagent.pipeline.finaliser.album_levels import BOTH_SPEAKERS_LU
from mixagent.pipeline.finaliser.targets import LoudnessTarget

_LOUDER = ("integrated_lufs", "momentary_max_lufs", "short_term_max_lufs")


def counts_twice(dual_mono: bool, channels: int) -> bool:
    """Whether a song's one channel is counted as two."""
    return dual_mono and channels == 1


def file_target(target: LoudnessTarget, dual_mono: bool, channels: int) -> LoudnessTarget:
    """The target as the file measures by BS.1770: 3 LU lower for one channel that is counted as two."""
    if not counts_twice(dual_mono, channels):
        return target
    return replace(target, integrated_lufs=target.integrated_lufs - BOTH_SPEAKERS_LU)


def counted(analysis: Mapping[str, Any], dual_mono: bool) -> dict[str, Any]:
    """An analysis as JSON with the loudness of its one channel counted as two, where that is asked for."""
    if not counts_twice(dual_mono, analysis["channels"]):
        return dict(analysis)
    higher = {name: _moved(analysis[name], BOTH_SPEAKERS_LU) for name in _LOUDER}
    curve = [_moved(value, BOTH_SPEAKERS_LU) for value in analysis["short_term_lufs"]]
    silent = analysis["integrated_lufs"] is None
    plr_db = analysis["plr_db"] if silent else _moved(analysis["plr_db"], -BOTH_SPEAKERS_LU)
    return {**analysis, **higher, "short_term_lufs": curve, "plr_db": plr_db}


def _moved(value: float | None, by: float) -> float | None:
    return None if value is None else value + by


def missed_words(missed: str, twice: bool) -> str:
    """What the finaliser says of a target that it missed; it knows of the file's one channel alone."""
    return f"{missed} (counted once)" if twice else missed


def mono_words(dual_mono: bool, channels: int) -> list[str]:
    """What the user should know of the loudness of a song of one channel; nothing of other songs."""
    if channels != 1:
        return []
    if dual_mono:
        return [f"one channel is counted as two (dual mono): {BOTH_SPEAKERS_LU:.1f} LU over what it measures"]
    return [
        f"one channel plays {BOTH_SPEAKERS_LU:.1f} dB louder on two loudspeakers than two channels of the "
        "same LUFS: dual mono counts it as two"
    ]
