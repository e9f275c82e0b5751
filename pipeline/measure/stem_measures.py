"""The measures of a mix and its stems as one array, of an `Analysis` each; for what decides about stems.

Level-dependent here; what the network is shown (`features`) is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.types import FloatArray

ROLES = ("vocals", "drums", "bass", "other")
"""The stems that the agent has strips for, in the order of its arrays."""

THIRDS = len(THIRD_OCTAVES_HZ)
SCALARS = (
    "integrated_lufs",
    "momentary_max_lufs",
    "loudness_range_lu",
    "plr_db",
    "crest_db",
    "correlation",
    "balance_db",
    "transient_density_hz",
    "transient_sharpness_db",
)
ROW = 2 * THIRDS + len(SCALARS)
"""Figures of one source: third octaves of mid, of side, then `SCALARS`."""

SILENT_DB = -120.0

THERE_DB = -32.0
"""A stem further under its mix than this is what a separator leaves of an instrument that is not there."""


def measures_of(mix: Analysis, stems: Mapping[str, Analysis], roles: Sequence[str] = ROLES) -> FloatArray:
    """The mix, then each role, (1 + roles, ROW); a role that is not there is silent."""
    return np.stack([_row(mix), *(_row(stems.get(role)) for role in roles)])


def _row(analysis: Analysis | None) -> FloatArray:
    if analysis is None:
        return np.array([SILENT_DB] * (2 * THIRDS) + [SILENT_DB] * 2 + [0.0] * (len(SCALARS) - 2), np.float32)
    levels = (*analysis.third_octave_mid_db, *analysis.third_octave_side_db)
    scalars = [float(getattr(analysis, name)) for name in SCALARS]
    values = np.array([*levels, *scalars], np.float32)
    return np.where(np.isfinite(values), values, np.float32(SILENT_DB))


def is_silent(row: FloatArray) -> bool:
    """True for a source without sound."""
    return not math.isfinite(row[2 * THIRDS]) or row[2 * THIRDS] <= SILENT_DB
