"""Rebuilds the air that a codec's low-pass took away.

Spectral band replication (Dietz, Liljeryd, Kjörling and Kunz, AES 112th Convention, 2002): the
magnitudes of the octave under the cut-off are copied above it, tilted by that octave's own slope, so
that they carry on where it ends. Phases are noise-like, as cymbals' and breath's are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

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
        self._octaves = np.log2(target / self._source).astype(np.float32)
        self._fit, self._weights = slice(low, high), _slope_weights(np.arange(low, high))
        self._gain = np.float32(10 ** (gain_db / 20))
        pole = np.exp(-self.hop / (_SLOPE_S * rate))
        self._smoother = ([1 - pole], [1, -pole])
        self._slope_state = np.array([pole * _USUAL_SLOPE_DB])
        self._random = np.random.default_rng(0)
        self._turns = np.exp(2j * np.pi * np.arange(_PHASES) / _PHASES).astype(np.complex64)

    @staticmethod
    def fits(from_hz: float, rate: int) -> bool:
        """Whether there is anything to fill between the cut-off and the top."""
        return from_hz * 1.05 + 4 / _WINDOW_S < min(_TOP_HZ, rate / 2)

    def correction(self, spectra: ComplexArray) -> ComplexArray:
        """What is missing above the cut-off, with one random phase a bin for all channels."""
        slope_db = self._slopes_db(spectra)
        tilt = self._gain * 10 ** (slope_db[:, None] * self._octaves / 20)
        copied = spectra[:, :, self._source] * tilt.astype(np.float32)
        missing = _missing_share(spectra[:, :, self._first : self._last], copied)
        # Of 32 bits: narrower integers are drawn several to a word, and a call drops the rest of it.
        phases = self._random.integers(0, _PHASES, copied.shape[1:], np.uint32)
        added = np.zeros_like(spectra)
        added[:, :, self._first : self._last] = copied * missing * self._turns[phases]
        return added

    def _slopes_db(self, spectra: ComplexArray) -> NDArray[np.float64]:
        """The smoothed slope of the octave below the cut-off, dB an octave, (windows,)."""
        power = np.sum(np.abs(spectra[:, :, self._fit]) ** 2, axis=0)
        slopes = 10 * np.log10(power + _SILENCE) @ self._weights
        slopes = np.where(power.mean(axis=1) > 1e-8, np.clip(slopes, -40, 20), _USUAL_SLOPE_DB)
        smooth, self._slope_state = lfilter(*self._smoother, slopes, zi=self._slope_state)
        return np.asarray(np.clip(smooth, *_SLOPES_DB))


def _slope_weights(bins: NDArray[np.int_]) -> NDArray[np.float64]:
    """Weights of the least-squares slope over octaves: slope = levels @ weights."""
    octaves = np.log2(bins)
    centred = octaves - octaves.mean()
    return np.asarray(centred / max(float(np.sum(centred**2)), 1e-9))


def _missing_share(there: ComplexArray, wanted: ComplexArray) -> NDArray[np.float32]:
    """How much of the wanted amplitude is not there yet, 0..1, smoothed over bins."""
    have = uniform_filter1d(there.real**2 + there.imag**2, 9, axis=-1, mode="nearest")
    want = uniform_filter1d(wanted.real**2 + wanted.imag**2, 9, axis=-1, mode="nearest")
    return np.asarray(np.sqrt(np.clip(1 - have / (want + np.float32(1e-20)), 0, 1)), np.float32)
