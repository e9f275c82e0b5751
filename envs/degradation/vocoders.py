"""Artefacts of generators' decoders: mel inversion, coarse magnitudes, copied or ringing highs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from mixagent.pipeline.decibels import amplitudes_to_db, db_to_amplitude
from mixagent.pipeline.types import Audio

Spectra = NDArray[np.complex64]
"""(channels, frames, bins)."""

_SIZE = 2048
_HOP = _SIZE // 4


def through_mel(audio: Audio, bands: int, highest_hz: float, keep_phase: float) -> Audio:
    """Magnitudes through a mel filter bank and back; above `highest_hz` nothing is left.

    Args:
        audio: mono or stereo, a channel at a time.
        bands: of the filter bank.
        highest_hz: its upper end.
        keep_phase: 1 keeps the phases, 0 takes those of white noise, between them a mixture.
    """
    spectra = _forward(audio)
    bank = _mel_bank(bands, _SIZE // 2 + 1, audio.rate, min(highest_hz, 0.5 * audio.rate))
    back = bank / np.maximum(bank.sum(axis=1, keepdims=True), 1e-6)  # bins from bands
    mean = bank / np.maximum(bank.sum(axis=0, keepdims=True), 1e-6)  # bands from bins
    magnitude = np.sqrt(np.maximum((np.abs(spectra) ** 2) @ mean @ back.T, 0.0))
    noise = _forward(Audio(_noise(audio), audio.rate))
    mixed = keep_phase * _unit(spectra) + (1 - keep_phase) * _unit(noise)
    return _backward(magnitude * _unit(mixed), audio)


def coarse(audio: Audio, step_db: float, least_db: float) -> Audio:
    """Magnitudes in steps of so many dB; what lies `least_db` under its frame's envelope is left out."""
    spectra = _forward(audio)
    level_db = amplitudes_to_db(np.abs(spectra) + 1e-9)
    envelope = ndimage.uniform_filter1d(level_db, 41, axis=2)
    stepped = np.round(level_db / step_db) * step_db
    gain = np.where(level_db < envelope + least_db, 0.0, db_to_amplitude(stepped - level_db))
    return _backward(spectra * gain, audio)


def ring_modulated(audio: Audio, carrier_hz: float, low_hz: float, high_hz: float, level_db: float) -> Audio:
    """A band of the song, shifted by a carrier, added at a level against that band."""
    spectra, hz = _forward(audio), np.fft.rfftfreq(_SIZE, 1 / audio.rate)
    band = _backward(spectra * ((hz >= low_hz) & (hz < high_hz)), audio).samples
    times = np.arange(audio.samples.shape[1]) / audio.rate
    shifted = band * np.asarray(np.cos(2 * np.pi * carrier_hz * times), np.float32) * np.sqrt(np.float32(2))
    return Audio(audio.samples + np.float32(db_to_amplitude(level_db)) * shifted, audio.rate)


def noisy_band(audio: Audio, low_hz: float, high_hz: float, share: float, seed: int) -> Audio:
    """A band partly replaced by noise of its own envelope: grain, as parametric coders and vocoders give."""
    spectra, hz = _forward(audio), np.fft.rfftfreq(_SIZE, 1 / audio.rate)
    noise = _unit(_forward(Audio(_noise(audio, seed), audio.rate)))
    # A running sum may come out a little under zero.
    magnitude = np.sqrt(np.maximum(ndimage.uniform_filter1d(np.abs(spectra) ** 2, 9, axis=2), 0.0))
    inside = (hz >= low_hz) & (hz < high_hz)
    mixed = np.sqrt(1 - share) * spectra + np.sqrt(share) * magnitude * noise
    return _backward(np.where(inside, mixed, spectra), audio)


def decorrelated(audio: Audio, amount: float, low_hz: float, seed: int) -> Audio:
    """The side given a part of the mid with random phases by band: phasey width."""
    if len(audio.samples) != 2:
        return audio
    random = np.random.default_rng(seed)
    spectra, hz = _forward(audio), np.fft.rfftfreq(_SIZE, 1 / audio.rate)
    octaves = np.log2(np.maximum(hz, 20.0))
    knots = np.linspace(octaves.min(), octaves.max(), 24)
    phase = np.interp(octaves, knots, np.cumsum(random.uniform(-2.0, 2.0, knots.size)))
    mid = (spectra[0] + spectra[1]) / 2
    made = amount * mid * np.exp(1j * phase) * (hz >= low_hz)
    return _backward(np.stack([spectra[0] + made, spectra[1] - made]), audio)


def _unit(spectra: Spectra) -> Spectra:
    return np.asarray(spectra / np.maximum(np.abs(spectra), 1e-9), np.complex64)


def _noise(audio: Audio, seed: int = 0) -> NDArray[np.float32]:
    # One noise for all channels, or the image would fall apart too.
    one = np.random.default_rng(seed).standard_normal((1, audio.samples.shape[1]), np.float32)
    return np.broadcast_to(one, audio.samples.shape)


def _forward(audio: Audio) -> Spectra:
    padded = np.pad(audio.samples, ((0, 0), (_SIZE, _SIZE + _HOP)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SIZE, axis=1)[:, ::_HOP]
    return np.asarray(fft.rfft(frames * _window(), axis=2), np.complex64)


def _backward(spectra: Spectra, audio: Audio) -> Audio:
    pieces = (fft.irfft(spectra, _SIZE, axis=2) * _window() * np.float32(2 / 3)).astype(np.float32)
    channels, frames = pieces.shape[:2]
    joined = np.zeros((channels, (frames + 3) * _HOP), np.float32)
    quarters = pieces.reshape(channels, frames, 4, _HOP)
    for quarter in range(4):
        joined[:, quarter * _HOP : (quarter + frames) * _HOP] += quarters[:, :, quarter].reshape(channels, -1)
    return Audio(joined[:, _SIZE : _SIZE + audio.samples.shape[1]], audio.rate)


@lru_cache
def _window() -> NDArray[np.float32]:
    return np.asarray(np.hanning(_SIZE + 1)[:-1], np.float32)


@lru_cache
def _mel_bank(bands: int, bins: int, rate: int, highest_hz: float) -> NDArray[np.float32]:
    """Triangles on the mel scale of O'Shaughnessy (2595 log10(1 + f/700)), shape (bins, bands)."""
    mels = np.linspace(0.0, 2595 * np.log10(1 + highest_hz / 700), bands + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    hz = np.arange(bins)[:, None] * rate / (2 * (bins - 1))
    # The narrowest triangles are as wide as two bins, or the lows would fall between them.
    width = np.maximum(np.diff(edges), rate / (2 * (bins - 1)))
    rising, falling = (hz - edges[1:-1]) / width[:-1], (edges[1:-1] - hz) / width[1:]
    return np.asarray(np.clip(1 + np.minimum(rising, falling), 0.0, 1.0), np.float32)
