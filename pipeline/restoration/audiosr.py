"""Highs made anew by AudioSR, a latent diffusion model, in a process of its own.

Liu, Chen, Tian, Wang, Plumbley, "AudioSR: Versatile Audio Super-resolution at Scale", ICASSP 2024. It was
trained on music behind plain low-passes, so one of that kind goes before it, at the end that was measured
(`measure.highs`). It hears the mid alone, for it invents panning, in pieces of the length that it knows, and
of what it gives only the band above the end is taken: matched in level under the end, added to all channels
alike. So sides, and whatever lies below, stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import cheby1, resample_poly, sosfiltfilt

from mixagent.pipeline.decibels import power_to_db
from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.highs import measure_highs, reference_hz
from mixagent.pipeline.restoration.audiosr_files import AudioSRFiles, require_audiosr
from mixagent.pipeline.restoration.audiosr_process import Limits, Sampling, Worker, WorkerError
from mixagent.pipeline.restoration.audiosr_worker import LONGEST_FRAMES, RATE
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.types import (
    AudioSource,
    Combination,
    Float64Array,
    FloatArray,
    Progress,
    View,
    Watched,
    blocks,
    spool,
)
from mixagent.pipeline.warm import MODELS

_EDGE_FRAMES = RATE // 2
"""What is discarded at either end of a piece: there the model knows only one side."""

_FADE_FRAMES = RATE // 50
_HOP_FRAMES = LONGEST_FRAMES - 2 * _EDGE_FRAMES
_FEWEST_FRAMES = RATE // 10
_ORDER, _RIPPLE_DB = 8, 0.1
_STEP_HZ = 100.0
# Wide enough to ring for no longer than a few milliseconds.
_RISE_HZ = 250.0
_JUDGED = 2 ** (1 / 6)
_SILENCE = 1e-6
_TOP_SHARE = 0.9

RUNNING_BYTES = 6e9
"""Memory that the official model takes on a CPU: 3 GB of weights, as much again for what it computes."""


def find(source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
    """Highs that end in a cliff before finished music's do, with room above them at the song's rate."""
    highs = measure_highs(Watched(source, progress))
    if not highs.is_short or highs.end_hz > _TOP_SHARE * source.rate / 2:
        return None
    return Found(
        f"The highs end at {highs.end_hz / 1000:.1f} kHz.",
        {"end_hz": highs.end_hz, "missing_db": highs.missing_db},
        {"end_hz": highs.end_hz},
    )


def run(
    source: AudioSource,
    found: Found,
    scratch: Path,
    progress: Progress,
    sampling: Sampling | None = None,
    limits: Limits | None = None,
    files: AudioSRFiles | None = None,
) -> Restored:
    """The source with highs above `found.details["end_hz"]`; the very source where AudioSR failed.

    Args:
        source, found, scratch, progress: see `base.Work`.
        sampling: how the model is run.
        limits: what it may take.
        files: where it is; where it was pulled to without them.

    Raises:
        ModelMissingError: it was not pulled.
    """
    files = files or require_audiosr()
    from_hz = float(found.details["end_hz"])
    mid = resample(_Mid(source), RATE, scratch / "audiosr-mid.f32")
    if mid.frames < _FEWEST_FRAMES:
        return Restored(source, False, "The song is too short for AudioSR.", found.values)
    # Nothing is loaded in this process, but the machine's memory is the same.
    with MODELS.loaded("audiosr", lambda: None, RUNNING_BYTES, keep=False):
        try:
            with Worker(files, sampling or Sampling(), limits or Limits(), scratch, progress) as worker:
                parts = _additions(mid, worker, from_hz, progress)
                added = spool(parts, scratch / "audiosr-48k.f32", RATE, 1)
        except WorkerError as error:
            return Restored(source, False, f"AudioSR was tried and left out: {error}.", found.values)
    level_db = _level_db(added, mid)
    addition = resample(added, source.rate, scratch / "audiosr-added.f32")
    both = Combination(((1.0, source), (1.0, addition)))
    audio = spool(blocks(both), scratch / "audiosr.f32", source.rate, source.channels)
    why = f"AudioSR made the highs above {from_hz / 1000:.1f} kHz anew, on the {worker.device_said}."
    return Restored(audio, True, why, {**found.values, "added_db": level_db})


@dataclass(frozen=True)
class _Mid(View):
    """The mean of a source's channels."""

    @property
    def channels(self) -> int:
        return 1

    def read(self, start: int, stop: int) -> FloatArray:
        return np.asarray(self.source.read(start, stop).mean(0, keepdims=True), np.float32)


