"""A look-ahead true-peak limiter, stereo-linked, whose release depends on the programme.

Reductions are whole numbers of 2⁻²⁰ dB, so that the running sums that smooth them are exact: where
nothing exceeds the ceiling, the output is the delayed input bit for bit, whatever came before.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.dsp.oversampling import HOP_FRAMES, LONG_REACH, SHORT_REACH, long_peaks, short_peaks
from mixagent.pipeline.types import FloatArray

MARGIN_DB = 0.01
"""The limiter aims this far under the ceiling: room for 16-bit dither and for a meter's rounding."""

Sample = TypeVar("Sample", bound=np.generic)

_STEPS_PER_DB = 1 << 20
_INAUDIBLE = 1e-4 * _STEPS_PER_DB
_STEPS_PER_NEPER = _STEPS_PER_DB * 20.0 / math.log(10.0)


@dataclass(frozen=True)
class Ballistics:
    """The time constants of the gain.

    The gain starts to fall `attack_ms` before a peak and reaches what the peak needs at the peak. A
    peak is held until `hold_ms` after the attack of the next would have begun, so that the gain
    follows low notes (from 40 Hz on) and not their waves. The release then depends on the programme:
    shallow reductions, of a dense mix's small peaks, go within about `release_ms`, deeper ones by
    `release_db_per_s` only, and the deepest, of a click, within about `deep_release_ms` at most.

    The defaults are those that `scripts/benchmark_limiter.py` found least heard at equal loudness: a
    slower release distorts no less there, because it takes a deeper reduction to get as loud.
    """

    attack_ms: float = 12.0
    hold_ms: float = 2.0
    release_ms: float = 20.0
    release_db_per_s: float = 200.0
    deep_release_ms: float = 250.0


_CORRECTION = Ballistics(attack_ms=1.0, hold_ms=0.0, release_ms=0.0, release_db_per_s=math.inf)
_CORRECTIONS = 2
LEFT_TO_CORRECTIONS_DB = 0.03
"""The first stage aims this much lower, so that the interpolators' ripple seldom needs a correction."""


class TruePeakLimiter:
    """Keeps the true peaks of all channels at or under a ceiling; a `Processor`.

    The first stage shapes the gain. A peak between samples is interpolated from many of them, and
    the gain moves meanwhile, so two corrections follow, each of which takes what the stage before
    it left over the ceiling.
    """

    def __init__(
        self, rate: int, channels: int, ceiling_dbtp: float, ballistics: Ballistics | None = None
    ) -> None:
        ceiling = db_to_amplitude(ceiling_dbtp - MARGIN_DB)
        shaping = GainComputer(rate, ballistics or Ballistics())
        self._stages = [_Stage(channels, shaping_ceiling(ceiling_dbtp), SHORT_REACH, shaping)]
        for _ in range(_CORRECTIONS):
            self._stages.append(_Stage(channels, ceiling, LONG_REACH, GainComputer(rate, _CORRECTION)))
        self._pending = np.zeros((channels, 0), np.float32)
        self._ready = np.zeros((channels, HOP_FRAMES), np.float32)

    @property
    def latency(self) -> int:
        """Frames by which the output lags the input."""
        return HOP_FRAMES + sum(stage.delay for stage in self._stages)

    @property
    def reductions_db(self) -> NDArray[np.float64]:
        """The deepest reduction in each HOP_FRAMES of output so far, in dB ≥ 0, the corrections included."""
        total: NDArray[np.float64] = np.array([stage.deepest_db for stage in self._stages]).sum(axis=0)
        return total

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, limited; float32 (channels, frames) in and out."""
        waiting = np.concatenate((self._pending, block), axis=1)
        whole = waiting.shape[1] // HOP_FRAMES * HOP_FRAMES
        hops = [self._limit(waiting[:, at : at + HOP_FRAMES]) for at in range(0, whole, HOP_FRAMES)]
        self._pending = waiting[:, whole:].copy()
        ready = np.concatenate((self._ready, *hops), axis=1)
        self._ready = ready[:, block.shape[1] :].copy()
        return ready[:, : block.shape[1]]

    def _limit(self, hop: FloatArray) -> FloatArray:
        shaping, *corrections = self._stages
        hop, expected = shaping.process(hop, None)
        unsure = True
        for stage in corrections:
            hop, expected = stage.process(hop, expected, unsure)
            # What a correction left alone it has found to be under the ceiling.
            unsure = any(stage.deepest_db[-2:])
        return hop


def shaping_ceiling(ceiling_dbtp: float) -> float:
    """The linear ceiling of the stage that shapes the gain, for a limiter's ceiling."""
    return float(db_to_amplitude(ceiling_dbtp - MARGIN_DB - LEFT_TO_CORRECTIONS_DB))


def needed_reductions(peaks: FloatArray, ceiling: float) -> NDArray[np.int32]:
    """The reduction of each peak to the ceiling, in whole steps of 2⁻²⁰ dB, rounded up."""
    needed = np.zeros(peaks.size, np.int32)
    if peaks.max() <= np.float32(ceiling):
        return needed
    over = np.flatnonzero(peaks > np.float32(ceiling))
    needed[over] = np.ceil(np.log(peaks[over].astype(np.float64) / ceiling) * _STEPS_PER_NEPER)
    return needed


