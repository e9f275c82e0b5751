"""Rebuilds the air that a codec's low-pass took away.

Spectral band replication (Dietz, Liljeryd, Kjörling and Kunz, AES 112th Convention, 2002): the fine
structure of the band under the end is copied above it. Its envelope there is the continuation of the
song's own (`pipeline.highs`), falling with frequency and following in time the level of the band under
the end. Added is what is missing of it, so that at the seam old and new make up one envelope; leftovers
of a codec above the end are lowered to it. Phases are noise-like, as cymbals' and breath's are.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.decibels import amplitude_to_db, db_to_power
from mixagent.pipeline.dsp.spectral import ComplexArray, SpectralProcessor, window_frames
from mixagent.pipeline.measure.highs import USUAL_END_HZ, Highs, continuation_db, reference_hz
from mixagent.pipeline.types import Float64Array

_WINDOW_S = 0.0116
_TOP_HZ = 20000.0
_NEUTRAL_HZ = 22050.0
_USUAL_SLOPE_DB = -12.0
_USUAL_OVER_DB = -6.0
_GAIN_OCTAVES = 0.25
_SOURCE_FROM = 0.6
_HEARD_S = 0.3
# Windows of random phase overlap as noise does and not as the waves that they were cut from.
_OVERLAP_DB = amplitude_to_db(2.0)
_PHASES = 1024


class AirExtension(SpectralProcessor):
    """Fills what is missing above `from_hz`, `gain_db` against its continuation; a `Processor`.

    Args:
        from_hz: where the highs end.
        gain_db: of the air against its continuation; the envelope never rises for it.
        rate: in Hz.
        channels: any number; each follows its own level.
        highs: what was measured of the end; None for finished music's usual slope.
    """

    def __init__(
        self, from_hz: float, gain_db: float, rate: int, channels: int, highs: Highs | None = None
    ) -> None:
        size = window_frames(_WINDOW_S, rate)
        super().__init__(size, channels)
        bin_hz = rate / size
        last = min(int(_TOP_HZ / bin_hz), size // 2)
        self._first = min(round(from_hz / bin_hz), last)
        low_hz, high_hz = reference_hz(from_hz)
        self._reference = np.array([math.ceil(low_hz / bin_hz), int(high_hz / bin_hz) + 1])
        low = math.ceil(_SOURCE_FROM * from_hz / bin_hz)
        high = max(int(high_hz / bin_hz), low + 1)
        target = np.arange(self._first, last)
        self._source = low + (target - self._first) % (high - low)
        hz = np.asarray(target * bin_hz, np.float64)
        slope_db = highs.slope_db if highs else _USUAL_SLOPE_DB
        over_db = highs.over_reference_db if highs else _USUAL_OVER_DB
        ramp = np.clip(np.log2(np.maximum(hz / from_hz, 1.0)) / _GAIN_OCTAVES, 0.0, 1.0)
        level_db = over_db + continuation_db(hz, from_hz, slope_db) + gain_db * ramp
        self._shape = db_to_power(np.minimum.accumulate(level_db)) if level_db.size else level_db
        self._raise = db_to_power(_OVERLAP_DB)
        self._pole = math.exp(-self.hop / (_HEARD_S * rate))
        self._have, self._want = np.zeros((2, channels, target.size))
        self._count = np.zeros(1)
        self._random = np.random.default_rng(0)
        self._turns = np.exp(2j * np.pi * np.arange(_PHASES) / _PHASES).astype(np.complex64)

    @staticmethod
    def fits(from_hz: float, rate: int) -> bool:
        """True if there is anything to fill between the cut-off and the top."""
        return from_hz * 1.05 + 4 / _WINDOW_S < min(_TOP_HZ, rate / 2)

    def correction(self, spectra: ComplexArray) -> ComplexArray:
        """The addition above the end, with one random phase a bin for all channels."""
        # Of 32 bits: narrower integers are drawn several to a word, and a call drops the rest of it.
        phases = self._random.integers(0, _PHASES, (spectra.shape[1], self._source.size), np.uint32)
        added = np.zeros_like(spectra)
        _extend(
            spectra, self._first, self._source, self._shape, self._raise, self._reference, self._pole,
            self._count, self._have, self._want, self._turns[phases], added,
        )  # fmt: skip
        return added


def extension(
    from_hz: float, gain_db: float, rate: int, channels: int, highs: Highs | None
) -> AirExtension | None:
    """The extension that a setting asks for, from where the highs were measured to end.

    A setting between the end and neutral asks for a share of the air only, so that half the amount is
    half of it and no gap opens under it. Highs that end where finished music's do are extended only if
    the setting lies there too.

    Args:
        from_hz: the setting, `master.extend_from_hz`.
        gain_db: the setting, `master.extend_db`.
        rate: in Hz.
        channels: number of channels.
        highs: of the song; None where they were not measured: then the end is `from_hz`.
    """
    end_hz = from_hz if highs is None else highs.end_hz
    if from_hz >= _NEUTRAL_HZ or not AirExtension.fits(end_hz, rate):
        return None
    if end_hz >= USUAL_END_HZ > from_hz:
        return None
    share = math.log(_NEUTRAL_HZ / from_hz) / math.log(_NEUTRAL_HZ / end_hz)
    if share < 1.0:
        gain_db += amplitude_to_db(share)
    return AirExtension(end_hz, gain_db, rate, channels, highs)


@njit(cache=True, nogil=True)
def _extend(
    spectra: ComplexArray,
    first: int,
    source: NDArray[np.int64],
    shape: Float64Array,
    raised: float,
    reference: NDArray[np.int64],
    pole: float,
    heard: Float64Array,
    have: Float64Array,
    want: Float64Array,
    turns: ComplexArray,
    added: ComplexArray,
) -> None:
    """Adds to each window its lower bins copied up, as far as their envelope is missing there."""
    channels, windows, _ = spectra.shape
    bins = source.size
    if bins == 0:
        return
    low, high = reference[0], reference[1]
    source_low = source.min()
    count = source.max() - source_low + 1
    fine, sums = np.empty(count), np.empty(count + 1)
    for t in range(windows):
        heard[0] += 1
        new = max(1 - pole, 1 / heard[0])
        for c in range(channels):
            level = 0.0
            for k in range(low, high):
                value = spectra[c, t, k]
                level += (value.real**2 + value.imag**2) / (high - low)
            # The source's magnitudes over their surroundings: its envelope is not copied.
            sums[0] = 0.0
            for k in range(count):
                value = spectra[c, t, source_low + k]
                fine[k] = value.real**2 + value.imag**2
                sums[k + 1] = sums[k] + fine[k]
            for k in range(count):
                a, b = max(k - 4, 0), min(k + 5, count)
                fine[k] = (b - a) / (sums[b] - sums[a] + 1e-20)
            for k in range(bins):
                there = spectra[c, t, first + k]
                power = there.real**2 + there.imag**2
                wanted = level * shape[k]
                # Of a lone blip no more counts as there than a peak of noise would.
                have[c, k] += new * (min(power, 3 * wanted) - have[c, k])
                want[c, k] += new * (wanted - want[c, k])
                share = 1 - have[c, k] / (want[c, k] + 1e-20)
                if share <= 0 or wanted <= 0:
                    continue
                value = spectra[c, t, source[k]]
                amount = np.float32(math.sqrt(raised * share * wanted * fine[source[k] - source_low]))
                change = value * amount * turns[t, k]
                if share > 0.5 and power > 4 * wanted:
                    change += there * np.float32(math.sqrt(wanted / power) - 1)
                added[c, t, first + k] = change
