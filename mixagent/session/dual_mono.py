"""A song of one channel counted as two: as loud as it plays on two loudspeakers.

BS.1770-5 counts the loudness of one channel once, though it comes from both loudspeakers: at one figure in
LUFS it plays 3 dB louder than a song of two channels. Most measuring programs offer to count it twice, as
"dual mono".
"""

from __future__ import annotations

import math
from dataclasses import replace

from mixagent.pipeline.finaliser.album_levels import BOTH_SPEAKERS_LU
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.measure.analysis import Analysis


def counts_twice(dual_mono: bool, channels: int) -> bool:
    """Whether a song's one channel is counted as two."""
    return dual_mono and channels == 1


def file_target(target: LoudnessTarget, dual_mono: bool, channels: int) -> LoudnessTarget:
    """The target as the file measures by BS.1770: 3 LU lower for one channel that is counted as two."""
    if not counts_twice(dual_mono, channels):
        return target
    return replace(target, integrated_lufs=target.integrated_lufs - BOTH_SPEAKERS_LU)


def counted(analysis: Analysis, dual_mono: bool) -> Analysis:
    """An analysis with the loudness of its one channel counted as two, where that is asked for."""
    if not counts_twice(dual_mono, analysis.channels):
        return analysis
    sounds = math.isfinite(analysis.integrated_lufs)
    return replace(
        analysis,
        integrated_lufs=analysis.integrated_lufs + BOTH_SPEAKERS_LU,
        momentary_max_lufs=analysis.momentary_max_lufs + BOTH_SPEAKERS_LU,
        short_term_max_lufs=analysis.short_term_max_lufs + BOTH_SPEAKERS_LU,
        short_term_lufs=tuple(lufs + BOTH_SPEAKERS_LU for lufs in analysis.short_term_lufs),
        plr_db=analysis.plr_db - BOTH_SPEAKERS_LU if sounds else analysis.plr_db,
    )


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
