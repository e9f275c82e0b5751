"""Finds a steady noise floor under a voice, by band.

A floor shows where a voice pauses. What tells noise from reverberation, breath and leakage is that
it keeps its level: among a band's quietest frames hiss varies by about a decibel, a decay by ten.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.fft import next_fast_len, rfft

from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray

BAND_EDGES_HZ = tuple(62.5 * 2 ** (step / 2) for step in range(17))
"""Half octaves from 62.5 Hz to 16 kHz."""

FOUND_DB = -50.0
"""A floor is noise from this level up, against the voice."""

_STEADY_DB = 3.0
_LOWEST_BAND_HZ = 125.0
_WINDOW_S = 0.09
_BLOCK_FRAMES = 256


@dataclass(frozen=True)
class NoiseFloor:
    """A steady floor: its level against the active voice, and the bands (low, high in Hz) it fills."""

    level_db: float
    bands_hz: tuple[tuple[float, float], ...]

    @property
    def found(self) -> bool:
        """True if it is loud enough to be worth removing."""
        return self.level_db > FOUND_DB


def noise_floor(voice: AudioSource) -> NoiseFloor:
    """The steady floor of a voice, from the quietest quarter of its frames; −inf dB where there is none."""
    powers = band_powers(voice)
    sounding = powers[powers.sum(1) > 1e-12]
    if len(sounding) < 40:
        return NoiseFloor(-np.inf, ())
    low, floor, high = np.percentile(sounding, (3, 10, 25), axis=0)
    steady = (high < low * db_to_power(_STEADY_DB)) & (np.array(BAND_EDGES_HZ[:-1]) >= _LOWEST_BAND_HZ)
    steady &= floor > 0
    if not steady.any():
        return NoiseFloor(-np.inf, ())
    level = powers_to_db(floor[steady].sum() / active_power(sounding).sum())
    edges = itertools.pairwise(BAND_EDGES_HZ)
    return NoiseFloor(float(level), tuple(edge for edge, kept in zip(edges, steady, strict=True) if kept))


def active_power(powers: Float64Array) -> Float64Array:
    """Mean power per band (bands,) over the frames (frames, bands) within 20 dB of the loudest."""
    total = powers.sum(1)
    active: Float64Array = powers[total >= total.max() * 1e-2].mean(0)
    return active


def band_powers(source: AudioSource) -> Float64Array:
    """Power in each of the half octaves, shape (frames of 45 ms, bands), channels averaged."""
    size = next_fast_len(round(_WINDOW_S * source.rate), real=True)
    window = np.hanning(size).astype(np.float32)
    frequencies = np.arange(size // 2 + 1) * source.rate / size
    edges = np.searchsorted(frequencies, BAND_EDGES_HZ)
    scale = 2 / (size * float(np.square(window).sum()))
    rows = [
        np.diff(np.pad(_summed(frames * window), ((0, 0), (1, 0)))[:, edges], axis=1) * scale
        for frames in _framed(source, size)
    ]
    return np.concatenate(rows) if rows else np.zeros((0, len(BAND_EDGES_HZ) - 1))


def _summed(frames: FloatArray) -> Float64Array:
    """Power summed up over frequency, shape (frames, bins), channels averaged."""
    spectrum = rfft(frames, axis=2)
    power = (spectrum.real**2 + spectrum.imag**2).mean(0, dtype=np.float64)
    return np.cumsum(power, axis=1)


def _framed(source: AudioSource, size: int) -> Iterator[FloatArray]:
    """Half-overlapping frames in blocks, each (channels, frames, size)."""
    hop = size // 2
    count = (source.frames - size) // hop + 1
    for first in range(0, count, _BLOCK_FRAMES):
        last = min(first + _BLOCK_FRAMES, count)
        samples = source.read(first * hop, (last - 1) * hop + size)
        yield np.lib.stride_tricks.sliding_window_view(samples, size, axis=1)[:, ::hop]
