"""The diagnosis's measures of a song beyond its `Analysis`, in one streaming pass.

Everything is measured after the song is brought to one loudness, so no figure depends on its level.
Memory is two small tables a second of song (10 ms peaks, and a low-frequency spectrum each 0.75 s)
beside fixed histograms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_amplitude, db_to_power, powers_to_db
from mixagent.pipeline.dsp.cascade import Butterworth
from mixagent.pipeline.dsp.spectral import ComplexArray
from mixagent.pipeline.measure.blinks import BlinkListener
from mixagent.pipeline.measure.clicks import find_clicks
from mixagent.pipeline.measure.meters import EnergyMeter
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, blocks

REFERENCE_LUFS = -20.0
FLOOR_DB = -110.0
"""Levels under this, for a song at the reference loudness, count as nothing."""

BAND_EDGES_HZ = np.geomspace(62.5, 16000.0, 25)
"""Edges of the 24 third-octave bands whose levels are followed in time."""

IMAGE_EDGES_HZ = (60.0, 200.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 14000.0)
"""Edges of the bands in which the stereo image is compared."""

WIDTH_LOWEST_DB = -60
WIDTHS_DB = np.arange(WIDTH_LOWEST_DB, 31) * 1.0
"""Side against mid, the centres of the histogram of widths."""

LEANS_DB = np.arange(-40, 41) * 0.5
"""Centres of the histogram of leans."""

CREST_HZ: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "bass": (60.0, 200.0),
        "low_mid": (200.0, 500.0),
        "mid": (500.0, 2000.0),
        "presence": (2000.0, 6000.0),
        "air": (6000.0, 16000.0),
    }
)
"""The bands in which peaks are held against what surrounds them."""

_LEAN_HZ = (60.0, 8000.0)
_IN_PHASE = 0.9
_DUCKING_HZ = (50.0, 150.0, 500.0, 8000.0)
_DUCKING_FRAMES = 4
_LEAST_RISE_DB = 3.0
_LOW_LIMIT_HZ = 1000.0
# Frames whose spectra stay in a processor's caches.
_AT_ONCE = 32
_HISTOGRAM_STEP_DB = 0.5
_HISTOGRAM_BINS = 300
_QUIET_DB = -65.0
_BLINK_DB = -14.0
_CREST_FLOOR = db_to_power(FLOOR_DB)


@dataclass(frozen=True)
class Fingerprint:
    """Measured figures of a song at −20 LUFS.

    Attributes:
        bin_hz: width of a bin of the three spectra that follow, which have one value a bin.
        left_power, right_power: mean power per bin.
        cross_power: mean real cross power of left and right per bin.
        log_power_db: mean over time of the level in dB of left plus right, per bin.
        low_bin_hz: width of a bin of `low_power`.
        low_power: mean power (left plus right) per fine bin, up to 1 kHz.
        low_steady_power: the power that a fine bin holds in 80 % of the song.
        band_histogram: per band of `BAND_EDGES_HZ`, counts of frame levels in steps of 0.5 dB from
            `FLOOR_DB`.
        band_flatness_db: geometric over arithmetic mean of a frame's bins in a band, averaged.
        band_blink_share: share of frames in which a band falls 14 dB under its neighbours.
        band_flux_db: mean absolute change of a band's level from one frame to the next.
        lean_histogram: per lean (right against left, `LEANS_DB`), the amplitude of all frames' bins from
            60 Hz to 8 kHz that have this lean and are in phase: where the sources stand.
        width_histogram: per band of `IMAGE_EDGES_HZ`, counts of frames by side against mid (`WIDTHS_DB`).
        ducking_db: how far the mids and highs go down within 70 ms where the lows rise, mean over the rises.
        window_peak: highest magnitude of each 10 ms.
        window_power: mean power of each 10 ms, the louder channel.
        top_share: share of samples within 1 dB of the peak of their 50 ms, mean over the loud ones.
        flat_share: share of samples in runs of 3 and more that stand still at such a peak.
        band_crest_db: per band of `CREST_HZ`, the loudest 5 ms of each 400 ms over their mean power, the
            median over the louder half of the song.
        away_share: per band of a sixth of an octave, share of the time for which it blinks off; `away_hz`
            are the edges of these bands.
        click_s, dropout_s: when lone jumps and sudden silences happen, in seconds; the first 0.32 s and
            up to 1.3 s at the end are not searched.
    """

    bin_hz: float
    left_power: Float64Array
    right_power: Float64Array
    cross_power: Float64Array
    log_power_db: Float64Array
    low_bin_hz: float
    low_power: Float64Array
    low_steady_power: Float64Array
    band_histogram: NDArray[np.int64]
    band_flatness_db: Float64Array
    band_blink_share: Float64Array
    band_flux_db: Float64Array
    lean_histogram: Float64Array
    width_histogram: NDArray[np.int64]
    ducking_db: float
    window_peak: Float64Array
    window_power: Float64Array
    top_share: float
    flat_share: float
    band_crest_db: Float64Array
    away_hz: Float64Array
    away_share: Float64Array
    click_s: tuple[float, ...]
    dropout_s: tuple[float, ...]

    def band_percentile_db(self, share: float) -> Float64Array:
        """Level that each band's frames stay under for `share` (0..1) of the time, shape (24,)."""
        cumulated = np.cumsum(self.band_histogram, axis=1)
        wanted = share * np.maximum(cumulated[:, -1:], 1)
        return np.asarray(FLOOR_DB + _HISTOGRAM_STEP_DB * (np.sum(cumulated < wanted, axis=1) + 0.5))


