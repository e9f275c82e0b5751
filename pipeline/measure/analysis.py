"""Analyses a song: loudness, peaks, spectrum, stereo image, bandwidth and transients.

The source is streamed once. What is kept of it is a spectrum and a few energies a second, and no
figure depends on how the samples were cut into blocks. Every level in dB is bounded by ±120.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.fft import rfft

from mixagent.pipeline.decibels import power_to_db, powers_to_db
from mixagent.pipeline.dsp.third_octaves import EDGES_HZ, THIRD_OCTAVES_HZ
from mixagent.pipeline.measure.meters import EnergyMeter, Loudness, LoudnessMeter
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, blocks

BANDS_HZ: Mapping[str, tuple[float, float]] = {
    "sub": (20.0, 60.0),
    "bass": (60.0, 200.0),
    "low_mid": (200.0, 500.0),
    "mid": (500.0, 2000.0),
    "presence": (2000.0, 6000.0),
    "air": (6000.0, 16000.0),
}
"""The named bands, from and to in Hz."""

LIMIT_DB = 120.0

FLAT_STEP = 2.0**-15
LEAST_FLAT_SAMPLES = 3
FLAT_HISTOGRAM_TOP_DB = 20.0
FLAT_BINS_PER_DB = 10

ONSET_HOP_S = 0.005
LEAST_ONSET_GAP_HOPS = 10


@dataclass(frozen=True)
class Analysis:
    """Everything measured of one mono or stereo source.

    Attributes:
        rate: sample rate in Hz.
        channels: 1 or 2.
        duration_s: length in seconds.
        integrated_lufs: programme loudness (BS.1770-5); −inf for silence.
        loudness_range_lu: EBU Tech 3342.
        momentary_max_lufs: loudest 400 ms; −inf for less.
        short_term_max_lufs: loudest 3 s; −inf for less.
        sample_peak_dbfs: highest sample; −inf for silence.
        true_peak_dbtp: highest peak between the samples (BS.1770-5 annex 2); −inf for silence.
        plr_db: peak to loudness ratio: true peak less integrated loudness (AES TD1008); 0 for silence.
        crest_db: true peak over the RMS of all channels and the whole length; 0 for silence.
        dc: mean of each channel, linear.
        clipped_runs: flat tops: 3 or more samples of a channel within one 16-bit step of each other,
            at most 1 dB below the sample peak, reached or left by a jump that a smooth crest lacks.
        bands_db: share of each of `BANDS_HZ` in the energy from 20 Hz up.
        third_octave_hz: `THIRD_OCTAVES_HZ`.
        third_octave_mid_db: mean power of (L + R)/2 in each third octave in dB re 1.
        third_octave_side_db: the same of (L − R)/2; −120 for mono.
        correlation: Pearson's, of left and right; 1 for mono, 0 where one channel is silent.
        balance_db: right energy over left; 0 for mono.
        side_ratio_db: side energy over mid energy in each of `BANDS_HZ`.
        mono_fold_loss_db: K-weighted energy of left and right over that of (L + R)/2 on both.
        bandwidth_hz: where the long-term spectrum ends in a cliff (`cut_off_hz`); half the rate
            where it has none, 0 for silence.
        transient_density_hz: onsets a second (`onset_rises_db`).
        transient_sharpness_db: median rise of an onset's energy over what precedes it.
        short_term_lufs: loudness of 3 s, one value a second, the first from the start.
    """

    rate: int
    channels: int
    duration_s: float
    integrated_lufs: float
    loudness_range_lu: float
    momentary_max_lufs: float
    short_term_max_lufs: float
    sample_peak_dbfs: float
    true_peak_dbtp: float
    plr_db: float
    crest_db: float
    dc: tuple[float, ...]
    clipped_runs: int
    bands_db: Mapping[str, float]
    third_octave_hz: tuple[float, ...]
    third_octave_mid_db: tuple[float, ...]
    third_octave_side_db: tuple[float, ...]
    correlation: float
    balance_db: float
    side_ratio_db: Mapping[str, float]
    mono_fold_loss_db: float
    bandwidth_hz: float
    transient_density_hz: float
    transient_sharpness_db: float
    short_term_lufs: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values: finite numbers, and None for −inf."""
        return {name: _to_json(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Analysis:
        """The analysis that `to_json` wrote, equal to the last bit."""
        return cls(**{field.name: _from_json(data[field.name]) for field in fields(cls)})


def analyse(source: AudioSource) -> Analysis:
    """Measure a mono or stereo source in one pass.

    Raises:
        ValueError: more than 2 channels, or a rate under 4 kHz.
    """
    if source.channels > 2:
        raise ValueError(f"the analysis takes mono or stereo, not {source.channels} channels")
    gauges = _Gauges(source.rate, source.channels)
    for block in blocks(source):
        gauges.update(block)
    return gauges.analysis(source.frames)


class _Gauges:
    """Every measure of a stream, side by side."""

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels
        self._loudness = LoudnessMeter(rate, channels)
        self._fold = EnergyMeter.k_weighted(rate, 1)
        self._spectrum = MidSideSpectrum(rate)
        self._moments = np.zeros(5)
        self._flat = _FlatRuns(channels)
        self._low, self._high = onset_meters(rate)

    def update(self, block: FloatArray) -> None:
        """Take the next block, float32 (channels, frames)."""
        left, right = np.ascontiguousarray(block[0]), np.ascontiguousarray(block[-1])
        mid_side = np.stack([(left + right) * np.float32(0.5), (left - right) * np.float32(0.5)])
        self._loudness.update(block)
        for meter in (self._fold, self._low, self._high):
            meter.update(mid_side[:1])
        self._spectrum.update(mid_side)
        self._flat.update(block)
        _add_moments(left, right, self._moments)

    def analysis(self, frames: int) -> Analysis:
        """The figures of the whole stream of `frames` frames."""
        loudness = self._loudness.loudness()
        mid, side = self._spectrum.mean_power(frames)
        rises = onset_rises_db(self._low.energies, self._high.energies)
        duration_s = frames / self._rate
        return Analysis(
            rate=self._rate,
            channels=self._channels,
            duration_s=duration_s,
            integrated_lufs=loudness.integrated_lufs,
            loudness_range_lu=loudness.range_lu,
            momentary_max_lufs=loudness.momentary_max_lufs,
            short_term_max_lufs=loudness.short_term_max_lufs,
            sample_peak_dbfs=loudness.sample_peak_dbfs,
            true_peak_dbtp=loudness.true_peak_dbtp,
            plr_db=_plr_db(loudness),
            crest_db=_crest_db(loudness, self._moments, frames),
            dc=tuple(float(total) / max(frames, 1) for total in self._moments[: self._channels]),
            clipped_runs=self._flat.count(loudness.sample_peak_dbfs),
            bands_db=_shares_db(mid + side, self._rate),
            third_octave_hz=THIRD_OCTAVES_HZ,
            third_octave_mid_db=third_octaves_db(mid, self._rate),
            third_octave_side_db=third_octaves_db(side, self._rate),
            correlation=_correlation(self._moments, frames),
            balance_db=_ratio_db(self._moments[3], self._moments[2]),
            side_ratio_db=_side_ratios_db(mid, side, self._rate),
            mono_fold_loss_db=_fold_loss_db(self._loudness.energies, self._fold.energies, self._channels),
            bandwidth_hz=cut_off_hz(mid + side, self._rate),
            transient_density_hz=len(rises) / duration_s if frames else 0.0,
            transient_sharpness_db=float(np.median(rises)) if len(rises) else 0.0,
            short_term_lufs=tuple(loudness.short_term_lufs[::10].tolist()),
        )


class MidSideSpectrum:
    """Power spectra of mid and side, summed over a stream (Welch's method).

    Frames of at least 0.6 s, long enough for the third octave at 25 Hz, overlap by half under a sine
    window. Its squares add up to one, so every sample counts alike and power is conserved.
    """

    def __init__(self, rate: int) -> None:
        self._size = 1 << math.ceil(math.log2(0.6 * rate))
        self._window = np.sin(np.pi * (np.arange(self._size) + 0.5) / self._size).astype(np.float32)
        self._pending = np.zeros((2, self._size // 2), np.float32)
        self._power = np.zeros((2, self._size // 2 + 1))

    def update(self, mid_side: FloatArray) -> None:
        """Take the next block of mid and side, float32 (2, frames)."""
        joined = np.concatenate([self._pending, mid_side], axis=1)
        hop = self._size // 2
        start = 0
        while start + self._size <= joined.shape[1]:
            spectrum = rfft(joined[:, start : start + self._size] * self._window)
            self._power += spectrum.real**2 + spectrum.imag**2
            start += hop
        self._pending = joined[:, start:]

    def mean_power(self, frames: int) -> Float64Array:
        """Mean power of each bin over the stream of `frames` frames, shape (2, bins).

        The bins run from 0 Hz to half the rate and sum to the mean square of the signal. This ends
        the stream.
        """
        self.update(np.zeros((2, self._size), np.float32))
        power: Float64Array = self._power * (2.0 / (self._size * max(frames, 1)))
        power[:, [0, -1]] *= 0.5
        return power


def band_power(power: Float64Array, rate: int, edges_hz: Float64Array) -> Float64Array:
    """Power between neighbouring edges of a spectrum from 0 Hz to half the rate.

    A bin's power is spread evenly over its width, so that an edge may fall anywhere.

    Args:
        power: power of each bin, shape (bins,).
        rate: sample rate in Hz.
        edges_hz: rising, shape (bands + 1,).
    """
    bin_hz = rate / 2 / (power.size - 1)
    cumulative = np.concatenate([[0.0], np.cumsum(power)])
    position = np.clip(edges_hz / bin_hz + 0.5, 0.0, power.size)
    bands: Float64Array = np.diff(np.interp(position, np.arange(power.size + 1), cumulative))
    return np.maximum(bands, 0.0)


def third_octaves_db(power: Float64Array, rate: int) -> tuple[float, ...]:
    """Power of a spectrum in each of `THIRD_OCTAVES_HZ`, in dB re 1, not under −120."""
    return tuple(_ratio_db(band, 1.0) for band in band_power(power, rate, EDGES_HZ))


def cut_off_hz(power: Float64Array, rate: int) -> float:
    """The cut-off of a long-term spectrum that ends in a cliff, in Hz; half the rate for none, 0 for silence.

    The spectrum is read in 1/96 octaves from 1 kHz. A cliff falls by 18 dB or more within an eighth
    of an octave (144 dB an octave, which codecs and resamplers have and music has not), from the
    median of the sixth of an octave before it to under all that follows: a single line makes no
    cliff, nor does a band that comes back. The cut-off is where the level has fallen by 10 dB.
    """
    if power.sum() <= 0.0:
        return 0.0
    nyquist_hz = rate / 2
    edges_hz = 1000.0 * 2 ** (np.arange(max(math.floor(96 * math.log2(nyquist_hz / 1000.0)) + 1, 1)) / 96)
    density = band_power(power, rate, edges_hz) / np.diff(edges_hz)
    level_db = powers_to_db(np.maximum(density, power.sum() * 1e-16))
    plateau, fall = 16, 12
    if level_db.size < plateau + fall + 1:
        return nyquist_hz
    before_db = np.median(np.lib.stride_tricks.sliding_window_view(level_db, plateau), axis=1)
    after_db = np.maximum.accumulate(level_db[::-1])[::-1]
    drop_db = before_db[: level_db.size - plateau - fall] - after_db[plateau + fall :]
    edge = int(np.argmax(drop_db))
    if drop_db[edge] < 18.0:
        return nyquist_hz
    standing = np.flatnonzero(level_db >= before_db[edge] - 10.0)
    return float(edges_hz[standing[-1] + 1])


def onset_meters(rate: int) -> tuple[EnergyMeter, EnergyMeter]:
    """Meters of a mono signal's energy every 5 ms: below 200 Hz, and with the treble lifted.

    The lift is a first-order high-pass at 3 kHz (or a quarter of the rate), which makes music's
    falling spectrum about flat.
    """
    low, high = math.tan(math.pi * 200 / rate), math.tan(math.pi * min(3000 / rate, 0.25))
    norm = 1 + math.sqrt(2) * low + low * low
    low_pass = [
        low * low / norm,
        2 * low * low / norm,
        low * low / norm,
        2 * (low * low - 1) / norm,
        (1 - math.sqrt(2) * low + low * low) / norm,
    ]
    high_pass = [1 / (1 + high), -1 / (1 + high), 0.0, (high - 1) / (1 + high), 0.0]
    through = [1.0, 0.0, 0.0, 0.0, 0.0]
    step = max(round(ONSET_HOP_S * rate), 1)
    return (
        EnergyMeter(np.array([low_pass, through]), step, (1.0,)),
        EnergyMeter(np.array([high_pass, through]), step, (1.0,)),
    )


def onset_rises_db(low: Float64Array, high: Float64Array) -> Float64Array:
    """The rise in dB of each onset over what precedes it, in order.

    An onset is a local peak of the energy's rise (A. Klapuri, "Sound onset detection by applying
    psychoacoustic knowledge", ICASSP 1999): at least 4 dB from the last 50 ms to 10 ms of the
    treble-lifted signal, or 10 dB from the last 100 ms to 20 ms below 200 Hz, where a short mean is
    rougher; and no two within 50 ms. What lies 40 dB under the mean energy counts as silence.
    """
    high_db, low_db = _rise_db(high, 2, 10), _rise_db(low, 4, 20)
    excess_db = np.maximum(high_db - 4.0, low_db - 10.0)
    at = peaks_apart(excess_db, LEAST_ONSET_GAP_HOPS)
    rises: Float64Array = np.maximum(high_db, low_db)[at]
    return rises


def peaks_apart(values: Float64Array, gap: int) -> NDArray[np.int64]:
    """Local maxima of 0 or more, at least `gap` apart, the higher of two that are closer; in order.

    As scipy.signal.find_peaks, whose import takes longer than a cached master's whole work.
    """
    inner = values[1:-1]
    at = np.flatnonzero((inner > values[:-2]) & (inner >= values[2:]) & (inner >= 0.0)) + 1
    free = np.ones(values.size, np.bool_)
    kept = []
    for k in at[np.argsort(-values[at], kind="stable")]:
        if free[k]:
            kept.append(k)
            free[max(k - gap + 1, 0) : k + gap] = False
    return np.sort(np.array(kept, np.int64))


def _rise_db(energy: Float64Array, width: int, before: int) -> Float64Array:
    """Mean of `width` hops from each hop on over the mean of the `before` hops ahead of it."""
    if not energy.any():
        return np.zeros(energy.size)
    padded = np.pad(energy, (before, width), mode="edge")
    cumulative = np.concatenate([[0.0], np.cumsum(padded)])
    here = np.arange(before, before + energy.size)
    recent = (cumulative[here + width] - cumulative[here]) / width
    past = (cumulative[here] - cumulative[here - before]) / before
    floor = 1e-4 * energy.mean()
    rise_db: Float64Array = powers_to_db(np.maximum(recent, floor) / np.maximum(past, floor))
    return rise_db


class _FlatRuns:
    """Counts flat tops by their level; which of them are clipping is known once the peak is."""

    def __init__(self, channels: int) -> None:
        self._states = np.zeros((channels, 4))
        self._counts = np.zeros(int((FLAT_HISTOGRAM_TOP_DB + 40) * FLAT_BINS_PER_DB), np.int64)

    def update(self, block: FloatArray) -> None:
        """Take the next block, float32 (channels, frames)."""
        for samples, state in zip(block, self._states, strict=True):
            _count_flat_runs(samples, state, self._counts)

    def count(self, peak_dbfs: float) -> int:
        """Flat tops within 1 dB of the peak. This ends the stream."""
        self.update(np.zeros((len(self._states), 1), np.float32))
        if peak_dbfs == -math.inf:
            return 0
        return int(
            self._counts[: math.ceil((FLAT_HISTOGRAM_TOP_DB - peak_dbfs + 1) * FLAT_BINS_PER_DB)].sum()
        )


@njit(cache=True, nogil=True)
def _count_flat_runs(samples: FloatArray, state: Float64Array, counts: NDArray[np.int64]) -> None:
    """Add one channel's flat runs to `counts`, a histogram of their level.

    `state` holds the last sample, its distance from the one before, the run's length and the jump
    that led into the run.
    """
    last, jump, run, entry = state
    for i in range(samples.size):
        sample = float(samples[i])
        distance = abs(sample - last)
        if distance <= FLAT_STEP and abs(sample) > 0.01:
            if run == 0:
                run, entry = 1.0, jump
            run += 1
        else:
            if run >= LEAST_FLAT_SAMPLES and max(entry, distance) > 8 * FLAT_STEP:
                level = FLAT_HISTOGRAM_TOP_DB - 20 * math.log10(abs(last))
                counts[min(max(int(level * FLAT_BINS_PER_DB), 0), counts.size - 1)] += 1
            run = 0.0
        last, jump = sample, distance
    state[0], state[1], state[2], state[3] = last, jump, run, entry


@njit(cache=True, nogil=True)
def _add_moments(left: FloatArray, right: FloatArray, sums: Float64Array) -> None:
    """Add the sums of left, right, their squares and their product to `sums`, in sample order."""
    total_l, total_r, square_l, square_r, product = sums
    for i in range(left.size):
        x, y = float(left[i]), float(right[i])
        total_l += x
        total_r += y
        square_l += x * x
        square_r += y * y
        product += x * y
    sums[0], sums[1], sums[2], sums[3], sums[4] = total_l, total_r, square_l, square_r, product


def _plr_db(loudness: Loudness) -> float:
    if loudness.integrated_lufs == -math.inf:
        return 0.0
    return loudness.true_peak_dbtp - loudness.integrated_lufs


def _crest_db(loudness: Loudness, moments: Float64Array, frames: int) -> float:
    mean_square = float(moments[2] + moments[3]) / (2 * max(frames, 1))
    return loudness.true_peak_dbtp - power_to_db(mean_square) if mean_square > 0 else 0.0


def _correlation(moments: Float64Array, frames: int) -> float:
    total_l, total_r, square_l, square_r, product = (float(value) / max(frames, 1) for value in moments)
    power = (square_l - total_l * total_l) * (square_r - total_r * total_r)
    if power <= 0.0:
        return float(square_l == square_r)
    return min(max((product - total_l * total_r) / math.sqrt(power), -1.0), 1.0)


def _fold_loss_db(programme: Float64Array, fold: Float64Array, channels: int) -> float:
    return max(_ratio_db(programme.sum(), channels * fold.sum()), 0.0)


def _shares_db(power: Float64Array, rate: int) -> dict[str, float]:
    whole = band_power(power, rate, np.array([BANDS_HZ["sub"][0], rate / 2])).sum()
    return {
        name: _ratio_db(band_power(power, rate, np.array(edges)).sum(), whole) if whole else -LIMIT_DB
        for name, edges in BANDS_HZ.items()
    }


def _side_ratios_db(mid: Float64Array, side: Float64Array, rate: int) -> dict[str, float]:
    edges = {name: np.array(band) for name, band in BANDS_HZ.items()}
    return {
        name: _ratio_db(band_power(side, rate, band)[0], band_power(mid, rate, band)[0])
        for name, band in edges.items()
    }


def _ratio_db(power: float, reference: float) -> float:
    """A power ratio in dB within ±`LIMIT_DB`; 0 where both are 0."""
    if power == reference == 0.0:
        return 0.0
    if power == 0.0 or reference == 0.0:
        return -LIMIT_DB if power == 0.0 else LIMIT_DB
    return min(max(power_to_db(power / reference), -LIMIT_DB), LIMIT_DB)


def _to_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return None if value == -math.inf else value


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_from_json(item) for item in value)
    return -math.inf if value is None else value
