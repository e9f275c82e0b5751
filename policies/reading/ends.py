"""Finds the end of an excerpt's highs from its long-term bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.decibels import powers_to_db
from mixagent.pipeline.measure.song_bands import BANDS, CENTRES_HZ, EDGES_HZ

NO_END = BANDS
"""The value for highs that do not end early."""

_DROP_DB = 14.0
_LEVEL_DB = 6.0
_STEP = 2
_LOWEST_HZ, _HIGHEST_HZ = 3000.0, 16500.0
_WIDTH_DB = powers_to_db(np.diff(np.array(EDGES_HZ)))


def highest_bands(power: NDArray[np.floating]) -> NDArray[np.int64]:
    """The last band before the highs end, `NO_END` where they do not, (…,).

    The density falls there by `_DROP_DB` or more within a third octave and does not rise again.

    Args:
        power: mean power by band, shape (…, BANDS).
    """
    density_db = powers_to_db(np.maximum(power, 1e-12)) - _WIDTH_DB
    loudest_above = np.maximum.accumulate(density_db[..., ::-1], axis=-1)[..., ::-1]
    found = np.full(power.shape[:-1], NO_END, np.int64)
    for band in reversed(range(BANDS - _STEP)):
        if _LOWEST_HZ <= CENTRES_HZ[band] <= _HIGHEST_HZ:
            ends = density_db[..., band] - loudest_above[..., band + _STEP] >= _DROP_DB
            found = np.where(ends, band, found)
    # The fall is told two bands ahead: where the next band is still as high, the end is there.
    after = np.minimum(found + 1, BANDS - 1)
    last = np.minimum(found, BANDS - 1)
    here, there = (np.take_along_axis(density_db, k[..., None], -1)[..., 0] for k in (last, after))
    return np.where((found != NO_END) & (there > here - _LEVEL_DB), found + 1, found)
