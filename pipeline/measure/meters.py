"""Loudness and peak meters after ITU-R BS.1770-5, EBU Tech 3341 and EBU Tech 3342.

A source is streamed once. What is kept of it is one energy for each 100 ms, so memory is a few
kilobytes a minute and no figure depends on how the samples were cut into blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from mixagent.pipeline.decibels import (
    amplitude_to_db,
    db_to_amplitude,
    db_to_power,
    power_to_db,
    powers_to_db,
)
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, blocks

CHANNEL_WEIGHTS: tuple[tuple[float, ...], ...] = (
    (1.0,),
    (1.0, 1.0),
    (1.0, 1.0, 1.0),
    (1.0, 1.0, 1.41, 1.41),
    (1.0, 1.0, 1.0, 1.41, 1.41),
    (1.0, 1.0, 1.0, 0.0, 1.41, 1.41),
)
"""BS.1770-5 table 3 for 1 to 6 channels: L R C Ls Rs, with the LFE (left out) fourth of six."""

LOWEST_RATE_HZ = 4000
ABSOLUTE_GATE_LUFS = -70.0
INTEGRATED_GATE_LU = -10.0
RANGE_GATE_LU = -20.0
MOMENTARY_STEPS = 4
SHORT_TERM_STEPS = 30
RANGE_HOP_STEPS = 10


@dataclass(frozen=True)
class Loudness:
    """The readings of the meters for one source.

    Attributes:
        integrated_lufs: programme loudness with both gates; −inf where no block passes them.
        range_lu: loudness range (Tech 3342); 0 for less than 3 s.
        momentary_max_lufs: loudest 400 ms; −inf for less than 400 ms.
        short_term_max_lufs: loudest 3 s; −inf for less than 3 s.
        true_peak_dbtp: highest peak between the samples of any channel.
        sample_peak_dbfs: highest sample of any channel.
        short_term_lufs: 3 s windows, one each 100 ms, the first from the start of the source.
        momentary_lufs: 400 ms windows, one each 100 ms, the first from the start of the source.
    """

    integrated_lufs: float
    range_lu: float
    momentary_max_lufs: float
    short_term_max_lufs: float
    true_peak_dbtp: float
    sample_peak_dbfs: float
    short_term_lufs: Float64Array
    momentary_lufs: Float64Array


def measure(source: AudioSource) -> Loudness:
    """Every figure of `Loudness`, in one pass over the source."""
    meter = LoudnessMeter(source.rate, source.channels)
    for block in blocks(source):
        meter.update(block)
    return meter.loudness()


def integrated_lufs(source: AudioSource) -> float:
    """Gated programme loudness (BS.1770-5) in LUFS; −inf for silence and for less than 400 ms."""
    meter = EnergyMeter.k_weighted(source.rate, source.channels)
    for block in blocks(source):
        meter.update(block)
    return gated_loudness(meter.energies)


def momentary_lufs(source: AudioSource) -> Float64Array:
    """Loudness of every 400 ms, one each 100 ms, as `Loudness.momentary_lufs`."""
    meter = EnergyMeter.k_weighted(source.rate, source.channels)
    for block in blocks(source):
        meter.update(block)
    return windowed_loudness(meter.energies, MOMENTARY_STEPS)


def true_peak_dbtp(source: AudioSource) -> float:
    """True peak (BS.1770-5 annex 2) in dB re full scale, the highest of all channels; −inf for silence."""
    meter = PeakMeter(source.rate, source.channels)
    for block in blocks(source):
        meter.update(block)
    return meter.true_peak_dbtp


class LoudnessMeter:
    """Loudness and peaks of a stream of blocks.

    Raises:
        ValueError: more than 6 channels, or a rate under 4 kHz.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._energy = EnergyMeter.k_weighted(rate, channels)
        self._peak = PeakMeter(rate, channels)

    def update(self, block: FloatArray) -> None:
        """Take the next block, float32 (channels, frames)."""
        self._energy.update(block)
        self._peak.update(block)

    @property
    def energies(self) -> Float64Array:
        """K-weighted mean square of each full 100 ms so far, channels weighted and summed."""
        return self._energy.energies

    def loudness(self) -> Loudness:
        """The figures of all that was taken so far; the meter can go on afterwards."""
        energies = self.energies
        momentary = windowed_loudness(energies, MOMENTARY_STEPS)
        short_term = windowed_loudness(energies, SHORT_TERM_STEPS)
        return Loudness(
            integrated_lufs=gated_loudness(energies),
            range_lu=loudness_range(energies),
            momentary_max_lufs=float(momentary.max(initial=-math.inf)),
            short_term_max_lufs=float(short_term.max(initial=-math.inf)),
            true_peak_dbtp=self._peak.true_peak_dbtp,
            sample_peak_dbfs=self._peak.sample_peak_dbfs,
            short_term_lufs=short_term,
            momentary_lufs=momentary,
        )


