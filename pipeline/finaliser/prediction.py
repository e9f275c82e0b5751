"""Predicts loudness and reduction of a source at a gain, without rendering it.

One pass over the source gives the peak and the K-weighted energy of every 0.7 ms or so, and neither
depends on the gain. The limiter's own gain computer, run over the groups, then tells the reductions
and with them the loudness, in a hundredth of a render's time and to a few hundredths of a LU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.decibels import amplitudes_to_db, db_to_amplitude
from mixagent.pipeline.dsp.limiter import Ballistics, GainComputer, needed_reductions, shaping_ceiling
from mixagent.pipeline.dsp.oversampling import HOP_FRAMES, PeakEnvelope
from mixagent.pipeline.dsp.saturation import Curve
from mixagent.pipeline.measure.meters import (
    CHANNEL_WEIGHTS,
    MOMENTARY_STEPS,
    EnergyMeter,
    Loudness,
    LoudnessMeter,
    gated_loudness,
    k_weighting,
    windowed_loudness,
)
from mixagent.pipeline.types import AudioSource, FloatArray, blocks

_REDUCTION_WINDOW_S = 0.4
_REDUCTION_SHARE = 0.95
_ACTIVE_LUFS = -70.0
_CHUNK_GROUPS = 4096

_CLIPPED_SHARE = 0.75
"""Of what its peak loses in dB, a clipped group loses about so much: seen on 12 songs at −8 and −10 LUFS."""


@dataclass(frozen=True)
class SourceMeasures:
    """The finaliser's measures of a source; they can be pickled and kept beside it.

    Attributes:
        rate: Hz.
        frames: length of the source.
        group_frames: length of a group, in which the gain is taken to stand still.
        loudness: what the meters read.
        peaks: true peak at 4× of each group, linear.
        energies: K-weighted mean square of each full group, channels weighted and summed.
    """

    rate: int
    frames: int
    group_frames: int
    loudness: Loudness
    peaks: FloatArray
    energies: FloatArray


@dataclass(frozen=True)
class Prediction:
    """The loudness and the reduction (see `reduction_db`) that a gain is expected to give."""

    integrated_lufs: float
    reduction_db: float


def measure_source(source: AudioSource, progress: Callable[[float], None] | None = None) -> SourceMeasures:
    """The measures of a source of 1 to 6 channels, in one pass over it.

    Raises:
        ValueError: more than 6 channels, or a rate under 4 kHz.
    """
    meter, group = LoudnessMeter(source.rate, source.channels), _group_frames(source.rate)
    envelope, weights = PeakEnvelope(source.channels, group), CHANNEL_WEIGHTS[source.channels - 1]
    energy, done = EnergyMeter(k_weighting(source.rate), group, weights), 0
    for block in blocks(source):
        meter.update(block)
        envelope.update(block)
        energy.update(block)
        done += block.shape[1]
        if progress:
            progress(done / source.frames)
    energies = energy.energies.astype(np.float32)
    return SourceMeasures(source.rate, source.frames, group, meter.loudness(), envelope.peaks(), energies)


def _group_frames(rate: int) -> int:
    """Frames in a group: a power of two and close to 0.7 ms, so that no rate costs more memory."""
    return next((8 << k for k in range(4) if rate < 16000 << k), 128)


def predict(
    measures: SourceMeasures,
    gain_db: float,
    ceiling_dbtp: float,
    curve: Curve | None = None,
    ballistics: Ballistics | None = None,
) -> Prediction:
    """Predict the source at a gain, clipped by a curve if there is one, and limited to a ceiling.

    What is left out are the limiter's corrections and the gain's motion within a group; of the energy
    that the clipper takes there is a guess.
    """
    group, step = measures.group_frames, (measures.rate + 5) // 10
    moves = _of_groups(ballistics or Ballistics(), group / measures.rate)
    computer = GainComputer(measures.rate / group, moves)
    gain, ceiling = db_to_amplitude(gain_db), shaping_ceiling(ceiling_dbtp)
    source = measures.energies
    if curve is not None:
        clipped = _clipped(measures, gain_db, curve)
        source = _clipped_energies(measures, *clipped)
    energies = np.zeros(measures.frames // step + 2)
    deepest = np.zeros(measures.energies.size * group // HOP_FRAMES + 1)
    size = measures.energies.size + computer.delay
    for start in range(0, size, _CHUNK_GROUPS):
        peaks = np.zeros(min(_CHUNK_GROUPS, size - start), np.float32)
        known = measures.peaks[start : start + peaks.size]
        peaks[: known.size] = known * np.float32(gain)
        if curve is not None:
            peaks = curve.of(peaks)
        reductions = computer.process(needed_reductions(peaks, ceiling))
        if reductions is None:
            reductions = np.zeros(peaks.size, np.float32)
        kept = np.exp(reductions * np.float32(-math.log(10.0) / 10.0))
        first = start - computer.delay
        _accumulate(source, first, kept, reductions, group, step, energies, deepest)
    if curve is not None:
        deepest += _deepest_db(measures, *clipped)[: deepest.size]
    energies = energies[: measures.frames // step] * (gain**2 / step)
    momentary = windowed_loudness(energies, MOMENTARY_STEPS)
    return Prediction(gated_loudness(energies), reduction_db(deepest, momentary, measures.rate))


def clipped_db(measures: SourceMeasures, gain_db: float, curve: Curve) -> NDArray[np.float64]:
    """The most that a curve takes off a peak in each HOP_FRAMES of the source at a gain, in dB ≥ 0."""
    return _deepest_db(measures, *_clipped(measures, gain_db, curve))


def _clipped(
    measures: SourceMeasures, gain_db: float, curve: Curve
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The groups whose peak a curve bends at a gain, and the share of each peak that it leaves."""
    peaks = measures.peaks.astype(np.float64) * db_to_amplitude(gain_db)
    over = np.flatnonzero(peaks > curve.threshold)
    return over, curve.of(peaks[over]) / peaks[over]


