"""Slow level riding: the sections of a song of monotone loudness moved apart, as a hand on a fader does.

The song is measured first, so that each move is known before it comes. Its short-term loudness is cut
into sections of steady level; quiet ones go down and loud ones up, at most by what was asked for, and
never so far that the loudness range passes `WANTED_RANGE_LU`; a song whose loudness wanders is brought
together the same way, down to `WIDE_RANGE_LU`, and keeps the order of its sections and `LEAST_KEPT` of
what lies between them. Within a section the gain stands still.
A move from one section to the next lies in the quieter of the two and has `SLOPE_DB_S`: a chorus has
its level from its first beat to its last, and the bars around it lead there and back.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixagent.pipeline.decibels import db_to_amplitude, powers_to_db
from mixagent.pipeline.dsp.streaming import Processor, process_blocks
from mixagent.pipeline.measure.meters import EnergyMeter, loudness_range, windowed_loudness
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray

SLOPE_DB_S = 1.0
"""The fastest that the gain moves."""

WANTED_RANGE_LU = 5.0
"""A loudness range that is not stretched further: about the median of finished music (5.1, of 30 songs)."""

WIDE_RANGE_LU = 9.0
"""A loudness range that is not narrowed further: of 316 finished songs every sixth has as much."""

MOST_STRETCH = 3.0
"""dB of gain for each LU of a section's own distance: what is hardly a contrast is not made one."""

LEAST_KEPT = 0.5
"""Share of the contrast of two sections that is left where they are moved together."""

LEAST_SECTION_S = 8.0
"""The shortest section: longer than a bar."""

_STEP_S = 0.1
_WINDOW_STEPS = 30
_HOP_STEPS = 5
_LEAST_CONTRAST_LU = 0.5
_GATE_LUFS = -70.0
_GATE_LU = -20.0


@dataclass(frozen=True)
class Section:
    """A stretch of a song of steady loudness, from and to in seconds."""

    start_s: float
    stop_s: float
    lufs: float


@dataclass(frozen=True)
class Ride:
    """A song's sections and the gain that each is given, in dB, in the order of time."""

    sections: tuple[Section, ...]
    gains_db: tuple[float, ...]

    @property
    def moves(self) -> bool:
        """True if any section is given another gain than 0 dB."""
        return any(self.gains_db)

    @cached_property
    def course(self) -> tuple[Float64Array, Float64Array]:
        """The gain over time: knots in seconds, and dB, linear between them.

        The least curve over the sections' gains whose slope stays within `SLOPE_DB_S`; where loud ones go
        down, the greatest curve under them. So a move lies in the quieter of two sections.
        """
        count = int(np.ceil(self.sections[-1].stop_s / _STEP_S)) + 1
        time_s = np.asarray(_STEP_S * np.arange(count), np.float64)
        edges_s = [section.start_s for section in self.sections[1:]]
        lufs = np.array([section.lufs for section in self.sections])
        turned = -1.0 if float(np.dot(self.gains_db, lufs - lufs.mean())) < 0.0 else 1.0
        wanted_db = turned * np.array(self.gains_db)[np.searchsorted(edges_s, time_s, side="right")]
        rise_db = SLOPE_DB_S * time_s
        ahead = np.maximum.accumulate(wanted_db + rise_db) - rise_db
        behind = np.maximum.accumulate((wanted_db - rise_db)[::-1])[::-1] + rise_db
        return time_s, turned * np.maximum(ahead, behind)


def measure_ride(source: AudioSource, most_db: float, before: Sequence[Processor] = ()) -> Ride:
    """The ride that moves the sections of a source apart by up to `most_db` each way, in one pass.

    Args:
        source: of any length.
        most_db: under 0 they are moved together.
        before: what the source goes through before it is ridden; fresh, they are used up.
    """
    meter = EnergyMeter.k_weighted(source.rate, source.channels)
    for block in process_blocks(source, before):
        meter.update(block)
    return ride_of(meter.energies, most_db)


