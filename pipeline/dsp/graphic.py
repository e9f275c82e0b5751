"""A graphic equaliser in third octaves whose response runs through its gains.

Bells overlap, so their gains are solved from their interaction at the centres and half-way between
(Välimäki and Liski, "Accurate cascade graphic equalizer", IEEE Signal Processing Letters 24(2), 2017).
The ends of the curve are shelves: at 31.5 Hz, and at 16 kHz or lower where the rate is.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from mixagent.pipeline.dsp.equaliser import HIGHEST_SHARE, Filter, responses_db
from mixagent.pipeline.dsp.third_octaves import MUSIC, THIRD_OCTAVES_HZ
from mixagent.pipeline.types import Float64Array

BANDS_HZ = THIRD_OCTAVES_HZ[MUSIC]
"""Nominal centres of the bands; the filters stand at the exact ones, 1000·10^(n/10) Hz (IEC 61260-1)."""

_AT_1000 = BANDS_HZ.index(1000.0)
_Q = 2.0
_SHELF_Q = 0.8
_SHELF_SHARE = 10**0.05
_SHELF_HIGHEST_SHARE = 0.38
_REFINEMENTS = 6


def graphic_sections(gains_db: ArrayLike, rate: int) -> Float64Array:
    """Second-order sections whose response runs through the gains at `BANDS_HZ`.

    Args:
        gains_db: one for each of `BANDS_HZ`; those too high for the rate are left out.
        rate: sample rate in Hz.

    Returns:
        b0 b1 b2 a1 a2 of each, shape (sections, 5).
    """
    return np.stack([each.section(rate) for each in graphic_filters(gains_db, rate)])


def graphic_filters(gains_db: ArrayLike, rate: int) -> list[Filter]:
    """The bells and shelves behind `graphic_sections`, from low to high."""
    asked = np.asarray(gains_db, np.float64)
    last = min(
        asked.size - 1, int(np.searchsorted(_hz(np.arange(asked.size)), _SHELF_HIGHEST_SHARE * rate)) - 1
    )
    bands = np.arange(last + 1)
    points, solve = _interaction(rate, last)
    wanted = np.interp(points, bands, asked[bands])
    delay = np.exp(-2j * math.pi * _hz(points) / rate)
    gains = solve @ wanted
    for _ in range(_REFINEMENTS):
        reached = np.sum(responses_db(_sections(gains, rate, last), delay), axis=0)
        gains = np.asarray(gains + solve @ (wanted - reached))
    return _filters(gains, last)


@cache
def _interaction(rate: int, last: int) -> tuple[Float64Array, Float64Array]:
    """The places at which the response is held, and what turns it there into gains of the bands."""
    points = np.arange(-1, 2 * last + 2) / 2
    points = points[_hz(points) < HIGHEST_SHARE * rate]
    delay = np.exp(-2j * math.pi * _hz(points) / rate)
    alone = responses_db(_sections(np.ones(last + 1), rate, last), delay)
    return points, np.asarray(np.linalg.pinv(alone.T), np.float64)


def _sections(gains_db: Float64Array, rate: int, last: int) -> Float64Array:
    return np.stack([each.section(rate) for each in _filters(gains_db, last)])


def _filters(gains_db: Float64Array, last: int) -> list[Filter]:
    return [_filter(band, float(gain), last) for band, gain in enumerate(gains_db)]


def _hz(places: ArrayLike) -> Float64Array:
    """The exact frequencies of places in `BANDS_HZ`, of fractions too."""
    return np.asarray(1000.0 * 10 ** ((np.asarray(places, np.float64) - _AT_1000) / 10))


def _filter(band: int, gain_db: float, last: int) -> Filter:
    hz = float(_hz(band))
    if band == 0:
        return Filter("low_shelf", hz * _SHELF_SHARE, gain_db, _SHELF_Q)
    if band == last:
        return Filter("high_shelf", hz / _SHELF_SHARE, gain_db, _SHELF_Q)
    return Filter("bell", hz, gain_db, _Q)
