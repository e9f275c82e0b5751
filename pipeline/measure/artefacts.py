"""Artefacts of processing: pure measures of a render beside the sound that it was made of.

Both are read in blocks and have to be of one length, rate and alignment, as everything behind
`process_blocks` is. None of the measures minds a gain or, but for harshness, a linear filter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from mixagent.pipeline.decibels import amplitudes_to_db, db_to_power, power_to_db, powers_to_db
from mixagent.pipeline.dsp.spectral import ComplexArray, window_frames
from mixagent.pipeline.measure.meters import Loudness
from mixagent.pipeline.types import BLOCK_FRAMES, AudioSource, Float64Array, FloatArray, blocks

_WINDOW_S = 0.046
_SEGMENT_WINDOWS = 32
_BANDS_HZ = (500.0, 800.0, 1250.0, 2000.0, 3150.0, 5000.0, 8000.0, 12500.0)
_AUDIBLE_DB = -50.0
_SUSTAINED_DB = 3.0

_HOP_S = 0.003
_BODY_S = 0.8
_BEFORE_S = 0.05
_PEAK_S = 0.015
_RISE_DB = 6.0

_HARSH_HZ, _BODY_HZ = (2000.0, 5000.0), (200.0, 2000.0)
_HARSH_QUANTILE = 0.95

_STEPS_APART = 30
_HEARD_LUFS = -50.0
_TINY = 1e-20


@dataclass(frozen=True)
class Artefacts:
    """A render's artefacts, each by the function of its name; 0 dB or less is none, but for distortion."""

    distortion_db: float
    pumping_db: float
    transient_loss_db: float


def measure_artefacts(dry: AudioSource, wet: AudioSource) -> Artefacts:
    """Distortion, pumping and lost transients of `wet` beside `dry`.

    Raises:
        ValueError: the two differ in length, rate or channels.
    """
    return Artefacts(distortion_db(dry, wet), pumping_db(dry, wet), transient_loss_db(dry, wet))


def distortion_db(dry: AudioSource, wet: AudioSource) -> float:
    """Power of what no filter explains, against the render's, in dB; −inf for none.

    In every 0.75 s the best linear filter from dry to wet is taken out, bin by bin: what is left is
    1 − γ² of the render, γ² being the magnitude-squared coherence (Bendat and Piersol, "Random Data",
    section 6.1). So equalisers and slow gains count for nothing, and what is faster does. The
    filter fits some of the rest too: the figure is about 0.3 dB low.

    Raises:
        ValueError: the two differ in length, rate or channels.
    """
    left = whole = 0.0
    for x, y in _paired(dry, wet, _SEGMENT_WINDOWS):
        power_x, power_y = ((side.real**2 + side.imag**2).sum(axis=1) for side in (x, y))
        cross = np.abs((x.conj() * y).sum(axis=1)) ** 2
        left += float(np.maximum(power_y - cross / (power_x + _TINY), 0.0).sum())
        whole += float(power_y.sum())
    return power_to_db(left / whole) if left > 0 else -math.inf


@dataclass(frozen=True)
class BandLevels:
    """The levels of one sound over time, read once, from which pumping and harshness are measured.

    Attributes:
        levels_db: of the whole and of each band from 500 Hz up, (1 + bands, windows).
        window_s: from one window to the next.
        harshness_db: see `harshness_db`.
    """

    levels_db: FloatArray
    window_s: float
    harshness_db: float


def pumping_db(dry: AudioSource, wet: AudioSource) -> float:
    """The depth in dB ≥ 0 by which transients duck the sustained sound beside them.

    The gain of each band from 500 Hz up is regressed on the level of the whole, both without what is
    slower than a second, over the moments at which that band itself holds still. What one standard
    deviation of the level then takes off the band is averaged over the bands.

    Raises:
        ValueError: the two differ in length, rate or channels.
    """
    _check(dry, wet)
    return pumping_between_db(band_levels(dry), band_levels(wet))


