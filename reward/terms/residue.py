"""Guards against what the song never had: a floor of noise, a tail of reverb, flat tops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from scipy.ndimage import maximum_filter1d

from mixagent.pipeline.measure.features import percentiles
from mixagent.pipeline.types import FloatArray
from mixagent.reward.render_pair import AnalysedAudio, RenderPair, Spectra, decibels
from mixagent.reward.terms.base import Guard

_TOP = 0.97
_BLOCK_S = 0.02


@dataclass(frozen=True)
class AddedNoise(Guard):
    """Decibels by which the floor over 2 kHz came nearer to what stands above it.

    The floor is what a band never falls under, its 10th percentile over time (after the minimum
    statistics of Martin 2001); it is held against the 90th percentile, so that an equaliser, which
    moves both, costs nothing. A floor under −70 dB is silence.
    """

    free: float = 0.5
    full: float = 4.0
    name: ClassVar[str] = "added_noise"

    def harm(self, pair: RenderPair) -> float:
        """Mean fall of the spread of the bands from 2 to 16 kHz."""
        before, after = (_spread_db(side) for side in (pair.base, pair.after))
        return float(np.maximum(before - after, 0.0).mean())


@dataclass(frozen=True)
class Smear(Guard):
    """Decibels by which a band's gain jumps against its level from frame to frame: reverb, distortion.

    A linear chain has one gain for each band, a compressor moves it slowly, and an expander moves it
    with the level; what adds sound of its own scatters it in every frame, against the level. The
    median leaves out the onsets that a transient shaper moves. Heard in left and right and in the
    mid, of which the better counts, so that a balance or a width that was set right costs nothing.
    """

    free: float = 0.1
    full: float = 0.6
    name: ClassVar[str] = "smear"

    audible_db: ClassVar[float] = -45.0

    def harm(self, pair: RenderPair) -> float:
        """Median jump from 220 Hz to 10 kHz, where the input is audible."""
        before, after = pair.base.spectra, pair.after.spectra
        sides = [
            self._jump_db(b, a, before) for b, a in ((before.left, after.left), (before.right, after.right))
        ]
        return max(min(sum(sides) / 2, self._jump_db(before.mid, after.mid, before)), 0.0)

    def _jump_db(self, before: FloatArray, after: FloatArray, spectra: Spectra) -> float:
        inside = spectra.bands(220.0, 10000.0)
        level_db = decibels(before[inside])
        steps_db = np.diff(level_db, axis=1)
        gained_db = np.diff(decibels(after[inside]), axis=1) - steps_db
        audible = level_db > self.audible_db
        jumps = (-gained_db * np.sign(steps_db))[audible[:, 1:] & audible[:, :-1]]
        return float(np.median(jumps)) if jumps.size else 0.0


@dataclass(frozen=True)
class AddedTail(Guard):
    """Decibels by which decays were filled against the sounds that they follow: reverb, smear.

    A frame decays where its band stands 10 dB or more under the highest of the last 250 ms.
    """

    free: float = 2.0
    full: float = 8.0
    name: ClassVar[str] = "added_tail"

    reach_s: ClassVar[float] = 0.25
    fallen_db: ClassVar[float] = 10.0

    def harm(self, pair: RenderPair) -> float:
        """Gain of the decaying frames against the others, on average over 220 Hz to 8 kHz."""
        spectra = pair.base.spectra
        inside = spectra.bands(220.0, 8000.0)
        level_db, gain_db = spectra.bands_db[inside], pair.gain_db[inside]
        span = max(round(self.reach_s / spectra.frame_s), 1)
        held_db = maximum_filter1d(level_db, span, axis=1, origin=(span - 1) // 2)
        decaying = (held_db - level_db >= self.fallen_db) & (held_db > -50.0)
        sounding = (held_db - level_db < 3.0) & (held_db > -50.0)
        return max(_mean(gain_db, decaying) - _mean(gain_db, sounding), 0.0)


@dataclass(frozen=True)
class AddedClipping(Guard):
    """Share of the samples, in percent, that came to lie at the top of their 20 ms: flat tops.

    A sine has 16 %, a square wave 100 %, music a few; hard clipping raises the share at any level.
    """

    free: float = 1.5
    full: float = 8.0
    name: ClassVar[str] = "clipping"

    def harm(self, pair: RenderPair) -> float:
        """Percentage points above the input."""
        before, after = (_top_share(h.audio.samples, h.audio.rate) for h in (pair.base, pair.after))
        return max(100.0 * (after - before), 0.0)


def _spread_db(analysed: AnalysedAudio) -> FloatArray:
    spectra = analysed.spectra
    level_db = decibels(spectra.power[spectra.bands(2000.0, 16000.0)], -70.0)
    floor_db, top_db = percentiles(level_db, (10, 90))
    spread_db: FloatArray = top_db - floor_db
    return spread_db


def _mean(values: FloatArray, where: np.ndarray) -> float:
    return float(values[where].mean()) if where.any() else 0.0


def _top_share(samples: FloatArray, rate: int) -> float:
    return float(_count_tops(samples, max(int(rate * _BLOCK_S), 1), _TOP)) / max(samples.size, 1)


@njit(cache=True, nogil=True)
def _count_tops(samples: FloatArray, block: int, top: float) -> int:
    count = 0
    for channel in range(samples.shape[0]):
        for start in range(0, samples.shape[1], block):
            stop = min(start + block, samples.shape[1])
            peak = np.float32(0.0)
            for i in range(start, stop):
                peak = max(peak, abs(samples[channel, i]))
            if peak < 1e-5:
                continue
            for i in range(start, stop):
                if abs(samples[channel, i]) >= top * peak:
                    count += 1
    return count
