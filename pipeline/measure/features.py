"""Features of a render that do not depend on its level.

A segment becomes one short vector in dB-like units: tone and how it moves, image, punch and
modulation in four bands, peaks, steady lines, gaps, and the end of the spectrum. The policy decides
from it, and the critic judges from it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len, rfft
from scipy.ndimage import median_filter, uniform_filter1d

from mixagent.pipeline.decibels import (
    db_to_amplitude,
    db_to_power,
    floored_powers_to_db,
    power_to_db,
    powers_to_db,
)
from mixagent.pipeline.types import Audio, AudioSource, FloatArray

THIRDS_HZ = tuple(1000.0 * 2.0 ** (n / 3.0) for n in range(-14, 14))
"""Centres of the bands of tone, 39 Hz to 20 kHz; those from 125 Hz are also followed in time."""

OCTAVES_HZ = (63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)
PUNCH_BANDS_HZ = ((20.0, 150.0), (150.0, 800.0), (800.0, 4000.0), (4000.0, 16000.0))
WIDE_BANDS_HZ = ((20.0, 200.0), (200.0, 2000.0), (2500.0, 16000.0), (7500.0, 13000.0))
"""As multiband compressors split, and where shimmer rings; followed in time as the bands of punch are."""

MODULATION_EDGES_HZ = (0.5, 2.0, 4.0, 8.0, 16.0, 32.0, 80.0)

LEAST_S = 0.4
"""Shorter segments are padded with silence to this length."""

_FAST_BANDS_HZ = (*PUNCH_BANDS_HZ, *WIDE_BANDS_HZ)
_MOVING = slice(THIRDS_HZ.index(125.0), None)
_TONE_CORE = slice(4, 24)
_WINDOW_S, _FAST_WINDOW_S, _FINE_WINDOW_S = 0.0464, 0.0116, 0.1857
_PIECE = 1 << 16
_SLOW_S = 0.4
_FLOOR = 1e-8
_SIDE_FLOOR_DB = 40.0
_CREST_S = (0.01, 0.05, 0.4)
_NEAR_PEAK_DB = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
_CONTRAST_PERCENTILES = (2.0, 10.0, 50.0, 90.0, 98.0)
_LEVEL_PERCENTILES = (5.0, 50.0, 95.0)
_RESONANCES_HZ, _LINES_HZ, _GAPS_HZ = (150.0, 650.0), (6000.0, 14000.0), (900.0, 14000.0)
_BUMP_HZ = (90.0, 1440.0)
_PER_OCTAVE = 24
_CLIFF_HZ = 2500.0


def describe(audio: Audio) -> FloatArray:
    """The features of a segment, float32 of shape (len(FEATURE_NAMES),).

    Finite for any finite samples, silence and mono included; a change of level alone changes nothing.

    Args:
        audio: mono or stereo at any rate; a few seconds, at least `LEAST_S` to be meaningful.
    """
    analysed = _analysed(audio)
    return np.concatenate([group.measure(analysed) for group in _GROUPS]).astype(np.float32)


def describe_song(source: AudioSource, segments: int = 8, segment_s: float = 4.0) -> FloatArray:
    """Mean features of evenly spaced segments, those that are silent left out; streamed.

    Args:
        source: mono or stereo.
        segments: how many; fewer where the song is shorter than all of them.
        segment_s: length of each in seconds.
    """
    length = min(round(segment_s * source.rate), source.frames)
    count = max(min(segments, source.frames // max(length, 1)), 1)
    starts = [round((source.frames - length) * (k + 0.5) / count) for k in range(count)]
    if count > 1:
        starts = [round(k * (source.frames - length) / (count - 1)) for k in range(count)]
    parts = (Audio(source.read(start, start + length), source.rate) for start in starts)
    powers = [(float(np.mean(np.square(part.samples))) if part.frames else 0.0, part) for part in parts]
    loudest = max(power for power, _ in powers)
    described = [describe(part) for power, part in powers if power >= 1e-4 * loudest]
    return np.asarray(np.mean(described, axis=0, dtype=np.float64), np.float32)


# --- spectra ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _MidSide:
    """Powers of mid and side over time, by octave and by third octave.

    Attributes:
        mid, side: squared magnitudes by octave, (frames, octaves).
        cross: real part of the product of mid and side by octave, (frames, octaves).
        log: logarithm of each bin of mid, summed by octave, (frames, octaves).
        thirds: mid by third octave from 125 Hz, (frames, bands).
        mean_mid, mean_side: mean over time of the squared magnitudes, (bins,).
        product: mean over time of the complex product, (bins,): what side and mid have in common.
    """

    mid: FloatArray
    side: FloatArray
    cross: FloatArray
    log: FloatArray
    thirds: FloatArray
    mean_mid: FloatArray
    mean_side: FloatArray
    product: NDArray[np.complex64]

    @classmethod
    def of(cls, both: FloatArray, rate: int, scale: np.float32) -> _MidSide:
        bins = _size(rate, _WINDOW_S) // 2 + 1
        octaves = _weights(rate, bins, _octave_edges())
        thirds = _weights(rate, bins, _thirds_edges()[_MOVING.start :])
        frames, sums = [], []
        for mid, side in _spectra(both, rate, _WINDOW_S):
            power, beside, product = _squared(mid), _squared(side), mid * np.conj(side)
            for part in (power, beside, product):
                part *= scale
            log = np.log(power + np.float32(1e-12))
            cross = np.ascontiguousarray(product.real)
            frames.append((*(part @ octaves for part in (power, beside, cross, log)), power @ thirds))
            sums.append((power.sum(axis=0), beside.sum(axis=0), product.sum(axis=0)))
        over_time = [np.concatenate(parts) for parts in zip(*frames, strict=True)]
        means = [np.sum(parts, axis=0) / len(over_time[0]) for parts in zip(*sums, strict=True)]
        return cls(*over_time, *means)


@dataclass(frozen=True)
class _Analysed:
    """A segment's samples and spectra; powers are relative to the segment's mean power.

    fast holds the punch bands and the wide bands (bands, frames); fine is a spectrum of narrow bins of
    mid and side together, and fine_log its mean over time in logarithms.
    """

    rate: int
    samples: FloatArray
    spectra: _MidSide
    fast: FloatArray
    fine: FloatArray
    fine_log: FloatArray

    @cached_property
    def loud(self) -> FloatArray:
        """Magnitudes of the samples, (channels, frames)."""
        return np.abs(self.samples)

    @cached_property
    def fine_db(self) -> FloatArray:
        """Density of the fine spectrum in dB, (bins,)."""
        return _db(self.fine * self.fine.size, 1e-10)


def _analysed(audio: Audio) -> _Analysed:
    samples = audio.samples
    short = math.ceil(LEAST_S * audio.rate) - audio.frames
    if short > 0:
        samples = np.pad(samples, ((0, 0), (0, short)))
    both = np.stack([samples[0] + samples[-1], samples[0] - samples[-1]])
    mean = float(np.square(both).mean()) * 2.0
    scale = np.float32(1.0 / max(mean, 4e-20))
    fast_weights = _weights(audio.rate, _size(audio.rate, _FAST_WINDOW_S) // 2 + 1, _FAST_BANDS_HZ)
    fast = [_squared(s[0]) @ fast_weights for s in _spectra(both[:1], audio.rate, _FAST_WINDOW_S)]
    fine, log = _fine(both, audio.rate, scale)
    return _Analysed(
        rate=audio.rate,
        samples=samples,
        spectra=_MidSide.of(both, audio.rate, scale),
        fast=np.concatenate(fast).T * scale,
        fine=fine,
        fine_log=log,
    )


def _fine(both: FloatArray, rate: int, scale: np.float32) -> tuple[FloatArray, FloatArray]:
    """Mean power of mid and side together, and the mean of its logarithm, (bins,) each."""
    powers, logs, count = np.float32(0.0), np.float32(0.0), 0
    for spectra in _spectra(both, rate, _FINE_WINDOW_S):
        power = (_squared(spectra[0]) + _squared(spectra[1])) * scale
        powers = powers + power.sum(axis=0)
        logs = logs + np.log(power + np.float32(1e-12)).sum(axis=0)
        count += len(power)
    return np.asarray(powers / count), np.asarray(logs / count)


def _spectra(signals: FloatArray, rate: int, seconds: float) -> Iterator[NDArray[np.complex64]]:
    """Spectra (signals, some frames, bins) whose squares sum over the bins to a frame's mean power.

    In pieces that stay in the processor's cache: whole they would take three times as long.
    """
    size = _size(rate, seconds)
    frames = np.lib.stride_tricks.sliding_window_view(signals, size, axis=1)[:, :: size // 2]
    step = max(_PIECE // size, 1)
    for start in range(0, frames.shape[1], step):
        yield np.asarray(rfft(frames[:, start : start + step] * _window(size), axis=2))


def _size(rate: int, seconds: float) -> int:
    return int(next_fast_len(round(seconds * rate / 2), real=True)) * 2


@lru_cache
def _window(size: int) -> FloatArray:
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size)
    return np.asarray(window * (2.0 / size), np.float32)


def _squared(spectrum: NDArray[np.complex64]) -> FloatArray:
    return spectrum.real**2 + spectrum.imag**2


@lru_cache
def _weights(rate: int, bins: int, edges_hz: tuple[tuple[float, float], ...]) -> FloatArray:
    """Share of each bin in each band, (bins, bands): a bin is as wide as its spacing."""
    width = rate / 2 / (bins - 1)
    low = (np.arange(bins)[:, None] - 0.5) * width
    shares = np.minimum(low + width, [high for _, high in edges_hz])
    shares = shares - np.maximum(low, [low_hz for low_hz, _ in edges_hz])
    return np.asarray(np.clip(shares / width, 0.0, 1.0), np.float32)


@lru_cache
def _thirds_edges() -> tuple[tuple[float, float], ...]:
    return tuple((hz * 2 ** (-1 / 6), hz * 2 ** (1 / 6)) for hz in THIRDS_HZ)


@lru_cache
def _octave_edges() -> tuple[tuple[float, float], ...]:
    return tuple((hz * 2**-0.5, hz * 2**0.5) for hz in OCTAVES_HZ)


@lru_cache
def _step_weights(
    rate: int, bins: int, hz: tuple[float, float], per_octave: int
) -> tuple[slice, FloatArray, FloatArray]:
    """The bins from `hz` to `hz`, their shares in logarithmic steps (bins, steps), and their sums."""
    count = round(per_octave * math.log2(hz[1] / hz[0]))
    edges = hz[0] * 2 ** (np.arange(count + 1) / per_octave)
    weights = _weights(rate, bins, tuple(itertools.pairwise(edges.tolist())))
    inside = np.flatnonzero(weights.any(axis=1))
    used = slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0)
    return used, weights[used].copy(), np.maximum(weights.sum(axis=0), 1e-3)


def _db(power: NDArray[np.floating] | float, floor: float = _FLOOR) -> FloatArray:
    return floored_powers_to_db(power, floor)


def percentiles(values: FloatArray, percents: Sequence[float]) -> FloatArray:
    """Percentiles over the last axis, linear between two ranks, shape (percents, …).

    What `np.percentile` gives, in a fifth of its time for the few hundred frames of a segment.
    """
    ranked = np.sort(values, axis=-1)
    places = np.asarray(percents) / 100.0 * (ranked.shape[-1] - 1)
    below = places.astype(np.intp)
    low, high = ranked[..., below], ranked[..., np.minimum(below + 1, ranked.shape[-1] - 1)]
    return np.moveaxis(low + (high - low) * (places - below).astype(np.float32), -1, 0)


# --- groups ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """Some features that one function measures, and their names in its order."""

    names: tuple[str, ...]
    measure: Callable[[_Analysed], FloatArray]


def _tone(analysed: _Analysed) -> FloatArray:
    """Long-term third octaves of mid and side together, against the mean of 98 Hz to 8 kHz."""
    level_db = _db(analysed.fine @ _weights(analysed.rate, analysed.fine.size, _thirds_edges()))
    return np.asarray(level_db - level_db[_TONE_CORE].mean())


def _movement(analysed: _Analysed) -> FloatArray:
    """10th and 90th percentile over time of mid's third octaves, against their mean power."""
    thirds = analysed.spectra.thirds
    mean_db = _db(thirds.mean(axis=0))
    low, high = percentiles(_db(thirds).T, (10.0, 90.0))
    return np.concatenate([low - mean_db, high - mean_db])


