"""Which damage can be heard: noise-to-mask ratios after ITU-R BS.1387."""

from __future__ import annotations

import numpy as np

from mixagent.pipeline.types import Float64Array, FloatArray

DISTURBED_DB = 1.5
"""BS.1387 counts a frame as disturbed where in any band the noise lies so far over the masked threshold."""

FRAME, HOP = 512, 128
"""Shorter than the standard's 2048: in 46 ms a click would hide behind what follows it."""

_HEARING = 1e-4 / 16
"""Power in a band at the threshold of hearing, for full scale at 100 dB SPL."""

_SLOWEST_S, _FASTEST_S = 0.030, 0.008
_BESIDE_S = 0.06


def over_mask_db(hurt: FloatArray, hidden: FloatArray, rate: int) -> float:
    """By how much, in dB, what `hurt` has beside `hidden` lies over what `hidden` masks, where it does most.

    The masked threshold is the excitation of `hidden` in bands of a Bark, spread by Schroeder's function,
    less the standard's offset, and held on behind by its time constants; the worst channel counts.

    Args:
        hurt: float32 (channels, frames).
        hidden: of the same shape, without the damage.
        rate: in Hz.
    """
    to_bands, centres_hz = _bands(rate)
    masker, noise = (_powers(x) @ to_bands for x in (hidden, hurt - hidden))
    held = masker @ _spreading(len(centres_hz))
    seconds = _FASTEST_S + 100 / np.maximum(centres_hz, 100) * (_SLOWEST_S - _FASTEST_S)
    decay = np.exp(-HOP / rate / seconds)
    for frame in range(1, held.shape[1]):
        held[:, frame] = np.maximum(held[:, frame], decay * held[:, frame - 1])
    return float(10 * np.log10((noise / (held + _HEARING)).max() + 1e-12))


def seam_over_mask_db(hurt: FloatArray, at: int, rate: int) -> float:
    """By how much, in dB, what a seam adds lies over the masked threshold, where it does most.

    Added is what a band of a frame that holds the seam has more than any within 60 ms on either side; what
    masks it is those.
    """
    reach = round(_BESIDE_S * rate)
    first = max(at - reach, 0)
    to_bands, centres_hz = _bands(rate)
    powers = _powers(hurt[:, first : at + reach]) @ to_bands
    starts = first + np.arange(powers.shape[1]) * HOP
    here = (starts < at) & (starts + FRAME > at)
    loudest = powers[:, ~here].max(axis=1)
    added = np.maximum(powers[:, here].max(axis=1) - loudest, 0.0)
    ratio = added / (loudest @ _spreading(len(centres_hz)) + _HEARING)
    return float(10 * np.log10(ratio.max() + 1e-12))


def _powers(samples: FloatArray) -> Float64Array:
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME, axis=1)[:, ::HOP]
    return np.asarray(np.abs(np.fft.rfft(frames * np.hanning(FRAME))) ** 2)


def _bands(rate: int) -> tuple[Float64Array, Float64Array]:
    """The bins of each band of a Bark (7 asinh(f/650)), (bins, bands), and their middles in Hz."""
    hz = np.fft.rfftfreq(FRAME, 1 / rate)
    bark = np.floor(7 * np.arcsinh(hz / 650)).astype(int)
    kept = (hz > 20) & (hz <= 18000)
    bands = np.unique(bark[kept])
    shares = np.where(kept[:, None], bands == bark[:, None], 0.0)
    return shares, 650 * np.sinh((bands + 0.5) / 7)


def _spreading(bands: int) -> Float64Array:
    z = np.arange(bands)
    apart = z[None] - z[:, None] + 0.474
    spread_db = 15.81 + 7.5 * apart - 17.5 * np.sqrt(1 + apart**2)
    offset_db = np.where(z <= 12, 3.0, 0.25 * z)
    return np.asarray(10 ** ((spread_db - offset_db[None]) / 10))
