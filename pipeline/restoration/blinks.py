"""Fills bands that blink, at the level that they have just before and after.

While a band is away it is filled with the fine structure of the bands below it; where it is there nothing
is added. `mixagent.pipeline.measure.blinks` finds the moments.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.dsp.spectral import ComplexArray, SpectralProcessor, window_frames
from mixagent.pipeline.measure.blinks import UNDER, WINDOW_S, Blinks, band_bins

DEEPEST_DB = 48.0
"""A band that lies so far under its level counts as gone; it needs no more to be filled whole."""

_PHASES = 1024
_OVERLAP_POWER = 4.0


class BlinkFiller(SpectralProcessor):
    """Fills each band while it is away, by at most `most_db`; a `Processor`.

    It has to stand where the source stood that the blinks were measured in: its windows are counted
    from the start of what it is given.
    """

    def __init__(self, blinks: Blinks, most_db: float, rate: int, channels: int) -> None:
        size = window_frames(WINDOW_S, rate)
        super().__init__(size, channels)
        self._bins = band_bins(blinks.edges_hz, size, rate)
        self._over_db, self._most_db = blinks.over_db, most_db
        self._window_count = 0
        self._random = np.random.default_rng(0)
        self._turns = np.exp(2j * np.pi * np.arange(_PHASES) / _PHASES).astype(np.complex64)

    def correction(self, spectra: ComplexArray) -> ComplexArray | None:
        """The addition that fills the bands that are away."""
        start = self._window_count
        self._window_count += spectra.shape[1]
        over_db = self._over_db[:, start : self._window_count]
        phases = self._random.integers(
            0, _PHASES, (spectra.shape[1], int(self._bins[-1]) if self._bins.size else 0), np.uint32
        )
        if not np.isfinite(over_db).any():
            return None
        added = np.zeros_like(spectra)
        _fill_bands(spectra, self._bins, over_db, self._most_db, self._turns[phases], added)
        return added


@njit(cache=True, nogil=True)
def _fill_bands(
    spectra: ComplexArray,
    bins: NDArray[np.int64],
    over_db: NDArray[np.float32],
    most_db: float,
    turns: ComplexArray,
    added: ComplexArray,
) -> None:
    channels = spectra.shape[0]
    bands, windows = over_db.shape
    levels = np.empty(bands)
    for t in range(windows):
        for c in range(channels):
            for b in range(bands):
                total = 0.0
                for k in range(bins[b], bins[b + 1]):
                    value = spectra[c, t, k]
                    total += value.real**2 + value.imag**2
                levels[b] = total / max(bins[b + 1] - bins[b], 1)
            for b in range(UNDER, bands):
                if math.isnan(over_db[b, t]):
                    continue
                wanted = np.median(levels[b - UNDER : b]) * 10 ** (over_db[b, t] / 10)
                there = max(levels[b], wanted * 10 ** (-DEEPEST_DB / 10))
                missing = min(wanted, there * 10 ** (most_db / 10)) - levels[b]
                if missing <= 0:
                    continue
                # The nearest band below that is there itself lends its fine structure.
                lender = b - 1
                while lender > b - UNDER and not math.isnan(over_db[lender, t]):
                    lender -= 1
                low, count = bins[lender], max(bins[lender + 1] - bins[lender], 1)
                if levels[lender] <= 0:
                    continue
                amount = np.float32(math.sqrt(_OVERLAP_POWER * missing / levels[lender]))
                for k in range(bins[b], bins[b + 1]):
                    value = spectra[c, t, low + (k - bins[b]) % count]
                    added[c, t, k] = value * amount * turns[t, k]