def pumping_between_db(dry: BandLevels, wet: BandLevels) -> float:
    """`pumping_db` of two sounds of one length and rate whose levels are known."""
    before, after = dry.levels_db, wet.levels_db
    if before.shape[1] < 2:
        return 0.0
    driver = undulation(before[0], dry.window_s)
    still = np.abs(undulation(before[1:], dry.window_s)) < _SUSTAINED_DB
    still &= before[1:] > np.maximum(before[0].max() + _AUDIBLE_DB, -100.0)
    moved = undulation(after[1:] - before[1:], dry.window_s)
    dips = [dips_db(gain[at], driver[at]) for gain, at in zip(moved, still, strict=True) if at.sum() > 1]
    return max(float(np.mean(dips)), 0.0) if dips else 0.0


def band_levels(source: AudioSource) -> BandLevels:
    """The levels of a sound over time, in one pass."""
    hz = np.fft.rfftfreq(window_frames(_WINDOW_S, source.rate), 1 / source.rate)
    rows = [(hz >= low) & (hz < high) for low, high in [(0.0, math.inf), *pairwise(_BANDS_HZ)]]
    to_bands = np.stack([row for row in rows if row.any()]).T.astype(np.float32)
    to_harsh, to_body = ((hz >= low) & (hz < high) for low, high in (_HARSH_HZ, _BODY_HZ))
    harsh_octaves, body_octaves = (math.log2(high / low) for low, high in (_HARSH_HZ, _BODY_HZ))
    levels = [np.zeros((to_bands.shape[1], 0), np.float32)]
    ratios, wholes = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for spectra in _spectra(source, _SEGMENT_WINDOWS):
        power = (spectra.real**2 + spectra.imag**2).sum(axis=0)
        levels.append(powers_to_db((power @ to_bands).T + _TINY))
        harsh = power[:, to_harsh].sum(axis=1) / harsh_octaves
        body = power[:, to_body].sum(axis=1) / body_octaves
        ratios.append(powers_to_db((harsh + _TINY) / (body + _TINY)))
        wholes.append(powers_to_db(power.sum(axis=1) + _TINY))
    return BandLevels(
        levels_db=np.concatenate(levels, axis=1),
        window_s=window_frames(_WINDOW_S, source.rate) / 2 / source.rate,
        harshness_db=_harshness_db(np.concatenate(ratios), np.concatenate(wholes)),
    )


def undulation(levels_db: NDArray[np.floating], frame_s: float) -> NDArray[np.floating]:
    """Levels (…, frames) with what is slower than a second taken out."""
    span = max(round(1.0 / frame_s), 1)
    quick: NDArray[np.floating] = levels_db - uniform_filter1d(levels_db, span, mode="nearest")
    return quick


def dips_db(gains_db: NDArray[np.floating], driver_db: NDArray[np.floating]) -> NDArray[np.floating]:
    """By how much gains (…, frames) fall for one standard deviation of what drives them (frames,)."""
    power = float(np.mean(driver_db**2)) + 1e-6
    return np.asarray(-(gains_db @ driver_db) / driver_db.size / power * math.sqrt(power))


def transient_loss_db(dry: AudioSource, wet: AudioSource) -> float:
    """By how much the peaks of onsets stand lower over what surrounds them, in dB, on average.

    An onset is where 6 ms of the dry sound's slope rise 6 dB over the 50 ms before: the slope, because
    in so short a time the level of a bass note follows its waves. The onset's peak within 15 ms is held
    against the mean level of the 0.8 s around it, on either side alike. 0 without onsets, negative
    where they were raised.

    Raises:
        ValueError: the two differ in length, rate or channels.
    """
    _check(dry, wet)
    hop_s = round(_HOP_S * dry.rate) / dry.rate
    before, after = _envelope(dry), _envelope(wet)
    onsets = _onsets(before.slopes_db, hop_s)
    if not onsets.size:
        return 0.0
    stood, stands = (side.over_body_db(hop_s)[onsets] for side in (before, after))
    return float(np.mean(stood - stands))


def harshness_db(source: AudioSource) -> float:
    """The level of 2–5 kHz over 200 Hz to 2 kHz, per octave, at its highest moments, in dB.

    The 95th percentile over the windows that are within 50 dB of the loudest; −inf for silence.
    """
    return band_levels(source).harshness_db


def _harshness_db(ratios_db: FloatArray, levels_db: FloatArray) -> float:
    loudest_db = float(levels_db.max(initial=-math.inf))
    if loudest_db <= -150.0:
        return -math.inf
    return float(np.quantile(ratios_db[levels_db > loudest_db + _AUDIBLE_DB], _HARSH_QUANTILE))


