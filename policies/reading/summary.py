"""The net's input from a song: its excerpts as bands, over all of them and all of their time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.measure.song_bands import BANDS, FAST, FLOOR_DB
from mixagent.pipeline.types import FloatArray

Floats = NDArray[np.floating[Any]]

ROWS = 8
"""What a band shows: levels of mid and side, side against mid, what they share, right against left, and how
mid, side and balance move in time."""

FIGURES = 2 * FAST
"""Figures of the fast dynamics: mean and spread over time of each of `SongBands.fast`."""

LEAST_POWER = 1e-9
_SILENT_DB, _SOUNDING_DB = -85.0, -75.0
_MOST_BALANCE_DB = 20.0


@dataclass(frozen=True)
class Summary:
    """The long term of a song, at a power of one.

    Attributes:
        powers: mean power of mid, of side, and of their product, shape (3, BANDS).
        spreads: standard deviation over time of mid, side and balance in dB, shape (3, BANDS).
        figures: shape (FIGURES,).
    """

    powers: FloatArray
    spreads: FloatArray
    figures: FloatArray

    @classmethod
    def of(cls, bands: FloatArray) -> Summary:
        """The long term of excerpts, `read_song`'s (excerpts, rows, frames)."""
        whole = np.concatenate(list(bands.astype(np.float32)), -1)
        mid_db, side_db, common, fast = np.split(whole, (BANDS, 2 * BANDS, 3 * BANDS))
        mid, side = db_to_power(mid_db), db_to_power(side_db)
        cross = common * np.sqrt(mid * side)
        powers = np.stack((mid.mean(-1), side.mean(-1), cross.mean(-1)))
        moving = (mid_db.std(-1), side_db.std(-1), balance_db(mid, side, cross).std(-1))
        figures = np.concatenate((fast.mean(-1), fast.std(-1))) / 5
        powers /= max(float(powers[:2].sum()), LEAST_POWER)
        parts = (powers, np.stack(moving), figures)
        return cls(*(part.astype(np.float32) for part in parts))


def shown(powers: FloatArray, spreads: FloatArray) -> FloatArray:
    """The net's input from summaries: (N, ROWS, BANDS).

    Args:
        powers: of levelled summaries, (N, 3, BANDS).
        spreads: of them, (N, 3, BANDS).
    """
    mid, side = (np.maximum(powers[:, k], LEAST_POWER) for k in (0, 1))
    mid_db, side_db = powers_to_db(mid), powers_to_db(side)
    shared = np.clip(powers[:, 2] / np.sqrt(mid * side), -1, 1)
    balance = balance_db(mid, side, shared * np.sqrt(mid * side))
    # What is not there does not move; a static gain on bands, by which examples are made, cannot tell.
    sounding = np.clip((mid_db - _SILENT_DB) / (_SOUNDING_DB - _SILENT_DB), 0, 1)
    rows = (
        *((mid_db + 40) / 15, (side_db + 55) / 15, (side_db - mid_db + 10) / 10, shared, balance / 5),
        *((spreads[:, 0] * sounding - 6) / 4, (spreads[:, 1] * sounding - 6) / 4, spreads[:, 2] / 5),
    )
    return np.stack(rows, 1).astype(np.float32)


def balance_db(mid: Floats, side: Floats, cross: Floats) -> FloatArray:
    """Right against left in dB, within ±20, where there is anything to tell it by."""
    floor = np.float32(db_to_power(FLOOR_DB + 5))
    right, left = np.maximum(mid + side - 2 * cross, 0), np.maximum(mid + side + 2 * cross, 0)
    apart = powers_to_db((right + floor) / (left + floor))
    return np.asarray(np.clip(apart, -_MOST_BALANCE_DB, _MOST_BALANCE_DB), np.float32)
