"""The band of references: what somebody chose to be sounded like, from profiles.

It is no stricter than a song can be followed: one song has no spread, and a few have too little of it. How
attacks lie over the bands is a matter of a song's parts, so there it is as wide as finished music at least.
Balance, texture and the end of the spectrum stay with finished music: how far one record leans, rings or
reaches is nobody's aim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mixagent.pipeline.finished.band import Band, finished_music_band
from mixagent.pipeline.finished.measures import GROUPS, INDEX, MEASURES, Group, beyond_end
from mixagent.pipeline.matching.profiles import Profile
from mixagent.pipeline.types import Float64Array

LEAST_SPREAD_DB = 1.0
"""Of a band of tone or width, and of the peak to loudness ratio."""

LEAST_SPREAD_LU = 1.0
"""Of the loudness range."""


def band_of(
    tone: Profile | None = None, dynamics: Profile | None = None, width: Profile | None = None
) -> Band | None:
    """The band of what references measure, NaN where they say nothing; None where none says anything.

    Args:
        tone: whose tone; where its spectrum has ended it says nothing.
        dynamics: whose peaks and loudness range.
        width: whose width.
    """
    told: Mapping[Group, Profile | None] = {
        "tone": tone,
        "width": width,
        "punch": dynamics,
        "range": dynamics,
    }
    mean, spread = np.full(len(MEASURES), math.nan), np.full(len(MEASURES), math.nan)
    least = _least_spreads()
    for group, profile in told.items():
        if profile is not None:
            rows = GROUPS[group]
            mean[rows], spread[rows] = profile.means[rows], np.maximum(profile.spreads, least)[rows]
    if tone is not None and "bandwidth" in tone.measures:
        mean[GROUPS["tone"][beyond_end(tone.measures["bandwidth"].mean)]] = math.nan
    if not np.isfinite(mean).any():
        return None
    profiles = [profile for profile in (tone, dynamics, width) if profile is not None]
    songs = {song for profile in profiles for song in profile.songs}
    return Band(" and ".join(dict.fromkeys(p.name for p in profiles)), len(songs), mean, spread)


def _least_spreads() -> Float64Array:
    least = finished_music_band().band.spread.copy()
    for group in ("tone", "width"):
        least[GROUPS[group]] = LEAST_SPREAD_DB
    least[INDEX["plr"]] = LEAST_SPREAD_DB
    least[INDEX["loudness_range"]] = LEAST_SPREAD_LU
    return least