def _deepest_db(
    measures: SourceMeasures, over: NDArray[np.intp], left: NDArray[np.float64]
) -> NDArray[np.float64]:
    deepest = np.zeros(measures.peaks.size * measures.group_frames // HOP_FRAMES + 2)
    np.maximum.at(deepest, over * measures.group_frames // HOP_FRAMES, -amplitudes_to_db(left))
    return deepest


def _clipped_energies(
    measures: SourceMeasures, over: NDArray[np.intp], left: NDArray[np.float64]
) -> FloatArray:
    """The energy of each group that a curve leaves, as if all of the group lay near its peak."""
    energies, full = measures.energies.copy(), over < measures.energies.size
    energies[over[full]] *= left[full] ** (2 * _CLIPPED_SHARE)
    return energies


def _of_groups(ballistics: Ballistics, group_s: float) -> Ballistics:
    """The ballistics for peaks that may lie anywhere in a group: held for a group more."""
    return replace(ballistics, hold_ms=ballistics.hold_ms + 1000.0 * group_s)


def reduction_db(deepest_db: NDArray[np.float64], momentary_lufs: NDArray[np.float64], rate: int) -> float:
    """The depth of the limiter's gain reduction on this song, in dB ≥ 0.

    The song is cut into windows of 0.4 s, and those under −70 LUFS are left out. Of the deepest
    reduction in each, the figure is the one that 95 % of the windows stay within, and at least two
    are always left out: the gain is back from a lone click, by the limiter's release, within less
    than a window, so a click and its release never reach into more than two. A recurring drum
    reaches into more and counts in full.

    Args:
        deepest_db: the deepest reduction of each HOP_FRAMES of output.
        momentary_lufs: loudness of 400 ms, one each 100 ms.
        rate: Hz.
    """
    count = max(momentary_lufs[::4].size, 1)
    windows = np.zeros(count)
    places = np.arange(deepest_db.size) * HOP_FRAMES / (rate * _REDUCTION_WINDOW_S)
    np.maximum.at(windows, np.minimum(places.astype(np.int64), count - 1), deepest_db)
    active = np.sort(windows[: momentary_lufs[::4].size][momentary_lufs[::4] > _ACTIVE_LUFS])
    if active.size == 0:
        return float(windows.max())
    left_out = min(max(math.floor(active.size * (1.0 - _REDUCTION_SHARE)), 2), active.size - 1)
    return float(active[active.size - 1 - left_out])


@njit(cache=True, nogil=True)
def _accumulate(
    energies: NDArray[np.float32],
    first: int,
    kept: NDArray[np.float32],
    reductions: NDArray[np.float32],
    group_frames: int,
    step: int,
    into: NDArray[np.float64],
    deepest: NDArray[np.float64],
) -> None:
    """Add what the limiter keeps of each group's energy to its 100 ms, shared where it lies in two."""
    for k in range(kept.size):
        group = first + k
        if 0 <= group < energies.size:
            energy = energies[group] * kept[k]
            at = group * group_frames // step
            inside = min((at + 1) * step - group * group_frames, group_frames)
            into[at] += energy * inside
            into[at + 1] += energy * (group_frames - inside)
            hop = group * group_frames // HOP_FRAMES
            deepest[hop] = max(deepest[hop], reductions[k])
