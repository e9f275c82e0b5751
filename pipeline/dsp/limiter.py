"""A look-ahead true-peak limiter, stereo-linked, whose release depends on the programme.

Reductions are whole numbers of 2⁻²⁰ dB, so that the running sums that smooth them are exact: where
nothing exceeds the ceiling, the output is the delayed input bit for bit, whatever came before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.audio import FloatArray
from mixagent.pipeline.dsp.oversampling import HOP_FRAMES, LONG_REACH, SHORT_REACH, long_peaks, short_peaks

MARGIN_DB = 0.01
"""How far under the ceiling the limiter aims: room for 16-bit dither and for a meter's rounding."""

Sample = TypeVar("Sample", bound=np.generic)

_STEPS_PER_DB = 1 << 20
_INAUDIBLE = 1e-4 * _STEPS_PER_DB
_STEPS_PER_NEPER = _STEPS_PER_DB * 20.0 / math.log(10.0)


@dataclass(frozen=True)
class Ballistics:
    """How the gain moves.

    The gain starts to fall `attack_ms` before a peak and reaches what the peak needs at the peak. A
    peak is held until `hold_ms` after the attack of the next would have begun, so that the gain
    follows low notes and not their waves. The release then depends on the programme: shallow
    reductions go within about `release_ms`, deep ones by `release_db_per_s` only, because the way
    back from a drum hit is heard and the way back from a dense mix's small peaks is not. The deepest,
    of a click, take no more than about `deep_release_ms`.
    """

    attack_ms: float = 8.0
    hold_ms: float = 5.0
    release_ms: float = 40.0
    release_db_per_s: float = 35.0
    deep_release_ms: float = 250.0


_CORRECTION_ATTACK_MS = 1.0
_CORRECTIONS = 2
_LEFT_TO_CORRECTIONS_DB = 0.03
"""How much lower the first stage aims, so that the interpolators' ripple seldom needs a correction."""


class TruePeakLimiter:
    """Keeps the true peaks of all channels at or under a ceiling; a `Processor`.

    The first stage shapes the gain. A peak between samples is interpolated from many of them, and
    the gain moves meanwhile, so two corrections follow, each of which takes what the stage before
    it left over the ceiling.
    """

    def __init__(
        self, rate: int, channels: int, ceiling_dbtp: float, ballistics: Ballistics | None = None
    ) -> None:
        ceiling = 10.0 ** ((ceiling_dbtp - MARGIN_DB) / 20.0)
        release = _Release(rate, ballistics or Ballistics())
        attack = _frames(release.ballistics.attack_ms, rate)
        correction = _frames(_CORRECTION_ATTACK_MS, rate)
        lower = ceiling * 10.0 ** (-_LEFT_TO_CORRECTIONS_DB / 20.0)
        self._stages = [_Stage(channels, lower, short_peaks, SHORT_REACH, attack, release)]
        for _ in range(_CORRECTIONS):
            self._stages.append(_Stage(channels, ceiling, long_peaks, LONG_REACH, correction, None))
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
        hop, unsure = shaping.process(hop), True
        for stage in corrections:
            hop = stage.process(hop, unsure)
            # What a correction left alone it has found to be under the ceiling.
            unsure = any(stage.deepest_db[-2:])
        return hop


class _Release:
    """Lets the held reductions fall again."""

    def __init__(self, rate: int, ballistics: Ballistics) -> None:
        self.ballistics = ballistics
        self.hold = _frames(ballistics.hold_ms, rate)
        self._keep = math.exp(-1000.0 / (ballistics.release_ms * rate))
        self._keep_deep = math.exp(-1000.0 / (ballistics.deep_release_ms * rate))
        self._steady = ballistics.release_db_per_s * _STEPS_PER_DB / rate
        self._last = 0.0

    def process(self, held: NDArray[np.int32]) -> NDArray[np.int64]:
        """The reductions to smooth, from those held."""
        envelope, self._last = _released(held, self._keep, self._keep_deep, self._steady, self._last)
        return envelope


