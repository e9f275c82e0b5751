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

    The gain starts to fall `attack_ms` before a peak and reaches what the peak needs at the peak.
    An isolated peak is then released within about `fast_release_ms`. Where peaks recur, a slow
    envelope of the reduction (`slow_attack_ms`, `slow_release_ms`) builds up, and the fast release
    only falls to it: dense limiting becomes a steady gain that neither pumps nor bends bass notes.
    The slow envelope sees each peak for `hold_ms`, so that it follows low notes and not their waves.
    """

    attack_ms: float = 5.0
    fast_release_ms: float = 30.0
    slow_attack_ms: float = 80.0
    slow_release_ms: float = 400.0
    hold_ms: float = 12.0


_CORRECTION_ATTACK_MS = 1.0
_CORRECTIONS = 2


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
        self._stages = [_Stage(channels, ceiling, short_peaks, SHORT_REACH, attack, release)]
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
        for stage in self._stages:
            hop = stage.process(hop)
        return hop


class _Release:
    """Lets the held reductions fall again: fast down to a slow envelope of what was needed lately."""

    def __init__(self, rate: int, ballistics: Ballistics) -> None:
        self.ballistics = ballistics
        self.hold = _frames(ballistics.hold_ms, rate)
        times_ms = (ballistics.fast_release_ms, ballistics.slow_attack_ms, ballistics.slow_release_ms)
        self._keeps = np.exp([-1000.0 / (time_ms * rate) for time_ms in times_ms])
        self._state = np.zeros(2)

    def process(self, held: NDArray[np.int32], recent: NDArray[np.int32]) -> NDArray[np.int64]:
        """The reductions to smooth, from those held for the attack and those held `hold_ms` longer."""
        return _follow(held, recent, self._keeps, self._state)


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

    def process(self, hop: FloatArray) -> FloatArray:
        """The next hop of the delayed and limited signal."""
        self._samples = _appended(self._samples, hop)
        peaks = self._find_peaks(self._samples[:, -(self._context + HOP_FRAMES) :], self._ceiling)
        self._needed = _appended(self._needed, _needed(peaks, self._ceiling))
        first = self._samples.shape[1] - HOP_FRAMES - self.delay
        delayed = self._samples[:, first : first + HOP_FRAMES]
        self._smoothing[:, :-HOP_FRAMES] = self._smoothing[:, HOP_FRAMES:]
        reductions = _smoothed(self._envelope(), self._smoothing, self._sums)
        deepest = float(reductions.max())
        self.deepest_db.append(deepest)
        if deepest == 0.0:
            return delayed.copy()
        return delayed * np.exp(reductions * (-math.log(10.0) / 20.0)).astype(np.float32)

    def _envelope(self) -> NDArray[np.int64]:
        held = _sliding_max(self._needed, self._window)[-HOP_FRAMES:]
        if self._release is None:
            return held.astype(np.int64)
        return self._release.process(held, _sliding_max(self._needed, self._held_for)[-HOP_FRAMES:])


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
def _follow(
    held: NDArray[np.int32], recent: NDArray[np.int32], keeps: NDArray[np.float64], state: NDArray[np.float64]
) -> NDArray[np.int64]:
    fast, slow = state
    keep_fast, keep_rising, keep_falling = keeps
    envelope = np.empty(held.size, np.int64)
    for i in range(held.size):
        slow = recent[i] + (slow - recent[i]) * (keep_rising if recent[i] > slow else keep_falling)
        floor = max(float(held[i]), slow)
        fast = max(floor, floor + (fast - floor) * keep_fast)
        if fast < _INAUDIBLE and recent[i] == 0:
            fast = slow = 0.0
        envelope[i] = math.ceil(fast)
    state[0], state[1] = fast, slow
    return envelope


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