def _width(analysed: _Analysed) -> FloatArray:
    """Side to mid by octave: in all, and the 10th and 90th percentile over time; then coherence."""
    spectra, weights = (
        analysed.spectra,
        _weights(analysed.rate, analysed.spectra.product.size, _octave_edges()),
    )
    mid, side = spectra.mid, spectra.side
    over_time = percentiles(_ratio_db(side, mid).T, (10.0, 90.0))
    apart = np.sqrt(spectra.mean_mid * spectra.mean_side) @ weights
    in_phase = np.abs(spectra.product) @ weights / (apart + _FLOOR)
    whole = _ratio_db(side.mean(axis=0), mid.mean(axis=0))
    return np.concatenate([whole, *over_time, 20.0 * in_phase])


def _lean(analysed: _Analysed) -> FloatArray:
    """Right against left by octave, its spread over time by octave, and that of the whole."""
    both, cross = analysed.spectra.mid + analysed.spectra.side, analysed.spectra.cross
    over_time = _lean_db(both, cross)
    weight = both / (both.sum(axis=0) + _FLOOR)
    mean = (over_time * weight).sum(axis=0)
    spread = np.sqrt(np.maximum((np.square(over_time - mean) * weight).sum(axis=0), 0.0))
    total = _lean_db(both.sum(), cross.sum())
    leans = _lean_db(both.sum(axis=0), cross.sum(axis=0))
    apart = np.abs(leans[:-1] - total)
    figures = [total, np.abs(total), apart.mean(), apart.max(), np.abs(np.diff(leans[:-1])).mean()]
    return np.concatenate([leans, spread, figures])


