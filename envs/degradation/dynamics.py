"""Crushed and uneven dynamics: clippers, limiters, compressors, expanders and gates of any speed."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.types import Audio

_FLOOR_DB = -80.0


def clipped(audio: Audio, over_db: float, softness: float) -> Audio:
    """Peaks cut off that stand more than `over_db` over the RMS; softness 0 is hard, 1 a tanh."""
    samples = audio.samples
    ceiling = max(float(np.sqrt(np.mean(np.square(samples)))) * db_to_amplitude(over_db), 1e-9)
    hard, soft = np.clip(samples, -ceiling, ceiling), ceiling * np.tanh(samples / ceiling)
    return Audio(((1 - softness) * hard + softness * soft).astype(np.float32), audio.rate)


def limited(audio: Audio, over_db: float, window_s: float) -> Audio:
    """A look-ahead limiter whose ceiling stands `over_db` over the RMS."""
    samples = audio.samples
    ceiling = max(float(np.sqrt(np.mean(np.square(samples)))) * db_to_amplitude(over_db), 1e-9)
    window = max(int(window_s * audio.rate), 8) | 1
    peaks = ndimage.maximum_filter1d(np.abs(samples).max(axis=0), 2 * window - 1)
    gain = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-12))
    return Audio((samples * ndimage.uniform_filter1d(gain, window)).astype(np.float32), audio.rate)


def levelled(
    audio: Audio, slope: float, threshold_db: float, attack_s: float, release_s: float, most_db: float
) -> Audio:
    """A detector with attack and release moves what stands over, or under, a threshold.

    Args:
        audio: all channels move together.
        slope: dB of gain for each dB over the threshold: −0.75 is a compressor of 4:1, +0.5 an upward
            expander.
        threshold_db: against the RMS of the whole.
        attack_s, release_s: time constants.
        most_db: the gain stays within ± this.
    """
    power = np.square(audio.samples).mean(axis=0, dtype=np.float64)
    over_db = _detected(power, max(float(power.mean()), 1e-12), attack_s * audio.rate, release_s * audio.rate)
    gain_db = np.clip(slope * np.maximum(over_db - threshold_db, 0.0), -most_db, most_db)
    return Audio((audio.samples * db_to_amplitude(gain_db)).astype(np.float32), audio.rate)


def gated(audio: Audio, threshold_db: float, depth_db: float, attack_s: float, release_s: float) -> Audio:
    """Lower passages under a threshold, against the RMS of the whole, by up to `depth_db`."""
    power = np.square(audio.samples).mean(axis=0, dtype=np.float64)
    over_db = _detected(power, max(float(power.mean()), 1e-12), attack_s * audio.rate, release_s * audio.rate)
    gain_db = -np.clip(2.0 * (threshold_db - over_db), 0.0, depth_db)
    return Audio((audio.samples * db_to_amplitude(gain_db)).astype(np.float32), audio.rate)


@njit(cache=True, nogil=True)
def _detected(power: NDArray[np.float64], mean: float, attack: float, release: float) -> NDArray[np.float64]:
    """The level over the mean in dB behind a one-pole detector, sample by sample."""
    up, down = math.exp(-1.0 / max(attack, 1.0)), math.exp(-1.0 / max(release, 1.0))
    state, out = mean, np.empty(power.size)
    for n in range(power.size):
        pole = up if power[n] > state else down
        state = pole * state + (1 - pole) * power[n]
        out[n] = max(10 * math.log10(state / mean + 1e-12), _FLOOR_DB)
    return out
