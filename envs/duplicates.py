"""An acoustic fingerprint that finds the same recording again under another name, format or level.

A coarse form of J. Haitsma and T. Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002):
a bit says whether the difference of two neighbouring bands' energies rose since two seconds before.
Gain cancels, codecs leave the bands in use alone, and words two a second can be shifted against
each other, so that another silence at the start does not hide a copy.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mixagent.pipeline.types import AudioSource, FloatArray

Words = NDArray[np.uint16]

WORDS_A_SECOND = 2
SAME_BIT_ERRORS = 0.3
"""Share of bits by which two prints of one recording differ at most; of two recordings it is about 0.5,
and may by chance be less where there are few words (`CHANCE` over the square root of their number)."""
CHANCE = 2.4

_EDGES_HZ = np.geomspace(150.0, 3400.0, 18)
_WINDOW_WORDS = 4
_SHIFT_WORDS = 16
_OVERLAP = 0.8


def fingerprint(source: AudioSource) -> str:
    """The source's words in hex, four digits a half second."""
    size = source.rate // WORDS_A_SECOND
    energies = [_band_energies(source, start, size) for start in range(0, source.frames - size + 1, size)]
    if len(energies) <= 2 * _WINDOW_WORDS:
        return ""
    sums = np.lib.stride_tricks.sliding_window_view(np.array(energies), _WINDOW_WORDS, axis=0).sum(axis=-1)
    level = np.log(sums + 1e-9 * (sums.mean() + 1e-12))
    tilt = np.diff(level, axis=1)
    bits = tilt[_WINDOW_WORDS:] > tilt[:-_WINDOW_WORDS]
    return np.packbits(bits[:, :16], axis=1).tobytes().hex()


def _band_energies(source: AudioSource, start: int, size: int) -> NDArray[np.float64]:
    block: FloatArray = source.read(start, start + size)
    window = np.hanning(size).astype(np.float32)
    spectrum = scipy.fft.rfft(block * window)
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=0)
    edges = np.searchsorted(np.fft.rfftfreq(size, 1 / source.rate), _EDGES_HZ)
    return np.add.reduceat(power, edges)[:-1].astype(np.float64)


def same_recording(first: str, second: str) -> bool:
    """True if two fingerprints are of one recording."""
    words = _words(first), _words(second)
    limit = min(SAME_BIT_ERRORS, 0.5 - CHANCE / max(min(map(len, words)), 1) ** 0.5)
    return bool(bit_errors(*words) < limit)


def bit_errors(first: Words, second: Words) -> float:
    """The least share of bits that differ at any shift up to 8 s; 1 where the lengths are too unlike."""
    longest = max(first.size, second.size)
    if min(first.size, second.size) < _OVERLAP * longest or not longest:
        return 1.0
    return min(_errors_at(first, second, shift) for shift in range(-_SHIFT_WORDS, _SHIFT_WORDS + 1))


def _errors_at(first: Words, second: Words, shift: int) -> float:
    first, second = first[max(shift, 0) :], second[max(-shift, 0) :]
    size = min(first.size, second.size)
    if size < 2 * _WINDOW_WORDS:
        return 1.0
    return float(np.bitwise_count(first[:size] ^ second[:size]).sum()) / (16 * size)


def _words(print_hex: str) -> Words:
    return np.frombuffer(bytes.fromhex(print_hex), np.uint16)