class GainComputer:
    """From the reductions that the intervals between values need to how far the gain is down.

    What an interval needs is held for one value more than the smoothing window is long. So when the
    window's weighted mean reaches the two values that the interval lies between, all of the window
    is at least what the interval needs.
    """

    def __init__(self, rate: float, ballistics: Ballistics) -> None:
        half = max(round(ballistics.attack_ms * rate / 2000.0), 1)
        self.delay = 2 * half - 2
        self._held_for = 2 * half + round(ballistics.hold_ms * rate / 1000.0)
        self._keep = _kept(ballistics.release_ms, rate)
        self._keep_deep = _kept(ballistics.deep_release_ms, rate)
        self._steady = ballistics.release_db_per_s * _STEPS_PER_DB / rate
        self._needed = np.zeros(self._held_for - 1, np.int32)
        self._smoothing = np.zeros((2, half), np.int64)
        self._sums = np.zeros(2, np.int64)
        self._last = 0.0

    def process(self, needed: NDArray[np.int32]) -> FloatArray | None:
        """The gain's reductions in dB ≥ 0 for the next of `needed_reductions`, `delay` values late.

        None stands for no reduction at all.
        """
        if not (needed.any() or self._needed.any() or self._last or self._sums.any()):
            return None
        waiting = np.concatenate((self._needed, needed))
        self._needed = waiting[needed.size :].copy()
        held = _sliding_max(waiting, self._held_for)
        reductions, self._last = _released_and_smoothed(
            held, self._keep, self._keep_deep, self._steady, self._last, self._smoothing, self._sums
        )
        return reductions


class _Stage:
    """One pass of detection, gain and delay over hops of HOP_FRAMES."""

    def __init__(self, channels: int, ceiling: float, reach: int, computer: GainComputer) -> None:
        self._ceiling, self._reach, self._computer = ceiling, reach, computer
        self.delay = reach + computer.delay
        before = max(2 * reach - 1, self.delay)
        self._samples = np.zeros((channels, before + HOP_FRAMES), np.float32)
        self._expected = np.zeros(reach + HOP_FRAMES, np.float32)
        self._peaks = np.zeros(computer.delay + HOP_FRAMES, np.float32)
        # Packed, because it is all that grows with the song.
        self.deepest_db = array("d")

    def process(
        self, hop: FloatArray, expected: FloatArray | None, unsure: bool = True
    ) -> tuple[FloatArray, FloatArray]:
        """The next hop of the delayed and limited signal, and what its peaks are expected to be.

        Args:
            hop: samples (channels, HOP_FRAMES).
            expected: the peaks that the stage before expects in it (HOP_FRAMES,); None: not known.
            unsure: whether any peak may be over the ceiling.
        """
        self._samples = _appended(self._samples, hop)
        self._peaks = _appended(self._peaks, self._found(expected, unsure))
        reductions = self._computer.process(needed_reductions(self._peaks[-HOP_FRAMES:], self._ceiling))
        first = self._samples.shape[1] - HOP_FRAMES - self.delay
        delayed, peaks = self._samples[:, first : first + HOP_FRAMES], self._peaks[:HOP_FRAMES]
        self.deepest_db.append(0.0 if reductions is None else float(reductions.max()))
        if reductions is None:
            return delayed, peaks
        gain = np.exp(reductions * np.float32(-math.log(10.0) / 20.0))
        return delayed * gain, peaks * gain

    def _found(self, expected: FloatArray | None, unsure: bool) -> FloatArray:
        # Contiguous, because loops over strided arrays are not vectorised.
        around = np.ascontiguousarray(self._samples[:, -(2 * self._reach - 1 + HOP_FRAMES) :])
        if expected is None:
            return short_peaks(around, self._ceiling)
        self._expected = _appended(self._expected, expected)
        aligned = self._expected[:HOP_FRAMES]
        return long_peaks(around, aligned, self._ceiling) if unsure else aligned


def _kept(time_ms: float, rate: float) -> float:
    """The share that an exponential decay of this time constant keeps from one value to the next."""
    return math.exp(-1000.0 / (time_ms * rate)) if time_ms else 0.0


def _appended(history: NDArray[Sample], new: NDArray[Sample]) -> NDArray[Sample]:
    return np.concatenate((history[..., new.shape[-1] :], new), axis=-1)


@njit(cache=True, nogil=True)
def _sliding_max(values: NDArray[np.int32], width: int) -> NDArray[np.int32]:
    """The largest of each `width` values in a row, by doubling the width reached."""
    size, reached = values.size, 1
    current, wider = values.copy(), np.empty_like(values)
    while reached < width:
        step = min(reached, width - reached)
        size -= step
        ahead = current[step:]
        for i in range(size):
            wider[i] = max(current[i], ahead[i])
        current, wider = wider, current
        reached += step
    return current[:size]


@njit(cache=True, nogil=True)
def _released_and_smoothed(
    held: NDArray[np.int32],
    keep: float,
    keep_deep: float,
    steady: float,
    last: float,
    smoothing: NDArray[np.int64],
    sums: NDArray[np.int64],
) -> tuple[NDArray[np.float32], float]:
    """The release and two running means, each of half the attack: a triangular window; in dB."""
    half = smoothing.shape[1]
    history = np.empty((2, half + held.size), np.int64)
    history[:, :half] = smoothing
    reductions = np.empty(held.size, np.float32)
    once, twice = sums
    for i in range(held.size):
        falling = max(held[i] + (last - held[i]) * keep, min(last - steady, last * keep_deep))
        last = max(float(held[i]), falling)
        if last < _INAUDIBLE:
            last = float(held[i])
        envelope = math.ceil(last)
        history[0, half + i] = envelope
        once += envelope - history[0, i]
        history[1, half + i] = once
        twice += once - history[1, i]
        reductions[i] = twice / (half * half * _STEPS_PER_DB)
    smoothing[:] = history[:, held.size :]
    sums[0], sums[1] = once, twice
    return reductions, last