def _correlation(analysed: _Analysed) -> FloatArray:
    """Correlation of left and right, −20 to 20."""
    mid, side = float(analysed.spectra.mean_mid.mean()), float(analysed.spectra.mean_side.mean())
    both, lean = mid + side, 2.0 * float(analysed.spectra.product.real.mean())
    powers = math.sqrt(max(both * both - lean * lean, 0.0))
    return np.array([20.0 * (mid - side) / powers if powers > 1e-9 else 20.0], np.float32)


def _punch(analysed: _Analysed) -> FloatArray:
    """Percentiles over time of fast over slow level, by band."""
    slow = uniform_filter1d(analysed.fast, round(2 * _SLOW_S / _FAST_WINDOW_S), axis=1, mode="nearest")
    contrast = _db((analysed.fast + _FLOOR) / (slow + _FLOOR), 1e-6)
    return percentiles(contrast, _CONTRAST_PERCENTILES).T.ravel()


def _dynamics(analysed: _Analysed) -> FloatArray:
    """Percentiles over time of the fast level over its mean power, by band."""
    level_db = _db(analysed.fast / (analysed.fast.mean(axis=1, keepdims=True) + _FLOOR), 1e-6)
    return percentiles(level_db, _LEVEL_PERCENTILES).T.ravel()