def fingerprint(source: AudioSource, integrated_lufs: float) -> Fingerprint:
    """The fingerprint of a source whose loudness is known; mono is read as two equal channels.

    Raises:
        ValueError: a source without loudness (silence).
    """
    if not math.isfinite(integrated_lufs):
        raise ValueError("silence has no fingerprint")
    gain = np.float32(db_to_amplitude(REFERENCE_LUFS - integrated_lufs))
    size = 1 << max(round(math.log2(0.0464 * source.rate)), 8)
    frames = _Frames(source.rate, size)
    low = _LowSpectrum(source.rate, size * 16)
    shape = _Shape(source.rate)
    crests = [_BandCrest(source.rate, low_hz, high_hz) for low_hz, high_hz in CREST_HZ.values()]
    glitches = _Glitches(source.rate)
    bands = BlinkListener(source.rate, 2)
    for block in blocks(source):
        stereo = gain * (block if block.shape[0] == 2 else np.repeat(block[:1], 2, axis=0))
        frames.update(stereo)
        low.update(stereo)
        shape.update(stereo)
        for crest in crests:
            crest.update(stereo)
        glitches.update(stereo)
        bands.process(stereo)
    blinks = bands.blinks()
    left, right, cross, log_power_db = frames.spectra()
    low_power, low_steady_power = low.spectra()
    return Fingerprint(
        bin_hz=source.rate / size,
        left_power=left,
        right_power=right,
        cross_power=cross,
        log_power_db=log_power_db,
        low_bin_hz=source.rate / (size * 16),
        low_power=low_power,
        low_steady_power=low_steady_power,
        band_histogram=frames.histogram,
        band_flatness_db=frames.mean_of(frames.flatness),
        band_blink_share=frames.mean_of(frames.blinks),
        band_flux_db=frames.mean_of(frames.flux),
        lean_histogram=frames.leans,
        width_histogram=frames.widths,
        ducking_db=frames.ducking_db(),
        window_peak=shape.peaks(),
        window_power=shape.powers(),
        top_share=shape.top_share(),
        flat_share=shape.flat_share(),
        band_crest_db=np.array([crest.crest_db() for crest in crests]),
        away_hz=blinks.edges_hz,
        away_share=blinks.away_share,
        click_s=tuple(_apart(glitches.click_s)),
        dropout_s=tuple(_apart(glitches.dropout_s)),
    )


