"""Rebuilds the air that a codec's low-pass took away.

Spectral band replication (Dietz, Liljeryd, Kjörling and Kunz, AES 112th Convention, 2002): the
magnitudes of the octave under the cut-off are copied above it, tilted by that octave's own slope, so
that they carry on where it ends. Phases are noise-like, as cymbals' and breath's are.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.dsp.spectral import ComplexArray, SpectralProcessor, window_frames

_WINDOW_S = 0.0116
_TOP_HZ = 20000.0
_SLOPE_S = 2.0
_USUAL_SLOPE_DB = -9.0
_SLOPES_DB = (-18.0, -3.0)
_SILENCE = 1e-12
_PHASES = 1024


class AirExtension(SpectralProcessor):
    """Fills what is missing above `from_hz`, `gain_db` against the natural slope; a `Processor`."""

    def __init__(self, from_hz: float, gain_db: float, rate: int, channels: int) -> None:
        size = window_frames(_WINDOW_S, rate)
        super().__init__(size, channels)
        cut = from_hz * size / rate
        # A window's main lobe is two bins wide: what is added starts above it, what is copied ends
        # below it and below the codec's own roll-off.
        self._first = int(np.ceil(cut)) + 2
        self._last = min(int(_TOP_HZ * size / rate), size // 2)
        low, high = int(np.ceil(cut / 2)), max(int(0.94 * cut) - 1, int(np.ceil(cut / 2)) + 1)
        target = np.arange(self._first, self._last)
        self._source = low + (target - self._first) % (high - low)
        self._octaves = np.log2(target / self._source)
        self._low, self._weights = low, _slope_weights(np.arange(low, high))
        self._gain_db = gain_db
        pole = float(np.exp(-self.hop / (_SLOPE_S * rate)))
        # The pole, and the slope as it was heard last.
        self._slope = np.array([pole, _USUAL_SLOPE_DB])
        self._random = np.random.default_rng(0)
        self._turns = np.exp(2j * np.pi * np.arange(_PHASES) / _PHASES).astype(np.complex64)

    @staticmethod
    def fits(from_hz: float, rate: int) -> bool:
        """Whether there is anything to fill between the cut-off and the top."""
        return from_hz * 1.05 + 4 / _WINDOW_S < min(_TOP_HZ, rate / 2)

    def correction(self, spectra: ComplexArray) -> ComplexArray:
        """What is missing above the cut-off, with one random phase a bin for all channels."""
        # Of 32 bits: narrower integers are drawn several to a word, and a call drops the rest of it.
        phases = self._random.integers(0, _PHASES, (spectra.shape[1], self._source.size), np.uint32)
        added = np.zeros_like(spectra)
        _extend(
            spectra, self._first, self._source, self._octaves, self._low, self._weights, self._gain_db,
            self._slope, self._turns[phases], added,
        )  # fmt: skip
        return added


def _slope_weights(bins: NDArray[np.int_]) -> NDArray[np.float64]:
    """Weights of the least-squares slope over octaves: slope = levels @ weights."""
    octaves = np.log2(bins)
    centred = octaves - octaves.mean()
    return np.asarray(centred / max(float(np.sum(centred**2)), 1e-9))


@njit(cache=True, nogil=True)
def _extend(
    spectra: ComplexArray,
    first: int,
    source: NDArray[np.int64],
    octaves: NDArray[np.float64],
    low: int,
    weights: NDArray[np.float64],
    gain_db: float,
    slope: NDArray[np.float64],
    turns: ComplexArray,
    added: ComplexArray,
) -> None:
    """Adds to each window its lower bins copied up, tilted, as far as they are missing there."""
    channels, windows, _ = spectra.shape
    bins = source.size
    tilt, have, want = np.empty(bins), np.zeros(bins + 9), np.zeros(bins + 9)
    to_nepers = math.log(10) / 20
    for t in range(windows):
        heard_db = _slope_db(spectra, t, low, weights)
        slope[1] += (1 - slope[0]) * (heard_db - slope[1])
        slope_db = min(max(slope[1], _SLOPES_DB[0]), _SLOPES_DB[1])
        for k in range(bins):
            tilt[k] = math.exp((gain_db + slope_db * octaves[k]) * to_nepers)
        for c in range(channels):
            # Running sums over the bins, the first and the last four times more beyond the ends.
            for i in range(bins + 8):
                k = min(max(i - 4, 0), bins - 1)
                there, copied = spectra[c, t, first + k], spectra[c, t, source[k]]
                have[i + 1] = have[i] + there.real**2 + there.imag**2
                want[i + 1] = want[i] + (copied.real**2 + copied.imag**2) * tilt[k] ** 2
            for k in range(bins):
                wanted = (want[k + 9] - want[k]) / 9
                share = 1 - (have[k + 9] - have[k]) / 9 / (wanted + 1e-20)
                if share > 0 and wanted > 0:
                    amount = np.float32(math.sqrt(share) * tilt[k])
                    added[c, t, first + k] = spectra[c, t, source[k]] * amount * turns[t, k]


@njit(cache=True, nogil=True, inline="always")
def _slope_db(spectra: ComplexArray, t: int, low: int, weights: NDArray[np.float64]) -> float:
    """The slope of the octave below the cut-off in one window, dB an octave."""
    slope_db = mean = 0.0
    for k in range(weights.size):
        power = 0.0
        for c in range(spectra.shape[0]):
            value = spectra[c, t, low + k]
            power += value.real**2 + value.imag**2
        mean += power / weights.size
        slope_db += 10 * math.log10(power + _SILENCE) * weights[k]
    return min(max(slope_db, -40.0), 20.0) if mean > 1e-8 else _USUAL_SLOPE_DB
