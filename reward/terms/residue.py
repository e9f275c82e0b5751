"""What the render added and the song never had: a floor of noise, a tail of reverb, flat tops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from scipy.ndimage import maximum_filter1d

from mixagent.reward.scene import Array, Listening, Scene
from mixagent.reward.terms.base import Guard

_TOP = 0.97
_BLOCK_S = 0.02


@dataclass(frozen=True)
class AddedNoise(Guard):
    """Decibels by which the steady floor over 2 kHz rose above the input's and over −55 dB.

    The floor is what each band never falls under (its 10th percentile over time, the minimum
    statistics of Martin 2001).
    """

    free: float = 4.0
    full: float = 12.0
    name: ClassVar[str] = "added_noise"

    audible: ClassVar[float] = 10.0 ** (-55.0 / 10.0)

    def harm(self, scene: Scene) -> float:
        """Rise of the summed floors of the bands from 2 kHz up."""
        before, after = (self._floor(side) for side in (scene.before, scene.after))
        return max(10.0 * float(np.log10(after / before)), 0.0)

    def _floor(self, heard: Listening) -> float:
        spectra = heard.spectra
        floors = np.percentile(spectra.power[spectra.bands(2000.0, 16000.0)], 10, axis=1)
        return float(floors.sum()) + self.audible


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

    def harm(self, scene: Scene) -> float:
        """Gain of the decaying frames against the others, on average over 220 Hz to 8 kHz."""
        spectra = scene.before.spectra
        inside = spectra.bands(220.0, 8000.0)
        level_db, gain_db = spectra.bands_db[inside], scene.gain_db[inside]
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

    def harm(self, scene: Scene) -> float:
        """Percentage points above the input."""
        before, after = (_top_share(h.audio.samples, h.audio.rate) for h in (scene.before, scene.after))
        return max(100.0 * (after - before), 0.0)


def _mean(values: Array, where: np.ndarray) -> float:
    return float(values[where].mean()) if where.any() else 0.0


def _top_share(samples: Array, rate: int) -> float:
    return float(_count_tops(samples, max(int(rate * _BLOCK_S), 1), _TOP)) / max(samples.size, 1)


@njit(cache=True, nogil=True)
def _count_tops(samples: Array, block: int, top: float) -> int:
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
