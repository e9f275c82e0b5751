"""The settings that bring a song's loudness range to a reference's.

What was measured on six songs (`scripts/benchmark_references.py dynamics`): the compressor at 6 dB under
the programme level divides the loudness range by its ratio to the power of 0.9, the expander multiplies it
by its ratio to the power of 0.45. What is dense already only gets peaks from a compressor, so it is used
where the song has more of a peak over its loudness than the reference too, and the expander where it has
less. The peak to loudness ratio itself follows from the target's loudness and the limiter.
"""

from __future__ import annotations

import math

from mixagent.pipeline.finished_music import shrunk_db
from mixagent.pipeline.references.moves import Move
from mixagent.pipeline.references.profile import Profile

THRESHOLD_DB = -6.0
HIGHEST_RATIO = 2.0
HIGHEST_EXPANSION = 1.4
LEAST_LU = 1.0
"""Differences up to this are left alone, in dB for the peak to loudness ratio."""

_COMPRESSED, _EXPANDED = 0.9, 0.45
_LEAST_RANGE_LU = 0.5


def dynamics_moves(song: Profile, reference: Profile) -> tuple[Move, ...]:
    """Compression or expansion that brings a song's loudness range towards the reference's."""
    before, wanted = song.loudness_range_lu.mean, reference.loudness_range_lu
    apart = shrunk_db(wanted.mean - before, max(wanted.spread / 2, LEAST_LU))
    peaks_apart = reference.plr_db.mean - song.plr_db.mean
    if apart == 0.0 or peaks_apart * math.copysign(1.0, apart) <= LEAST_LU:
        return ()
    change = max(before + apart, _LEAST_RANGE_LU) / max(before, _LEAST_RANGE_LU)
    reason = f"the loudness range is {before:.1f} LU, {wanted.mean:.1f} in the reference"
    if change > 1.0:
        ratio = min(change ** (1 / _EXPANDED), HIGHEST_EXPANSION)
        return (Move("master.expand_ratio", ratio - 1.0, reason),)
    ratio = min(change ** (-1 / _COMPRESSED), HIGHEST_RATIO)
    return (
        Move("master.comp_threshold_db", THRESHOLD_DB, reason),
        Move("master.comp_ratio", ratio, reason),
    )