class EnergyMeter:
    """Mean square of each full step of a stream, after two biquad sections.

    Args:
        sections: rows b0 b1 b2 a1 a2 (a0 = 1), shape (2, 5).
        step: length of a step in frames.
        weights: what each channel's energy counts in the sum over the channels.
    """

    def __init__(self, sections: Float64Array, step: int, weights: Sequence[float]) -> None:
        self._sections, self._step, self._weights = sections, step, weights
        self._filled = 0
        self._states = np.zeros((len(weights), 5))
        self._parts: list[Float64Array] = []

    @classmethod
    def k_weighted(cls, rate: int, channels: int) -> EnergyMeter:
        """The energies behind BS.1770-5: K-weighted, channels weighted, in steps of 100 ms.

        Raises:
            ValueError: more than 6 channels, or a rate under 4 kHz.
        """
        if not 1 <= channels <= len(CHANNEL_WEIGHTS):
            raise ValueError(f"the meter takes 1 to {len(CHANNEL_WEIGHTS)} channels, not {channels}")
        return cls(k_weighting(rate), (rate + 5) // 10, CHANNEL_WEIGHTS[channels - 1])

    def update(self, block: FloatArray) -> None:
        """Take the next block, float32 (channels, frames)."""
        done, filled = divmod(self._filled + block.shape[1], self._step)
        energies = np.zeros(done)
        weighted = [channel for channel, weight in enumerate(self._weights) if weight]
        for first, second in zip(weighted[::2], weighted[1::2], strict=False):
            _add_pair_energies(
                block[first],
                block[second],
                self._sections,
                self._states[first],
                self._states[second],
                self._filled,
                self._step,
                self._weights[first],
                self._weights[second],
                energies,
            )
        for channel in weighted[len(weighted) // 2 * 2 :]:
            weight, state = self._weights[channel], self._states[channel]
            _add_energies(block[channel], self._sections, state, self._filled, self._step, weight, energies)
        self._parts.append(energies / self._step)
        self._filled = filled

    @property
    def energies(self) -> Float64Array:
        """Mean square of each full step so far, shape (steps,)."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0)


class PeakMeter:
    """Sample peak and true peak of a stream (BS.1770-5 annex 2).

    The signal is interpolated by a 49-tap Hann-windowed sinc: 4 times below 96 kHz, twice below
    192 kHz. Silence is taken to follow the stream, so that an abrupt end counts.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._phases = interpolation_phases(rate)
        self._bound = float(np.abs(self._phases).sum(axis=1).max(initial=0.0))
        self._history = np.zeros((channels, max(self._phases.shape[1] - 1, 0)), np.float32)
        self._sample_peak = 0.0
        self._between_peak = 0.0

    def update(self, block: FloatArray) -> None:
        """Take the next block, float32 (channels, frames)."""
        if not block.size:
            return
        self._sample_peak = max(self._sample_peak, float(block.max()), -float(block.min()))
        context = self._history.shape[1]
        if not context:
            return
        joined = np.concatenate([self._history, block], axis=1)
        self._between_peak = self._highest_between(joined)
        self._history = joined[:, -context:].copy()

    def _highest_between(self, joined: FloatArray) -> float:
        highest = max(self._between_peak, self._sample_peak)
        for samples in joined:
            highest = _peak_between(samples, self._phases, self._bound, highest)
        return highest

    @property
    def sample_peak_dbfs(self) -> float:
        """Highest sample so far in dB re full scale; −inf for silence."""
        return _decibels(self._sample_peak)

    @property
    def true_peak_dbtp(self) -> float:
        """Highest interpolated peak so far in dB re full scale; −inf for silence."""
        tail = np.concatenate([self._history, np.zeros_like(self._history)], axis=1)
        return _decibels(max(self._sample_peak, self._highest_between(tail)))


def k_weighting(rate: int) -> Float64Array:
    """The two K-weighting sections at `rate` Hz, rows b0 b1 b2 a1 a2 (a0 = 1).

    The analogue shelf and high-pass behind BS.1770-5 tables 1 and 2, each by the bilinear transform
    (B. De Man, "Evaluation of implementations of the EBU R128 loudness measurement", AES 145, 2018);
    at 48 kHz they give the tables back. The high-pass keeps the printed numerator 1, −2, 1 at every
    rate, as libebur128 does.

    Raises:
        ValueError: a rate under 4 kHz, where the shelf has no room.
    """
    if rate < LOWEST_RATE_HZ:
        raise ValueError(f"loudness is not defined at {rate} Hz; the lowest rate is {LOWEST_RATE_HZ} Hz")
    k, q = math.tan(math.pi * 1681.974450955533 / rate), 0.7071752369554196
    high = db_to_amplitude(3.999843853973347)
    band = high**0.4996667741545416
    norm = 1 + k / q + k * k
    shelf = [
        (high + band * k / q + k * k) / norm,
        2 * (k * k - high) / norm,
        (high - band * k / q + k * k) / norm,
        2 * (k * k - 1) / norm,
        (1 - k / q + k * k) / norm,
    ]
    k, q = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    norm = 1 + k / q + k * k
    return np.array([shelf, [1.0, -2.0, 1.0, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm]])


def k_power(hz: Float64Array, rate: int) -> Float64Array:
    """The power gain of BS.1770's K-weighting at each frequency."""
    turn = np.exp(-2j * np.pi * hz / rate)
    gain = np.ones(hz.size)
    for b0, b1, b2, a1, a2 in k_weighting(rate):
        gain *= np.abs((b0 + b1 * turn + b2 * turn**2) / (1 + a1 * turn + a2 * turn**2)) ** 2
    return gain


def interpolation_phases(rate: int) -> FloatArray:
    """The interpolator's branches between the samples at `rate` Hz, shape (factor − 1, taps).

    Empty from 192 kHz on, where the samples are dense enough (BS.1770-5 annex 2).
    """
    factor = 4 if rate < 96000 else 2 if rate < 192000 else 1
    offset = np.arange(49) - 24
    response = np.sinc(offset / factor) * (0.5 + 0.5 * np.cos(np.pi * offset / 24))
    if factor == 1:
        return np.zeros((0, 0), np.float32)
    return np.stack([response[phase:48:factor] for phase in range(1, factor)]).astype(np.float32)


def windowed_loudness(energies: Float64Array, steps: int) -> Float64Array:
    """Loudness in LUFS of each full window of `steps` × 100 ms, one each 100 ms; −inf for silence."""
    return loudness_of(_windows(energies, steps))


def gated_loudness(energies: Float64Array) -> float:
    """Integrated loudness in LUFS of 100 ms energies: 400 ms blocks, gates at −70 LUFS and −10 LU."""
    return _block_loudness(_windows(energies, MOMENTARY_STEPS))


def programme_loudness(sources: Sequence[Float64Array]) -> float:
    """Integrated loudness in LUFS of several sources as one programme, gated over all of it.

    The gating blocks of all sources make one set, as in libebur128 and ReplayGain 2.0; none spans two.

    Args:
        sources: the `momentary_lufs` of each.
    """
    return _block_loudness(np.concatenate([np.zeros(0), *(_energies(source) for source in sources)]))


def _block_loudness(blocks: Float64Array) -> float:
    kept = _gated(blocks, INTEGRATED_GATE_LU)
    return float(loudness_of(kept.mean())) if kept.size else -math.inf


def loudness_range(energies: Float64Array) -> float:
    """Loudness range in LU (Tech 3342) of 100 ms energies: 3 s windows, one a second.

    The width from the 10th to the 95th percentile of the windows above −70 LUFS and −20 LU.
    """
    kept = np.sort(_gated(_windows(energies, SHORT_TERM_STEPS)[::RANGE_HOP_STEPS], RANGE_GATE_LU))
    if not kept.size:
        return 0.0
    low, high = (kept[math.floor((kept.size - 1) * share + 0.5)] for share in (0.10, 0.95))
    return power_to_db(high / low)


def loudness_of(energies: Float64Array | np.float64) -> Float64Array:
    """BS.1770-5 equation 2: mean squares to LUFS; −inf for 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(-0.691 + powers_to_db(energies))


def _windows(energies: Float64Array, steps: int) -> Float64Array:
    if energies.size < steps:
        return np.zeros(0)
    windows: Float64Array = np.lib.stride_tricks.sliding_window_view(energies, steps).mean(axis=1)
    return windows


def _gated(windows: Float64Array, relative_lu: float) -> Float64Array:
    kept = windows[windows >= _energy_at(ABSOLUTE_GATE_LUFS)]
    if kept.size:
        kept = kept[kept >= kept.mean() * db_to_power(relative_lu)]
    return kept


def _energies(lufs: Float64Array) -> Float64Array:
    return np.asarray(db_to_power(lufs + 0.691))


def _energy_at(lufs: float) -> float:
    return float(db_to_power(lufs + 0.691))


def _decibels(amplitude: float) -> float:
    return amplitude_to_db(amplitude) if amplitude > 0 else -math.inf


@njit(cache=True, nogil=True)
def _add_energies(
    samples: FloatArray,
    sections: Float64Array,
    state: Float64Array,
    filled: int,
    step: int,
    weight: float,
    energies: Float64Array,
) -> None:
    """Filter one channel and add each finished step's weighted sum of squares to `energies`."""
    b0, b1, b2, a1, a2 = sections[0]
    c0, c1, c2, d1, d2 = sections[1]
    s1, s2, t1, t2, total = state
    start, index = 0, 0
    while start < samples.size:
        stop = min(samples.size, start + step - filled)
        for i in range(start, stop):
            x = float(samples[i])
            u = b0 * x + s1
            s1 = b1 * x - a1 * u + s2
            s2 = b2 * x - a2 * u
            y = c0 * u + t1
            t1 = c1 * u - d1 * y + t2
            t2 = c2 * u - d2 * y
            total += y * y
        filled += stop - start
        start = stop
        if filled == step:
            energies[index] += weight * total
            index, filled, total = index + 1, 0, 0.0
            # A decaying tail would otherwise reach denormals, which are slow.
            if abs(s1) + abs(s2) + abs(t1) + abs(t2) < 1e-30:
                s1 = s2 = t1 = t2 = 0.0
    state[0], state[1], state[2], state[3], state[4] = s1, s2, t1, t2, total


@njit(cache=True, nogil=True)
def _add_pair_energies(
    left: FloatArray,
    right: FloatArray,
    sections: Float64Array,
    state_l: Float64Array,
    state_r: Float64Array,
    filled: int,
    step: int,
    weight_l: float,
    weight_r: float,
    energies: Float64Array,
) -> None:
    """`_add_energies` of two channels side by side, to the last bit.

    A filter waits for its own last sample, and another one fits into the wait: two take 1.15 times the
    time of one.
    """
    b0, b1, b2, a1, a2 = sections[0]
    c0, c1, c2, d1, d2 = sections[1]
    s1, s2, t1, t2, total_l = state_l
    p1, p2, q1, q2, total_r = state_r
    start, index = 0, 0
    while start < left.size:
        stop = min(left.size, start + step - filled)
        for i in range(start, stop):
            x, w = float(left[i]), float(right[i])
            u, v = b0 * x + s1, b0 * w + p1
            s1, p1 = b1 * x - a1 * u + s2, b1 * w - a1 * v + p2
            s2, p2 = b2 * x - a2 * u, b2 * w - a2 * v
            y, z = c0 * u + t1, c0 * v + q1
            t1, q1 = c1 * u - d1 * y + t2, c1 * v - d1 * z + q2
            t2, q2 = c2 * u - d2 * y, c2 * v - d2 * z
            total_l += y * y
            total_r += z * z
        filled += stop - start
        start = stop
        if filled == step:
            energies[index] += weight_l * total_l
            energies[index] += weight_r * total_r
            index, filled, total_l, total_r = index + 1, 0, 0.0, 0.0
            if abs(s1) + abs(s2) + abs(t1) + abs(t2) < 1e-30:
                s1 = s2 = t1 = t2 = 0.0
            if abs(p1) + abs(p2) + abs(q1) + abs(q2) < 1e-30:
                p1 = p2 = q1 = q2 = 0.0
    state_l[0], state_l[1], state_l[2], state_l[3], state_l[4] = s1, s2, t1, t2, total_l
    state_r[0], state_r[1], state_r[2], state_r[3], state_r[4] = p1, p2, q1, q2, total_r


@njit(cache=True, nogil=True, fastmath={"contract", "nnan", "nsz"})
def _peak_between(samples: FloatArray, phases: FloatArray, bound: float, highest: float) -> float:
    """The larger of `highest` and the magnitude of the interpolated samples.

    A chunk whose samples cannot reach `highest` by the filter's L1 norm `bound` is skipped.
    """
    taps = phases.shape[1]
    size = 256
    sums = np.empty(size, np.float32)
    for start in range(0, samples.size - taps + 1, size):
        count = min(size, samples.size - taps + 1 - start)
        part = samples[start : start + count + taps - 1]
        peak = np.float32(0.0)
        for i in range(part.size):
            peak = max(peak, abs(part[i]))
        if peak * bound <= highest:
            continue
        for phase in range(phases.shape[0]):
            sums[:] = 0
            for tap in range(0, taps, 4):
                h0, h1, h2, h3 = phases[phase, tap : tap + 4]
                window = part[taps - 4 - tap :]
                for i in range(count):
                    sums[i] += h0 * window[i + 3] + h1 * window[i + 2] + h2 * window[i + 1] + h3 * window[i]
            peak = np.float32(0.0)
            for i in range(count):
                peak = max(peak, abs(sums[i]))
            highest = max(highest, float(peak))
    return highest
