"""A transient shaper by differential envelopes, independent of level.

Two followers of the same envelope, a fast and a slow one, differ while a sound attacks; two with a
short and a long release differ while it rings out (the principle of the SPL Transient Designer).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from mixagent.pipeline.types import Float64Array, FloatArray

_TICK_S = 0.00036
_LOOKAHEAD_S = 0.0015
_RISE_S = 0.0005
_FALL_S = 0.04
_ATTACK_S = 0.03
_SUSTAIN_S = 0.4
_FLOOR = 1e-5

# The ripple of a bass note's envelope stays under the dead zone, so that it is not shaped.
_DEAD_ZONE_DB = 2.5
_FULL_DB = 5.0


class TransientShaper:
    """Raises or lowers attacks and what follows them by up to the given gains; a `Processor`."""

    def __init__(self, attack_db: float, sustain_db: float, rate: int, channels: int) -> None:
        self.latency = round(_LOOKAHEAD_S * rate)
        self._tick = max(2, round(_TICK_S * rate))
        rates = [1 - math.exp(-1 / (seconds * rate)) for seconds in (_RISE_S, _FALL_S, _ATTACK_S, _SUSTAIN_S)]
        self._shape = np.array([*rates, attack_db, sustain_db])
        self._state = np.array([_FLOOR, _FLOOR, _FLOOR, 0.0, 1.0, 0.0])
        self._held = np.zeros((channels, self.latency), np.float32)

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames), `latency` frames late."""
        block = np.ascontiguousarray(block)
        held = np.concatenate([self._held, block], axis=1)
        out = np.empty_like(block)
        _shape_transients(block, held, self._shape, self._tick, self._state, out)
        self._held = held[:, block.shape[1] :].copy()
        return out


@njit(cache=True, nogil=True)
def _shape_transients(
    block: FloatArray, held: FloatArray, shape: Float64Array, tick: int, state: Float64Array, out: FloatArray
) -> None:
    channels, frames = block.shape
    rise, fall, attack, sustain, attack_db, sustain_db = shape
    fast, slow, ringing, count, gain, step = state
    for n in range(frames):
        peak = _FLOOR
        for c in range(channels):
            peak = max(peak, abs(float(block[c, n])))
            out[c, n] = held[c, n] * gain
        fast += (rise if peak > fast else fall) * (peak - fast)
        slow += attack * (fast - slow)
        ringing = max(fast, ringing + sustain * (fast - ringing))
        gain += step
        count += 1
        if count < tick:
            continue
        rising = max(20 * math.log10(fast / slow) - _DEAD_ZONE_DB, 0.0)
        falling = max(20 * math.log10(ringing / fast) - _DEAD_ZONE_DB, 0.0)
        wanted = attack_db * (1 - math.exp(-rising / _FULL_DB))
        wanted += sustain_db * (1 - math.exp(-falling / _FULL_DB))
        step = (10 ** (wanted / 20) - gain) / tick
        count = 0.0
    state[:] = fast, slow, ringing, count, gain, step
