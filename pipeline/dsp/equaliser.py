"""The band equaliser: seven controls, each of which changes the mean level of its own band.

Bells overlap, so a row of them set to the wanted gains changes every neighbour as well. The gains
are therefore solved from the bells' interaction, as in Välimäki and Liski, "Accurate cascade graphic
equalizer", IEEE Signal Processing Letters 24(2), 2017. The filters are minimum phase.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.decibels import amplitudes_to_db
from mixagent.pipeline.types import Float64Array

HIGHEST_SHARE = 0.45
"""A filter whose frequency lies above this share of the rate is left out."""

BANDS_HZ = (
    (20.0, 60.0),
    (60.0, 200.0),
    (200.0, 500.0),
    (500.0, 2000.0),
    (2000.0, 6000.0),
    (6000.0, 12000.0),
    (12000.0, 20000.0),
)

_POINTS = 12
_INNER_SHARE = 0.7
_BELL_OVERLAP = 0.7
_REFINEMENTS = 4
_SMALLEST_DB = 0.02


@dataclass(frozen=True)
class Filter:
    """One section: a shelf or a bell at `frequency_hz` of `gain_db` and `q`."""

    kind: Literal["low_shelf", "bell", "high_shelf"]
    frequency_hz: float
    gain_db: float
    q: float

    def section(self, rate: int) -> Float64Array:
        """b0 b1 b2 a1 a2 (Bristow-Johnson, Audio EQ Cookbook)."""
        b, a = _coefficients(self, rate)
        return np.array([*b, *a[1:]]) / a[0]

    def response_db(self, hz: Float64Array, rate: int) -> Float64Array:
        """Magnitude response in dB."""
        return np.asarray(responses_db(self.section(rate)[None], np.exp(-2j * math.pi * hz / rate))[0])


def responses_db(sections: Float64Array, delay: NDArray[np.complex128]) -> Float64Array:
    """Magnitude responses in dB of sections (k, 5) where one frame's delay turns by `delay`."""
    b0, b1, b2, a1, a2 = sections.T.reshape(5, -1, *(1,) * delay.ndim)
    return np.asarray(
        amplitudes_to_db(np.abs((b0 + delay * (b1 + delay * b2)) / (1 + delay * (a1 + delay * a2))))
    )


def _coefficients(section: Filter, rate: int) -> tuple[Sequence[float], Sequence[float]]:
    amplitude = 10 ** (section.gain_db / 40)
    omega = 2 * math.pi * section.frequency_hz / rate
    cosine, alpha = math.cos(omega), math.sin(omega) / (2 * section.q)
    if section.kind == "bell":
        return (
            (1 + alpha * amplitude, -2 * cosine, 1 - alpha * amplitude),
            (1 + alpha / amplitude, -2 * cosine, 1 - alpha / amplitude),
        )
    # A high shelf is the low shelf with the cosine's sign and that of the odd terms turned.
    turn = 1.0 if section.kind == "low_shelf" else -1.0
    up, down, root = amplitude + 1, amplitude - 1, 2 * math.sqrt(amplitude) * alpha
    cosine *= turn
    return (
        (
            amplitude * (up - down * cosine + root),
            turn * 2 * amplitude * (down - up * cosine),
            amplitude * (up - down * cosine - root),
        ),
        (up + down * cosine + root, turn * -2 * (down + up * cosine), up + down * cosine - root),
    )


@lru_cache(maxsize=256)
def band_filters(gains_db: tuple[float, ...], rate: int) -> tuple[Filter, ...]:
    """Filters that change the mean level (dB over log frequency) inside each band by its gain.

    Args:
        gains_db: one gain for each of `BANDS_HZ`.
        rate: sample rate in Hz; bands whose filters would lie beyond it are left as they are.
    """
    bands = [band for band in BANDS_HZ if _reaches(band) < HIGHEST_SHARE * rate]
    wanted = np.array(gains_db[: len(bands)])
    solve = _interaction(rate, len(bands))
    gains = solve @ wanted
    for _ in range(_REFINEMENTS):
        gains = gains + solve @ (wanted - _reached(_all_sections(bands, gains), rate, len(bands)))
    return tuple(each for each in _all_sections(bands, gains) if abs(each.gain_db) > _SMALLEST_DB)


@lru_cache(maxsize=16)
def _interaction(rate: int, bands: int) -> Float64Array:
    """Gains of the bands' sections by the mean levels that are wanted, for small ones."""
    reached = [_reached(_sections(band, 1.0), rate, bands) for band in BANDS_HZ[:bands]]
    return np.asarray(np.linalg.inv(np.stack(reached, axis=1)))


def _reached(filters: Sequence[Filter], rate: int, bands: int) -> Float64Array:
    """Mean level inside each band behind all filters."""
    sections = np.stack([each.section(rate) for each in filters])
    return np.asarray(responses_db(sections, _delays(rate, bands)).sum(axis=0).mean(axis=1))


@lru_cache(maxsize=16)
def _delays(rate: int, bands: int) -> NDArray[np.complex128]:
    """By how much a frame's delay turns the frequencies inside the bands, shape (bands, points)."""
    hz = np.stack([_inside(band, rate) for band in BANDS_HZ[:bands]])
    return np.asarray(np.exp(-2j * math.pi * hz / rate))


def _inside(band: tuple[float, float], rate: int) -> Float64Array:
    low, high = band
    edge = (high / low) ** ((1 - _INNER_SHARE) / 2)
    return np.geomspace(low * edge, min(high / edge, 0.49 * rate), _POINTS)


def _reaches(band: tuple[float, float]) -> float:
    return max(section.frequency_hz for section in _sections(band, 0.0))


def _all_sections(bands: Sequence[tuple[float, float]], gains_db: Float64Array) -> list[Filter]:
    pairs = zip(bands, gains_db, strict=True)
    return [section for band, gain in pairs for section in _sections(band, float(gain))]


def _sections(band: tuple[float, float], gain_db: float) -> list[Filter]:
    """A shelf at either end; between them two staggered bells, whose sum has a flatter top than one."""
    low, high = band
    if band == BANDS_HZ[0]:
        return [Filter("low_shelf", high, gain_db, math.sqrt(0.5))]
    if band == BANDS_HZ[-1]:
        return [Filter("high_shelf", low, gain_db, math.sqrt(0.5))]
    span = high / low
    q = _BELL_OVERLAP / (span**0.25 - span**-0.25)
    return [Filter("bell", low * span**share, gain_db, q) for share in (0.25, 0.75)]