# --- what is taken of it ---------------------------------------------------------------------------------


def _additions(mid: AudioSource, worker: Worker, from_hz: float, progress: Progress) -> Iterator[FloatArray]:
    """The band above the end, (1, frames) at a time, of the mid's length in all.

    The pieces are other music above the end, so neighbours fade in power, well inside of what both know.
    """
    worker.begin()
    count = max(math.ceil(mid.frames / _HOP_FRAMES), 1)
    fade = np.sin(np.linspace(0, np.pi / 2, _FADE_FRAMES, dtype=np.float32))
    tail = np.zeros(0, np.float32)
    for number in range(count):
        centre = number * _HOP_FRAMES
        start, stop = max(centre - _EDGE_FRAMES, 0), min(centre + _HOP_FRAMES + _EDGE_FRAMES, mid.frames)
        piece = mid.read(start, stop)[0].astype(np.float64)
        high = _high_band(piece, worker, from_hz, number / count, 1 / count)
        first = max(centre - _FADE_FRAMES // 2, 0) - start
        last = (stop if number == count - 1 else centre + _HOP_FRAMES + _FADE_FRAMES // 2) - start
        kept = high[first:last].astype(np.float32)
        if number:
            # A last piece may be shorter than the fade.
            overlap = min(_FADE_FRAMES, len(kept))
            kept[:overlap] = kept[:overlap] * fade[:overlap] + (tail * fade[::-1])[:overlap]
        if number < count - 1:
            kept, tail = kept[:-_FADE_FRAMES], kept[-_FADE_FRAMES:]
        yield kept[None]
        progress((number + 1) / count)


def _high_band(
    piece: Float64Array, worker: Worker, from_hz: float, done: float, share: float
) -> Float64Array:
    """A piece of the mid to what is to be added to it."""
    if np.sqrt(np.mean(np.square(piece))) < _SILENCE:
        return np.zeros_like(piece)
    given = strict_lowpass(piece, from_hz).astype(np.float32)
    made = worker.extended(given, from_hz, done, share)
    size = next_fast_len(len(piece), real=True)
    hz = rfftfreq(size, 1 / RATE)
    old, new = (rfft(wave.astype(np.float64), size) for wave in (given, made))
    gain = _gain(np.square(np.abs(old)), np.square(np.abs(new)), hz, from_hz)
    rise = 0.5 - 0.5 * np.cos(np.pi * np.clip((hz - from_hz) / _RISE_HZ, 0.0, 1.0))
    return np.asarray(irfft(new * rise * gain, size)[: len(piece)])


def strict_lowpass(wave: Float64Array, from_hz: float) -> Float64Array:
    """A mono wave at `RATE` without anything above a frequency, by the filters that the model's authors used.

    A Chebyshev filter of the eighth order forwards and backwards, the rate lowered to twice the frequency
    and raised again, and the filter once more.
    """
    hz = int(_STEP_HZ * max(from_hz // _STEP_HZ, 1))
    sections = cheby1(_ORDER, _RIPPLE_DB, hz, fs=RATE, output="sos")
    lowered = resample_poly(sosfiltfilt(sections, wave), 2 * hz, RATE)
    raised = resample_poly(lowered, RATE, 2 * hz)[: len(wave)]
    return np.asarray(sosfiltfilt(sections, raised))


def _gain(old: Float64Array, new: Float64Array, hz: Float64Array, from_hz: float) -> float:
    """The gain at which what was made is as loud as the song in the band under the end.

    It is less where the new band would begin above that level: music's spectrum falls.
    """

    def density(power: Float64Array, low_hz: float, high_hz: float) -> float:
        inside = power[(hz >= low_hz) & (hz < high_hz)]
        return float(inside.mean()) if inside.size else 0.0

    reference = reference_hz(from_hz)
    wanted, there = density(old, *reference), density(new, *reference)
    above = density(new, from_hz, _JUDGED * from_hz)
    loudest = max(there, above)
    return math.sqrt(wanted / loudest) if loudest > 0.0 else 0.0


def _level_db(added: AudioSource, mid: AudioSource) -> float:
    powers = (sum(float(np.sum(np.square(b, dtype=np.float64))) for b in blocks(s)) for s in (added, mid))
    high, whole = powers
    return power_to_db(high / max(whole, 1e-30) + 1e-15)