def loudness_jump_lu(loudness: Loudness) -> float:
    """The largest step of short-term loudness from one 3 s to the next, over −50 LUFS, in LU."""
    levels = np.asarray(loudness.short_term_lufs, np.float64)
    before, after = levels[:-_STEPS_APART], levels[_STEPS_APART:]
    audible = np.minimum(before, after) > _HEARD_LUFS
    return float(np.abs(after - before)[audible].max()) if audible.any() else 0.0


def _check(dry: AudioSource, wet: AudioSource) -> None:
    one, other = ((side.frames, side.rate, side.channels) for side in (dry, wet))
    if one != other:
        raise ValueError(f"the render has {other} frames, Hz and channels, the dry sound {one}")


def _paired(dry: AudioSource, wet: AudioSource, windows: int) -> Iterator[tuple[ComplexArray, ComplexArray]]:
    _check(dry, wet)
    return zip(_spectra(dry, windows), _spectra(wet, windows), strict=True)


def _spectra(source: AudioSource, windows: int) -> Iterator[ComplexArray]:
    """Spectra (channels, up to `windows`, bins) of half-overlapping Hann windows, one after another."""
    size = window_frames(_WINDOW_S, source.rate)
    hop, window = size // 2, np.hanning(size + 1)[:-1].astype(np.float32)
    held = np.zeros((source.channels, 0), np.float32)
    step = hop * windows
    for block in blocks(source, max(BLOCK_FRAMES // step, 1) * step):
        held = np.concatenate((held, block), axis=1)
        count = (held.shape[1] - size) // hop + 1
        if count < 1:
            continue
        cut = np.lib.stride_tricks.sliding_window_view(held, size, axis=1)[:, : count * hop : hop]
        for first in range(0, count, windows):
            yield fft.rfft(cut[:, first : first + windows] * window, axis=2)
        held = held[:, count * hop :]


@dataclass(frozen=True)
class _Envelope:
    """Of every 3 ms the peak, linear, and the levels of the samples and of their differences in dB."""

    peaks: Float64Array
    levels_db: Float64Array
    slopes_db: Float64Array

    def over_body_db(self, hop_s: float) -> Float64Array:
        """By how much the highest peak from each place on stands over the mean level around it."""
        reach, span = max(round(_PEAK_S / hop_s), 1), max(round(_BODY_S / hop_s), 1)
        ahead = maximum_filter1d(self.peaks, reach, origin=-(reach // 2))
        body_db = uniform_filter1d(self.levels_db, span, mode="nearest")
        return np.asarray(amplitudes_to_db(ahead + 1e-10) - body_db)


def _envelope(source: AudioSource) -> _Envelope:
    hop = round(_HOP_S * source.rate)
    found = [np.zeros((3, 0))]
    for block in blocks(source, max(BLOCK_FRAMES // hop, 1) * hop):
        whole = block.shape[1] // hop
        cut = block[:, : whole * hop].reshape(source.channels, whole, hop)
        peaks = np.abs(cut).max(axis=(0, 2), initial=0.0)
        powers = [(part.astype(np.float64) ** 2).mean(axis=(0, 2)) for part in (cut, np.diff(cut))]
        found.append(np.stack([peaks, *powers]))
    peaks, *powers = np.concatenate(found, axis=1)
    levels_db, slopes_db = (powers_to_db(power + 1e-10) for power in powers)
    return _Envelope(peaks, levels_db, slopes_db)


def _onsets(levels_db: Float64Array, hop_s: float) -> NDArray[np.int64]:
    """The rises of the level, one index for each."""
    span, reach = max(round(_BEFORE_S / hop_s), 1), max(round(_PEAK_S / hop_s), 1)
    if levels_db.size <= span + 2:
        return np.zeros(0, np.int64)
    power = db_to_power(levels_db)
    sums = np.concatenate(([0.0], np.cumsum(power)))
    before = (sums[span:-2] - sums[: -span - 2]) / span
    now = (sums[span + 2 :] - sums[span:-2]) / 2
    rises = powers_to_db(now / before)
    loud = powers_to_db(now) > levels_db.max() + _AUDIBLE_DB / 2
    first = (rises >= maximum_filter1d(rises, 2 * reach + 1)) & (rises > _RISE_DB) & loud
    return np.flatnonzero(first) + span