class _Stage:
    """One pass of detection, gain and delay over hops of HOP_FRAMES.

    The reduction that an interval needs is held for one sample more than the smoothing window is
    long. So when the window's weighted mean reaches the two samples of that interval, every value
    in it is at least what the interval needs.
    """

    def __init__(
        self,
        channels: int,
        ceiling: float,
        find_peaks: Callable[[FloatArray, float], FloatArray],
        reach: int,
        attack: int,
        release: _Release | None,
    ) -> None:
        self._ceiling, self._find_peaks, self._release = ceiling, find_peaks, release
        self._window = 2 * (attack // 2 or 1)
        self._context = 2 * reach - 1
        self.delay = reach + self._window - 2
        before = max(self._context, self.delay)
        self._samples = np.zeros((channels, before + HOP_FRAMES), np.float32)
        self._held_for = self._window + (release.hold if release else 0)
        self._needed = np.zeros(self._held_for - 1 + HOP_FRAMES, np.int32)
        self._smoothing = np.zeros((2, self._window // 2 + HOP_FRAMES), np.int64)
        self._sums = np.zeros(2, np.int64)
        self.deepest_db: list[float] = []

    def process(self, hop: FloatArray, unsure: bool = True) -> FloatArray:
        """The next hop of the delayed and limited signal; where not `unsure`, nothing is over."""
        self._samples = _appended(self._samples, hop)
        self._needed = _appended(self._needed, self._needed_now(unsure))
        first = self._samples.shape[1] - HOP_FRAMES - self.delay
        delayed = self._samples[:, first : first + HOP_FRAMES]
        self._smoothing[:, :-HOP_FRAMES] = self._smoothing[:, HOP_FRAMES:]
        reductions = _smoothed(self._envelope(), self._smoothing, self._sums)
        deepest = float(reductions.max())
        self.deepest_db.append(deepest)
        if deepest == 0.0:
            return delayed.copy()
        return delayed * np.exp(reductions * (-math.log(10.0) / 20.0)).astype(np.float32)

    def _needed_now(self, unsure: bool) -> NDArray[np.int32]:
        if not unsure:
            return np.zeros(HOP_FRAMES, np.int32)
        peaks = self._find_peaks(self._samples[:, -(self._context + HOP_FRAMES) :], self._ceiling)
        return _needed(peaks, self._ceiling)

    def _envelope(self) -> NDArray[np.int64]:
        held = _sliding_max(self._needed, self._held_for)[-HOP_FRAMES:]
        return self._release.process(held) if self._release else held.astype(np.int64)


def _frames(time_ms: float, rate: int) -> int:
    return round(time_ms * rate / 1000.0)


def _appended(history: NDArray[Sample], new: NDArray[Sample]) -> NDArray[Sample]:
    return np.concatenate((history[..., new.shape[-1] :], new), axis=-1)


def _needed(peaks: FloatArray, ceiling: float) -> NDArray[np.int32]:
    """The reduction of each peak to the ceiling, in steps, rounded up."""
    needed = np.zeros(peaks.size, np.int32)
    over = np.flatnonzero(peaks > ceiling)
    needed[over] = np.ceil(np.log(peaks[over].astype(np.float64) / ceiling) * _STEPS_PER_NEPER)
    return needed


@njit(cache=True, nogil=True)
def _sliding_max(values: NDArray[np.int32], width: int) -> NDArray[np.int32]:
    """The largest of each value and the width − 1 before it, by doubling the width reached."""
    out, reached = values.copy(), 1
    while reached < width:
        step = min(reached, width - reached)
        out[step:] = np.maximum(out[step:], out[:-step])
        reached += step
    return out


@njit(cache=True, nogil=True)
def _released(
    held: NDArray[np.int32], keep: float, keep_deep: float, steady: float, last: float
) -> tuple[NDArray[np.int64], float]:
    envelope = np.empty(held.size, np.int64)
    for i in range(held.size):
        falling = max(held[i] + (last - held[i]) * keep, min(last - steady, last * keep_deep))
        last = max(float(held[i]), falling)
        if last < _INAUDIBLE:
            last = float(held[i])
        envelope[i] = math.ceil(last)
    return envelope, last


@njit(cache=True, nogil=True)
def _smoothed(
    envelope: NDArray[np.int64], smoothing: NDArray[np.int64], sums: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The envelope in dB after two running means, each of half the attack: a triangular window."""
    half = smoothing.shape[1] - envelope.size
    reductions = np.empty(envelope.size)
    once, twice = sums
    for i in range(envelope.size):
        smoothing[0, half + i] = envelope[i]
        once += envelope[i] - smoothing[0, i]
        smoothing[1, half + i] = once
        twice += once - smoothing[1, i]
        reductions[i] = twice / (half * half * _STEPS_PER_DB)
    sums[0], sums[1] = once, twice
    return reductions