def ride_of(energies: Float64Array, most_db: float) -> Ride:
    """The ride of a song from its K-weighted energies, one each 100 ms (`EnergyMeter`).

    The quiet end is the level that a tenth of the song stays under and the loud end the one that a
    twentieth passes, as in EBU Tech 3342, but of whole sections; what lies between them is moved in
    proportion.
    """
    sections = sections_of(energies)
    if len(sections) < 2:
        return Ride(sections, (0.0,) * len(sections))
    lufs = np.array([section.lufs for section in sections])
    lasts_s = np.array([section.stop_s - section.start_s for section in sections])
    counts = (lufs > _GATE_LUFS) & (lufs > lufs.max() + _GATE_LU)
    low, high = _weighted_percentiles(lufs[counts], lasts_s[counts], (0.10, 0.95))
    middle, half_lu = (low + high) / 2, (high - low) / 2
    range_lu = loudness_range(energies)
    if most_db > 0:
        reach_db = max(min(most_db, (WANTED_RANGE_LU - range_lu) / 2, MOST_STRETCH * half_lu), 0.0)
    else:
        reach_db = min(max(most_db, (WIDE_RANGE_LU - range_lu) / 2, -(1.0 - LEAST_KEPT) * half_lu), 0.0)
    if reach_db == 0:
        return Ride(sections, (0.0,) * len(sections))
    gains_db = reach_db * np.clip((lufs - middle) / half_lu, -1, 1)
    return Ride(sections, tuple(float(gain) for gain in gains_db))


def sections_of(energies: Float64Array) -> tuple[Section, ...]:
    """The sections of steady loudness in a song, from its K-weighted energies, one each 100 ms.

    The piecewise constant course with the least squared distance to the short-term loudness, each
    change paid for by what a contrast of half an LU over the shortest section is worth (the Potts
    functional, solved exactly by dynamic programming). Nothing for less than 3 s.
    """
    short_lufs = windowed_loudness(energies, _WINDOW_STEPS)[::_HOP_STEPS]
    if not short_lufs.size:
        return ()
    bottom = max(float(short_lufs.max()) + _GATE_LU, _GATE_LUFS) - 10.0
    cuts = _cuts(np.maximum(short_lufs, bottom), round(LEAST_SECTION_S / (_STEP_S * _HOP_STEPS)))
    # A window's level is that of its middle.
    steps = [0, *(cut * _HOP_STEPS + _WINDOW_STEPS // 2 for cut in cuts), energies.size]
    return tuple(
        Section(_STEP_S * start, _STEP_S * stop, _lufs(energies[start:stop]))
        for start, stop in itertools.pairwise(steps)
    )


def _cuts(levels: Float64Array, least: int) -> list[int]:
    """The changes of the best piecewise constant course; no piece is shorter than `least`."""
    price = _LEAST_CONTRAST_LU**2 * least
    sums = np.concatenate([[0.0], np.cumsum(levels)])
    squares = np.concatenate([[0.0], np.cumsum(levels**2)])
    best = np.full(levels.size + 1, np.inf)
    best[0] = -price
    begun = np.zeros(levels.size + 1, np.int64)
    for stop in range(min(least, levels.size), levels.size + 1):
        start = np.arange(max(stop - least, 0) + 1)
        mean_square = (sums[stop] - sums[start]) ** 2 / (stop - start)
        cost = best[start] + price + squares[stop] - squares[start] - mean_square
        begun[stop] = np.argmin(cost)
        best[stop] = cost[begun[stop]]
    cuts, stop = list[int](), levels.size
    while begun[stop] > 0:
        stop = int(begun[stop])
        cuts.append(stop)
    return cuts[::-1]


def _lufs(energies: Float64Array) -> float:
    return float(-0.691 + powers_to_db(max(float(energies.mean()), 1e-12)))


def _weighted_percentiles(
    values: Float64Array, weights: Float64Array, shares: tuple[float, float]
) -> tuple[float, float]:
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    low, high = (values[order][np.searchsorted(reached, share - 1e-9)] for share in shares)
    return float(low), float(high)


class Rider:
    """Gives a song the gain of its ride, alike in all channels; a `Processor`.

    Args:
        ride: of the song.
        rate: Hz.
        late: frames by which what comes in lags the song that was measured.
    """

    latency = 0

    def __init__(self, ride: Ride, rate: int, late: int = 0) -> None:
        self._time_s, gain_db = ride.course
        self._gain = db_to_amplitude(gain_db)
        self._rate, self._at = rate, -late

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames)."""
        time_s = np.arange(self._at, self._at + block.shape[1]) / self._rate
        self._at += block.shape[1]
        return block * np.interp(time_s, self._time_s, self._gain).astype(np.float32)