def _modulation(analysed: _Analysed) -> FloatArray:
    """The modulation of the level in dB at each rate, in four bands: dB of dB²."""
    level_db = _db(analysed.fast, 1e-6)
    level_db -= level_db.mean(axis=1, keepdims=True)
    window = np.hanning(level_db.shape[1]).astype(np.float32)
    moves = _squared(rfft(level_db * window, axis=1)) / np.float32(max(np.square(window).sum(), 1.0))
    rate_hz = np.fft.rfftfreq(level_db.shape[1], _FAST_WINDOW_S / 2)
    return np.concatenate(
        [
            _db(moves[:, (rate_hz >= low) & (rate_hz < high)].sum(axis=1) / level_db.shape[1], 1e-3)
            for low, high in itertools.pairwise(MODULATION_EDGES_HZ)
        ]
    )


def _crest(analysed: _Analysed) -> FloatArray:
    """Peak over RMS within windows of three lengths (10th, 50th, 90th percentile), then of all."""
    loud = analysed.loud
    step = round(_CREST_S[0] * analysed.rate)
    count = loud.shape[1] // step
    pieces = loud[:, : count * step].reshape(loud.shape[0], count, step)
    peak, power = pieces.max(axis=2), np.einsum("cki,cki->ck", pieces, pieces) / np.float32(step)
    values = [_crests(peak, power, round(seconds / _CREST_S[0])) for seconds in _CREST_S]
    return np.concatenate([*values, _crests(peak, power, count)[:1]])


