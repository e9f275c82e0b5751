"""A Linkwitz–Riley crossover of fourth order whose bands sum flat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixagent.pipeline.audio import FloatArray
from mixagent.pipeline.dsp.cascade import Butterworth, Cascade, Float64Array, even_rows
from mixagent.pipeline.dsp.equaliser import HIGHEST_SHARE


class Crossover:
    """Splits a signal into bands in phase with one another, which sum to an all-pass of it.

    A band passes the high-pass of every corner under it and the low-pass of the corner over it. The
    all-pass of each corner further up, which the bands above it go through as the sum of that
    corner's halves, is put on it as well, so that all bands turn alike (Linkwitz, JAES 24(1), 1976;
    D'Appolito, "Active realization of multiway all-pass crossover systems", JAES 35(4), 1987).

    Args:
        corners_hz: rising; those too close to the Nyquist frequency are left out, and with each the
            bands above and below it are one.
        rate: Hz.
        channels: of the signal.
    """

    def __init__(self, corners_hz: Sequence[float], rate: int, channels: int) -> None:
        halves = [Butterworth.at(hz, rate) for hz in corners_hz if hz < HIGHEST_SHARE * rate]
        self.bands = len(halves) + 1
        rows = [_sections(band, halves) for band in range(self.bands)]
        sections = np.repeat(even_rows(rows), channels, axis=0)
        self._filters = Cascade(sections, self.bands * channels)

    def split(self, block: FloatArray) -> FloatArray:
        """The next block (channels, frames) in bands from low to high: (bands, channels, frames)."""
        copies = np.broadcast_to(block, (self.bands, *block.shape)).reshape(-1, block.shape[1])
        return self._filters.process(copies).reshape(self.bands, *block.shape)


def _sections(band: int, halves: Sequence[Butterworth]) -> list[Float64Array]:
    below = [section for corner in halves[:band] for section in (corner.high, corner.high)]
    at = [halves[band].low] * 2 if band < len(halves) else []
    return [*below, *at, *(corner.all_pass for corner in halves[band + 1 :])]
