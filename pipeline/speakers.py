"""What a small loudspeaker leaves of a song: a phone plays one channel, and no lows."""

from __future__ import annotations

import math

import numpy as np
from scipy import signal

from mixagent.pipeline.audio import AudioSource, blocks
from mixagent.pipeline.dsp.cascade import Cascade
from mixagent.pipeline.meters import EnergyMeter

PHONE_HZ = (300.0, 8000.0)
"""The band that a phone's loudspeaker plays, fourth-order slopes on either side."""

_LEAST = 1e-6


def phone_loss_lu(source: AudioSource) -> float:
    """How much K-weighted energy a phone's band leaves out of the song in mono, in LU, 0 to 60.

    What folding to mono loses is a measure of its own (`Analysis.mono_fold_loss_db`).
    """
    band = Cascade(_phone_sections(source.rate), 1)
    whole, heard = (EnergyMeter.k_weighted(source.rate, 1) for _ in range(2))
    for block in blocks(source):
        mono = block.mean(axis=0, keepdims=True, dtype=np.float32)
        whole.update(mono)
        heard.update(band.process(mono))
    before, after = float(whole.energies.sum()), float(heard.energies.sum())
    return max(10 * math.log10(before / max(after, _LEAST * before)), 0.0) if before else 0.0


def _phone_sections(rate: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Butterworth's sections as `Cascade` takes them, b0 b1 b2 a1 a2."""
    low_hz, high_hz = PHONE_HZ
    rows = [signal.butter(4, low_hz, "highpass", fs=rate, output="sos")]
    if high_hz < rate / 2:
        rows.append(signal.butter(4, high_hz, "lowpass", fs=rate, output="sos"))
    return np.delete(np.concatenate(rows), 3, axis=1)
