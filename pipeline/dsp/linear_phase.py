"""An equaliser's magnitude in linear phase.

The response is sampled, brought back to time without its phase and windowed (the frequency-sampling
method; Oppenheim and Schafer, "Discrete-Time Signal Processing", section 7.5), and convolved by
overlap-save.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.dsp.equaliser import responses_db
from mixagent.pipeline.dsp.spectral import window_frames
from mixagent.pipeline.types import Float64Array, FloatArray

_REACH_S = 0.37
_FINER = 4


class LinearPhase:
    """The magnitudes of sections in a row in linear phase; a `Processor`.

    All taps lie in one partition: partitions would shorten the latency, which is compensated anyway.

    Args:
        sections: b0 b1 b2 a1 a2, as `Cascade` takes them.
        rate: Hz.
        channels: of the blocks.
    """

    def __init__(self, sections: Float64Array, rate: int, channels: int) -> None:
        self._hop = window_frames(_REACH_S, rate)
        own = np.broadcast_to(sections, (channels, *sections.shape[-2:]))
        taps = np.stack([_taps(of_channel, self._hop) for of_channel in own])
        self._response = fft.rfft(taps.astype(np.float32), 2 * self._hop, axis=1)
        self._before = np.zeros((channels, self._hop), np.float32)
        self._pending = np.zeros((channels, 0), np.float32)
        self._ready = np.zeros((channels, self._hop), np.float32)
        self.latency = self._hop + self._hop // 2

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames), `latency` frames late."""
        pending = np.concatenate((self._pending, block), axis=1)
        whole = pending.shape[1] // self._hop * self._hop
        hops = [self._convolve(pending[:, at : at + self._hop]) for at in range(0, whole, self._hop)]
        self._pending = pending[:, whole:].copy()
        ready = np.concatenate((self._ready, *hops), axis=1)
        self._ready = ready[:, block.shape[1] :].copy()
        return ready[:, : block.shape[1]]

    def _convolve(self, hop: FloatArray) -> FloatArray:
        spectrum = fft.rfft(np.concatenate((self._before, hop), axis=1), axis=1)
        self._before = hop.copy()
        convolved: FloatArray = fft.irfft(spectrum * self._response, axis=1, overwrite_x=True)
        return convolved[:, self._hop :]


def _taps(sections: Float64Array, size: int) -> Float64Array:
    """The symmetric impulse response (size + 1,) of the sections' magnitude."""
    turns = np.exp(-2j * np.pi * np.arange(_FINER * size // 2 + 1) / (_FINER * size))
    magnitude = db_to_amplitude(responses_db(sections, turns).sum(axis=0))
    centred = np.roll(fft.irfft(magnitude), size // 2)[: size + 1]
    return np.asarray(centred * np.hanning(size + 1))
