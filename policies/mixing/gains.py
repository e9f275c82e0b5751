"""Gains on the stems of a mix, worked out on their measures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.measure.stem_features import k_level_db
from mixagent.pipeline.measure.stem_measures import SCALARS, SILENT_DB, THIRDS
from mixagent.pipeline.types import FloatArray

_LEVELS = [2 * THIRDS + SCALARS.index(name) for name in ("integrated_lufs", "momentary_max_lufs")]
_FLOOR = 1e-13


def raised(measures: FloatArray, mid_db: NDArray[np.floating], side_db: NDArray[np.floating]) -> FloatArray:
    """The measures after gains on the stems, (B, roles, THIRDS); the mix follows by the stems' powers."""
    before = db_to_power(measures[..., : 2 * THIRDS].astype(np.float64))
    gains = db_to_power(np.concatenate((mid_db, side_db), axis=-1).astype(np.float64))
    after = np.concatenate((before[:, :1], before[:, 1:] * gains), axis=1)
    sums = (powers[:, 1:].sum(axis=1, keepdims=True) + _FLOOR for powers in (after, before))
    after[:, :1] *= next(sums) / next(sums)
    result = measures.copy()
    levels = [k_level_db(powers[..., :THIRDS] + powers[..., THIRDS:]) for powers in (after, before)]
    result[..., : 2 * THIRDS] = np.maximum(powers_to_db(after + 1e-12), SILENT_DB)
    result[..., _LEVELS] += (levels[0] - levels[1])[..., None]
    silent = measures[..., 2 * THIRDS] <= SILENT_DB
    result[silent] = measures[silent]
    return result
