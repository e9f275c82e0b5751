"""A song as bands over time: what a network reads of it.

Sixth octaves, two to each third octave of the graphic equaliser, hold the power of mid and side and
what the two have in common, frame by frame; so the effect of any gain on mid and side, or on left
and right, can be worked out on the bands alone. Beside them stand figures of the fast dynamics in four
wide bands. Everything is level-independent: 0 dB is the excerpt's own mean power.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len, rfft

from mixagent.pipeline.decibels import amplitudes_to_db, db_to_amplitude, powers_to_db
from mixagent.pipeline.types import Audio, AudioSource, FloatArray

THIRDS_HZ = tuple(1000.0 * 2.0 ** (n / 3.0) for n in range(-15, 13))
"""Centres of the third octaves, 31 Hz to 16 kHz."""

SIXTHS = 2 * len(THIRDS_HZ)
EDGES_HZ = (*(1000.0 * 2.0 ** (n / 6.0 - 1.0 / 6.0) for n in range(-30, 27)), 20000.0, 22050.0)
"""Edges of the bands: the sixth octaves from 28 Hz to 18 kHz, and two up to 22 kHz."""

BANDS = len(EDGES_HZ) - 1
CENTRES_HZ = tuple(float(np.sqrt(low * high)) for low, high in itertools.pairwise(EDGES_HZ))
FLOOR_DB = -90.0
"""Levels further under the excerpt's mean power are raised to this."""

FAST_BANDS_HZ = ((20.0, 150.0), (150.0, 800.0), (800.0, 4000.0), (4000.0, 16000.0))
FAST = 3 * len(FAST_BANDS_HZ) + 2
"""Figures of the fast dynamics in a frame: in each wide band the loudest, the quietest and the geometric
mean of its short windows over their mean, dB; then the crest of the frame and the share of its samples
that lie within 0.1 dB of the excerpt's peak."""

_WINDOW_S, _FAST_S = 0.0929, 0.0116
_FAST_PER_FRAME = 8
_NEAR_PEAK = db_to_amplitude(-0.1)
_LEAST_S = 0.5


@dataclass(frozen=True)
class SongBands:
    """An excerpt as bands over time.

    Attributes:
        mid_db: power of the mid, shape (BANDS, frames), at least `FLOOR_DB`.
        side_db: power of the side, the same; `FLOOR_DB` for a mono excerpt.
        common: real part of mid times side over the root of their powers, −1..1; with it left and
            right follow from mid and side.
        fast: figures of the fast dynamics, shape (FAST, frames).
    """

    mid_db: FloatArray
    side_db: FloatArray
    common: FloatArray
    fast: FloatArray

    @property
    def frames(self) -> int:
        """The number of frames of 46 ms."""
        return int(self.mid_db.shape[1])

    def stacked(self) -> FloatArray:
        """All of it as one array of shape (3 · BANDS + FAST, frames)."""
        return np.concatenate((self.mid_db, self.side_db, self.common, self.fast))

    @classmethod
    def of(cls, stacked: FloatArray) -> SongBands:
        """Read the result of `stacked`."""
        mid, side, common, fast = np.split(stacked, (BANDS, 2 * BANDS, 3 * BANDS))
        return cls(mid, side, common, fast)


def read_bands(audio: Audio) -> SongBands:
    """The bands of an excerpt, mono or stereo, of any rate; a short one is padded with silence to 0.5 s."""
    samples, rate = _long_enough(audio.samples, audio.rate), audio.rate
    left, right = samples[0], samples[-1]
    mid, side = (left + right) * np.float32(0.5), (left - right) * np.float32(0.5)
    power = float(np.mean(np.square(mid, dtype=np.float64)) + np.mean(np.square(side, dtype=np.float64)))
    scale = np.float32(1.0 / np.sqrt(max(power, 1e-12)))
    mid, side = mid * scale, side * scale
    size = next_fast_len(round(_WINDOW_S * rate / 2) * 2, real=True) // 2 * 2
    mids, sides = _spectra(mid, size), _spectra(side, size)
    weights = _weights(size, rate)
    powers = [(x.real**2 + x.imag**2) @ weights for x in (mids, sides)]
    cross = (mids.real * sides.real + mids.imag * sides.imag) @ weights
    common = cross / np.sqrt(np.maximum(powers[0] * powers[1], 1e-18))
    mid_db, side_db = (np.maximum(powers_to_db(p.T + 1e-12), FLOOR_DB).astype(np.float32) for p in powers)
    return SongBands(
        mid_db,
        side_db,
        np.clip(common.T, -1, 1).astype(np.float32),
        _fast(mid, np.maximum(np.abs(left), np.abs(right)) * scale, rate, size, len(mids)),
    )


