"""The colour of a voice where it sings: its highs, the motion of its formants, and how pure it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from mixagent.pipeline.decibels import powers_to_db
from mixagent.pipeline.measure.pitch import FRAME_S, PitchTrack
from mixagent.pipeline.measure.singing import Note
from mixagent.pipeline.types import AudioSource, Float64Array, Progress

METALLIC_HZ = (6000.0, 10000.0)
BODY_HZ = (1000.0, 4000.0)
FORMANTS_HZ = (200.0, 3000.0)

WINDOW_S = 0.046

_PURE_WINDOW_S = 0.092
_HARMONIC_HALF_WIDTH_HZ = 25.0
_PURE_TO_HZ = 1500.0

_ENVELOPE_S = 0.0014
_SURE = 0.8
_QUIETEST = 20
_LEAST_FRAMES = 50
_FLOOR_DB = -90.0
_BATCH = 256
_LEAST_MOVING = 12
_INNER = 3


@dataclass(frozen=True)
class VoiceColour:
    """The colour of a voice.

    Attributes:
        highs_db: median level of 6 to 10 kHz against 1 to 4 kHz while a pitch is sung: what hisses is
            left out. NaN where the rate has no such band, or where too little is sung.
        formant_motion_db: median over held notes of how far the spectral envelope of 200 to 3000 Hz
            moves about its mean over the note, as a standard deviation; NaN without one of 0.25 s.
    """

    highs_db: float
    formant_motion_db: float


def measure_colour(
    source: AudioSource, track: PitchTrack, held: tuple[Note, ...], progress: Progress
) -> VoiceColour:
    """The colour of a voice of this pitch and these held notes."""
    nyquist = source.rate / 2
    highs, bodies = [], []
    motions: list[float] = []
    notes = {note.start: note for note in held}
    envelopes: list[Float64Array] = []
    note: Note | None = None
    frame = 0
    for powers in _framed_powers(source, len(track.hz)):
        frequencies = np.arange(powers.shape[1]) * nyquist / (powers.shape[1] - 1)
        bodies.append(_within(powers, frequencies, BODY_HZ))
        highs.append(_within(powers, frequencies, METALLIC_HZ))
        for row in range(len(powers)):
            note = notes.get(frame, note)
            if note is not None and note.start + 2 <= frame < note.stop - 2:
                envelopes.append(envelope_db(powers[row], frequencies, source.rate))
            if note is not None and frame == note.stop - 2:
                motions.extend(_motion(envelopes, frequencies))
                envelopes, note = [], None
            frame += 1
        progress(frame / max(len(track.hz), 1))
    body = np.concatenate(bodies) if bodies else np.zeros(0)
    sung = np.isfinite(track.hz[: len(body)]) & (track.confidence[: len(body)] > _SURE)
    highs_db = float("nan")
    if sung.sum() >= _LEAST_FRAMES and nyquist >= METALLIC_HZ[1]:
        loud = sung & (body >= np.percentile(body[sung], _QUIETEST))
        highs_db = float(np.median(powers_to_db(np.concatenate(highs)[loud]) - powers_to_db(body[loud])))
    return VoiceColour(highs_db, float(np.median(motions)) if motions else float("nan"))


def purity(source: AudioSource, track: PitchTrack, note: Note) -> float:
    """Share of a note's power up to 1500 Hz that is at its own harmonics, less what noise would have there.

    1 is a voice alone, 0 is noise; another voice on another pitch takes it down to about a half. A median
    over the note's frames; 0 for a note without a pitch.
    """
    size = 2 * round(_PURE_WINDOW_S * source.rate / 2)
    window = np.hanning(size)
    frequencies = np.arange(size // 2 + 1) * source.rate / size
    shares = []
    for frame in range(note.start + _INNER, note.stop - _INNER, 2):
        pitch = track.hz[frame]
        start = round(frame * FRAME_S * source.rate) - size // 2
        if not math.isfinite(pitch) or start < 0 or start + size > source.frames:
            continue
        spectrum = rfft(source.read(start, start + size).mean(0, dtype=np.float64) * window)
        band = (frequencies > 0.6 * pitch) & (frequencies < max(_PURE_TO_HZ, pitch) + pitch / 2)
        power = (spectrum.real**2 + spectrum.imag**2)[band]
        from_harmonic = np.abs(frequencies[band] / pitch - np.round(frequencies[band] / pitch)) * pitch
        near = from_harmonic < _HARMONIC_HALF_WIDTH_HZ
        chance = near.mean()
        if power.sum() > 0 and chance < 1:
            shares.append((power[near].sum() / power.sum() - chance) / (1 - chance))
    return float(np.median(shares)) if shares else 0.0


def envelope_db(power: Float64Array, frequencies: Float64Array, rate: int) -> Float64Array:
    """The spectral envelope in dB of power spectra (..., bins): their cepstra up to 1.4 ms."""
    floor = power.max(axis=-1, keepdims=True) * 10 ** (_FLOOR_DB / 10) + 1e-30
    cepstrum = irfft(np.log(power + floor), axis=-1)
    kept = round(_ENVELOPE_S * rate)
    cepstrum[..., kept + 1 : -kept] = 0.0
    envelope: Float64Array = rfft(cepstrum, axis=-1).real * (10 / np.log(10))
    return envelope


def _motion(envelopes: list[Float64Array], frequencies: Float64Array) -> Iterator[float]:
    if len(envelopes) >= _LEAST_MOVING:
        inside = (frequencies >= FORMANTS_HZ[0]) & (frequencies < FORMANTS_HZ[1])
        shape = np.array(envelopes)[:, inside]
        yield float((shape - shape.mean(1, keepdims=True)).std(0).mean())


def _within(powers: Float64Array, frequencies: Float64Array, band_hz: tuple[float, float]) -> Float64Array:
    total: Float64Array = powers[:, (frequencies >= band_hz[0]) & (frequencies < band_hz[1])].sum(1)
    return total


def _framed_powers(source: AudioSource, count: int) -> Iterator[NDArray[np.float64]]:
    """Power spectra of the mono sum about the middle of each frame, in batches."""
    size = next_fast_len(round(WINDOW_S * source.rate), real=True)
    size += size % 2
    window = np.hanning(size)
    for first in range(0, count, _BATCH):
        middles = np.round(np.arange(first, min(first + _BATCH, count)) * FRAME_S * source.rate).astype(int)
        start = int(middles[0]) - size // 2
        stop = int(middles[-1]) + size // 2
        mono = np.nan_to_num(source.read(start, stop).mean(0, dtype=np.float64), posinf=0.0, neginf=0.0)
        before = max(-start, 0)
        mono = np.pad(mono, (before, max(stop - start - before - len(mono), 0)))
        places = (middles - size // 2 - start)[:, None] + np.arange(size)
        spectra = rfft(mono[places] * window, axis=1)
        yield spectra.real**2 + spectra.imag**2
