"""Damage worked out on long-term powers of bands, where an example costs next to nothing.

Powers are mean powers of mid, of side and of their product, shape (3, BANDS). Static fields are exact; of
the pathologies' mechanisms for training those that change the long term are followed closely enough
(mud, lean and widening, early ends, rings), and none that is kept for validation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mixagent.envs.degradation.fields import Field
from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.measure.song_bands import BANDS, CENTRES_HZ, EDGES_HZ

Powers = NDArray[np.float64]
Gains = NDArray[np.float64]

_HZ = np.array(CENTRES_HZ)
_POINTS = 3
_STEPS = np.log2(np.array(EDGES_HZ))
_INSIDE = (np.arange(_POINTS) + 0.5) / _POINTS
POINTS_HZ = np.exp2(_STEPS[:-1, None] + _INSIDE * np.diff(_STEPS)[:, None]).ravel()
"""The frequencies at which gains are asked for: three in each band."""

_NYQUIST_HZ = 22050.0
_LEAST = 1e-12
_PRESENCE = (_HZ > 2000) & (_HZ < 6000)
_UNDER_PRESENCE_DB = 3.0
_METAL_HZ = (7500.0, 13000.0)


def moved(powers: Powers, mid_db: Gains, side_db: Gains, balance_db: Gains) -> Powers:
    """The powers with mid and side raised, then right against left; gains at `POINTS_HZ`, or one for all.

    A band is moved by the mean of the powers of the gains in it.
    """
    mid_gain, side_gain = _mean_gain(mid_db), _mean_gain(side_db)
    mid, side = powers[0] * mid_gain, powers[1] * side_gain
    cross = powers[2] * np.sqrt(mid_gain * side_gain)
    if np.any(balance_db):
        factor = np.sqrt(_mean_gain(balance_db))
        left, right = (mid + side + 2 * cross) / factor, (mid + side - 2 * cross) * factor
        both = mid - side  # the product of left and right: the two gains cancel
        mid, side, cross = (left + right) / 4 + both / 2, (left + right) / 4 - both / 2, (left - right) / 4
    return np.stack((np.maximum(mid, _LEAST), np.maximum(side, _LEAST), cross))


def under_field(powers: Powers, field: Field, severity: float) -> Powers:
    """The powers under a field as it is at its beginning."""
    mid, side, balance = (
        np.asarray(g[:, 0], np.float64) for g in field.gains_db(POINTS_HZ, np.zeros(1), severity)
    )
    return moved(powers, mid, side, balance)


def pathologies(powers: Powers, random: np.random.Generator, count: int) -> Powers:
    """The powers after `count` different pathologies, severities uniform in 0.2..1."""
    names = list(PATHOLOGIES)
    chosen = set(random.choice(len(names), min(count, len(names)), replace=False))
    for number, name in enumerate(names):
        if number in chosen:
            powers = PATHOLOGIES[name](powers, float(random.uniform(0.2, 1.0)), random)
    return powers


def _mean_gain(gain_db: Gains) -> Gains:
    gain = np.broadcast_to(gain_db, POINTS_HZ.shape).reshape(BANDS, _POINTS)
    return np.asarray(np.mean(db_to_power(gain), axis=1))


def _tone(powers: Powers, gain_db: Gains) -> Powers:
    return moved(powers, gain_db, gain_db, np.zeros(1))


def _mud(powers: Powers, severity: float, random: np.random.Generator) -> Powers:
    if random.random() < 0.5:
        low_hz, high_hz = random.uniform(140, 200), random.uniform(480, 650)
        return _tone(powers, 10.0 * severity * (_below(high_hz) - _below(low_hz)))
    return _tone(powers, _bell_db(random.uniform(250, 400), random.uniform(0.8, 1.6), 12.0 * severity))


def _panning(powers: Powers, severity: float, random: np.random.Generator) -> Powers:
    if random.random() < 0.5:
        lean_db = 9.0 * severity * float(random.choice((-1.0, 1.0)))
        return moved(powers, np.zeros(1), np.zeros(1), np.array([lean_db]))
    wider = moved(powers, np.zeros(1), np.array([9.0 * severity]), np.zeros(1))
    made = powers[0] * (0.9 * severity) ** 2 * (_HZ > 200)
    return np.asarray(wider + np.stack((np.zeros(BANDS), made, np.zeros(BANDS))))


def _early_end(powers: Powers, severity: float, random: np.random.Generator) -> Powers:
    """Gaps are left out: repairs fill them before anything else is done."""
    lowest_hz = random.uniform(5000, 6000)
    cutoff_hz = _NYQUIST_HZ * (lowest_hz / _NYQUIST_HZ) ** severity
    return _tone(powers, -90.0 * np.clip((POINTS_HZ - cutoff_hz) / (0.03 * cutoff_hz), 0, 1))


def _shimmer(powers: Powers, severity: float, random: np.random.Generator) -> Powers:
    """Lines, or the presence moved up by a carrier, so far under the presence as the mechanisms have them."""
    presence = powers[:2, _PRESENCE].sum()
    added = np.zeros(BANDS)
    if random.random() < 0.5:
        places = np.searchsorted(EDGES_HZ, random.uniform(8000, 12000, 6)) - 1
        np.add.at(added, places, 1.0)
    else:
        carrier_hz = random.uniform(5500, 6500)
        # Each place in the band above takes the density of the presence one carrier lower.
        low_hz = POINTS_HZ - carrier_hz
        density = np.interp(low_hz, _HZ, powers[:2].sum(axis=0) / np.diff(EDGES_HZ))
        density *= (_METAL_HZ[0] < POINTS_HZ) & (_METAL_HZ[1] > POINTS_HZ)
        added = density.reshape(BANDS, _POINTS).mean(axis=1) * np.diff(EDGES_HZ)
    level = presence * severity**2 * db_to_power(-_UNDER_PRESENCE_DB)
    added *= level / max(float(added.sum()), _LEAST)
    wide = powers[1, _PRESENCE].sum() / max(float(presence), _LEAST)
    wide = min(wide * random.uniform(0.5, 1.2), 0.9)
    return np.asarray(powers + np.stack(((1 - wide) * added, wide * added, np.zeros(BANDS))))


PATHOLOGIES: Mapping[str, Callable[[Powers, float, np.random.Generator], Powers]] = MappingProxyType(
    {"mud": _mud, "panning": _panning, "early end": _early_end, "shimmer": _shimmer}
)
"""The stages that are followed, in the order in which a song meets them."""


def _below(corner_hz: float) -> Gains:
    return np.asarray(0.5 - 0.5 * np.tanh(np.log2(POINTS_HZ / corner_hz) / 0.35))


def _bell_db(centre_hz: float, q: float, gain_db: float) -> Gains:
    """The response of an analogue bell, as the Audio EQ Cookbook has it."""
    amplitude, ratio = 10 ** (gain_db / 40), POINTS_HZ / centre_hz
    apart = (1 - ratio**2) ** 2
    raised, lowered = (np.square(ratio * width) for width in (amplitude / q, 1 / (amplitude * q)))
    return np.asarray(powers_to_db((apart + raised) / (apart + lowered)))