def excerpts(source: AudioSource, count: int = 12, seconds: float = 10.0) -> list[Audio]:
    """Up to `count` excerpts, spread evenly over a song; a short song is one or more whole ones.

    Those more than 30 dB under the loudest are left out, so that a spoken intro or a fade does not
    decide about the song.
    """
    length = min(round(seconds * source.rate), source.frames)
    places = max(min(count, source.frames // max(length, 1)), 1)
    starts = np.linspace(0, source.frames - length, places).round().astype(int)
    parts = [Audio(source.read(int(start), int(start) + length), source.rate) for start in starts]
    powers = np.array([float(np.mean(np.square(a.samples, dtype=np.float64))) for a in parts])
    return [a for a, power in zip(parts, powers, strict=True) if power >= 1e-3 * powers.max()]


def read_song(source: AudioSource) -> FloatArray:
    """The excerpts of a song, stacked: (excerpts, 3 · BANDS + FAST, frames)."""
    return np.stack([read_bands(excerpt).stacked() for excerpt in excerpts(source)])


def _long_enough(samples: FloatArray, rate: int) -> FloatArray:
    missing = round(_LEAST_S * rate) - samples.shape[1]
    return np.pad(samples, ((0, 0), (0, missing))) if missing > 0 else samples


def _spectra(signal: FloatArray, size: int) -> NDArray[np.complex64]:
    """Half-overlapped Hann windows whose powers add up to the signal's, shape (frames, bins)."""
    padded = np.pad(signal, (size // 2, size))
    starts = signal.size // (size // 2) + 1
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2][:starts]
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    window *= np.float32(np.sqrt(2.0 / (np.sum(window**2) * size)))
    return np.asarray(rfft(frames * window, axis=1), np.complex64)


@lru_cache
def _weights(size: int, rate: int) -> FloatArray:
    """The share of each bin in each band, shape (bins, BANDS): a bin is as wide as their spacing."""
    bins = np.arange(size // 2 + 1) * rate / size
    width = rate / size
    low, high = np.array(EDGES_HZ[:-1]), np.array(EDGES_HZ[1:])
    over = np.minimum(bins[:, None] + width / 2, high) - np.maximum(bins[:, None] - width / 2, low)
    return np.asarray(np.clip(over / width, 0.0, 1.0), np.float32)


def _fast(mid: FloatArray, level: FloatArray, rate: int, size: int, frames: int) -> FloatArray:
    """Figures of the fast dynamics, shape (FAST, frames)."""
    hop = size // 2 // _FAST_PER_FRAME
    short = 2 * hop
    padded = np.pad(mid, (hop * _FAST_PER_FRAME // 2 + hop // 2, 2 * size))
    windows = np.lib.stride_tricks.sliding_window_view(padded, short)[::hop][: frames * _FAST_PER_FRAME]
    spectra = rfft(windows * np.hanning(short + 1)[:-1].astype(np.float32), axis=1)
    power = (spectra.real**2 + spectra.imag**2) / np.float32(short**2)
    hz = np.arange(power.shape[1]) * rate / short
    rows = []
    for low_hz, high_hz in FAST_BANDS_HZ:
        inside = (hz >= low_hz) & (hz < high_hz)
        inside[min(int(np.ceil(low_hz * short / rate)), inside.size - 1)] = True
        band = power[:, inside].sum(axis=1).reshape(frames, _FAST_PER_FRAME) + np.float32(1e-9)
        mean_db = powers_to_db(band.mean(axis=1))
        band_db = powers_to_db(band)
        rows += [band_db.max(axis=1) - mean_db, band_db.min(axis=1) - mean_db, band_db.mean(axis=1) - mean_db]
    step = size // 2
    loud = np.pad(level, (step // 2, 2 * step))[: frames * step].reshape(frames, step)
    peak, rms = loud.max(axis=1), np.sqrt(np.mean(loud**2, axis=1))
    crest_db = np.where(rms > 1e-4, amplitudes_to_db((peak + 1e-9) / (rms + 1e-9)), 0.0)
    near = np.mean(loud >= _NEAR_PEAK * max(float(level.max()), 1e-9), axis=1)
    return np.stack([*rows, crest_db, near]).clip(-40.0, 40.0).astype(np.float32)