class _Cutter:
    """Cuts a stream into pieces of `size` frames every `hop`, whatever the blocks."""

    def __init__(self, size: int, hop: int) -> None:
        self._size, self._hop = size, hop
        self._rest = np.zeros((2, 0), np.float32)

    def pieces(self, block: FloatArray) -> NDArray[np.float32] | None:
        """Whole pieces, shape (2, pieces, size), or None."""
        joined = np.concatenate([self._rest, block], axis=1)
        count = (joined.shape[1] - self._size) // self._hop + 1
        if count <= 0:
            self._rest = joined
            return None
        self._rest = joined[:, count * self._hop :].copy()
        view = np.lib.stride_tricks.sliding_window_view(joined, self._size, axis=1)
        return view[:, :: self._hop][:, :count]


class _Frames:
    """Spectra of short frames: long-term means, and how bands move in time."""

    def __init__(self, rate: int, size: int) -> None:
        self._cutter = _Cutter(size, size // 2)
        window = np.hanning(size + 1)[:-1]
        self._window = (window * math.sqrt(2 / np.sum(window**2) / size)).astype(np.float32)
        bins, bands = size // 2 + 1, len(BAND_EDGES_HZ) - 1
        hz = np.arange(bins) * rate / size
        self._edges = np.searchsorted(hz, BAND_EDGES_HZ).astype(np.int64)
        self._sums = np.zeros((4, bins))
        self.histogram = np.zeros((bands, _HISTOGRAM_BINS), np.int64)
        self.flatness, self.blinks, self.flux = np.zeros(bands), np.zeros(bands), np.zeros(bands)
        self.leans = np.zeros(len(LEANS_DB))
        self._lean_bins = np.searchsorted(hz, _LEAN_HZ).astype(np.int64)
        self.widths = np.zeros((len(IMAGE_EDGES_HZ) - 1, len(WIDTHS_DB)), np.int64)
        self._image_bins = np.searchsorted(hz, IMAGE_EDGES_HZ).astype(np.int64)
        self._ducking_bins = np.searchsorted(hz, _DUCKING_HZ).astype(np.int64)
        self._recent_db = np.full((_DUCKING_FRAMES + 2, 2), np.nan)
        self._ducked = np.zeros(2)
        self._last_db = np.full(bands, np.nan)
        self._counts = np.zeros(2, np.int64)

    def update(self, block: FloatArray) -> None:
        pieces = self._cutter.pieces(block)
        if pieces is None:
            return
        for first in range(0, pieces.shape[1], _AT_ONCE):
            self._add(scipy.fft.rfft(pieces[:, first : first + _AT_ONCE] * self._window, axis=-1))

    def _add(self, spectrum: ComplexArray) -> None:
        left, right = spectrum
        _add_frames(
            left,
            right,
            self._edges,
            self._sums,
            self.histogram,
            self.flatness,
            self.blinks,
            self.flux,
            self._last_db,
            self._counts,
        )
        _add_leans(left, right, self._lean_bins, self.leans)
        _add_widths(left, right, self._image_bins, self.widths)
        _add_ducking(left, right, self._ducking_bins, self._recent_db, self._ducked)

    def spectra(self) -> Iterator[Float64Array]:
        sums = self._sums / max(int(self._counts[0]), 1)
        return iter(sums)

    def ducking_db(self) -> float:
        return float(-self._ducked[0] / self._ducked[1]) if self._ducked[1] else 0.0

    def mean_of(self, sums: Float64Array) -> Float64Array:
        return sums / max(int(self._counts[1]), 1)


@njit(cache=True, nogil=True)
def _add_frames(left, right, edges, sums, histogram, flatness, blinks, flux, last_db, counts):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    bands, bins = histogram.shape[0], left.shape[1]
    level_db = np.empty(bands)
    log_db = np.empty(bins)
    both = np.empty(bins)
    for frame in range(left.shape[0]):
        for k in range(bins):
            a, b = left[frame, k], right[frame, k]
            power_l = a.real * a.real + a.imag * a.imag
            power_r = b.real * b.real + b.imag * b.imag
            both[k] = power_l + power_r
            log_db[k] = 10.0 * math.log10(both[k] + 1e-13)
            sums[0, k] += power_l
            sums[1, k] += power_r
            sums[2, k] += a.real * b.real + a.imag * b.imag
            sums[3, k] += log_db[k]
        counts[0] += 1
        loud = 0.0
        for band in range(bands):
            low, high = edges[band], max(edges[band + 1], edges[band] + 1)
            high = min(high, bins)
            total, logs = 0.0, 0.0
            for k in range(low, high):
                total += both[k]
                logs += log_db[k]
            width = max(high - low, 1)
            level_db[band] = 10.0 * math.log10(total + 1e-11)
            loud += total
            place = int((level_db[band] - FLOOR_DB) / _HISTOGRAM_STEP_DB)
            histogram[band, min(max(place, 0), _HISTOGRAM_BINS - 1)] += 1
            log_db[band] = logs / width - 10.0 * math.log10(total / width + 1e-13)
        if 10.0 * math.log10(loud + 1e-11) < _QUIET_DB:
            continue
        counts[1] += 1
        for band in range(bands):
            flatness[band] += log_db[band]
            if not math.isnan(last_db[band]):
                flux[band] += abs(level_db[band] - last_db[band])
            last_db[band] = level_db[band]
            if 0 < band < bands - 1:
                around = 0.5 * (level_db[band - 1] + level_db[band + 1])
                if level_db[band] < around + _BLINK_DB:
                    blinks[band] += 1.0


@njit(cache=True, nogil=True)
def _add_leans(left, right, limits, leans):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Add each bin's amplitude at its lean where left and right are nearly in phase."""
    middle = len(leans) // 2
    for frame in range(left.shape[0]):
        for k in range(limits[0], min(limits[1], left.shape[1])):
            a, b = left[frame, k], right[frame, k]
            power_l = a.real * a.real + a.imag * a.imag
            power_r = b.real * b.real + b.imag * b.imag
            geometric = math.sqrt(power_l * power_r)
            if geometric < 1e-9 or a.real * b.real + a.imag * b.imag < _IN_PHASE * geometric:
                continue
            place = middle + round(20.0 * math.log10(power_r / power_l))
            if 0 <= place < len(leans):
                leans[place] += math.sqrt(power_l + power_r)


@njit(cache=True, nogil=True)
def _add_widths(left, right, edges, widths):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Count each frame's side against mid, band by band, where the band sounds."""
    for frame in range(left.shape[0]):
        for band in range(widths.shape[0]):
            both, cross = 0.0, 0.0
            for k in range(min(edges[band], left.shape[1]), min(edges[band + 1], left.shape[1])):
                a, b = left[frame, k], right[frame, k]
                both += a.real * a.real + a.imag * a.imag + b.real * b.real + b.imag * b.imag
                cross += 2.0 * (a.real * b.real + a.imag * b.imag)
            if both < 1e-7:
                continue
            floor = 1e-6 * both
            width_db = 10.0 * math.log10((max(both - cross, 0.0) + floor) / (max(both + cross, 0.0) + floor))
            place = round(width_db - WIDTH_LOWEST_DB)
            widths[band, min(max(place, 0), widths.shape[1] - 1)] += 1


@njit(cache=True, nogil=True)
def _add_ducking(left, right, edges, recent_db, sums):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Add by how much the mids and highs change over what follows a rise of the lows, weighed by the rise.

    `recent_db` holds the levels of lows and of mids and highs in the last frames, the oldest first; the rise
    is that from the first to the second of them.
    """
    count = len(recent_db)
    for frame in range(left.shape[0]):
        for k in range(count - 1):
            recent_db[k] = recent_db[k + 1]
        for part in range(2):
            power = 0.0
            for k in range(edges[2 * part], min(edges[2 * part + 1], left.shape[1])):
                a, b = left[frame, k], right[frame, k]
                power += a.real * a.real + a.imag * a.imag + b.real * b.real + b.imag * b.imag
            recent_db[count - 1, part] = 10.0 * math.log10(power + 1e-8)
        rise = recent_db[1, 0] - recent_db[0, 0]
        if rise > _LEAST_RISE_DB:
            lowest = recent_db[2, 1]
            for k in range(3, count):
                lowest = min(lowest, recent_db[k, 1])
            sums[0] += rise * (lowest - recent_db[0, 1])
            sums[1] += rise


class _LowSpectrum:
    """Fine spectra under 1 kHz of pieces that do not overlap."""

    def __init__(self, rate: int, size: int) -> None:
        self._cutter = _Cutter(size, size)
        window = np.hanning(size + 1)[:-1]
        self._window = (window * math.sqrt(2 / np.sum(window**2) / size)).astype(np.float32)
        self._bins = int(_LOW_LIMIT_HZ * size / rate) + 1
        self._powers: list[NDArray[np.float32]] = []

    def update(self, block: FloatArray) -> None:
        pieces = self._cutter.pieces(block)
        if pieces is None:
            return
        spectrum = scipy.fft.rfft(pieces * self._window, axis=-1)[..., : self._bins]
        self._powers.append(np.sum(spectrum.real**2 + spectrum.imag**2, axis=0))

    def spectra(self) -> tuple[Float64Array, Float64Array]:
        if not self._powers:
            return np.zeros(self._bins), np.zeros(self._bins)
        powers = np.concatenate(self._powers).astype(np.float64)
        return powers.mean(axis=0), np.percentile(powers, 20, axis=0)


class _Shape:
    """The wave's shape: peaks against power in short windows."""

    def __init__(self, rate: int) -> None:
        self._hop = max(rate // 100, 8)
        self._cutter = _Cutter(self._hop * 100, self._hop * 100)
        self._peaks: list[Float64Array] = []
        self._powers: list[Float64Array] = []
        self._tops: list[Float64Array] = []
        self._flat = 0
        self._position = 0

    def update(self, block: FloatArray) -> None:
        pieces = self._cutter.pieces(block)
        if pieces is None:
            return
        for k in range(pieces.shape[1]):
            self._add(np.ascontiguousarray(pieces[:, k]))

    def _add(self, second: FloatArray) -> None:
        peaks, powers, tops, flat = _measure_shape(second, self._hop)
        self._peaks.append(peaks)
        self._powers.append(powers)
        self._tops.append(tops)
        self._flat += flat
        self._position += second.shape[1]

    def peaks(self) -> Float64Array:
        return np.concatenate([np.zeros(0), *self._peaks])

    def powers(self) -> Float64Array:
        return np.concatenate([np.zeros(0), *self._powers])

    def top_share(self) -> float:
        tops = np.concatenate([np.zeros(0), *self._tops])
        return float(np.mean(tops[tops > 0])) if np.any(tops > 0) else 0.0

    def flat_share(self) -> float:
        return self._flat / max(self._position, 1)


class _BandCrest:
    """Peaks over power in one band: energies of 5 ms behind a second-order high-pass and low-pass."""

    _STEP_S, _WINDOW_STEPS = 0.005, 80

    def __init__(self, rate: int, low_hz: float, high_hz: float) -> None:
        self._there = low_hz < 0.4 * rate
        above = Butterworth.at(min(low_hz, 0.4 * rate), rate).high
        below = Butterworth.at(min(high_hz, 0.45 * rate), rate).low
        sections = np.stack([above, below])
        self._meter = EnergyMeter(sections, max(round(self._STEP_S * rate), 1), (1.0, 1.0))

    def update(self, block: FloatArray) -> None:
        if self._there:
            self._meter.update(np.ascontiguousarray(block))

    def crest_db(self) -> float:
        energies = self._meter.energies
        count = len(energies) // self._WINDOW_STEPS
        if not count:
            return 0.0
        windows = energies[: count * self._WINDOW_STEPS].reshape(count, self._WINDOW_STEPS)
        power = windows.mean(axis=1)
        loud = (power >= np.median(power)) & (power > _CREST_FLOOR)
        if not loud.any():
            return 0.0
        return float(np.median(powers_to_db(windows[loud].max(axis=1) / power[loud])))


class _Glitches:
    """Clicks and dropouts, searched second by second with what lies around each second."""

    def __init__(self, rate: int) -> None:
        self._rate, self._margin = rate, round(0.32 * rate)
        self._cutter = _Cutter(rate + 2 * self._margin, rate)
        self._second = 0
        self.click_s: list[float] = []
        self.dropout_s: list[float] = []

    def update(self, block: FloatArray) -> None:
        pieces = self._cutter.pieces(block)
        if pieces is None:
            return
        for k in range(pieces.shape[1]):
            piece = np.ascontiguousarray(pieces[:, k])
            clicks = np.unique(find_clicks(piece, self._margin, self._rate)[:, 1])
            dropouts = _find_dropouts(piece, self._margin, self._rate)
            self.click_s += [self._second + int(n) / self._rate for n in clicks]
            self.dropout_s += [self._second + int(n) / self._rate for n in dropouts]
            self._second += 1


def _apart(times: list[float], gap_s: float = 0.05) -> Iterator[float]:
    if times:
        yield times[0]
    for before, time in itertools.pairwise(times):
        if time - before > gap_s:
            yield time


@njit(cache=True, nogil=True)
def _measure_shape(samples, hop):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Per 10 ms peak and power, per 50 ms the share near the peak, and samples on flat tops."""
    count = samples.shape[1] // hop
    peaks, powers = np.zeros(count), np.zeros(count)
    tops = np.zeros(count // 5)
    flat = 0
    for window in range(count):
        start = window * hop
        for channel in range(2):
            power, peak = 0.0, 0.0
            for n in range(start, start + hop):
                x = samples[channel, n]
                power += x * x
                peak = max(peak, abs(x))
            peaks[window] = max(peaks[window], peak)
            powers[window] = max(powers[window], power / hop)
    for piece in range(count // 5):
        peak = peaks[5 * piece : 5 * piece + 5].max()
        if peak < 0.03:
            continue
        near = 0
        for channel in range(2):
            run = 1
            for n in range(5 * piece * hop + 1, (5 * piece + 5) * hop):
                x = samples[channel, n]
                if abs(x) > 0.9 * peak and abs(x - samples[channel, n - 1]) < 1e-5 * peak:
                    run += 1
                    flat += 3 if run == 3 else int(run > 3)
                else:
                    run = 1
        for n in range(5 * piece * hop, (5 * piece + 5) * hop):
            if max(abs(samples[0, n]), abs(samples[1, n])) > 0.8913 * peak:
                near += 1
        tops[piece] = near / (5 * hop)
    return peaks, powers, tops, flat


@njit(cache=True, nogil=True)
def _find_dropouts(samples, margin, rate):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Find 3 to 300 ms of digital silence inside loud music, by the silence's end."""
    found = np.zeros(samples.shape[1], np.bool_)
    reach, quiet = rate // 200, 0
    for n in range(margin + rate):
        if abs(samples[0, n]) < 1e-6 and abs(samples[1, n]) < 1e-6:
            quiet += 1
            continue
        begin = n - quiet
        if n >= margin and begin >= reach and 0.003 * rate < quiet < 0.3 * rate:
            behind = np.abs(samples[:, begin - reach : begin]).max()
            found[n] = behind > 0.03 and np.abs(samples[:, n : n + reach]).max() > 0.03
        quiet = 0
    return np.nonzero(found)[0]
