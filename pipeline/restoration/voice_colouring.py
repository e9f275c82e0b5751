"""The colour of a voice: formants that move slowly, less metal in its highs, breath across steps of pitch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy.fft import irfft, rfft

from mixagent.pipeline.decibels import db_to_amplitude, powers_to_db
from mixagent.pipeline.dsp.spectral import ComplexArray, SpectralProcessor, window_frames
from mixagent.pipeline.measure.voice_colour import (
    BODY_HZ,
    FORMANTS_HZ,
    METALLIC_HZ,
    WINDOW_S,
    envelope_db,
)
from mixagent.pipeline.restoration.pitch_motion import Held, Step
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray

BREATH_DB = -30.0
"""Level of the breath against the voice around it."""

BREATH_HZ = (1000.0, 4000.0)

MOST_TAKEN_OFF = 0.3
"""The share that at most is taken off the amplitude of metallic highs."""

METALLIC_FROM_DB = -10.0
"""Highs of a voice that stand above this against its body are metallic; see `measure.voice_colour`."""

_EDGE_OCTAVES = 0.15
_SHIFT = 0.02
_MOST_SHIFT_DB = 3.0
_SHIFT_RATES_HZ = np.array([0.31, 0.53, 0.83, 1.27])
_CENTRES_HZ = np.array([400.0, 1000.0, 2200.0])
_FADE_S = 0.06
_BREATH_S = 0.12
_BREATH_BLUR_HZ = 300.0


class Colouring(SpectralProcessor):
    """Moves the formants of held notes and takes off metallic highs of what is sung; a `Processor`.

    Args:
        rate, channels: of the voice.
        sung: where a pitch is sung, in order.
        held: the notes whose formants are moved, in order.
        formants: share of ±2 % of frequency, 0..1.
        metallic: share of the 30 % that is at most taken off, 0..1.
    """

    def __init__(
        self,
        rate: int,
        channels: int,
        sung: Sequence[Held],
        held: Sequence[Held],
        formants: float,
        metallic: float,
    ) -> None:
        size = window_frames(WINDOW_S, rate)
        super().__init__(size, channels)
        self._rate, self._window_index = rate, 0
        self._formants, self._metallic = formants, metallic
        self._sung, self._held = _ends(sung), _ends(held)
        self._frequencies = np.arange(size // 2 + 1) * rate / size
        self._high = _band(self._frequencies, METALLIC_HZ)
        self._voiced = _band(self._frequencies, FORMANTS_HZ)
        self._body = (self._frequencies >= BODY_HZ[0]) & (self._frequencies < BODY_HZ[1])
        self._top = (self._frequencies >= METALLIC_HZ[0]) & (self._frequencies < METALLIC_HZ[1])
        # Between its centres the shift is shared by the neighbours in octaves.
        octaves = np.log2(np.maximum(self._frequencies, 1.0))
        self._shares = np.stack(
            [np.interp(octaves, np.log2(_CENTRES_HZ), row) for row in np.eye(len(_CENTRES_HZ))]
        )

    def correction(self, spectra: ComplexArray) -> ComplexArray | None:
        """See `SpectralProcessor.correction`."""
        count = spectra.shape[1]
        # A window's middle lies in the source half a window after its start, and the first one begins
        # as many frames before the source as the first block is padded with.
        starts = (self._window_index + np.arange(count)) * self.hop - (self._window.size - self.hop)
        times = (starts + self._window.size / 2) / self._rate
        self._window_index += count
        formants = self._formants * _inside(times, self._held)
        metallic = self._metallic * _inside(times, self._sung)
        if not formants.any() and not metallic.any():
            return None
        power = (spectra.real**2 + spectra.imag**2).mean(0, dtype=np.float64)
        gain_db = np.zeros(power.shape)
        moving = np.flatnonzero(formants)
        if moving.size:
            gain_db[moving] += formants[moving, None] * self._moved_db(power[moving], times[moving])
        gain_db += metallic[:, None] * self._taken_off_db(power)
        return np.asarray(spectra * (10 ** (gain_db / 20) - 1).astype(np.float32))

    def _moved_db(self, power: Float64Array, times_s: Float64Array) -> Float64Array:
        """The gain that moves the envelope by a slow random share of its frequencies."""
        phases = np.arange(len(_CENTRES_HZ))[:, None] * 2.1 + np.arange(len(_SHIFT_RATES_HZ)) * 1.3
        angles = 2 * np.pi * _SHIFT_RATES_HZ * times_s[:, None, None] + phases
        shift = _SHIFT * np.sin(angles).sum(2) / math.sqrt(len(_SHIFT_RATES_HZ) / 2)
        envelope = envelope_db(power, self._frequencies, self._rate)
        slope = np.gradient(envelope, self._frequencies, axis=1)
        moved = -slope * self._frequencies * (shift @ self._shares)
        return np.asarray(np.clip(moved, -_MOST_SHIFT_DB, _MOST_SHIFT_DB) * self._voiced)

    def _taken_off_db(self, power: Float64Array) -> Float64Array:
        """The gain that brings the highs down to where they are no longer metallic, by 30 % at most."""
        excess = powers_to_db(power[:, self._top].sum(1)) - powers_to_db(power[:, self._body].sum(1))
        most_db = -20 * math.log10(1 - MOST_TAKEN_OFF)
        off = np.clip(excess - METALLIC_FROM_DB, 0, most_db)
        return np.asarray(-off[:, None] * self._high)


def with_breath(
    parts: Iterable[FloatArray], source: AudioSource, steps: Sequence[Step], amount: float
) -> Iterator[FloatArray]:
    """The parts of a voice with breath across its steps of pitch, shaped and levelled by the voice itself.

    Args:
        parts: blocks of the voice in order.
        source: the voice that the breath is measured by, of the same length.
        steps: where it is added, in order.
        amount: share of `BREATH_DB`'s amplitude, 0..1.
    """
    size = round(_BREATH_S * source.rate)
    waiting = list(steps) if source.rate / 2 > BREATH_HZ[0] and amount > 0 else []
    adding: list[tuple[int, FloatArray]] = []
    start = 0
    for part in parts:
        stop = start + part.shape[1]
        while waiting and waiting[0].time_s * source.rate - size < stop:
            first = max(round(waiting.pop(0).time_s * source.rate) - size // 2, 0)
            adding.append((first, _breath(source.read(first, first + size), source.rate, first) * amount))
        if adding:
            part = part.copy()
            for first, breath in adding:
                begin, end = max(first, start), min(first + breath.shape[1], stop)
                if begin < end:
                    part[:, begin - start : end - start] += breath[:, begin - first : end - first]
            adding = [(first, breath) for first, breath in adding if first + breath.shape[1] > stop]
        yield part
        start = stop


def _breath(around: FloatArray, rate: int, seed: int) -> FloatArray:
    """Noise of 1 to 4 kHz with the voice's spectrum there, 30 dB under it, that swells and fades."""
    size = around.shape[1]
    if size < 16:
        return np.zeros_like(around)
    frequencies = np.arange(size // 2 + 1) * rate / size
    noise = rfft(np.random.default_rng(seed).standard_normal(size))
    swell = np.hanning(size)
    blur = np.hanning(max(3, round(_BREATH_BLUR_HZ * size / rate)) + 2)
    voice = np.abs(rfft(around * swell, axis=1)) ** 2
    shape = np.sqrt([np.convolve(row, blur / blur.sum(), "same") for row in voice])
    wave = irfft(noise * shape * _band(frequencies, BREATH_HZ), size, axis=1) * swell
    level = np.sqrt(np.square(around, dtype=np.float64).mean(1, keepdims=True))
    own = np.sqrt(np.square(wave).mean(1, keepdims=True))
    scale = np.where(own > 0, level * db_to_amplitude(BREATH_DB) / np.where(own > 0, own, 1.0), 0.0)
    breath: FloatArray = (wave * scale).astype(np.float32)
    return breath


def _band(frequencies: Float64Array, band_hz: tuple[float, float]) -> Float64Array:
    """1 inside a band and 0 outside it, with a raised cosine inside either edge."""
    octaves = np.log2(np.maximum(frequencies, 1.0))
    low, high = np.log2(band_hz)
    nearest = np.minimum(octaves - low, high - octaves) / _EDGE_OCTAVES
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(nearest, 0, 1)))


def _ends(spans: Sequence[Held]) -> Float64Array:
    """Starts and stops, (2, spans)."""
    return np.array([[span.start_s for span in spans], [span.stop_s for span in spans]], np.float64)


def _inside(times_s: Float64Array, ends: Float64Array) -> Float64Array:
    """1 inside a span and 0 outside, with a fade inside its ends."""
    if not ends.size:
        return np.zeros(len(times_s))
    span = np.searchsorted(ends[0], times_s, side="right") - 1
    held = np.maximum(span, 0)
    depth = np.minimum(times_s - ends[0][held], ends[1][held] - times_s) / _FADE_S
    return np.asarray(np.where(span >= 0, np.clip(depth, 0, 1), 0.0))