def _crests(peak: FloatArray, power: FloatArray, width: int) -> FloatArray:
    count = max(peak.shape[1] // width, 1)
    peaks = peak[:, : count * width].reshape(peak.shape[0], count, -1).max(axis=2)
    powers = power[:, : count * width].reshape(peak.shape[0], count, -1).mean(axis=2)
    audible = powers > 1e-4 * powers.max() + 1e-20
    if not audible.any():
        return np.zeros(3, np.float32)
    crest_db = _db(np.square(peaks[audible]) / powers[audible])
    return percentiles(crest_db, (10.0, 50.0, 90.0))


def _near_peak(analysed: _Analysed) -> FloatArray:
    """Share of samples within some dB of the highest, in dB."""
    peak = float(analysed.loud.max(initial=0.0))
    if peak <= 0.0:
        return np.full(len(_NEAR_PEAK_DB), -60.0, np.float32)
    near = analysed.loud[analysed.loud >= peak * db_to_amplitude(-_NEAR_PEAK_DB[-1])]
    counts = [np.count_nonzero(near >= peak * db_to_amplitude(-db)) for db in _NEAR_PEAK_DB]
    return _db(np.array(counts) / analysed.loud.size, 1e-6)


def _lines(analysed: _Analysed) -> FloatArray:
    """The highest steady lines of 6 to 14 kHz over the median around them, and their number over 6 dB."""
    inside = analysed.fine_db[_range(analysed, _LINES_HZ)]
    if inside.size < 64:
        return np.zeros(5, np.float32)
    reach = round(600.0 * inside.size / (_LINES_HZ[1] - _LINES_HZ[0])) | 1
    standing = np.sort(inside - median_filter(inside, reach, mode="nearest"))[::-1]
    top = [standing[0], standing[3], standing[11], standing[31]]
    return np.array([*top, power_to_db(1.0 + np.count_nonzero(standing > 6.0))], np.float32)


def _range(analysed: _Analysed, hz: tuple[float, float]) -> slice:
    scale = 2.0 * (analysed.fine.size - 1) / analysed.rate
    return slice(round(hz[0] * scale), round(hz[1] * scale))


def _resonances(analysed: _Analysed) -> FloatArray:
    """The dB by which 1/24 octaves of 150 to 650 Hz stand over their surroundings: the highest ones."""
    level_db = _log_spectrum(analysed, *_RESONANCES_HZ)
    standing = np.sort(level_db - median_filter(level_db, _PER_OCTAVE | 1, mode="nearest"))[::-1]
    return np.array([standing[0], standing[2], standing[5], standing[11], -standing[-1]], np.float32)


def _bump(analysed: _Analysed) -> FloatArray:
    """Geometric mean over time of 1/12 octaves of 90 Hz to 1.4 kHz, which notes hardly move."""
    inside, weights, width = _step_weights(analysed.rate, analysed.fine.size, _BUMP_HZ, 12)
    level = analysed.fine_log[inside] @ weights / width
    level_db = level * np.float32(10 / math.log(10))
    return np.asarray(level_db - level_db.mean())


def _gaps(analysed: _Analysed) -> FloatArray:
    """Depth of the deepest static gaps, each against the lower of its shoulders."""
    level_db = _log_spectrum(analysed, *_GAPS_HZ)
    inner, outer = _PER_OCTAVE // 4, _PER_OCTAVE // 2
    mean = uniform_filter1d(level_db, outer - inner + 1)
    middle = uniform_filter1d(level_db, 3)[outer:-outer]
    offset = (inner + outer) // 2
    shoulder = np.minimum(mean[outer - offset : -outer - offset], mean[outer + offset :][: middle.size])
    depth = np.maximum(shoulder - middle, 0.0)
    found = []
    for _ in range(4):
        k = int(np.argmax(depth))
        found.append(depth[k])
        depth[max(k - outer, 0) : k + outer + 1] = 0.0
    return np.array(found, np.float32)


def _log_spectrum(analysed: _Analysed, low_hz: float, high_hz: float) -> FloatArray:
    """The fine spectrum's density in dB in steps of 1/24 octave; flat above half the rate."""
    inside, weights, width = _step_weights(analysed.rate, analysed.fine.size, (low_hz, high_hz), _PER_OCTAVE)
    return _db(analysed.fine[inside] @ weights * analysed.fine.size / width, 1e-10)


def _cut_off(analysed: _Analysed) -> FloatArray:
    """Octaves from 16 kHz to where the spectrum ends for good, and the fall there in dB."""
    nyquist = analysed.rate / 2
    level_db = _log_spectrum(analysed, _CLIFF_HZ, 0.97 * nyquist)
    above = np.maximum.accumulate(level_db[::-1])[::-1]
    before = uniform_filter1d(level_db, 6, origin=2)
    fall = before[6:-5] - above[11:]
    k = int(np.argmax(fall))
    cliff = min(float(fall[k]), 60.0)
    end_hz = _CLIFF_HZ * 2 ** ((k + 7) / _PER_OCTAVE) if cliff > 15.0 else nyquist
    return np.array([10.0 * min(math.log2(end_hz / 16000.0), 0.0), cliff], np.float32)


def _flatness(analysed: _Analysed) -> FloatArray:
    """Geometric over arithmetic mean of a frame's bins, by octave, in dB."""
    spectra, top = analysed.spectra, slice(3, None)
    weights = _weights(analysed.rate, spectra.product.size, _octave_edges())[:, top]
    width = np.maximum(weights.sum(axis=0), 1e-3)
    geometric = spectra.log[:, top] / width
    arithmetic = np.log(spectra.mid[:, top] / width + np.float32(1e-12))
    return np.asarray((geometric - arithmetic).mean(axis=0) * (10 / math.log(10)), np.float32)


def _blinks(analysed: _Analysed) -> FloatArray:
    """Share of frames in which a third octave from 1 kHz falls 14 dB under its neighbours, in dB."""
    level_db = _db(analysed.spectra.thirds[:, 9:], 1e-9)
    beside = np.minimum(level_db[:, :-2], level_db[:, 2:])
    share = (beside - level_db[:, 1:-1] > 14.0).mean(axis=0)
    quarters = np.array_split(share, 4)
    return _db(np.array([quarter.mean() for quarter in quarters]), 1e-3)


def _ratio_db(over: FloatArray, under: FloatArray) -> FloatArray:
    least = np.float32(db_to_power(-_SIDE_FLOOR_DB))
    return np.clip(_db((over + least * under + 1e-9) / (under + 1e-9)), -_SIDE_FLOOR_DB, 20.0)


def _lean_db(both: FloatArray, cross: FloatArray) -> FloatArray:
    """Right over left, from |mid|² + |side|² and the product of mid and side."""
    right, left = both - 2 * cross, both + 2 * cross
    floor = np.float32(1e-2) * both + np.float32(1e-9)
    return np.asarray(
        powers_to_db((np.maximum(right, 0) + floor) / (np.maximum(left, 0) + floor)), np.float32
    )


def _named(what: str, *parts: object) -> tuple[str, ...]:
    return tuple(f"{what}_{part}" for part in parts)


def _hz(values: tuple[float, ...]) -> list[str]:
    return [f"{value:.0f}hz" for value in values]


def _bands() -> list[str]:
    return [f"{low:.0f}-{high:.0f}hz" for low, high in _FAST_BANDS_HZ]


_RATES = list(itertools.pairwise(MODULATION_EDGES_HZ))
_GROUPS = (
    _Group(_named("tone", *_hz(THIRDS_HZ)), _tone),
    _Group((*_named("low", *_hz(THIRDS_HZ[_MOVING])), *_named("high", *_hz(THIRDS_HZ[_MOVING]))), _movement),
    _Group(
        tuple(
            name
            for what in ("width", "width_low", "width_high", "coherence")
            for name in _named(what, *_hz(OCTAVES_HZ))
        ),
        _width,
    ),
    _Group(
        (
            *_named("lean", *_hz(OCTAVES_HZ)),
            *_named("lean_spread", *_hz(OCTAVES_HZ)),
            "lean",
            "lean_abs",
            "lean_apart",
            "lean_most",
            "lean_steps",
        ),
        _lean,
    ),
    _Group(("correlation",), _correlation),
    _Group(
        tuple(f"punch_{band}_p{p:.0f}" for band in _bands() for p in _CONTRAST_PERCENTILES),
        _punch,
    ),
    _Group(
        tuple(f"level_{band}_p{p:.0f}" for band in _bands() for p in _LEVEL_PERCENTILES),
        _dynamics,
    ),
    _Group(
        tuple(f"modulation_{low:g}-{high:g}hz_{band}" for low, high in _RATES for band in _bands()),
        _modulation,
    ),
    _Group(
        (*(f"crest_{1000 * s:.0f}ms_p{p}" for s in _CREST_S for p in (10, 50, 90)), "crest"),
        _crest,
    ),
    _Group(_named("near_peak", *(f"{db:g}db" for db in _NEAR_PEAK_DB)), _near_peak),
    _Group((*_named("line", 1, 4, 12, 32), "line_count"), _lines),
    _Group((*_named("resonance", 1, 3, 6, 12), "resonance_dip"), _resonances),
    _Group(_named("bump", *range(48)), _bump),
    _Group(_named("gap", 1, 2, 3, 4), _gaps),
    _Group(("cut_off", "cliff"), _cut_off),
    _Group(_named("flatness", *_hz(OCTAVES_HZ[3:])), _flatness),
    _Group(_named("blinks", 1, 2, 3, 4), _blinks),
)

FEATURE_NAMES: tuple[str, ...] = tuple(name for group in _GROUPS for name in group.names)
"""The features' names, in order."""
