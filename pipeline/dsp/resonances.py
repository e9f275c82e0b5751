"""Takes down steady narrow lines at 6–14 kHz: the metallic whistling of generated music.

A line is told from music by time: a bin's prominence over its neighbourhood, in dB, is averaged over
seconds, so that a noise burst, however loud, counts no more than any other moment, and only what
whistles all the time stands out.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from mixagent.pipeline.dsp.spectral import ComplexArray, SpectralProcessor, window_frames
from mixagent.pipeline.types import Float64Array

LOW_HZ, HIGH_HZ = 6000.0, 14000.0

_WINDOW_S = 0.093
_STEADY_S = 1.5
_PRESENT_S = 0.12
_NEIGHBOURHOOD_HZ = 450.0
_SILENCE_DB = -100.0


class ResonanceSuppressor(SpectralProcessor):
    """Cuts each line down to its neighbourhood, by at most `most_db`, alike in all channels."""

    def __init__(self, most_db: float, rate: int, channels: int) -> None:
        size = window_frames(_WINDOW_S, rate)
        super().__init__(size, channels)
        reach = max(4, round(_NEIGHBOURHOOD_HZ * size / rate))
        self._low = round(LOW_HZ * size / rate)
        self._high = min(round(HIGH_HZ * size / rate), size // 2)
        self._from = max(1, self._low - reach)
        self._reach, self._most_db = reach, most_db
        self._scale = 2 / (size * math.sqrt(channels))
        self._hop_s = self.hop / rate
        bins = min(self._high + reach, size // 2) - self._from
        self._steady, self._present = np.zeros(bins), np.zeros(bins)
        self._heard_windows = np.zeros(1)

    @staticmethod
    def fits(rate: int) -> bool:
        """True if enough of the band lies below Nyquist."""
        return rate / 2 > LOW_HZ * 1.2

    def correction(self, spectra: ComplexArray) -> ComplexArray | None:
        """The spectra times gain − 1 where a line stands."""
        added = np.zeros_like(spectra)
        edges = (self._low - self._from, self._high - self._from)
        found = _cut_lines(
            spectra, self._scale, self._from, self._steady, self._present, self._heard_windows, self._hop_s,
            self._reach, edges, self._most_db, added,
        )  # fmt: skip
        return added if found else None


@njit(cache=True, nogil=True)
def _cut_lines(
    spectra: ComplexArray,
    scale: float,
    first: int,
    steady: Float64Array,
    present: Float64Array,
    heard: Float64Array,
    hop_s: float,
    reach: int,
    edges: tuple[int, int],
    most_db: float,
    added: ComplexArray,
) -> bool:
    """Adds to each window what takes its lines down; whether there was anything to take down."""
    channels, windows, _ = spectra.shape
    bins, found = steady.size, False
    level, base, sums = np.empty(bins), np.empty(bins), np.empty(bins + 1)
    for t in range(windows):
        loudest = _SILENCE_DB
        for k in range(bins):
            power = 0.0
            for c in range(channels):
                value = spectra[c, t, first + k]
                power += value.real**2 + value.imag**2
            level[k] = 10 * math.log10(power * scale**2 + 1e-16)
            loudest = max(loudest, level[k])
        if loudest <= _SILENCE_DB:
            continue
        heard[0] += 1
        base[:] = 200.0
        # What stands over the mean does not count in the next mean: the base ends under the lines.
        for _ in range(3):
            sums[0] = 0.0
            for k in range(bins):
                sums[k + 1] = sums[k] + min(level[k], base[k] + 3.0)
            for k in range(bins):
                low, high = max(0, k - reach), min(bins, k + reach + 1)
                base[k] = (sums[high] - sums[low]) / (high - low)
        slow = max(1 / heard[0], 1 - math.exp(-hop_s / _STEADY_S))
        fast = max(1 / heard[0], 1 - math.exp(-hop_s / _PRESENT_S))
        # The shorter what was heard, the surer the line has to be.
        threshold = 5.5 + 8.0 / (1 + heard[0] * hop_s / 0.25)
        for k in range(edges[0], edges[1]):
            prominence = level[k] - base[k]
            steady[k] += slow * (min(max(prominence, -6.0), 25.0) - steady[k])
            present[k] += fast * (prominence - present[k])
            trust = min(max((steady[k] - threshold) / 3.0, 0.0), 1.0)
            cut = min(trust * max(present[k], 0.0), most_db)
            if cut > 0:
                found = True
                change = np.float32(10 ** (-cut / 20) - 1)
                for c in range(channels):
                    added[c, t, first + k] = spectra[c, t, first + k] * change
    return found
