"""From float samples to integers: rounding at 24 bit, TPDF dither at 16 bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.types import Float64Array, FloatArray

_HOLD_FRAMES = 4096
"""How long dither goes on after the last sample that lies between two steps."""

_ON_A_STEP_LSB = 0.01
"""A sample so near to a step lies on it: sums of float32 samples that ought to give it are off by less."""


def quantise(parts: Iterable[FloatArray], bits: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """Blocks (channels, frames) as integers of `bits` bits, shape (frames, channels), left-justified in 32.

    At 16 bit the rounding is dithered by triangular noise of ±1 LSB (Lipshitz, Wannamaker and
    Vanderkooy, "Quantization and Dither", JAES 40(5), 1992), drawn from `seed`; where nothing is to be
    rounded there is none, so that a 16-bit input comes back bit for bit and silence stays silent. At
    24 bit it is plain rounding, so that a 24-bit input comes back bit for bit: the error lies at
    −146 dBFS, under any converter's noise. Full scale clips. The output does not depend on how the
    input is cut into blocks.
    """
    noise = _Dither(seed) if bits <= 16 else None
    full_scale = float(1 << (bits - 1))
    for part in parts:
        scaled = part.T.astype(np.float64) * full_scale
        if noise is not None:
            scaled += noise.next(scaled)
        whole = np.clip(np.rint(scaled), -full_scale, full_scale - 1.0).astype(np.int32)
        yield np.left_shift(whole, 32 - bits)


class _Dither:
    """Triangular noise for blocks in order, off while all samples lie on a step."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.Philox(seed))
        self._since_rounded = _HOLD_FRAMES

    def next(self, scaled: Float64Array) -> NDArray[np.float32]:
        """Noise in LSB for a block in LSB, shape (frames, channels)."""
        pair = self._rng.random((*scaled.shape, 2), dtype=np.float32)
        return (pair[..., 0] - pair[..., 1]) * self._rounded(scaled)[:, None]

    def _rounded(self, scaled: Float64Array) -> NDArray[np.bool_]:
        position = np.arange(len(scaled))
        between = np.any(np.abs(scaled - np.rint(scaled)) > _ON_A_STEP_LSB, axis=1)
        last = np.where(between, position, -1 - self._since_rounded)
        since = position - np.maximum.accumulate(last)
        if since.size:
            self._since_rounded = int(min(since[-1], _HOLD_FRAMES))
        return np.asarray(since < _HOLD_FRAMES)
